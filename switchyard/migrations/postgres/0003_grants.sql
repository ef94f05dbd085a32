-- Grants that end. Their ids are an identity, which is never given again.
-- From then on a grant gives nothing. NULL where it has no end.
ALTER TABLE grants ADD COLUMN expires_at BIGINT;

-- The ID token that a session was made from, as a hash of what the provider signed: once a session is
-- ended, its ID token makes no other one.
ALTER TABLE api_tokens ADD COLUMN id_token_hash BYTEA;
ALTER TABLE api_tokens ADD COLUMN id_token_expires_at BIGINT;

CREATE INDEX api_tokens_by_id_token ON api_tokens (id_token_hash) WHERE id_token_hash IS NOT NULL;
