-- Lanes of the lane machine (core/src/lane_store.rs). A lane's number and name are in `lane`, its buried events in `buried`,
-- its attempts in `attempt`, its once window in `once`. Every row here has a checksum over all its columns.

CREATE TABLE IF NOT EXISTS lane_state (
    lane           INTEGER PRIMARY KEY,
    epoch          INTEGER NOT NULL,
    routed_through INTEGER NOT NULL,
    buried         INTEGER NOT NULL,
    replays        BLOB    NOT NULL,
    crc            INTEGER NOT NULL
);

-- What waits in a lane, by ranges of the log (core/src/waiting.rs); undecided events in rows of their own. The bytes fit on a
-- page, which they would not in a table without rowid.
CREATE TABLE IF NOT EXISTS waiting (
    lane      INTEGER NOT NULL,
    range     INTEGER NOT NULL,
    undecided INTEGER NOT NULL,
    events    BLOB    NOT NULL,
    key_crc   INTEGER NOT NULL,  -- of the columns above it but for the events
    crc       INTEGER NOT NULL,
    UNIQUE (lane, range, undecided)
);

CREATE TABLE IF NOT EXISTS held_event (
    lane     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    hold     INTEGER NOT NULL,
    pause    INTEGER NOT NULL,
    set_at   INTEGER NOT NULL,
    code     TEXT    NOT NULL,
    crc      INTEGER NOT NULL,
    PRIMARY KEY (lane, seq)
) WITHOUT ROWID;

-- Epochs: a number is never given twice, also when its lane is deleted.
CREATE TABLE IF NOT EXISTS claim (
    epoch INTEGER PRIMARY KEY AUTOINCREMENT
);

-- A later mark takes the place of the one before.
CREATE INDEX IF NOT EXISTS once_key ON once (lane, route, key);
