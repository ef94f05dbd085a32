-- What is known of a pod beside the generations that it holds.
CREATE TABLE agent_states (
    pod_uid          TEXT    PRIMARY KEY,
    namespace        TEXT    NOT NULL,
    service_account  TEXT    NOT NULL,
    pod              TEXT    NOT NULL,
    -- The agent's version.
    agent            TEXT    NOT NULL,
    -- The replica that has its stream, or had the last one, and since when.
    replica          TEXT    NOT NULL,
    connected_at     BIGINT NOT NULL,
    -- When that stream ended; NULL while it is open, if the replica lives.
    disconnected_at  BIGINT,
    -- The generations that failed a check in the pod, as JSON.
    refused          TEXT    NOT NULL,
    -- The last checks of each stage, as JSON.
    checked_before   TEXT,
    checked_after    TEXT,
    checked_restored TEXT,
    -- When the pod was last seen, in lived time.
    seen_lived       BIGINT NOT NULL
);

CREATE INDEX agent_states_by_name ON agent_states (namespace, pod, pod_uid);

-- The replicas, and when each was last there by the database's clock.
CREATE TABLE replicas (
    id      TEXT    PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

-- Tells the generation that is held apart from others with its number.
ALTER TABLE agent_holdings ADD COLUMN tag TEXT;
-- Since when the pod holds the generation.
ALTER TABLE agent_holdings ADD COLUMN held_since BIGINT;
-- When the application was last told of it.
ALTER TABLE agent_holdings ADD COLUMN applied_at BIGINT;
