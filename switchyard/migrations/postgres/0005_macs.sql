-- Message authentication codes of the rows that decide, under a key that is not in the database: a
-- row that somebody else wrote is found. NULL in a row that no key has signed.
ALTER TABLE secrets ADD COLUMN mac BYTEA;
ALTER TABLE secret_versions ADD COLUMN mac BYTEA;
ALTER TABLE bundles ADD COLUMN mac BYTEA;
ALTER TABLE grants ADD COLUMN mac BYTEA;
ALTER TABLE api_tokens ADD COLUMN mac BYTEA;

-- Of a generation also: a keyed digest of its members, and how many there are.
ALTER TABLE generations ADD COLUMN members BYTEA;
ALTER TABLE generations ADD COLUMN secrets BIGINT NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN mac BYTEA;

-- A keyed digest of each of the tables above, with the number of its changes: a row that somebody
-- removed or put back is found. Each change locks this row anyway.
ALTER TABLE audit_head ADD COLUMN digests BYTEA;
