-- Names are compared byte by byte (COLLATE "C"): quick, and the same on every server.

CREATE TABLE meta (
    name  text COLLATE "C" PRIMARY KEY,
    value uuid NOT NULL
);

-- Room in the pages, so that a new version of a short document stays on its page.
CREATE TABLE records (
    owner      text COLLATE "C" NOT NULL,
    key        uuid NOT NULL,
    version    bigint NOT NULL CHECK (version > 0),
    status     text NOT NULL,
    body       jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (owner, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
COMMENT ON TABLE records IS 'What each service (owner) knows of each order (key): versioned documents.';

CREATE TABLE processed_events (
    owner    text COLLATE "C" NOT NULL,
    day      integer NOT NULL,
    key      uuid NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (owner, day, key, event_id)
);
COMMENT ON TABLE processed_events IS 'The inbox: events a service has handled; day counts from 1970.';

-- CACHE 1: with a larger one the ids of a key would not grow with its versions.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    owner      text COLLATE "C" NOT NULL,
    shard      smallint NOT NULL,
    topic      text COLLATE "C" NOT NULL,
    key        uuid NOT NULL,
    event_id   uuid,
    headers    jsonb NOT NULL,
    value      bytea NOT NULL,
    created_at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX outbox_by_shard ON outbox (owner, shard, id);
COMMENT ON TABLE outbox IS 'Events that are still to be sent to the log; empty when all is well.';

CREATE TABLE owed_index (
    owner   text COLLATE "C" NOT NULL,
    key     uuid NOT NULL,
    version bigint NOT NULL,
    since   timestamptz NOT NULL,
    PRIMARY KEY (owner, key)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX owed_index_by_age ON owed_index (owner, since, key);
COMMENT ON TABLE owed_index IS 'Record versions that the search index has not got yet.';

CREATE TABLE parked_events (
    id           bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    owner        text COLLATE "C" NOT NULL,
    topic        text COLLATE "C" NOT NULL,
    partition    integer NOT NULL,
    "offset"     bigint NOT NULL,
    key          uuid,
    event_id     uuid,
    event_type   text,
    raw_key      bytea,
    raw          bytea NOT NULL,
    reason       text NOT NULL,
    unknown_type boolean NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    parked_at    timestamptz NOT NULL,
    next_at      timestamptz,
    held_until   timestamptz,
    state        text COLLATE "C" NOT NULL DEFAULT 'parked'
                 CHECK (state IN ('parked', 'resolved', 'discarded')),
    closed_at    timestamptz,
    UNIQUE (owner, topic, partition, "offset")
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX parked_events_open ON parked_events (owner, id) WHERE state = 'parked';
CREATE INDEX parked_events_queue ON parked_events (owner, key, topic, id) WHERE state = 'parked';
CREATE INDEX parked_events_due ON parked_events (owner, next_at, id) WHERE state = 'parked';
CREATE INDEX parked_events_closed ON parked_events (closed_at) WHERE state <> 'parked';
CREATE INDEX parked_events_by_order ON parked_events (key, id);
COMMENT ON TABLE parked_events IS 'Events a service could not handle, and what became of them.';

CREATE TABLE leases (
    name   text COLLATE "C" NOT NULL,
    slot   integer NOT NULL,
    holder uuid NOT NULL,
    until  timestamptz NOT NULL,
    PRIMARY KEY (name, slot)
);

CREATE TABLE lease_holders (
    name   text COLLATE "C" NOT NULL,
    holder uuid NOT NULL,
    until  timestamptz NOT NULL,
    PRIMARY KEY (name, holder)
);

CREATE TABLE idempotency_keys (
    owner       text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint uuid NOT NULL,
    answer      text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- They end the transaction, and name the commits of the group (by number) whose fault it is.
CREATE FUNCTION stale(commits integer[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'OF001', MESSAGE = 'what it was decided on has changed',
        DETAIL = array_to_string(commits, ',');
END $$;
CREATE FUNCTION key_taken(commits integer[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'OF002', MESSAGE = 'the idempotency key is taken',
        DETAIL = array_to_string(commits, ',');
END $$;

-- For people and BI tools; nothing here reads them.
CREATE VIEW orders AS
SELECT key AS id,
       status,
       body ->> 'customerEmail' AS customer_email,
       body ->> 'productType' AS product_type,
       body ->> 'country' AS country,
       body ->> 'paymentScenario' AS payment_scenario,
       body ->> 'failureReason' AS failure_reason,
       (body ->> 'etaUtc')::timestamptz AS eta_utc,
       (body ->> 'correlationId')::uuid AS correlation_id,
       (body ->> 'createdAt')::timestamptz AS created_at,
       (body ->> 'updatedAt')::timestamptz AS updated_at,
       version
FROM records
WHERE owner = 'order-service';

CREATE VIEW payments AS
SELECT key AS order_id,
       status,
       body ->> 'reason' AS reason,
       body ->> 'gatewayKey' AS gateway_key,
       (body ->> 'decidedAt')::timestamptz AS decided_at,
       version
FROM records
WHERE owner = 'payment-worker';

CREATE VIEW shipments AS
SELECT key AS order_id,
       status,
       (body ->> 'scheduledAt')::timestamptz AS scheduled_at,
       (body ->> 'etaUtc')::timestamptz AS eta_utc,
       version
FROM records
WHERE owner = 'fulfillment-worker';
