CREATE TABLE refused_documents (
    owner   text COLLATE "C" NOT NULL,
    key     uuid NOT NULL,
    version bigint NOT NULL,
    reason  text NOT NULL,
    since   timestamptz NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE INDEX refused_documents_by_age ON refused_documents (owner, since);
COMMENT ON TABLE refused_documents IS 'Record versions that the search index refuses, and why.';
