-- The key that the database is sealed under, by name: one row, from the first start on.
CREATE TABLE lockbox_key (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL
);
