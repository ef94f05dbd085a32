-- What tells two things apart that have the same number, and time that a changed clock cannot move.

-- Random, once for each generation: after a restore, in another project and on another database the
-- same number is another generation. '' is unknown.
ALTER TABLE generations ADD COLUMN tag TEXT NOT NULL DEFAULT '';
UPDATE generations SET tag = lower(hex(randomblob(8)));

-- That of the stable generation.
ALTER TABLE bundles ADD COLUMN stable_tag TEXT NOT NULL DEFAULT '';
UPDATE bundles SET stable_tag = coalesce((SELECT g.tag FROM generations g
    WHERE g.bundle_id = bundles.id AND g.number = bundles.stable_generation), '');

-- The same for each version.
ALTER TABLE secret_versions ADD COLUMN tag TEXT NOT NULL DEFAULT '';
UPDATE secret_versions SET tag = lower(hex(randomblob(8)));

-- How long switchyard has run with this ledger, in milliseconds, by a clock that nobody sets.
CREATE TABLE lived_time (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    milliseconds INTEGER NOT NULL
) STRICT;
INSERT INTO lived_time (id, milliseconds) VALUES (1, 0);

-- A delete marks the versions that were there. A new secret of that name does not unmark them.
ALTER TABLE secret_versions ADD COLUMN deleted_at INTEGER;
-- The lived time of the delete. The retention counts from here.
ALTER TABLE secret_versions ADD COLUMN deleted_lived INTEGER;

-- A secret that was written again after a delete was created after its older versions.
UPDATE secret_versions SET deleted_lived = 0, deleted_at =
    (SELECT coalesce(s.deleted_at, s.created_at) FROM secrets s WHERE s.id = secret_versions.secret_id)
WHERE rotation_status IN ('archived', 'pending') AND EXISTS (
    SELECT 1 FROM secrets s WHERE s.id = secret_versions.secret_id
        AND (s.deleted_at IS NOT NULL OR secret_versions.created_at < s.created_at));

CREATE INDEX secret_versions_deleted ON secret_versions (deleted_lived)
    WHERE deleted_lived IS NOT NULL AND rotation_status <> 'destroyed';

-- The lived time of the answer.
ALTER TABLE idempotency ADD COLUMN lived INTEGER NOT NULL DEFAULT 0;
DROP INDEX idempotency_by_time;
CREATE INDEX idempotency_by_lived_time ON idempotency (lived);

-- The ledger's epochs: a new one begins where the database turns out to be an older one, or another
-- one, than before. The last one is the current one.
CREATE TABLE epochs (
    number     INTEGER PRIMARY KEY,
    -- Random.
    id         TEXT   NOT NULL UNIQUE,
    started_at INTEGER NOT NULL,
    reason     TEXT   NOT NULL
) STRICT;

-- Where the ledger was found last: for PostgreSQL the server, its timeline and the table itself.
-- A restored copy of this row names another place.
CREATE TABLE ledger_place (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    server   TEXT   NOT NULL,
    timeline TEXT   NOT NULL
) STRICT;
INSERT INTO ledger_place (id, server, timeline) VALUES (1, '', '');

-- The widest scope whose secrets a grant to a service account delivers: as wide as its grantor could
-- grant. It is not known of older grants; of a token it follows from the token's scope, if no other
-- one had its name.
ALTER TABLE grants ADD COLUMN reach TEXT NOT NULL DEFAULT 'service'
    CHECK (reach IN ('service', 'environment', 'project'));
UPDATE grants SET reach = 'environment' WHERE subject_kind = 'service_account' AND EXISTS (
    SELECT 1 FROM api_tokens t WHERE 'token:' || t.name = grants.created_by)
  AND NOT EXISTS (
    SELECT 1 FROM api_tokens t WHERE 'token:' || t.name = grants.created_by
        AND (t.role IS NULL OR t.role NOT IN ('owner', 'admin') OR t.scope NOT IN
            ('', grants.project, grants.project || '.' || grants.environment)));
UPDATE grants SET reach = 'project' WHERE subject_kind = 'service_account' AND EXISTS (
    SELECT 1 FROM api_tokens t WHERE 'token:' || t.name = grants.created_by)
  AND NOT EXISTS (
    SELECT 1 FROM api_tokens t WHERE 'token:' || t.name = grants.created_by
        AND (t.role IS NULL OR t.role NOT IN ('owner', 'admin') OR t.scope NOT IN
            ('', grants.project)));
