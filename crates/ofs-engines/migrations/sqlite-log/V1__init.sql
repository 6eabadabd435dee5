-- What the file is: ('instance', uuid of the store it belongs to).
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- next_offset outlives the records, so that an offset is never given twice.
CREATE TABLE topics (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    next_offset INTEGER NOT NULL
);
INSERT INTO topics (id, name, next_offset) VALUES
    (1, 'orders.events.v1', 0),
    (2, 'payments.events.v1', 0),
    (3, 'fulfillment.events.v1', 0);

-- place is topic id * 2^48 + offset: one b-tree in reading order, no second index for it.
CREATE TABLE records (
    place       INTEGER PRIMARY KEY,
    appended_at INTEGER NOT NULL,
    event_id    BLOB,
    key         BLOB,
    headers     TEXT NOT NULL,
    value       BLOB NOT NULL
);
CREATE UNIQUE INDEX records_event ON records (event_id, place >> 48) WHERE event_id IS NOT NULL;

CREATE TABLE positions (
    group_name  TEXT NOT NULL,
    topic       INTEGER NOT NULL REFERENCES topics (id),
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic)
) WITHOUT ROWID;

-- For people with a SQLite shell.
CREATE VIEW log AS
SELECT topics.name                                                        AS topic,
       records.place & 0xFFFFFFFFFFFF                                     AS "offset",
       strftime('%Y-%m-%dT%H:%M:%fZ', records.appended_at / 1e6, 'unixepoch') AS appended_at,
       lower(hex(records.event_id))                                       AS event_id,
       CAST(records.key AS TEXT)                                          AS key,
       records.headers,
       CAST(records.value AS TEXT)                                        AS value
FROM records
JOIN topics ON topics.id = records.place >> 48;
