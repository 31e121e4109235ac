-- One row: what the log as a whole knows. `groups` counts commits, so that after a failed sync it can be told whether
-- the last group arrived.
CREATE TABLE meta (
    version INTEGER NOT NULL,
    next    INTEGER NOT NULL,  -- the next sequence number
    total   INTEGER NOT NULL,  -- events ever appended
    trimmed INTEGER NOT NULL,  -- below this only events are left that wait in a lane
    groups  INTEGER NOT NULL
);

-- The log. The body comes last: whoever only asks for the time does not read it. No further index: an event costs one
-- insert at the end of one tree.
CREATE TABLE event (
    seq    INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    id     BLOB    NOT NULL,
    device INTEGER NOT NULL,
    images BLOB,               -- digests of 32 bytes
    crc    INTEGER NOT NULL,
    body   BLOB    NOT NULL
);

-- Ids of a whole group in one row, 16 bytes each, of the events from `seq` on. It outlives the events.
CREATE TABLE seen (
    seq INTEGER PRIMARY KEY,
    ids BLOB    NOT NULL,
    crc INTEGER NOT NULL
);

-- Names and numbers of lanes (lane_store/tables.sql has the rest). What is behind the name says where a lane of format 1 stood,
-- and nothing after the takeover (lane_store/take_over.rs). So do the next two tables, which are empty then.
CREATE TABLE lane (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT    NOT NULL UNIQUE,
    position    INTEGER NOT NULL,
    read        INTEGER NOT NULL,
    outstanding BLOB    NOT NULL,
    crc         INTEGER NOT NULL
);

CREATE TABLE range (
    lane      INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    next      INTEGER NOT NULL,
    end       INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    until     INTEGER NOT NULL,
    remaining INTEGER NOT NULL,
    PRIMARY KEY (lane, number)
) WITHOUT ROWID;

CREATE TABLE held (
    seq      INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    device   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    routed   INTEGER NOT NULL,
    due      INTEGER,
    why      INTEGER NOT NULL,
    PRIMARY KEY (seq, lane)
) WITHOUT ROWID;

CREATE TABLE buried (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    lane     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    buried   INTEGER NOT NULL,
    code     TEXT    NOT NULL,
    failures INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    id       BLOB    NOT NULL,
    device   INTEGER NOT NULL,
    images   BLOB,
    crc      INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    UNIQUE (lane, seq)
);
CREATE INDEX buried_id ON buried (id);

CREATE TABLE attempt (
    seq    INTEGER NOT NULL,
    lane   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    took   INTEGER NOT NULL,
    result INTEGER NOT NULL,
    code   TEXT    NOT NULL,
    PRIMARY KEY (seq, lane, number)
) WITHOUT ROWID;

CREATE TABLE quarantine (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    inbound TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    bytes   INTEGER NOT NULL,
    headers TEXT    NOT NULL,
    crc     INTEGER NOT NULL,
    body    BLOB    NOT NULL
);

CREATE TABLE pack (
    number  INTEGER PRIMARY KEY,
    bytes   INTEGER NOT NULL,
    started INTEGER NOT NULL,
    first   INTEGER NOT NULL,  -- the events that name its pictures
    last    INTEGER NOT NULL,
    free    INTEGER            -- since when no lane needs one of them
);

CREATE TABLE image (
    sha256 BLOB    PRIMARY KEY,
    pack   INTEGER NOT NULL,
    start  INTEGER NOT NULL,
    length INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX image_pack ON image (pack);
