//! The row of a lane: who owns it, how far it is routed, its replay jobs.

use faceway_core::Replay;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::row::{fields_crc, moment};
use crate::store::{IS_TAKEN_OVER, Trouble, get};

/// One lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LaneRow {
    pub(crate) id: u32,
    pub(crate) epoch: u64,
    pub(crate) routed_through: u64,
    pub(crate) buried: u64,
    pub(crate) replays: Vec<Replay>,
}

/// A lane's row as it was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    Sound(LaneRow),
    /// Its checksum is wrong; only the number is known.
    Damaged(u32),
}

/// Bytes of a replay job.
const REPLAY_BYTES: usize = 40;

impl LaneRow {
    /// From here on the log holds events that the lane has yet to route.
    pub(crate) fn need_from(&self) -> u64 {
        let unrouted = |job: &&Replay| job.routed_through < job.through_seq;
        let jobs = self.replays.iter().filter(unrouted);
        let through = jobs.map(|job| job.routed_through).min();
        self.routed_through
            .min(through.unwrap_or(u64::MAX))
            .saturating_add(1)
    }

    /// Writes the row, in place of the one before.
    pub(crate) fn write(&self, conn: &Connection) -> Result<(), Trouble> {
        let sql = "INSERT OR REPLACE INTO lane_state (lane, epoch, routed_through, buried, replays, crc) \
                   VALUES (?, ?, ?, ?, ?, ?)";
        let replays = pack(&self.replays);
        conn.prepare_cached(sql)?.execute((
            self.id,
            self.epoch.cast_signed(),
            self.routed_through.cast_signed(),
            self.buried.cast_signed(),
            &replays,
            self.crc(&replays),
        ))?;
        Ok(())
    }

    fn crc(&self, replays: &[u8]) -> i64 {
        let numbers = [self.id.into(), self.epoch, self.routed_through, self.buried];
        let numbers = numbers.map(u64::to_le_bytes);
        i64::from(fields_crc(&[numbers.as_flattened(), replays]))
    }
}

impl Found {
    pub(crate) const fn id(&self) -> u32 {
        match self {
            Self::Sound(row) => row.id,
            Self::Damaged(id) => *id,
        }
    }

    /// See [`LaneRow::need_from`]; a damaged lane begins with the oldest event.
    pub(crate) fn need_from(&self) -> u64 {
        match self {
            Self::Sound(row) => row.need_from(),
            Self::Damaged(_) => 0,
        }
    }

    /// From here on the lane has not routed; what its replay jobs have yet to route is not told.
    pub(crate) fn unrouted_from(&self) -> u64 {
        match self {
            Self::Sound(row) => row.routed_through.saturating_add(1),
            Self::Damaged(_) => 0,
        }
    }
}

const COLUMNS: &str = "lane, epoch, routed_through, buried, replays, crc";

/// All lanes.
pub(crate) fn all(conn: &Connection) -> rusqlite::Result<Vec<Found>> {
    // Of a lane that has lost its row only the name is left: it is damaged, and holds the log as such. Before the takeover it is a
    // lane of format 1.
    let sql = format!(
        "SELECT {COLUMNS} FROM lane_state UNION ALL SELECT id, NULL, NULL, NULL, NULL, NULL FROM lane \
         WHERE id NOT IN (SELECT lane FROM lane_state) AND (SELECT {IS_TAKEN_OVER} FROM meta)"
    );
    let mut select = conn.prepare_cached(&sql)?;
    select.query_map([], |row| Ok(found(row)))?.collect()
}

/// All lanes begin with the oldest event: what is known of them cannot be trusted. Their rows are sound, so that it is not told
/// once more.
pub(crate) fn begin_all_anew(conn: &Connection, is_taken_over: bool) -> Result<(), Trouble> {
    conn.execute_batch(
        "DELETE FROM held; DELETE FROM waiting; DELETE FROM held_event; DELETE FROM lane_state",
    )?;
    if !is_taken_over {
        let sql = "UPDATE lane SET position = 0, read = 0, outstanding = x'', crc = ?";
        conn.execute(sql, [super::position_crc(0, 0, &[])])?;
        return Ok(());
    }
    let mut select = conn.prepare("SELECT id FROM lane")?;
    let ids = select.query_map([], |row| row.get(0))?;
    for id in ids.collect::<Result<Vec<u32>, _>>()? {
        let lane = LaneRow {
            id,
            ..LaneRow::default()
        };
        lane.write(conn)?;
    }
    Ok(())
}

/// A lane is lost, and with it its name: its row holds the log, and the lane that is new next begins with the oldest event.
pub(crate) fn note_lost_lane(conn: &Connection) -> Result<(), Trouble> {
    let lost = LaneRow {
        id: u32::MAX,
        ..LaneRow::default()
    };
    lost.write(conn)
}

/// The lane of this name.
pub(crate) fn named(conn: &Connection, name: &str) -> rusqlite::Result<Option<Found>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM lane_state WHERE lane = (SELECT id FROM lane WHERE name = ?)"
    );
    (conn.prepare_cached(&sql)?)
        .query_row([name], |row| Ok(found(row)))
        .optional()
}

fn found(row: &Row<'_>) -> Found {
    let id = row.get(0).unwrap_or_default();
    read(row).map_or(Found::Damaged(id), Found::Sound)
}

/// `None` when the checksum is wrong; a field of another type is damage too.
fn read(row: &Row<'_>) -> Option<LaneRow> {
    let replays = row.get_ref(4).ok()?.as_blob().ok()?;
    let lane = LaneRow {
        id: row.get(0).ok()?,
        epoch: get(row, 1).ok()?,
        routed_through: get(row, 2).ok()?,
        buried: get(row, 3).ok()?,
        replays: unpack(replays)?,
    };
    (lane.crc(replays) == row.get::<_, i64>(5).ok()?).then_some(lane)
}

fn pack(replays: &[Replay]) -> Vec<u8> {
    let numbers = |job: &Replay| {
        let stamps = [job.since, job.until].map(|stamp| stamp.as_millis().cast_unsigned());
        [
            job.number,
            job.routed_through,
            job.through_seq,
            stamps[0],
            stamps[1],
        ]
        .map(u64::to_le_bytes)
    };
    let bytes = replays.iter().map(numbers);
    bytes
        .flat_map(|numbers| numbers.as_flattened().to_vec())
        .collect()
}

fn unpack(bytes: &[u8]) -> Option<Vec<Replay>> {
    let (jobs, rest) = bytes.as_chunks::<REPLAY_BYTES>();
    let job = |bytes: &[u8; REPLAY_BYTES]| {
        let (numbers, _) = bytes.as_chunks::<8>();
        let number = |at: usize| u64::from_le_bytes(numbers[at]);
        Replay {
            number: number(0),
            routed_through: number(1),
            through_seq: number(2),
            since: moment(number(3).cast_signed()),
            until: moment(number(4).cast_signed()),
        }
    };
    rest.is_empty().then(|| jobs.iter().map(job).collect())
}
