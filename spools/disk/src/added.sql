-- Tables that came after the first ones. A directory that an earlier program made gets them when it is opened; an earlier
-- program does not look at them.

-- What belongs to the log and is no event.
CREATE TABLE IF NOT EXISTS note (
    name TEXT    PRIMARY KEY,
    crc  INTEGER NOT NULL,
    body BLOB    NOT NULL
) WITHOUT ROWID;
