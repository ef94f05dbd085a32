-- When each secret was last read: what the audit log says of it, so far as it was counted. NULL where
-- nobody of that kind has read it.
CREATE TABLE secret_reads (
    secret_id     BIGINT PRIMARY KEY REFERENCES secrets (id),
    -- In a delivery to a pod, which has all that the pod may read of a bundle.
    by_pod_at     BIGINT,
    by_person_at  BIGINT,
    -- By a token, or by a job of a CI system.
    by_program_at BIGINT
);

-- Up to which event, and up to which time, reads are counted.
CREATE TABLE counted_reads (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    at       BIGINT NOT NULL
);
INSERT INTO counted_reads (id, sequence, at) VALUES (1, 0, 0);
