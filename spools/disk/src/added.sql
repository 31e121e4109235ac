-- Tables that came after the first ones. A directory that an earlier program made gets them when it is opened; an earlier
-- program does not look at them.

-- What belongs to the log and is no event.
CREATE TABLE IF NOT EXISTS note (
    name TEXT    PRIMARY KEY,
    crc  INTEGER NOT NULL,
    body BLOB    NOT NULL
) WITHOUT ROWID;

-- What the `once` of routes has let pass, in the order in which it is forgotten.
CREATE TABLE IF NOT EXISTS once (
    lane  INTEGER NOT NULL,
    until INTEGER NOT NULL,
    route TEXT    NOT NULL,
    key   BLOB    NOT NULL,
    id    BLOB    NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (lane, until, route, key, id)
) WITHOUT ROWID;

-- Names of lanes that are gone, for the attempts that are left of them.
CREATE TABLE IF NOT EXISTS gone (
    id   INTEGER PRIMARY KEY,
    name TEXT    NOT NULL
);
