PRAGMA foreign_keys = OFF;
PRAGMA application_id = 1868985171;
PRAGMA user_version = 0;
BEGIN TRANSACTION;
CREATE TABLE api_keys (
    id         BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name       TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    digest     BLOB NOT NULL CHECK (length(digest) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    seq   INTEGER PRIMARY KEY,
    entry TEXT NOT NULL,
    hash  BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TABLE audit_end (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
INSERT INTO "audit_end" VALUES(1,0,X'0000000000000000000000000000000000000000000000000000000000000000');
CREATE TABLE idempotency_keys (
    owner       TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 16),
    answer      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "idempotency_keys" VALUES('order-service','declined',X'F8FBC8EB9EB254D88A822AAC36DCCE4C','{"id":"01a221ad-ef15-70aa-a2c7-f03ea613a15e","correlationId":"01a221ad-ef15-70aa-a2c7-f03febb37b0e"}',1795861376789809);
INSERT INTO "idempotency_keys" VALUES('order-service','more1',X'26B561A345A6539D908EB8487EF99AF1','{"id":"01a221ad-ef85-77c6-91b7-8df77f89dc96","correlationId":"01a221ad-ef85-77c6-91b7-8df84dec28c3"}',1795861376917056);
INSERT INTO "idempotency_keys" VALUES('order-service','more2',X'933D8814D82954ABB3D28E370B18E4B5','{"id":"01a221ad-efb5-71fb-9afd-23bfb44cbd10","correlationId":"01a221ad-efb5-71fb-9afd-23c00b46c3e5"}',1795861376949473);
INSERT INTO "idempotency_keys" VALUES('order-service','more3',X'40A4556A1DC95750B13A3D7D4E8F4E34','{"id":"01a221ad-efda-70f8-819c-7404a724adac","correlationId":"01a221ad-efda-70f8-819c-74055ccce6e7"}',1795861376987141);
INSERT INTO "idempotency_keys" VALUES('order-service','paid',X'6C3016F61CA95F0580AD1416758F3782','{"id":"01a221ad-ef07-742f-a38a-5db48550bff8","correlationId":"01a221ad-ef07-742f-a38a-5db55c594363"}',1795861376776173);
INSERT INTO "idempotency_keys" VALUES('order-service','slow',X'2A1FFE4655B456A4852443ED62FB4055','{"id":"01a221ad-ef35-709b-9ff4-07c2140a09fc","correlationId":"01a221ad-ef35-709b-9ff4-07c314e5c129"}',1795861376824463);
CREATE TABLE lease_holders (
    name   TEXT NOT NULL,
    holder BLOB NOT NULL CHECK (length(holder) = 16),
    until  INTEGER NOT NULL,
    PRIMARY KEY (name, holder)
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (
    name   TEXT NOT NULL,
    slot   INTEGER NOT NULL,
    holder BLOB NOT NULL CHECK (length(holder) = 16),
    until  INTEGER NOT NULL,
    PRIMARY KEY (name, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE log_ends (
    topic       TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    missing     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;
INSERT INTO "log_ends" VALUES('fulfillment.events.v1',0,4,0);
INSERT INTO "log_ends" VALUES('orders.events.v1',0,6,0);
INSERT INTO "log_ends" VALUES('payments.events.v1',0,5,0);
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('instance',X'01A221ADE55E7219938C44CDA1DE66C8');
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
CREATE TABLE owed_index (
    owner   TEXT NOT NULL,
    key     BLOB NOT NULL CHECK (length(key) = 16),
    version INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
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
INSERT INTO "parked_events" VALUES(1,'payment-worker','orders.events.v1',0,2,X'01A221ADEF35709B9FF407C2140A09FC',X'01A221ADEF35709B9FF407C47574E00C','OrderCreatedV1',X'30316132323161642D656633352D373039622D396666342D303763323134306130396663',X'7B226576656E744964223A2230316132323161642D656633352D373039622D396666342D303763343735373465303063222C226576656E7454797065223A224F72646572437265617465645631222C226576656E7456657273696F6E223A312C226F636375727265644174223A22323032362D31312D32385431303A32323A35362E3832313337335A222C22636F7272656C6174696F6E4964223A2230316132323161642D656633352D373039622D396666342D303763333134653563313239222C22636175736174696F6E4964223A6E756C6C2C227061796C6F6164223A7B226F726465724964223A2230316132323161642D656633352D373039622D396666342D303763323134306130396663222C22637573746F6D6572456D61696C223A22736C6F77406578616D706C652E636F6D222C2270726F6475637454797065223A2250686F6E65222C22636F756E747279223A225553222C227061796D656E745363656E6172696F223A2273696D3A646F776E3A313030303030227D7D','reach the payment gateway: 503 Service Unavailable',0,3,1795861376853537,1795861380350937,NULL,'parked',NULL);
CREATE TABLE processed_events (
    owner    TEXT NOT NULL,
    day      INTEGER NOT NULL,
    key      BLOB NOT NULL CHECK (length(key) = 16),
    event_id BLOB NOT NULL CHECK (length(event_id) = 16),
    PRIMARY KEY (owner, day, key, event_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "processed_events" VALUES('fulfillment-worker',20785,X'01A221ADEF07742FA38A5DB48550BFF8',X'B98752ABC7B05B0FB91C9F0EAC5CE243');
INSERT INTO "processed_events" VALUES('fulfillment-worker',20785,X'01A221ADEF8577C691B78DF77F89DC96',X'623DC9BDB9B35E09AF61426B980B67EA');
INSERT INTO "processed_events" VALUES('fulfillment-worker',20785,X'01A221ADEFB571FB9AFD23BFB44CBD10',X'65220FC91EEA5C8E80163DD0D33F6298');
INSERT INTO "processed_events" VALUES('fulfillment-worker',20785,X'01A221ADEFDA70F8819C7404A724ADAC',X'D4801C0DE9F25EB6A58B6C2AE2806259');
INSERT INTO "processed_events" VALUES('order-service',20785,X'01A221ADEF07742FA38A5DB48550BFF8',X'B98752ABC7B05B0FB91C9F0EAC5CE243');
INSERT INTO "processed_events" VALUES('order-service',20785,X'01A221ADEF07742FA38A5DB48550BFF8',X'DD173041A7005DC793E16C92B82E1ED4');
INSERT INTO "processed_events" VALUES('order-service',20785,X'01A221ADEF1570AAA2C7F03EA613A15E',X'107F81F53050566BA82D25A3ED98D6B9');
INSERT INTO "processed_events" VALUES('order-service',20785,X'01A221ADEF8577C691B78DF77F89DC96',X'463689A933A65A0380496A984FBA989D');
INSERT INTO "processed_events" VALUES('order-service',20785,X'01A221ADEF8577C691B78DF77F89DC96',X'623DC9BDB9B35E09AF61426B980B67EA');
INSERT INTO "processed_events" VALUES('order-service',20785,X'01A221ADEFB571FB9AFD23BFB44CBD10',X'65220FC91EEA5C8E80163DD0D33F6298');
INSERT INTO "processed_events" VALUES('order-service',20785,X'01A221ADEFB571FB9AFD23BFB44CBD10',X'D3EB833020AE5BA4A8B5E52491D2A013');
INSERT INTO "processed_events" VALUES('order-service',20785,X'01A221ADEFDA70F8819C7404A724ADAC',X'D4801C0DE9F25EB6A58B6C2AE2806259');
INSERT INTO "processed_events" VALUES('order-service',20785,X'01A221ADEFDA70F8819C7404A724ADAC',X'F9F3650B4F9F52D0A6E8A87CAEBAE64D');
INSERT INTO "processed_events" VALUES('payment-worker',20785,X'01A221ADEF07742FA38A5DB48550BFF8',X'01A221ADEF07742FA38A5DB63892D732');
INSERT INTO "processed_events" VALUES('payment-worker',20785,X'01A221ADEF1570AAA2C7F03EA613A15E',X'01A221ADEF1570AAA2C7F04015EC79A7');
INSERT INTO "processed_events" VALUES('payment-worker',20785,X'01A221ADEF35709B9FF407C2140A09FC',X'01A221ADEF35709B9FF407C47574E00C');
INSERT INTO "processed_events" VALUES('payment-worker',20785,X'01A221ADEF8577C691B78DF77F89DC96',X'01A221ADEF8577C691B78DF992A750AE');
INSERT INTO "processed_events" VALUES('payment-worker',20785,X'01A221ADEFB571FB9AFD23BFB44CBD10',X'01A221ADEFB571FB9AFD23C184B55BAC');
INSERT INTO "processed_events" VALUES('payment-worker',20785,X'01A221ADEFDA70F8819C7404A724ADAC',X'01A221ADEFDA70F8819C7406396732F7');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEF07742FA38A5DB48550BFF8',X'01A221ADEF07742FA38A5DB63892D732');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEF07742FA38A5DB48550BFF8',X'B98752ABC7B05B0FB91C9F0EAC5CE243');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEF07742FA38A5DB48550BFF8',X'DD173041A7005DC793E16C92B82E1ED4');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEF1570AAA2C7F03EA613A15E',X'01A221ADEF1570AAA2C7F04015EC79A7');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEF1570AAA2C7F03EA613A15E',X'107F81F53050566BA82D25A3ED98D6B9');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEF35709B9FF407C2140A09FC',X'01A221ADEF35709B9FF407C47574E00C');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEF8577C691B78DF77F89DC96',X'01A221ADEF8577C691B78DF992A750AE');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEF8577C691B78DF77F89DC96',X'463689A933A65A0380496A984FBA989D');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEF8577C691B78DF77F89DC96',X'623DC9BDB9B35E09AF61426B980B67EA');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEFB571FB9AFD23BFB44CBD10',X'01A221ADEFB571FB9AFD23C184B55BAC');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEFB571FB9AFD23BFB44CBD10',X'65220FC91EEA5C8E80163DD0D33F6298');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEFB571FB9AFD23BFB44CBD10',X'D3EB833020AE5BA4A8B5E52491D2A013');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEFDA70F8819C7404A724ADAC',X'01A221ADEFDA70F8819C7406396732F7');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEFDA70F8819C7404A724ADAC',X'D4801C0DE9F25EB6A58B6C2AE2806259');
INSERT INTO "processed_events" VALUES('search-indexer-worker',20785,X'01A221ADEFDA70F8819C7404A724ADAC',X'F9F3650B4F9F52D0A6E8A87CAEBAE64D');
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
INSERT INTO "records" VALUES('search-indexer-worker',X'00000000000000000000000000000000',4,'targets','{"active":"orders-v1-1795861374365978","building":null,"marked":null,"marked_at":null}',1795861374397732,1795861374415456);
INSERT INTO "records" VALUES('order-service',X'01A221ADEF07742FA38A5DB48550BFF8',3,'FulfillmentScheduled','{"id":"01a221ad-ef07-742f-a38a-5db48550bff8","createdBy":"01a221ad-ef07-742f-a38a-5db63892d732","customerEmail":"paid@example.com","productType":"Phone","country":"US","paymentScenario":"success","correlationId":"01a221ad-ef07-742f-a38a-5db55c594363","createdAt":"2026-11-28T10:22:56.775704Z","updatedAt":"2026-11-28T10:22:56.794163Z","facts":{"authorized":true,"failed":false,"scheduled":true},"etaUtc":"2026-12-01T10:22:56.794159Z"}',1795861376775704,1795861376826576);
INSERT INTO "records" VALUES('search-indexer-worker',X'01A221ADEF07742FA38A5DB48550BFF8',3,'FulfillmentScheduled','{"id":"01a221ad-ef07-742f-a38a-5db48550bff8","customerEmail":"paid@example.com","productType":"Phone","country":"US","status":"FulfillmentScheduled","createdAt":"2026-11-28T10:22:56.775704Z","updatedAt":"2026-11-28T10:22:56.794163Z","correlationId":"01a221ad-ef07-742f-a38a-5db55c594363","timeline":[{"eventId":"01a221ad-ef07-742f-a38a-5db63892d732","eventType":"OrderCreatedV1","occurredAt":"2026-11-28T10:22:56.775704Z","correlationId":"01a221ad-ef07-742f-a38a-5db55c594363","causationId":null,"position":"orders.events.v1/0@0"},{"eventId":"b98752ab-c7b0-5b0f-b91c-9f0eac5ce243","eventType":"PaymentAuthorizedV1","occurredAt":"2026-11-28T10:22:56.783428Z","correlationId":"01a221ad-ef07-742f-a38a-5db55c594363","causationId":"01a221ad-ef07-742f-a38a-5db63892d732","position":"payments.events.v1/0@0"},{"eventId":"dd173041-a700-5dc7-93e1-6c92b82e1ed4","eventType":"FulfillmentScheduledV1","occurredAt":"2026-11-28T10:22:56.794163Z","correlationId":"01a221ad-ef07-742f-a38a-5db55c594363","causationId":"b98752ab-c7b0-5b0f-b91c-9f0eac5ce243","position":"fulfillment.events.v1/0@0"}]}',1795861376783275,1795861376826209);
INSERT INTO "records" VALUES('payment-worker',X'01A221ADEF07742FA38A5DB48550BFF8',1,'Authorized','{"orderId":"01a221ad-ef07-742f-a38a-5db48550bff8","status":"Authorized","gatewayKey":"authorize-01a221ad-ef07-742f-a38a-5db48550bff8","decidedAt":"2026-11-28T10:22:56.783428Z"}',1795861376783465,1795861376783465);
INSERT INTO "records" VALUES('order-service',X'01A221ADEF1570AAA2C7F03EA613A15E',2,'PaymentFailed','{"id":"01a221ad-ef15-70aa-a2c7-f03ea613a15e","createdBy":"01a221ad-ef15-70aa-a2c7-f04015ec79a7","customerEmail":"declined@example.com","productType":"Phone","country":"US","paymentScenario":"decline","correlationId":"01a221ad-ef15-70aa-a2c7-f03febb37b0e","createdAt":"2026-11-28T10:22:56.789315Z","updatedAt":"2026-11-28T10:22:56.810178Z","facts":{"authorized":false,"failed":true,"scheduled":false},"failureReason":"Card declined (demo)"}',1795861376789315,1795861376850937);
INSERT INTO "records" VALUES('fulfillment-worker',X'01A221ADEF07742FA38A5DB48550BFF8',1,'Scheduled','{"orderId":"01a221ad-ef07-742f-a38a-5db48550bff8","scheduledAt":"2026-11-28T10:22:56.794159Z","etaUtc":"2026-12-01T10:22:56.794159Z"}',1795861376794222,1795861376794222);
INSERT INTO "records" VALUES('search-indexer-worker',X'01A221ADEF1570AAA2C7F03EA613A15E',2,'PaymentFailed','{"id":"01a221ad-ef15-70aa-a2c7-f03ea613a15e","customerEmail":"declined@example.com","productType":"Phone","country":"US","status":"PaymentFailed","createdAt":"2026-11-28T10:22:56.789315Z","updatedAt":"2026-11-28T10:22:56.810178Z","correlationId":"01a221ad-ef15-70aa-a2c7-f03febb37b0e","timeline":[{"eventId":"01a221ad-ef15-70aa-a2c7-f04015ec79a7","eventType":"OrderCreatedV1","occurredAt":"2026-11-28T10:22:56.789315Z","correlationId":"01a221ad-ef15-70aa-a2c7-f03febb37b0e","causationId":null,"position":"orders.events.v1/0@1"},{"eventId":"107f81f5-3050-566b-a82d-25a3ed98d6b9","eventType":"PaymentFailedV1","occurredAt":"2026-11-28T10:22:56.810178Z","correlationId":"01a221ad-ef15-70aa-a2c7-f03febb37b0e","causationId":"01a221ad-ef15-70aa-a2c7-f04015ec79a7","position":"payments.events.v1/0@1"}]}',1795861376809245,1795861376851295);
INSERT INTO "records" VALUES('payment-worker',X'01A221ADEF1570AAA2C7F03EA613A15E',1,'Failed','{"orderId":"01a221ad-ef15-70aa-a2c7-f03ea613a15e","status":"Failed","reason":"Card declined (demo)","gatewayKey":"authorize-01a221ad-ef15-70aa-a2c7-f03ea613a15e","decidedAt":"2026-11-28T10:22:56.810178Z"}',1795861376810246,1795861376810246);
INSERT INTO "records" VALUES('order-service',X'01A221ADEF35709B9FF407C2140A09FC',1,'Created','{"id":"01a221ad-ef35-709b-9ff4-07c2140a09fc","createdBy":"01a221ad-ef35-709b-9ff4-07c47574e00c","customerEmail":"slow@example.com","productType":"Phone","country":"US","paymentScenario":"sim:down:100000","correlationId":"01a221ad-ef35-709b-9ff4-07c314e5c129","createdAt":"2026-11-28T10:22:56.821373Z","updatedAt":"2026-11-28T10:22:56.821373Z","facts":{"authorized":false,"failed":false,"scheduled":false}}',1795861376821373,1795861376821373);
INSERT INTO "records" VALUES('search-indexer-worker',X'01A221ADEF35709B9FF407C2140A09FC',1,'Created','{"id":"01a221ad-ef35-709b-9ff4-07c2140a09fc","customerEmail":"slow@example.com","productType":"Phone","country":"US","status":"Created","createdAt":"2026-11-28T10:22:56.821373Z","updatedAt":"2026-11-28T10:22:56.821373Z","correlationId":"01a221ad-ef35-709b-9ff4-07c314e5c129","timeline":[{"eventId":"01a221ad-ef35-709b-9ff4-07c47574e00c","eventType":"OrderCreatedV1","occurredAt":"2026-11-28T10:22:56.821373Z","correlationId":"01a221ad-ef35-709b-9ff4-07c314e5c129","causationId":null,"position":"orders.events.v1/0@2"}]}',1795861376851158,1795861376851158);
INSERT INTO "records" VALUES('order-service',X'01A221ADEF8577C691B78DF77F89DC96',3,'FulfillmentScheduled','{"id":"01a221ad-ef85-77c6-91b7-8df77f89dc96","createdBy":"01a221ad-ef85-77c6-91b7-8df992a750ae","customerEmail":"more1@example.com","productType":"Phone","country":"US","paymentScenario":"success","correlationId":"01a221ad-ef85-77c6-91b7-8df84dec28c3","createdAt":"2026-11-28T10:22:56.901354Z","updatedAt":"2026-11-28T10:22:56.936232Z","facts":{"authorized":true,"failed":false,"scheduled":true},"etaUtc":"2026-12-01T10:22:56.936229Z"}',1795861376901354,1795861376942886);
INSERT INTO "records" VALUES('search-indexer-worker',X'01A221ADEF8577C691B78DF77F89DC96',3,'FulfillmentScheduled','{"id":"01a221ad-ef85-77c6-91b7-8df77f89dc96","customerEmail":"more1@example.com","productType":"Phone","country":"US","status":"FulfillmentScheduled","createdAt":"2026-11-28T10:22:56.901354Z","updatedAt":"2026-11-28T10:22:56.936232Z","correlationId":"01a221ad-ef85-77c6-91b7-8df84dec28c3","timeline":[{"eventId":"01a221ad-ef85-77c6-91b7-8df992a750ae","eventType":"OrderCreatedV1","occurredAt":"2026-11-28T10:22:56.901354Z","correlationId":"01a221ad-ef85-77c6-91b7-8df84dec28c3","causationId":null,"position":"orders.events.v1/0@3"},{"eventId":"623dc9bd-b9b3-5e09-af61-426b980b67ea","eventType":"PaymentAuthorizedV1","occurredAt":"2026-11-28T10:22:56.929579Z","correlationId":"01a221ad-ef85-77c6-91b7-8df84dec28c3","causationId":"01a221ad-ef85-77c6-91b7-8df992a750ae","position":"payments.events.v1/0@2"},{"eventId":"463689a9-33a6-5a03-8049-6a984fba989d","eventType":"FulfillmentScheduledV1","occurredAt":"2026-11-28T10:22:56.936232Z","correlationId":"01a221ad-ef85-77c6-91b7-8df84dec28c3","causationId":"623dc9bd-b9b3-5e09-af61-426b980b67ea","position":"fulfillment.events.v1/0@1"}]}',1795861376927537,1795861376940969);
INSERT INTO "records" VALUES('payment-worker',X'01A221ADEF8577C691B78DF77F89DC96',1,'Authorized','{"orderId":"01a221ad-ef85-77c6-91b7-8df77f89dc96","status":"Authorized","gatewayKey":"authorize-01a221ad-ef85-77c6-91b7-8df77f89dc96","decidedAt":"2026-11-28T10:22:56.929579Z"}',1795861376929634,1795861376929634);
INSERT INTO "records" VALUES('fulfillment-worker',X'01A221ADEF8577C691B78DF77F89DC96',1,'Scheduled','{"orderId":"01a221ad-ef85-77c6-91b7-8df77f89dc96","scheduledAt":"2026-11-28T10:22:56.936229Z","etaUtc":"2026-12-01T10:22:56.936229Z"}',1795861376936284,1795861376936284);
INSERT INTO "records" VALUES('order-service',X'01A221ADEFB571FB9AFD23BFB44CBD10',3,'FulfillmentScheduled','{"id":"01a221ad-efb5-71fb-9afd-23bfb44cbd10","createdBy":"01a221ad-efb5-71fb-9afd-23c184b55bac","customerEmail":"more2@example.com","productType":"Phone","country":"US","paymentScenario":"success","correlationId":"01a221ad-efb5-71fb-9afd-23c00b46c3e5","createdAt":"2026-11-28T10:22:56.949158Z","updatedAt":"2026-11-28T10:22:56.966147Z","facts":{"authorized":true,"failed":false,"scheduled":true},"etaUtc":"2026-12-01T10:22:56.966145Z"}',1795861376949158,1795861376970951);
INSERT INTO "records" VALUES('payment-worker',X'01A221ADEFB571FB9AFD23BFB44CBD10',1,'Authorized','{"orderId":"01a221ad-efb5-71fb-9afd-23bfb44cbd10","status":"Authorized","gatewayKey":"authorize-01a221ad-efb5-71fb-9afd-23bfb44cbd10","decidedAt":"2026-11-28T10:22:56.957195Z"}',1795861376957256,1795861376957256);
INSERT INTO "records" VALUES('search-indexer-worker',X'01A221ADEFB571FB9AFD23BFB44CBD10',3,'FulfillmentScheduled','{"id":"01a221ad-efb5-71fb-9afd-23bfb44cbd10","customerEmail":"more2@example.com","productType":"Phone","country":"US","status":"FulfillmentScheduled","createdAt":"2026-11-28T10:22:56.949158Z","updatedAt":"2026-11-28T10:22:56.966147Z","correlationId":"01a221ad-efb5-71fb-9afd-23c00b46c3e5","timeline":[{"eventId":"01a221ad-efb5-71fb-9afd-23c184b55bac","eventType":"OrderCreatedV1","occurredAt":"2026-11-28T10:22:56.949158Z","correlationId":"01a221ad-efb5-71fb-9afd-23c00b46c3e5","causationId":null,"position":"orders.events.v1/0@4"},{"eventId":"65220fc9-1eea-5c8e-8016-3dd0d33f6298","eventType":"PaymentAuthorizedV1","occurredAt":"2026-11-28T10:22:56.957195Z","correlationId":"01a221ad-efb5-71fb-9afd-23c00b46c3e5","causationId":"01a221ad-efb5-71fb-9afd-23c184b55bac","position":"payments.events.v1/0@3"},{"eventId":"d3eb8330-20ae-5ba4-a8b5-e52491d2a013","eventType":"FulfillmentScheduledV1","occurredAt":"2026-11-28T10:22:56.966147Z","correlationId":"01a221ad-efb5-71fb-9afd-23c00b46c3e5","causationId":"65220fc9-1eea-5c8e-8016-3dd0d33f6298","position":"fulfillment.events.v1/0@2"}]}',1795861376958118,1795861376969464);
INSERT INTO "records" VALUES('fulfillment-worker',X'01A221ADEFB571FB9AFD23BFB44CBD10',1,'Scheduled','{"orderId":"01a221ad-efb5-71fb-9afd-23bfb44cbd10","scheduledAt":"2026-11-28T10:22:56.966145Z","etaUtc":"2026-12-01T10:22:56.966145Z"}',1795861376966189,1795861376966189);
INSERT INTO "records" VALUES('order-service',X'01A221ADEFDA70F8819C7404A724ADAC',3,'FulfillmentScheduled','{"id":"01a221ad-efda-70f8-819c-7404a724adac","createdBy":"01a221ad-efda-70f8-819c-7406396732f7","customerEmail":"more3@example.com","productType":"Phone","country":"US","paymentScenario":"success","correlationId":"01a221ad-efda-70f8-819c-74055ccce6e7","createdAt":"2026-11-28T10:22:56.986705Z","updatedAt":"2026-11-28T10:22:57.010737Z","facts":{"authorized":true,"failed":false,"scheduled":true},"etaUtc":"2026-12-01T10:22:57.010735Z"}',1795861376986705,1795861377030306);
INSERT INTO "records" VALUES('search-indexer-worker',X'01A221ADEFDA70F8819C7404A724ADAC',3,'FulfillmentScheduled','{"id":"01a221ad-efda-70f8-819c-7404a724adac","customerEmail":"more3@example.com","productType":"Phone","country":"US","status":"FulfillmentScheduled","createdAt":"2026-11-28T10:22:56.986705Z","updatedAt":"2026-11-28T10:22:57.010737Z","correlationId":"01a221ad-efda-70f8-819c-74055ccce6e7","timeline":[{"eventId":"01a221ad-efda-70f8-819c-7406396732f7","eventType":"OrderCreatedV1","occurredAt":"2026-11-28T10:22:56.986705Z","correlationId":"01a221ad-efda-70f8-819c-74055ccce6e7","causationId":null,"position":"orders.events.v1/0@5"},{"eventId":"d4801c0d-e9f2-5eb6-a58b-6c2ae2806259","eventType":"PaymentAuthorizedV1","occurredAt":"2026-11-28T10:22:57.000313Z","correlationId":"01a221ad-efda-70f8-819c-74055ccce6e7","causationId":"01a221ad-efda-70f8-819c-7406396732f7","position":"payments.events.v1/0@4"},{"eventId":"f9f3650b-4f9f-52d0-a6e8-a87caebae64d","eventType":"FulfillmentScheduledV1","occurredAt":"2026-11-28T10:22:57.010737Z","correlationId":"01a221ad-efda-70f8-819c-74055ccce6e7","causationId":"d4801c0d-e9f2-5eb6-a58b-6c2ae2806259","position":"fulfillment.events.v1/0@3"}]}',1795861377000162,1795861377030545);
INSERT INTO "records" VALUES('payment-worker',X'01A221ADEFDA70F8819C7404A724ADAC',1,'Authorized','{"orderId":"01a221ad-efda-70f8-819c-7404a724adac","status":"Authorized","gatewayKey":"authorize-01a221ad-efda-70f8-819c-7404a724adac","decidedAt":"2026-11-28T10:22:57.000313Z"}',1795861377000352,1795861377000352);
INSERT INTO "records" VALUES('fulfillment-worker',X'01A221ADEFDA70F8819C7404A724ADAC',1,'Scheduled','{"orderId":"01a221ad-efda-70f8-819c-7404a724adac","scheduledAt":"2026-11-28T10:22:57.010735Z","etaUtc":"2026-12-01T10:22:57.010735Z"}',1795861377010780,1795861377010780);
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'init','2026-11-28T10:22:54.255987358Z','8706459437843193193');
INSERT INTO "refinery_schema_history" VALUES(2,'refused_documents','2026-11-28T10:22:54.256024174Z','16763380640686920157');
INSERT INTO "refinery_schema_history" VALUES(3,'parked_by_order','2026-11-28T10:22:54.256027411Z','16579640596332745353');
INSERT INTO "refinery_schema_history" VALUES(4,'log_ends','2026-11-28T10:22:54.256030727Z','11642530910843326320');
INSERT INTO "refinery_schema_history" VALUES(5,'api_keys','2026-11-28T10:22:54.256033409Z','9720636941836248876');
INSERT INTO "refinery_schema_history" VALUES(6,'audit','2026-11-28T10:22:54.256037182Z','16619518748958333740');
INSERT INTO "refinery_schema_history" VALUES(7,'parked_open','2026-11-28T10:22:54.256039713Z','396303694512808406');
CREATE TABLE refused_documents (
    owner   TEXT NOT NULL,
    key     BLOB NOT NULL CHECK (length(key) = 16),
    version INTEGER NOT NULL,
    reason  TEXT NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT;
CREATE INDEX outbox_by_owner ON outbox (owner);
CREATE INDEX owed_index_by_age ON owed_index (owner, since);
CREATE INDEX parked_events_queue ON parked_events (owner, key, topic, id) WHERE state = 'parked';
CREATE INDEX parked_events_due ON parked_events (owner, next_at) WHERE state = 'parked';
CREATE INDEX parked_events_closed ON parked_events (closed_at) WHERE state <> 'parked';
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX refused_documents_by_age ON refused_documents (owner, since);
CREATE INDEX parked_events_by_order ON parked_events (key, id);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_never_cut BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE INDEX parked_events_open ON parked_events (id) WHERE state = 'parked';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',15);
INSERT INTO "sqlite_sequence" VALUES('parked_events',1);
COMMIT;
