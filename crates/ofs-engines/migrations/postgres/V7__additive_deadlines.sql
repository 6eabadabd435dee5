CREATE TABLE deadlines (
    owner         text COLLATE "C" NOT NULL,
    key           uuid NOT NULL,
    name          text COLLATE "C" NOT NULL,
    shard         smallint NOT NULL,
    wait          bigint NOT NULL,
    due_at        timestamptz NOT NULL,
    overdue_since timestamptz,
    PRIMARY KEY (owner, key, name)
);
CREATE INDEX deadlines_due ON deadlines (owner, shard, due_at);
CREATE INDEX deadlines_overdue ON deadlines (owner, name, overdue_since)
    WHERE overdue_since IS NOT NULL;
COMMENT ON COLUMN deadlines.wait IS 'Microseconds by which due_at was ahead when it was set.';
COMMENT ON TABLE deadlines IS 'By when something should have happened to a key.';
