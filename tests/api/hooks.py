"""What only the server can make is not made up: a cursor is sent with the search whose answer named it.

No answer without an end is asked for, and a body of lines is a single one.
"""

import json

import schemathesis
from schemathesis import GenerationMode

# The parameters of the page that named a cursor.
searches: dict[str, dict] = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    query = case.query or {}
    if str(query.get("follow")).lower() == "true":
        del query["follow"]
    valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if valid and "cursor" in query:
        search = searches.get(query.pop("cursor"))
        if search is not None:
            query.clear()
            query.update(search)


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code == 200 and '"nextCursor":"' in response.text:
        cursor = response.json()["nextCursor"]
        searches[cursor] = {**(case.query or {}), "cursor": cursor}


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, bytes) else json.dumps(value) + "\n"
