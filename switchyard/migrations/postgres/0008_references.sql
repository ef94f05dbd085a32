-- References between secrets. What a version refers to, as `references` encodes it; NULL in a version
-- whose value is meant as it is. The version's MAC covers it.
ALTER TABLE secret_versions ADD COLUMN refs TEXT;

-- The same by target, to find what follows a secret. It decides nothing: whoever reads it checks the
-- version's own row.
CREATE TABLE version_references (
    target_id BIGINT NOT NULL REFERENCES secrets (id),
    secret_id BIGINT NOT NULL,
    version   BIGINT NOT NULL,
    PRIMARY KEY (target_id, secret_id, version),
    FOREIGN KEY (secret_id, version) REFERENCES secret_versions (secret_id, version)
);

CREATE INDEX version_references_of_a_version ON version_references (secret_id, version);

-- Of a member whose value is composed: a MAC of its version and those of its targets, and the length
-- of what they become.
ALTER TABLE bundle_members ADD COLUMN composed_mac BYTEA;
ALTER TABLE bundle_members ADD COLUMN composed_size BIGINT;

-- The versions that a member is composed of, its own left out. They never change.
CREATE TABLE member_targets (
    bundle_id        BIGINT NOT NULL,
    name             TEXT COLLATE "C" NOT NULL,
    first_generation BIGINT NOT NULL,
    secret_id        BIGINT NOT NULL,
    version          BIGINT NOT NULL,
    PRIMARY KEY (bundle_id, name, first_generation, secret_id),
    FOREIGN KEY (bundle_id, name, first_generation)
        REFERENCES bundle_members (bundle_id, name, first_generation),
    FOREIGN KEY (secret_id, version) REFERENCES secret_versions (secret_id, version)
);

CREATE INDEX member_targets_of_a_version ON member_targets (secret_id, version);
