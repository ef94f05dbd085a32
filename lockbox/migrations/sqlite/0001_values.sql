-- One row is one value of one version of one secret, sealed. The row's place in the world (scope,
-- name, version, reference) is authenticated with the value, so that rows cannot be exchanged.
CREATE TABLE lockbox_values (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    reference   TEXT    NOT NULL UNIQUE,
    scope       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    format      INTEGER NOT NULL,
    key_id      TEXT    NOT NULL,
    -- NULL once the version was destroyed: without its data key a value cannot come back.
    wrapped_key BLOB,
    sealed      BLOB
) STRICT;

CREATE INDEX lockbox_values_of_a_secret ON lockbox_values (scope, name, version);
CREATE INDEX lockbox_values_by_key ON lockbox_values (key_id);
