CREATE TABLE api_keys (
    id         uuid NOT NULL PRIMARY KEY,
    name       text NOT NULL,
    scopes     text NOT NULL,
    digest     bytea NOT NULL CHECK (length(digest) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    used_at    timestamptz
);
COMMENT ON TABLE api_keys IS 'API keys; of a key''s secret only a digest is stored.';
