-- Ids are 16-byte UUIDs; times are microseconds since 1970, UTC.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- With a rowid: documents are too long for the inner pages of a tree.
CREATE TABLE records (
    owner      TEXT NOT NULL,
    key        BLOB NOT NULL CHECK (length(key) = 16),
    version    INTEGER NOT NULL CHECK (version > 0),
    status     TEXT NOT NULL,
    body       TEXT NOT NULL CHECK (json_valid(body)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT;

CREATE TABLE processed_events (
    owner    TEXT NOT NULL,
    day      INTEGER NOT NULL,
    key      BLOB NOT NULL CHECK (length(key) = 16),
    event_id BLOB NOT NULL CHECK (length(event_id) = 16),
    PRIMARY KEY (owner, day, key, event_id)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT, because an id that came back would be settled by the wrong delivery.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      TEXT NOT NULL,
    shard      INTEGER NOT NULL,
    topic      TEXT NOT NULL,
    key        BLOB NOT NULL CHECK (length(key) = 16),
    event_id   BLOB CHECK (length(event_id) = 16),
    headers    TEXT NOT NULL,
    value      BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
-- The id is part of it: an owner's rows by id, and counted without reading them.
CREATE INDEX outbox_by_owner ON outbox (owner);

CREATE TABLE owed_index (
    owner   TEXT NOT NULL,
    key     BLOB NOT NULL CHECK (length(key) = 16),
    version INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX owed_index_by_age ON owed_index (owner, since);

CREATE TABLE parked_events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    owner        TEXT NOT NULL,
    topic        TEXT NOT NULL,
    partition    INTEGER NOT NULL,
    "offset"     INTEGER NOT NULL,
    key          BLOB CHECK (length(key) = 16),
    event_id     BLOB CHECK (length(event_id) = 16),
    event_type   TEXT,
    raw_key      BLOB,
    raw          BLOB NOT NULL,
    reason       TEXT NOT NULL,
    unknown_type INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    parked_at    INTEGER NOT NULL,
    next_at      INTEGER,
    held_until   INTEGER,
    state        TEXT NOT NULL DEFAULT 'parked'
                 CHECK (state IN ('parked', 'resolved', 'discarded')),
    closed_at    INTEGER,
    UNIQUE (owner, topic, partition, "offset")
) STRICT;
CREATE INDEX parked_events_queue ON parked_events (owner, key, topic, id) WHERE state = 'parked';
CREATE INDEX parked_events_due ON parked_events (owner, next_at) WHERE state = 'parked';
CREATE INDEX parked_events_closed ON parked_events (closed_at) WHERE state <> 'parked';

CREATE TABLE leases (
    name   TEXT NOT NULL,
    slot   INTEGER NOT NULL,
    holder BLOB NOT NULL CHECK (length(holder) = 16),
    until  INTEGER NOT NULL,
    PRIMARY KEY (name, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease_holders (
    name   TEXT NOT NULL,
    holder BLOB NOT NULL CHECK (length(holder) = 16),
    until  INTEGER NOT NULL,
    PRIMARY KEY (name, holder)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    owner       TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 16),
    answer      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
