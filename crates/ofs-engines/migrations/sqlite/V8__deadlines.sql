-- By when something should have happened to a key; due_at is on the steady clock, at most wait ahead of it.
CREATE TABLE deadlines (
    owner         TEXT NOT NULL,
    key           BLOB NOT NULL CHECK (length(key) = 16),
    name          TEXT NOT NULL,
    shard         INTEGER NOT NULL,
    wait          INTEGER NOT NULL,
    due_at        INTEGER NOT NULL,
    overdue_since INTEGER,
    PRIMARY KEY (owner, key, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX deadlines_due ON deadlines (owner, due_at);
CREATE INDEX deadlines_overdue ON deadlines (owner, name, overdue_since)
    WHERE overdue_since IS NOT NULL;
