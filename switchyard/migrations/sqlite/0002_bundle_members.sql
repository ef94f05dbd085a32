-- What a bundle holds in which generations. A row holds from its first generation up to, and not
-- including, its end, or still. Before this, each generation had a row for each of its secrets.
CREATE TABLE bundle_members (
    bundle_id        INTEGER NOT NULL REFERENCES bundles (id),
    name             TEXT    NOT NULL,
    first_generation INTEGER NOT NULL CHECK (first_generation > 0),
    end_generation   INTEGER CHECK (end_generation > first_generation),
    secret_id        INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    PRIMARY KEY (bundle_id, name, first_generation),
    FOREIGN KEY (secret_id, version) REFERENCES secret_versions (secret_id, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX bundle_members_of_a_version ON bundle_members (secret_id, version);
CREATE UNIQUE INDEX bundle_members_of_now ON bundle_members (bundle_id, name) WHERE end_generation IS NULL;

INSERT INTO bundle_members (bundle_id, name, first_generation, end_generation, secret_id, version)
SELECT g.bundle_id, g.name, g.number,
       CASE WHEN g.number < (SELECT max(n.number) FROM generations n WHERE n.bundle_id = g.bundle_id)
            THEN g.number + 1 END,
       g.secret_id, g.version
FROM generation_secrets g;

DROP TABLE generation_secrets;

-- How large the newest generation is.
ALTER TABLE bundles ADD COLUMN secrets INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bundles ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
-- Why the bundle cannot follow its scopes, if it cannot.
ALTER TABLE bundles ADD COLUMN stuck TEXT;

UPDATE bundles SET
    secrets = (SELECT count(*) FROM bundle_members m
               WHERE m.bundle_id = bundles.id AND m.end_generation IS NULL),
    bytes = (SELECT coalesce(sum(v.size), 0) FROM bundle_members m
             JOIN secret_versions v ON v.secret_id = m.secret_id AND v.version = m.version
             WHERE m.bundle_id = bundles.id AND m.end_generation IS NULL);
