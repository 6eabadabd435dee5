CREATE TABLE log_ends (
    topic       text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    missing     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE log_ends IS 'How far the log was when this store last saw it, and what it has lost since.';
