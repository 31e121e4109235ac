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

-- Events below `meta.swept` that wait in a lane, and the pictures that they name: these stay as long as their event waits.
CREATE TABLE IF NOT EXISTS picture_hold (
    seq    INTEGER NOT NULL,
    sha256 BLOB    NOT NULL,
    PRIMARY KEY (seq, sha256)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS picture_hold_sha256 ON picture_hold (sha256);

-- Places of removed pictures whose bytes are still to be erased.
CREATE TABLE IF NOT EXISTS picture_gone (
    pack   INTEGER NOT NULL,
    start  INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (pack, start)
) WITHOUT ROWID;

-- Jumps of the wall clock: the first event and the first unreadable body of each stretch, where it begins on the scale of
-- `meta.age`, and how far the wall clock is ahead of that scale.
CREATE TABLE IF NOT EXISTS clock_jump (
    place  INTEGER PRIMARY KEY,
    seq    INTEGER NOT NULL,
    number INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    ahead  INTEGER NOT NULL
);

-- Blocks of the log: the lowest and the highest stamp of their events.
CREATE TABLE IF NOT EXISTS block (
    first INTEGER PRIMARY KEY,
    last  INTEGER NOT NULL,
    low   INTEGER NOT NULL,
    high  INTEGER NOT NULL,
    crc   INTEGER NOT NULL
);
