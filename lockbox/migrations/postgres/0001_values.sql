-- The same table as SQLite's, in PostgreSQL's words.
CREATE TABLE lockbox_values (
    sequence    BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference   TEXT    NOT NULL UNIQUE,
    scope       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    version     BIGINT  NOT NULL,
    format      BIGINT  NOT NULL,
    key_id      TEXT    NOT NULL,
    -- NULL once the version was destroyed: without its data key a value cannot come back.
    wrapped_key BYTEA,
    sealed      BYTEA
);

CREATE INDEX lockbox_values_of_a_secret ON lockbox_values (scope, name, version);
CREATE INDEX lockbox_values_by_key ON lockbox_values (key_id);
