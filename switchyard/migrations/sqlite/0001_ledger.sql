-- The ledger: which secrets there are, in which versions, who may read them, and who did what. No
-- table holds a value: `vault_ref` is the store's name for one. Times are milliseconds since 1970, UTC.

CREATE TABLE secrets (
    id              INTEGER PRIMARY KEY,
    project         TEXT    NOT NULL,
    -- '' where the scope is wider.
    environment     TEXT    NOT NULL,
    service         TEXT    NOT NULL,
    scope_kind      TEXT    NOT NULL CHECK (scope_kind IN ('project', 'environment', 'service')),
    name            TEXT    NOT NULL,
    -- Versions count on after a delete, so that a number never names two values.
    current_version INTEGER NOT NULL CHECK (current_version > 0),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    deleted_at      INTEGER,
    UNIQUE (project, environment, service, name)
) STRICT;

CREATE TABLE secret_versions (
    secret_id       INTEGER NOT NULL REFERENCES secrets (id),
    version         INTEGER NOT NULL CHECK (version > 0),
    vault_ref       TEXT    NOT NULL,
    rotation_status TEXT    NOT NULL CHECK (rotation_status IN ('pending', 'active', 'archived', 'destroyed')),
    -- Length of the value in bytes: a bundle must fit into a pod.
    size            INTEGER NOT NULL CHECK (size >= 0),
    created_at      INTEGER NOT NULL,
    created_by      TEXT    NOT NULL,
    PRIMARY KEY (secret_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE bundles (
    id                INTEGER PRIMARY KEY,
    project           TEXT    NOT NULL,
    environment       TEXT    NOT NULL,
    service           TEXT    NOT NULL,
    stable_generation INTEGER NOT NULL CHECK (stable_generation > 0),
    -- Where a rollout is under way: the generation that it moves to.
    target_generation INTEGER,
    -- Grows with every change of this row, so that news that overtake each other are told apart.
    revision          INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    UNIQUE (project, environment, service)
) STRICT;

CREATE TABLE generations (
    bundle_id  INTEGER NOT NULL REFERENCES bundles (id),
    number     INTEGER NOT NULL CHECK (number > 0),
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    PRIMARY KEY (bundle_id, number)
) STRICT, WITHOUT ROWID;

-- What a generation holds. It never changes once it is written.
CREATE TABLE generation_secrets (
    bundle_id INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    secret_id INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    PRIMARY KEY (bundle_id, number, name),
    FOREIGN KEY (bundle_id, number) REFERENCES generations (bundle_id, number),
    FOREIGN KEY (secret_id, version) REFERENCES secret_versions (secret_id, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX generation_secrets_of_a_version ON generation_secrets (secret_id, version);

-- Who may read a bundle besides the service of its name.
CREATE TABLE grants (
    id              INTEGER PRIMARY KEY,
    namespace       TEXT    NOT NULL,
    service_account TEXT    NOT NULL,
    project         TEXT    NOT NULL,
    environment     TEXT    NOT NULL,
    service         TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    created_by      TEXT    NOT NULL,
    UNIQUE (namespace, service_account, project, environment, service)
) STRICT;

CREATE TABLE api_tokens (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    role       TEXT    NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'readonly')),
    -- SHA-256 of a token of 256 random bits.
    hash       BLOB    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE TABLE audit_events (
    -- Gapless from 1: a missing number is a missing event.
    sequence        INTEGER PRIMARY KEY,
    at              INTEGER NOT NULL,
    actor_type      TEXT    NOT NULL,
    actor_id        TEXT    NOT NULL,
    action          TEXT    NOT NULL,
    resource_type   TEXT    NOT NULL,
    resource_id     TEXT    NOT NULL,
    scope           TEXT,
    version         INTEGER,
    outcome         TEXT    NOT NULL CHECK (outcome IN ('allowed', 'denied', 'failed')),
    address         TEXT,
    user_agent      TEXT,
    trace_id        TEXT,
    namespace       TEXT,
    service_account TEXT,
    pod             TEXT,
    pod_uid         TEXT,
    details         TEXT
) STRICT;

CREATE INDEX audit_events_by_action ON audit_events (action, sequence);
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, sequence);
CREATE INDEX audit_events_by_resource ON audit_events (scope, resource_id, sequence);
CREATE INDEX audit_events_by_time ON audit_events (at);

CREATE TRIGGER audit_events_stay AFTER UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are never changed'); END;
CREATE TRIGGER audit_events_remain BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are never deleted'); END;

-- What each pod last said that it holds.
CREATE TABLE agent_holdings (
    pod_uid           TEXT    NOT NULL,
    bundle_id         INTEGER NOT NULL REFERENCES bundles (id),
    namespace         TEXT    NOT NULL,
    service_account   TEXT    NOT NULL,
    pod               TEXT    NOT NULL,
    -- What the files hold; NULL before the first report.
    generation        INTEGER,
    -- How the application took it.
    reload            TEXT,
    -- Where the last attempt failed: which generation, at which step, and why.
    failed_generation INTEGER,
    failed_step       TEXT,
    failed_detail     TEXT,
    reported_at       INTEGER NOT NULL,
    PRIMARY KEY (pod_uid, bundle_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX agent_holdings_of_a_bundle ON agent_holdings (bundle_id, generation);
