-- When each secret was last read: what the audit log says of it, so far as it was counted. NULL where
-- nobody of that kind has read it.
CREATE TABLE secret_reads (
    secret_id     INTEGER PRIMARY KEY REFERENCES secrets (id),
    -- In a delivery to a pod, which has all that the pod may read of a bundle.
    by_pod_at     INTEGER,
    by_person_at  INTEGER,
    -- By a token, or by a job of a CI system.
    by_program_at INTEGER
) STRICT;

-- Up to which event, and up to which time, reads are counted.
CREATE TABLE counted_reads (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
INSERT INTO counted_reads (id, sequence, at) VALUES (1, 0, 0);
