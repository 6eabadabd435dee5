CREATE FUNCTION public.audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END $$;
CREATE FUNCTION public.key_taken(commits integer[]) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'OF002', MESSAGE = 'the idempotency key is taken',
        DETAIL = array_to_string(commits, ',');
END $$;
CREATE FUNCTION public.stale(commits integer[]) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'OF001', MESSAGE = 'what it was decided on has changed',
        DETAIL = array_to_string(commits, ',');
END $$;
CREATE TABLE public.api_keys (
    id uuid NOT NULL,
    name text NOT NULL,
    scopes text NOT NULL,
    digest bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    used_at timestamp with time zone,
    CONSTRAINT api_keys_digest_check CHECK ((length(digest) = 32))
);
COMMENT ON TABLE public.api_keys IS 'API keys; of a key''s secret only a digest is stored.';
CREATE TABLE public.audit (
    seq bigint NOT NULL,
    entry text NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT audit_hash_check CHECK ((length(hash) = 32))
);
COMMENT ON TABLE public.audit IS 'Who did what; each hash is over the one before it, the number and the entry.';
CREATE TABLE public.audit_end (
    id integer NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT audit_end_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT audit_end_id_check CHECK ((id = 1))
);
CREATE TABLE public.idempotency_keys (
    owner text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    fingerprint uuid NOT NULL,
    answer text NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.lease_holders (
    name text NOT NULL COLLATE pg_catalog."C",
    holder uuid NOT NULL,
    until timestamp with time zone NOT NULL
);
CREATE TABLE public.leases (
    name text NOT NULL COLLATE pg_catalog."C",
    slot integer NOT NULL,
    holder uuid NOT NULL,
    until timestamp with time zone NOT NULL
);
CREATE TABLE public.log_ends (
    topic text NOT NULL COLLATE pg_catalog."C",
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    missing bigint DEFAULT 0 NOT NULL
);
COMMENT ON TABLE public.log_ends IS 'How far the log was when this store last saw it, and what it has lost since.';
CREATE TABLE public.meta (
    name text NOT NULL COLLATE pg_catalog."C",
    value uuid NOT NULL
);
CREATE TABLE public.records (
    owner text NOT NULL COLLATE pg_catalog."C",
    key uuid NOT NULL,
    version bigint NOT NULL,
    status text NOT NULL,
    body jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT records_version_check CHECK ((version > 0))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02');
COMMENT ON TABLE public.records IS 'What each service (owner) knows of each order (key): versioned documents.';
CREATE VIEW public.orders AS
 SELECT records.key AS id,
    records.status,
    (records.body ->> 'customerEmail'::text) AS customer_email,
    (records.body ->> 'productType'::text) AS product_type,
    (records.body ->> 'country'::text) AS country,
    (records.body ->> 'paymentScenario'::text) AS payment_scenario,
    (records.body ->> 'failureReason'::text) AS failure_reason,
    ((records.body ->> 'etaUtc'::text))::timestamp with time zone AS eta_utc,
    ((records.body ->> 'correlationId'::text))::uuid AS correlation_id,
    ((records.body ->> 'createdAt'::text))::timestamp with time zone AS created_at,
    ((records.body ->> 'updatedAt'::text))::timestamp with time zone AS updated_at,
    records.version
   FROM public.records
  WHERE (records.owner = 'order-service'::text);
CREATE TABLE public.outbox (
    id bigint NOT NULL,
    owner text NOT NULL COLLATE pg_catalog."C",
    shard smallint NOT NULL,
    topic text NOT NULL COLLATE pg_catalog."C",
    key uuid NOT NULL,
    event_id uuid,
    headers jsonb NOT NULL,
    value bytea NOT NULL,
    created_at timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='10000', autovacuum_vacuum_cost_delay='0');
COMMENT ON TABLE public.outbox IS 'Events that are still to be sent to the log; empty when all is well.';
ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.owed_index (
    owner text NOT NULL COLLATE pg_catalog."C",
    key uuid NOT NULL,
    version bigint NOT NULL,
    since timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='10000', autovacuum_vacuum_cost_delay='0');
COMMENT ON TABLE public.owed_index IS 'Record versions that the search index has not got yet.';
CREATE TABLE public.parked_events (
    id bigint NOT NULL,
    owner text NOT NULL COLLATE pg_catalog."C",
    topic text NOT NULL COLLATE pg_catalog."C",
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key uuid,
    event_id uuid,
    event_type text,
    raw_key bytea,
    raw bytea NOT NULL,
    reason text NOT NULL,
    unknown_type boolean NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    parked_at timestamp with time zone NOT NULL,
    next_at timestamp with time zone,
    held_until timestamp with time zone,
    state text DEFAULT 'parked'::text NOT NULL COLLATE pg_catalog."C",
    closed_at timestamp with time zone,
    CONSTRAINT parked_events_state_check CHECK ((state = ANY (ARRAY['parked'::text, 'resolved'::text, 'discarded'::text])))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='1000');
COMMENT ON TABLE public.parked_events IS 'Events a service could not handle, and what became of them.';
ALTER TABLE public.parked_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.parked_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE VIEW public.payments AS
 SELECT records.key AS order_id,
    records.status,
    (records.body ->> 'reason'::text) AS reason,
    (records.body ->> 'gatewayKey'::text) AS gateway_key,
    ((records.body ->> 'decidedAt'::text))::timestamp with time zone AS decided_at,
    records.version
   FROM public.records
  WHERE (records.owner = 'payment-worker'::text);
CREATE TABLE public.processed_events (
    owner text NOT NULL COLLATE pg_catalog."C",
    day integer NOT NULL,
    key uuid NOT NULL,
    event_id uuid NOT NULL
);
COMMENT ON TABLE public.processed_events IS 'The inbox: events a service has handled; day counts from 1970.';
CREATE TABLE public.refinery_schema_history (
    version integer NOT NULL,
    name character varying(255),
    applied_on character varying(255),
    checksum character varying(255)
);
CREATE TABLE public.refused_documents (
    owner text NOT NULL COLLATE pg_catalog."C",
    key uuid NOT NULL,
    version bigint NOT NULL,
    reason text NOT NULL,
    since timestamp with time zone NOT NULL
);
COMMENT ON TABLE public.refused_documents IS 'Record versions that the search index refuses, and why.';
CREATE VIEW public.shipments AS
 SELECT records.key AS order_id,
    records.status,
    ((records.body ->> 'scheduledAt'::text))::timestamp with time zone AS scheduled_at,
    ((records.body ->> 'etaUtc'::text))::timestamp with time zone AS eta_utc,
    records.version
   FROM public.records
  WHERE (records.owner = 'fulfillment-worker'::text);
INSERT INTO public.audit_end VALUES (1, 0, '\x0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO public.idempotency_keys VALUES ('order-service', 'paid', '6c3016f6-1ca9-5f05-80ad-1416758f3782', '{"id":"01a221e1-62ce-7453-8e10-6865311d3064","correlationId":"01a221e1-62ce-7453-8e10-68669a4095ba"}', '2026-11-28 11:19:08.759996+00');
INSERT INTO public.idempotency_keys VALUES ('order-service', 'declined', 'f8fbc8eb-9eb2-54d8-8a82-2aac36dcce4c', '{"id":"01a221e1-638f-7629-ad87-f144e838d4e6","correlationId":"01a221e1-638f-7629-ad87-f145ca3174be"}', '2026-11-28 11:19:08.949315+00');
INSERT INTO public.idempotency_keys VALUES ('order-service', 'slow', '2a1ffe46-55b4-56a4-8524-43ed62fb4055', '{"id":"01a221e1-6426-72e4-a50b-4ad137eb02e4","correlationId":"01a221e1-6426-72e4-a50b-4ad2ac4c14b8"}', '2026-11-28 11:19:09.096074+00');
INSERT INTO public.idempotency_keys VALUES ('order-service', 'more1', '26b561a3-45a6-539d-908e-b8487ef99af1', '{"id":"01a221e1-6514-7764-947e-e98565ffcf50","correlationId":"01a221e1-6514-7764-947e-e9866f3994f7"}', '2026-11-28 11:19:09.347916+00');
INSERT INTO public.idempotency_keys VALUES ('order-service', 'more2', '933d8814-d829-54ab-b3d2-8e370b18e4b5', '{"id":"01a221e1-65c6-70cf-8623-795525b72a10","correlationId":"01a221e1-65c6-70cf-8623-79568361c489"}', '2026-11-28 11:19:09.512043+00');
INSERT INTO public.idempotency_keys VALUES ('order-service', 'more3', '40a4556a-1dc9-5750-b13a-3d7d4e8f4e34', '{"id":"01a221e1-6644-772c-aa47-ca60205ce248","correlationId":"01a221e1-6644-772c-aa47-ca618a675d37"}', '2026-11-28 11:19:09.644595+00');
INSERT INTO public.log_ends VALUES ('orders.events.v1', 5, 2, 0);
INSERT INTO public.log_ends VALUES ('fulfillment.events.v1', 1, 1, 0);
INSERT INTO public.log_ends VALUES ('fulfillment.events.v1', 5, 2, 0);
INSERT INTO public.log_ends VALUES ('orders.events.v1', 1, 2, 0);
INSERT INTO public.log_ends VALUES ('orders.events.v1', 3, 2, 0);
INSERT INTO public.log_ends VALUES ('payments.events.v1', 1, 1, 0);
INSERT INTO public.log_ends VALUES ('payments.events.v1', 3, 2, 0);
INSERT INTO public.log_ends VALUES ('payments.events.v1', 5, 2, 0);
INSERT INTO public.log_ends VALUES ('fulfillment.events.v1', 3, 1, 0);
INSERT INTO public.meta VALUES ('instance', '01a221e1-59d1-7005-aa39-3df6117bba01');
INSERT INTO public.parked_events OVERRIDING SYSTEM VALUE VALUES (1, 'payment-worker', 'orders.events.v1', 1, 0, '01a221e1-6426-72e4-a50b-4ad137eb02e4', '01a221e1-6426-72e4-a50b-4ad3585271fb', 'OrderCreatedV1', '\x30316132323165312d363432362d373265342d613530622d346164313337656230326534', '\x7b226576656e744964223a2230316132323165312d363432362d373265342d613530622d346164333538353237316662222c226576656e7454797065223a224f72646572437265617465645631222c226576656e7456657273696f6e223a312c226f636375727265644174223a22323032362d31312d32385431313a31393a30392e3039343530315a222c22636f7272656c6174696f6e4964223a2230316132323165312d363432362d373265342d613530622d346164326163346331346238222c22636175736174696f6e4964223a6e756c6c2c227061796c6f6164223a7b226f726465724964223a2230316132323165312d363432362d373265342d613530622d346164313337656230326534222c22637573746f6d6572456d61696c223a22736c6f77406578616d706c652e636f6d222c2270726f6475637454797065223a2250686f6e65222c22636f756e747279223a225553222c227061796d656e745363656e6172696f223a2273696d3a646f776e3a313030303030227d7d', 'reach the payment gateway: 503 Service Unavailable', false, 4, '2026-11-28 11:19:09.120875+00', '2026-11-28 11:19:16.405222+00', NULL, 'parked', NULL);
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-62ce-7453-8e10-6865311d3064', '01a221e1-62ce-7453-8e10-6867a7fd2fd9');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-638f-7629-ad87-f144e838d4e6', '01a221e1-638f-7629-ad87-f14616290832');
INSERT INTO public.processed_events VALUES ('payment-worker', 20785, '01a221e1-638f-7629-ad87-f144e838d4e6', '01a221e1-638f-7629-ad87-f14616290832');
INSERT INTO public.processed_events VALUES ('order-service', 20785, '01a221e1-638f-7629-ad87-f144e838d4e6', 'ddfa9c30-f4fd-5509-bdac-3789d4743bef');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-638f-7629-ad87-f144e838d4e6', 'ddfa9c30-f4fd-5509-bdac-3789d4743bef');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-6426-72e4-a50b-4ad137eb02e4', '01a221e1-6426-72e4-a50b-4ad3585271fb');
INSERT INTO public.processed_events VALUES ('payment-worker', 20785, '01a221e1-6426-72e4-a50b-4ad137eb02e4', '01a221e1-6426-72e4-a50b-4ad3585271fb');
INSERT INTO public.processed_events VALUES ('payment-worker', 20785, '01a221e1-6514-7764-947e-e98565ffcf50', '01a221e1-6514-7764-947e-e987aec88a0f');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-6514-7764-947e-e98565ffcf50', '01a221e1-6514-7764-947e-e987aec88a0f');
INSERT INTO public.processed_events VALUES ('payment-worker', 20785, '01a221e1-62ce-7453-8e10-6865311d3064', '01a221e1-62ce-7453-8e10-6867a7fd2fd9');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-65c6-70cf-8623-795525b72a10', '01a221e1-65c6-70cf-8623-7957309405b4');
INSERT INTO public.processed_events VALUES ('payment-worker', 20785, '01a221e1-65c6-70cf-8623-795525b72a10', '01a221e1-65c6-70cf-8623-7957309405b4');
INSERT INTO public.processed_events VALUES ('fulfillment-worker', 20785, '01a221e1-6514-7764-947e-e98565ffcf50', '6f1356b8-32fd-58ca-81ee-e782b3524106');
INSERT INTO public.processed_events VALUES ('order-service', 20785, '01a221e1-6514-7764-947e-e98565ffcf50', '6f1356b8-32fd-58ca-81ee-e782b3524106');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-6514-7764-947e-e98565ffcf50', '6f1356b8-32fd-58ca-81ee-e782b3524106');
INSERT INTO public.processed_events VALUES ('order-service', 20785, '01a221e1-62ce-7453-8e10-6865311d3064', 'c1b81b08-7ffa-5568-8ace-4c2cac7211b6');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-62ce-7453-8e10-6865311d3064', 'c1b81b08-7ffa-5568-8ace-4c2cac7211b6');
INSERT INTO public.processed_events VALUES ('fulfillment-worker', 20785, '01a221e1-62ce-7453-8e10-6865311d3064', 'c1b81b08-7ffa-5568-8ace-4c2cac7211b6');
INSERT INTO public.processed_events VALUES ('fulfillment-worker', 20785, '01a221e1-65c6-70cf-8623-795525b72a10', '4b42ddc9-2ed8-57d4-ac09-8407b996a90d');
INSERT INTO public.processed_events VALUES ('order-service', 20785, '01a221e1-6514-7764-947e-e98565ffcf50', 'ab72c467-76d8-548c-abdf-6f4f8c3f6f90');
INSERT INTO public.processed_events VALUES ('order-service', 20785, '01a221e1-65c6-70cf-8623-795525b72a10', '4b42ddc9-2ed8-57d4-ac09-8407b996a90d');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-6514-7764-947e-e98565ffcf50', 'ab72c467-76d8-548c-abdf-6f4f8c3f6f90');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-65c6-70cf-8623-795525b72a10', '4b42ddc9-2ed8-57d4-ac09-8407b996a90d');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-62ce-7453-8e10-6865311d3064', 'f59d29b4-98e0-5055-b05e-cf1ab6b61d09');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-65c6-70cf-8623-795525b72a10', '48217d6a-44b1-5f60-8788-7b43a414f065');
INSERT INTO public.processed_events VALUES ('order-service', 20785, '01a221e1-62ce-7453-8e10-6865311d3064', 'f59d29b4-98e0-5055-b05e-cf1ab6b61d09');
INSERT INTO public.processed_events VALUES ('order-service', 20785, '01a221e1-65c6-70cf-8623-795525b72a10', '48217d6a-44b1-5f60-8788-7b43a414f065');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-6644-772c-aa47-ca60205ce248', '01a221e1-6644-772c-aa47-ca6239f05359');
INSERT INTO public.processed_events VALUES ('payment-worker', 20785, '01a221e1-6644-772c-aa47-ca60205ce248', '01a221e1-6644-772c-aa47-ca6239f05359');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-6644-772c-aa47-ca60205ce248', '56885f89-1a8c-59d6-b390-3740814b44ae');
INSERT INTO public.processed_events VALUES ('order-service', 20785, '01a221e1-6644-772c-aa47-ca60205ce248', '56885f89-1a8c-59d6-b390-3740814b44ae');
INSERT INTO public.processed_events VALUES ('fulfillment-worker', 20785, '01a221e1-6644-772c-aa47-ca60205ce248', '56885f89-1a8c-59d6-b390-3740814b44ae');
INSERT INTO public.processed_events VALUES ('order-service', 20785, '01a221e1-6644-772c-aa47-ca60205ce248', '3ca861dd-ba05-50a2-9fac-68aee7a6ea90');
INSERT INTO public.processed_events VALUES ('search-indexer-worker', 20785, '01a221e1-6644-772c-aa47-ca60205ce248', '3ca861dd-ba05-50a2-9fac-68aee7a6ea90');
INSERT INTO public.records VALUES ('search-indexer-worker', '01a221e1-62ce-7453-8e10-6865311d3064', 3, 'FulfillmentScheduled', '{"id": "01a221e1-62ce-7453-8e10-6865311d3064", "status": "FulfillmentScheduled", "country": "US", "timeline": [{"eventId": "01a221e1-62ce-7453-8e10-6867a7fd2fd9", "position": "orders.events.v1/5@0", "eventType": "OrderCreatedV1", "occurredAt": "2026-11-28T11:19:08.750861Z", "causationId": null, "correlationId": "01a221e1-62ce-7453-8e10-68669a4095ba"}, {"eventId": "c1b81b08-7ffa-5568-8ace-4c2cac7211b6", "position": "payments.events.v1/5@1", "eventType": "PaymentAuthorizedV1", "occurredAt": "2026-11-28T11:19:08.807084Z", "causationId": "01a221e1-62ce-7453-8e10-6867a7fd2fd9", "correlationId": "01a221e1-62ce-7453-8e10-68669a4095ba"}, {"eventId": "f59d29b4-98e0-5055-b05e-cf1ab6b61d09", "position": "fulfillment.events.v1/5@1", "eventType": "FulfillmentScheduledV1", "occurredAt": "2026-11-28T11:19:09.635388Z", "causationId": "c1b81b08-7ffa-5568-8ace-4c2cac7211b6", "correlationId": "01a221e1-62ce-7453-8e10-68669a4095ba"}], "createdAt": "2026-11-28T11:19:08.750861Z", "updatedAt": "2026-11-28T11:19:09.635388Z", "productType": "Phone", "correlationId": "01a221e1-62ce-7453-8e10-68669a4095ba", "customerEmail": "paid@example.com"}', '2026-11-28 11:19:08.808814+00', '2026-11-28 11:19:09.666078+00');
INSERT INTO public.records VALUES ('search-indexer-worker', '00000000-0000-0000-0000-000000000000', 4, 'targets', '{"active": "orders-v1-1795864746739125", "marked": null, "building": null, "marked_at": null}', '2026-11-28 11:19:07.391985+00', '2026-11-28 11:19:07.859231+00');
INSERT INTO public.records VALUES ('payment-worker', '01a221e1-638f-7629-ad87-f144e838d4e6', 1, 'Failed', '{"reason": "Card declined (demo)", "status": "Failed", "orderId": "01a221e1-638f-7629-ad87-f144e838d4e6", "decidedAt": "2026-11-28T11:19:09.018188Z", "gatewayKey": "authorize-01a221e1-638f-7629-ad87-f144e838d4e6"}', '2026-11-28 11:19:09.018303+00', '2026-11-28 11:19:09.018303+00');
INSERT INTO public.records VALUES ('order-service', '01a221e1-638f-7629-ad87-f144e838d4e6', 2, 'PaymentFailed', '{"id": "01a221e1-638f-7629-ad87-f144e838d4e6", "facts": {"failed": true, "scheduled": false, "authorized": false}, "country": "US", "createdAt": "2026-11-28T11:19:08.943921Z", "createdBy": "01a221e1-638f-7629-ad87-f14616290832", "updatedAt": "2026-11-28T11:19:09.018188Z", "productType": "Phone", "correlationId": "01a221e1-638f-7629-ad87-f145ca3174be", "customerEmail": "declined@example.com", "failureReason": "Card declined (demo)", "paymentScenario": "decline"}', '2026-11-28 11:19:08.943921+00', '2026-11-28 11:19:09.086259+00');
INSERT INTO public.records VALUES ('search-indexer-worker', '01a221e1-638f-7629-ad87-f144e838d4e6', 2, 'PaymentFailed', '{"id": "01a221e1-638f-7629-ad87-f144e838d4e6", "status": "PaymentFailed", "country": "US", "timeline": [{"eventId": "01a221e1-638f-7629-ad87-f14616290832", "position": "orders.events.v1/3@0", "eventType": "OrderCreatedV1", "occurredAt": "2026-11-28T11:19:08.943921Z", "causationId": null, "correlationId": "01a221e1-638f-7629-ad87-f145ca3174be"}, {"eventId": "ddfa9c30-f4fd-5509-bdac-3789d4743bef", "position": "payments.events.v1/3@0", "eventType": "PaymentFailedV1", "occurredAt": "2026-11-28T11:19:09.018188Z", "causationId": "01a221e1-638f-7629-ad87-f14616290832", "correlationId": "01a221e1-638f-7629-ad87-f145ca3174be"}], "createdAt": "2026-11-28T11:19:08.943921Z", "updatedAt": "2026-11-28T11:19:09.018188Z", "productType": "Phone", "correlationId": "01a221e1-638f-7629-ad87-f145ca3174be", "customerEmail": "declined@example.com"}', '2026-11-28 11:19:08.987735+00', '2026-11-28 11:19:09.089207+00');
INSERT INTO public.records VALUES ('order-service', '01a221e1-6426-72e4-a50b-4ad137eb02e4', 1, 'Created', '{"id": "01a221e1-6426-72e4-a50b-4ad137eb02e4", "facts": {"failed": false, "scheduled": false, "authorized": false}, "country": "US", "createdAt": "2026-11-28T11:19:09.094501Z", "createdBy": "01a221e1-6426-72e4-a50b-4ad3585271fb", "updatedAt": "2026-11-28T11:19:09.094501Z", "productType": "Phone", "correlationId": "01a221e1-6426-72e4-a50b-4ad2ac4c14b8", "customerEmail": "slow@example.com", "paymentScenario": "sim:down:100000"}', '2026-11-28 11:19:09.094501+00', '2026-11-28 11:19:09.094501+00');
INSERT INTO public.records VALUES ('search-indexer-worker', '01a221e1-6426-72e4-a50b-4ad137eb02e4', 1, 'Created', '{"id": "01a221e1-6426-72e4-a50b-4ad137eb02e4", "status": "Created", "country": "US", "timeline": [{"eventId": "01a221e1-6426-72e4-a50b-4ad3585271fb", "position": "orders.events.v1/1@0", "eventType": "OrderCreatedV1", "occurredAt": "2026-11-28T11:19:09.094501Z", "causationId": null, "correlationId": "01a221e1-6426-72e4-a50b-4ad2ac4c14b8"}], "createdAt": "2026-11-28T11:19:09.094501Z", "updatedAt": "2026-11-28T11:19:09.094501Z", "productType": "Phone", "correlationId": "01a221e1-6426-72e4-a50b-4ad2ac4c14b8", "customerEmail": "slow@example.com"}', '2026-11-28 11:19:09.115121+00', '2026-11-28 11:19:09.115121+00');
INSERT INTO public.records VALUES ('order-service', '01a221e1-62ce-7453-8e10-6865311d3064', 3, 'FulfillmentScheduled', '{"id": "01a221e1-62ce-7453-8e10-6865311d3064", "facts": {"failed": false, "scheduled": true, "authorized": true}, "etaUtc": "2026-12-01T11:19:09.635385Z", "country": "US", "createdAt": "2026-11-28T11:19:08.750861Z", "createdBy": "01a221e1-62ce-7453-8e10-6867a7fd2fd9", "updatedAt": "2026-11-28T11:19:09.635388Z", "productType": "Phone", "correlationId": "01a221e1-62ce-7453-8e10-68669a4095ba", "customerEmail": "paid@example.com", "paymentScenario": "success"}', '2026-11-28 11:19:08.750861+00', '2026-11-28 11:19:09.664501+00');
INSERT INTO public.records VALUES ('payment-worker', '01a221e1-6514-7764-947e-e98565ffcf50', 1, 'Authorized', '{"status": "Authorized", "orderId": "01a221e1-6514-7764-947e-e98565ffcf50", "decidedAt": "2026-11-28T11:19:09.491363Z", "gatewayKey": "authorize-01a221e1-6514-7764-947e-e98565ffcf50"}', '2026-11-28 11:19:09.491434+00', '2026-11-28 11:19:09.491434+00');
INSERT INTO public.records VALUES ('payment-worker', '01a221e1-65c6-70cf-8623-795525b72a10', 1, 'Authorized', '{"status": "Authorized", "orderId": "01a221e1-65c6-70cf-8623-795525b72a10", "decidedAt": "2026-11-28T11:19:09.560792Z", "gatewayKey": "authorize-01a221e1-65c6-70cf-8623-795525b72a10"}', '2026-11-28 11:19:09.560855+00', '2026-11-28 11:19:09.560855+00');
INSERT INTO public.records VALUES ('fulfillment-worker', '01a221e1-6514-7764-947e-e98565ffcf50', 1, 'Scheduled', '{"etaUtc": "2026-12-01T11:19:09.568137Z", "orderId": "01a221e1-6514-7764-947e-e98565ffcf50", "scheduledAt": "2026-11-28T11:19:09.568137Z"}', '2026-11-28 11:19:09.568204+00', '2026-11-28 11:19:09.568204+00');
INSERT INTO public.records VALUES ('fulfillment-worker', '01a221e1-62ce-7453-8e10-6865311d3064', 1, 'Scheduled', '{"etaUtc": "2026-12-01T11:19:09.635385Z", "orderId": "01a221e1-62ce-7453-8e10-6865311d3064", "scheduledAt": "2026-11-28T11:19:09.635385Z"}', '2026-11-28 11:19:09.635439+00', '2026-11-28 11:19:09.635439+00');
INSERT INTO public.records VALUES ('fulfillment-worker', '01a221e1-65c6-70cf-8623-795525b72a10', 1, 'Scheduled', '{"etaUtc": "2026-12-01T11:19:09.635503Z", "orderId": "01a221e1-65c6-70cf-8623-795525b72a10", "scheduledAt": "2026-11-28T11:19:09.635503Z"}', '2026-11-28 11:19:09.635522+00', '2026-11-28 11:19:09.635522+00');
INSERT INTO public.records VALUES ('order-service', '01a221e1-6514-7764-947e-e98565ffcf50', 3, 'FulfillmentScheduled', '{"id": "01a221e1-6514-7764-947e-e98565ffcf50", "facts": {"failed": false, "scheduled": true, "authorized": true}, "etaUtc": "2026-12-01T11:19:09.568137Z", "country": "US", "createdAt": "2026-11-28T11:19:09.332284Z", "createdBy": "01a221e1-6514-7764-947e-e987aec88a0f", "updatedAt": "2026-11-28T11:19:09.568142Z", "productType": "Phone", "correlationId": "01a221e1-6514-7764-947e-e9866f3994f7", "customerEmail": "more1@example.com", "paymentScenario": "success"}', '2026-11-28 11:19:09.332284+00', '2026-11-28 11:19:09.640997+00');
INSERT INTO public.records VALUES ('search-indexer-worker', '01a221e1-6514-7764-947e-e98565ffcf50', 3, 'FulfillmentScheduled', '{"id": "01a221e1-6514-7764-947e-e98565ffcf50", "status": "FulfillmentScheduled", "country": "US", "timeline": [{"eventId": "01a221e1-6514-7764-947e-e987aec88a0f", "position": "orders.events.v1/5@1", "eventType": "OrderCreatedV1", "occurredAt": "2026-11-28T11:19:09.332284Z", "causationId": null, "correlationId": "01a221e1-6514-7764-947e-e9866f3994f7"}, {"eventId": "6f1356b8-32fd-58ca-81ee-e782b3524106", "position": "payments.events.v1/5@0", "eventType": "PaymentAuthorizedV1", "occurredAt": "2026-11-28T11:19:09.491363Z", "causationId": "01a221e1-6514-7764-947e-e987aec88a0f", "correlationId": "01a221e1-6514-7764-947e-e9866f3994f7"}, {"eventId": "ab72c467-76d8-548c-abdf-6f4f8c3f6f90", "position": "fulfillment.events.v1/5@0", "eventType": "FulfillmentScheduledV1", "occurredAt": "2026-11-28T11:19:09.568142Z", "causationId": "6f1356b8-32fd-58ca-81ee-e782b3524106", "correlationId": "01a221e1-6514-7764-947e-e9866f3994f7"}], "createdAt": "2026-11-28T11:19:09.332284Z", "updatedAt": "2026-11-28T11:19:09.568142Z", "productType": "Phone", "correlationId": "01a221e1-6514-7764-947e-e9866f3994f7", "customerEmail": "more1@example.com"}', '2026-11-28 11:19:09.501319+00', '2026-11-28 11:19:09.639237+00');
INSERT INTO public.records VALUES ('payment-worker', '01a221e1-6644-772c-aa47-ca60205ce248', 1, 'Authorized', '{"status": "Authorized", "orderId": "01a221e1-6644-772c-aa47-ca60205ce248", "decidedAt": "2026-11-28T11:19:09.676552Z", "gatewayKey": "authorize-01a221e1-6644-772c-aa47-ca60205ce248"}', '2026-11-28 11:19:09.676626+00', '2026-11-28 11:19:09.676626+00');
INSERT INTO public.records VALUES ('payment-worker', '01a221e1-62ce-7453-8e10-6865311d3064', 1, 'Authorized', '{"status": "Authorized", "orderId": "01a221e1-62ce-7453-8e10-6865311d3064", "decidedAt": "2026-11-28T11:19:08.807084Z", "gatewayKey": "authorize-01a221e1-62ce-7453-8e10-6865311d3064"}', '2026-11-28 11:19:08.807155+00', '2026-11-28 11:19:08.807155+00');
INSERT INTO public.records VALUES ('fulfillment-worker', '01a221e1-6644-772c-aa47-ca60205ce248', 1, 'Scheduled', '{"etaUtc": "2026-12-01T11:19:09.709537Z", "orderId": "01a221e1-6644-772c-aa47-ca60205ce248", "scheduledAt": "2026-11-28T11:19:09.709537Z"}', '2026-11-28 11:19:09.709606+00', '2026-11-28 11:19:09.709606+00');
INSERT INTO public.records VALUES ('search-indexer-worker', '01a221e1-65c6-70cf-8623-795525b72a10', 3, 'FulfillmentScheduled', '{"id": "01a221e1-65c6-70cf-8623-795525b72a10", "status": "FulfillmentScheduled", "country": "US", "timeline": [{"eventId": "01a221e1-65c6-70cf-8623-7957309405b4", "position": "orders.events.v1/1@1", "eventType": "OrderCreatedV1", "occurredAt": "2026-11-28T11:19:09.510034Z", "causationId": null, "correlationId": "01a221e1-65c6-70cf-8623-79568361c489"}, {"eventId": "4b42ddc9-2ed8-57d4-ac09-8407b996a90d", "position": "payments.events.v1/1@0", "eventType": "PaymentAuthorizedV1", "occurredAt": "2026-11-28T11:19:09.560792Z", "causationId": "01a221e1-65c6-70cf-8623-7957309405b4", "correlationId": "01a221e1-65c6-70cf-8623-79568361c489"}, {"eventId": "48217d6a-44b1-5f60-8788-7b43a414f065", "position": "fulfillment.events.v1/1@0", "eventType": "FulfillmentScheduledV1", "occurredAt": "2026-11-28T11:19:09.635503Z", "causationId": "4b42ddc9-2ed8-57d4-ac09-8407b996a90d", "correlationId": "01a221e1-65c6-70cf-8623-79568361c489"}], "createdAt": "2026-11-28T11:19:09.510034Z", "updatedAt": "2026-11-28T11:19:09.635503Z", "productType": "Phone", "correlationId": "01a221e1-65c6-70cf-8623-79568361c489", "customerEmail": "more2@example.com"}', '2026-11-28 11:19:09.56289+00', '2026-11-28 11:19:09.665802+00');
INSERT INTO public.records VALUES ('order-service', '01a221e1-65c6-70cf-8623-795525b72a10', 3, 'FulfillmentScheduled', '{"id": "01a221e1-65c6-70cf-8623-795525b72a10", "facts": {"failed": false, "scheduled": true, "authorized": true}, "etaUtc": "2026-12-01T11:19:09.635503Z", "country": "US", "createdAt": "2026-11-28T11:19:09.510034Z", "createdBy": "01a221e1-65c6-70cf-8623-7957309405b4", "updatedAt": "2026-11-28T11:19:09.635503Z", "productType": "Phone", "correlationId": "01a221e1-65c6-70cf-8623-79568361c489", "customerEmail": "more2@example.com", "paymentScenario": "success"}', '2026-11-28 11:19:09.510034+00', '2026-11-28 11:19:09.67463+00');
INSERT INTO public.records VALUES ('order-service', '01a221e1-6644-772c-aa47-ca60205ce248', 3, 'FulfillmentScheduled', '{"id": "01a221e1-6644-772c-aa47-ca60205ce248", "facts": {"failed": false, "scheduled": true, "authorized": true}, "etaUtc": "2026-12-01T11:19:09.709537Z", "country": "US", "createdAt": "2026-11-28T11:19:09.636933Z", "createdBy": "01a221e1-6644-772c-aa47-ca6239f05359", "updatedAt": "2026-11-28T11:19:09.709543Z", "productType": "Phone", "correlationId": "01a221e1-6644-772c-aa47-ca618a675d37", "customerEmail": "more3@example.com", "paymentScenario": "success"}', '2026-11-28 11:19:09.636933+00', '2026-11-28 11:19:09.857298+00');
INSERT INTO public.records VALUES ('search-indexer-worker', '01a221e1-6644-772c-aa47-ca60205ce248', 3, 'FulfillmentScheduled', '{"id": "01a221e1-6644-772c-aa47-ca60205ce248", "status": "FulfillmentScheduled", "country": "US", "timeline": [{"eventId": "01a221e1-6644-772c-aa47-ca6239f05359", "position": "orders.events.v1/3@1", "eventType": "OrderCreatedV1", "occurredAt": "2026-11-28T11:19:09.636933Z", "causationId": null, "correlationId": "01a221e1-6644-772c-aa47-ca618a675d37"}, {"eventId": "56885f89-1a8c-59d6-b390-3740814b44ae", "position": "payments.events.v1/3@1", "eventType": "PaymentAuthorizedV1", "occurredAt": "2026-11-28T11:19:09.676552Z", "causationId": "01a221e1-6644-772c-aa47-ca6239f05359", "correlationId": "01a221e1-6644-772c-aa47-ca618a675d37"}, {"eventId": "3ca861dd-ba05-50a2-9fac-68aee7a6ea90", "position": "fulfillment.events.v1/3@0", "eventType": "FulfillmentScheduledV1", "occurredAt": "2026-11-28T11:19:09.709543Z", "causationId": "56885f89-1a8c-59d6-b390-3740814b44ae", "correlationId": "01a221e1-6644-772c-aa47-ca618a675d37"}], "createdAt": "2026-11-28T11:19:09.636933Z", "updatedAt": "2026-11-28T11:19:09.709543Z", "productType": "Phone", "correlationId": "01a221e1-6644-772c-aa47-ca618a675d37", "customerEmail": "more3@example.com"}', '2026-11-28 11:19:09.675035+00', '2026-11-28 11:19:09.861148+00');
INSERT INTO public.refinery_schema_history VALUES (1, 'init', '2026-11-28T11:19:06.029027776Z', '1649463267085025376');
INSERT INTO public.refinery_schema_history VALUES (2, 'refused_documents', '2026-11-28T11:19:06.109523386Z', '16825314676693057476');
INSERT INTO public.refinery_schema_history VALUES (3, 'additive_log_ends', '2026-11-28T11:19:06.114177345Z', '16226924728281269973');
INSERT INTO public.refinery_schema_history VALUES (4, 'additive_api_keys', '2026-11-28T11:19:06.117296017Z', '14804781764509168630');
INSERT INTO public.refinery_schema_history VALUES (5, 'additive_audit', '2026-11-28T11:19:06.121690951Z', '10366924546503759643');
INSERT INTO public.refinery_schema_history VALUES (6, 'additive_parked_open', '2026-11-28T11:19:06.15102059Z', '13091899121357286070');
SELECT pg_catalog.setval('public.outbox_id_seq', 15, true);
SELECT pg_catalog.setval('public.parked_events_id_seq', 1, true);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.audit_end
    ADD CONSTRAINT audit_end_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (owner, key);
ALTER TABLE ONLY public.lease_holders
    ADD CONSTRAINT lease_holders_pkey PRIMARY KEY (name, holder);
ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (name, slot);
ALTER TABLE ONLY public.log_ends
    ADD CONSTRAINT log_ends_pkey PRIMARY KEY (topic, partition);
ALTER TABLE ONLY public.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.owed_index
    ADD CONSTRAINT owed_index_pkey PRIMARY KEY (owner, key);
ALTER TABLE ONLY public.parked_events
    ADD CONSTRAINT parked_events_owner_topic_partition_offset_key UNIQUE (owner, topic, partition, "offset");
ALTER TABLE ONLY public.parked_events
    ADD CONSTRAINT parked_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.processed_events
    ADD CONSTRAINT processed_events_pkey PRIMARY KEY (owner, day, key, event_id);
ALTER TABLE ONLY public.records
    ADD CONSTRAINT records_pkey PRIMARY KEY (owner, key);
ALTER TABLE ONLY public.refinery_schema_history
    ADD CONSTRAINT refinery_schema_history_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.refused_documents
    ADD CONSTRAINT refused_documents_pkey PRIMARY KEY (owner, key);
CREATE INDEX idempotency_keys_by_age ON public.idempotency_keys USING btree (created_at);
CREATE INDEX outbox_by_shard ON public.outbox USING btree (owner, shard, id);
CREATE INDEX owed_index_by_age ON public.owed_index USING btree (owner, since, key);
CREATE INDEX parked_events_by_order ON public.parked_events USING btree (key, id);
CREATE INDEX parked_events_closed ON public.parked_events USING btree (closed_at) WHERE (state <> 'parked'::text);
CREATE INDEX parked_events_due ON public.parked_events USING btree (owner, next_at, id) WHERE (state = 'parked'::text);
CREATE INDEX parked_events_open ON public.parked_events USING btree (owner, id) WHERE (state = 'parked'::text);
CREATE INDEX parked_events_open_by_id ON public.parked_events USING btree (id) WHERE (state = 'parked'::text);
CREATE INDEX parked_events_queue ON public.parked_events USING btree (owner, key, topic, id) WHERE (state = 'parked'::text);
CREATE INDEX refused_documents_by_age ON public.refused_documents USING btree (owner, since);
CREATE TRIGGER audit_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only();
