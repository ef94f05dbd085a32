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
    -- The active version. After a rollback it is not the latest.
    current_version INTEGER NOT NULL CHECK (current_version > 0),
    -- Versions count on after a delete, so that a number never names two values.
    latest_version  INTEGER NOT NULL CHECK (latest_version >= current_version),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    -- When the active version last became another one.
    rotated_at      INTEGER,
    deleted_at      INTEGER,
    UNIQUE (project, environment, service, name)
) STRICT;

CREATE INDEX secrets_deleted ON secrets (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE secret_versions (
    secret_id       INTEGER NOT NULL REFERENCES secrets (id),
    version         INTEGER NOT NULL CHECK (version > 0),
    vault_ref       TEXT    NOT NULL,
    rotation_status TEXT    NOT NULL CHECK (rotation_status IN ('pending', 'active', 'archived', 'destroyed')),
    -- Length of the value in bytes: a bundle must fit into a pod.
    size            INTEGER NOT NULL CHECK (size >= 0),
    created_at      INTEGER NOT NULL,
    created_by      TEXT    NOT NULL,
    destroyed_at    INTEGER,
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

-- Who may do what besides the rules: a role in a scope and below, or reading or writing a scope or
-- one secret of it.
CREATE TABLE grants (
    id           INTEGER PRIMARY KEY,
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
    UNIQUE (subject_kind, subject, project, environment, service, secret, access)
) STRICT;

-- Tokens of the API, and the sessions of people who logged in.
CREATE TABLE api_tokens (
    id           INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('token', 'session')),
    subject_kind TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    -- A JSON array of texts.
    groups       TEXT    NOT NULL,
    role         TEXT    CHECK (role IN ('owner', 'admin', 'developer', 'readonly')),
    -- The scope that the token ends at; '' where it has no end.
    scope        TEXT    NOT NULL,
    -- SHA-256 of a token of 256 random bits.
    hash         BLOB    NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    created_by   TEXT    NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE UNIQUE INDEX api_tokens_by_name ON api_tokens (name) WHERE kind = 'token' AND revoked_at IS NULL;

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
    details         TEXT,
    -- SHA-256 of the record before and of this one.
    hash            BLOB    NOT NULL
) STRICT;

CREATE INDEX audit_events_by_action ON audit_events (action, sequence);
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, sequence);
CREATE INDEX audit_events_by_resource ON audit_events (scope, resource_id, sequence);
CREATE INDEX audit_events_by_time ON audit_events (at);

CREATE TRIGGER audit_events_stay AFTER UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are never changed'); END;
CREATE TRIGGER audit_events_remain BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are never deleted'); END;

-- The end of the trail. Whoever appends locks this row first, so that numbers have no gaps and the
-- chain no fork, whichever replica writes. Every change of the ledger appends.
CREATE TABLE audit_head (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    hash     BLOB    NOT NULL
) STRICT;
INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, zeroblob(32));

-- Signed heads of the trail. What counts are the copies outside of this database.
CREATE TABLE audit_checkpoints (
    sequence  INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    key_id    TEXT    NOT NULL,
    signature BLOB    NOT NULL,
    -- When it was put outside.
    placed_at INTEGER
) STRICT;

-- How far each sink of the audit trail is. The trail itself is what waits for a sink.
CREATE TABLE audit_exports (
    sink       TEXT    PRIMARY KEY,
    sequence   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_error TEXT
) STRICT;

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

-- Answers to writes that may be sent again. The key itself is not kept: the fingerprint is keyed by
-- it, so that nobody can try values against this table.
CREATE TABLE idempotency (
    principal   TEXT    NOT NULL,
    key_hash    BLOB    NOT NULL,
    fingerprint BLOB    NOT NULL,
    body        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (principal, key_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_time ON idempotency (created_at);

-- Who does what only one replica may do. The fence grows with each new holder, and whatever the
-- holder writes it writes under its fence.
CREATE TABLE leases (
    name       TEXT    PRIMARY KEY,
    holder     TEXT    NOT NULL,
    fence      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
