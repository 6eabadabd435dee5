CREATE TABLE audit (
    seq   bigint NOT NULL PRIMARY KEY,
    entry text NOT NULL,
    hash  bytea NOT NULL CHECK (length(hash) = 32)
);
COMMENT ON TABLE audit IS 'Who did what; each hash is over the one before it, the number and the entry.';
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- Kept apart, so that the newest entries cannot go unnoticed either.
CREATE TABLE audit_end (
    id   integer NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
INSERT INTO audit_end (id, seq, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));
