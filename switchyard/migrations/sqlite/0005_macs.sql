-- Message authentication codes of the rows that decide, under a key that is not in the database: a
-- row that somebody else wrote is found. NULL in a row that no key has signed.
ALTER TABLE secrets ADD COLUMN mac BLOB;
ALTER TABLE secret_versions ADD COLUMN mac BLOB;
ALTER TABLE bundles ADD COLUMN mac BLOB;
ALTER TABLE grants ADD COLUMN mac BLOB;
ALTER TABLE api_tokens ADD COLUMN mac BLOB;

-- Of a generation also: a keyed digest of its members, and how many there are.
ALTER TABLE generations ADD COLUMN members BLOB;
ALTER TABLE generations ADD COLUMN secrets INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN mac BLOB;

-- A keyed digest of each of the tables above, with the number of its changes: a row that somebody
-- removed or put back is found. Each change locks this row anyway.
ALTER TABLE audit_head ADD COLUMN digests BLOB;
