-- What people write beside a value. None of it is secret.

-- Why the version was written. NULL where nobody said.
ALTER TABLE secret_versions ADD COLUMN message TEXT;
-- When the credential ends at its issuer. It is the version's: a new version is a new credential.
ALTER TABLE secret_versions ADD COLUMN expires_at INTEGER;

CREATE INDEX secret_versions_by_expiry ON secret_versions (expires_at)
    WHERE expires_at IS NOT NULL AND rotation_status = 'active';

ALTER TABLE secrets ADD COLUMN notes TEXT;
-- A JSON object of texts.
ALTER TABLE secrets ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
