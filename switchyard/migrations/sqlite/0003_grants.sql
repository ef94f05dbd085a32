-- Grants that end, with ids that are never given again: a client that removes a grant by its id must
-- not meet another one. SQLite adds AUTOINCREMENT to new tables only.
CREATE TABLE grants_new (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    subject_kind TEXT    NOT NULL CHECK (subject_kind IN ('user', 'group', 'service_account')),
    -- Of a service account: namespace/name.
    subject      TEXT    NOT NULL,
    project      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    service      TEXT    NOT NULL,
    -- '' where all of the scope is meant.
    secret       TEXT    NOT NULL,
    access       TEXT    NOT NULL CHECK (access IN ('read', 'write', 'owner', 'admin', 'developer', 'readonly')),
    created_at   INTEGER NOT NULL,
    created_by   TEXT    NOT NULL,
    -- From then on it gives nothing. NULL where it has no end.
    expires_at   INTEGER,
    UNIQUE (subject_kind, subject, project, environment, service, secret, access)
) STRICT;

INSERT INTO grants_new (id, subject_kind, subject, project, environment, service, secret, access, created_at, created_by)
SELECT id, subject_kind, subject, project, environment, service, secret, access, created_at, created_by FROM grants;

DROP TABLE grants;
ALTER TABLE grants_new RENAME TO grants;

-- The ID token that a session was made from, as a hash of what the provider signed: once a session is
-- ended, its ID token makes no other one.
ALTER TABLE api_tokens ADD COLUMN id_token_hash BLOB;
ALTER TABLE api_tokens ADD COLUMN id_token_expires_at INTEGER;

CREATE INDEX api_tokens_by_id_token ON api_tokens (id_token_hash) WHERE id_token_hash IS NOT NULL;
