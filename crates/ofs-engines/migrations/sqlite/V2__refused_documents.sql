-- Record versions that the search index refuses, and why.
CREATE TABLE refused_documents (
    owner   TEXT NOT NULL,
    key     BLOB NOT NULL CHECK (length(key) = 16),
    version INTEGER NOT NULL,
    reason  TEXT NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT;
CREATE INDEX refused_documents_by_age ON refused_documents (owner, since);
