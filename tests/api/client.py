"""Drives the client that was generated from the description. Usage: client.py URL"""

import sys
import time
from http import HTTPStatus

from ofs_client import Client
from ofs_client.api.operations import pipeline
from ofs_client.api.orders import get_order, get_timeline, place_order, search_orders
from ofs_client.api.parked import discard_parked, get_parked, list_parked
from ofs_client.models import (
    Discard, ListParkedService, ListParkedState, NewOrder, OrderStatus, ParkedState, Problem,
)


def until(what, ask):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.01)
    raise AssertionError(f"not seen: {what}")


def orders(client):
    new = NewOrder(customer_email="ada@example.com", product_type="Phone", country="gb",
                   payment_scenario="success")
    answer = place_order.sync_detailed(client=client, body=new, idempotency_key="a-key")
    assert answer.status_code is HTTPStatus.CREATED, answer
    placed = answer.parsed
    again = place_order.sync_detailed(client=client, body=new, idempotency_key="a-key")
    assert again.parsed == placed and again.headers["idempotency-replayed"] == "true", again
    assert answer.headers["location"] == f"/orders/{placed.id}"

    def final():
        order = get_order.sync(placed.id, client=client)
        return order if order.status is OrderStatus.FULFILLMENTSCHEDULED else None

    order = until("a scheduled order", final)
    assert (order.id, order.customer_email, order.country) == (placed.id, "ada@example.com", "GB")
    timeline = get_timeline.sync(placed.id, client=client)
    assert timeline.order_id == placed.id
    types = [event.event_type for event in timeline.events]
    assert types == ["OrderCreatedV1", "PaymentAuthorizedV1", "FulfillmentScheduledV1"], types
    assert {event.correlation_id for event in timeline.events} == {placed.correlation_id}

    def found():
        page = search_orders.sync(
            client=client, q="ada", country=["FR", "GB"], product_type=["phone"], limit=1,
            status=[OrderStatus.FULFILLMENTSCHEDULED, OrderStatus.PAYMENTFAILED],
            created_after=order.created_at)
        return page if page.total == 1 else None

    page = until("the order in the index", found)
    assert (page.orders[0].id, page.next_cursor) == (placed.id, None), page
    assert [(count.value, count.count) for count in page.facets.country] == [("GB", 1)]


def refusals(client):
    answer = place_order.sync(client=client, body=NewOrder("a@b.c", "", "Great Britain"))
    assert isinstance(answer, Problem), answer
    assert [error.pointer for error in answer.errors] == ["/productType", "/country"], answer


def operations(client):
    asked = {"service": ListParkedService.PAYMENT_WORKER, "state": ListParkedState.PARKED}
    parked = until("a parked event", lambda: list_parked.sync(client=client, **asked).parked)[0]
    assert (parked.service, parked.event_id, parked.order) == ("payment-worker", None, None), parked
    detail = get_parked.sync(parked.id, client=client)
    assert detail.value.value == "{garbage" and detail.reason == parked.reason, detail
    done = discard_parked.sync(parked.id, client=client, body=Discard(reason="no event"))
    assert done.state is ParkedState.DISCARDED, done
    view = pipeline.sync(client=client)
    assert len(view.services) == 4, view


with Client(base_url=sys.argv[1]) as client:
    orders(client)
    refusals(client)
    operations(client)
