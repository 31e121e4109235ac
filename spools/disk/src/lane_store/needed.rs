//! What lanes need of the log: trimming passes it, and an event leaves when the last lane lets go of it.

use std::collections::BTreeSet;

use faceway_core::waiting;
use rusqlite::Connection;

use super::{lane_row, waiting_rows};
use crate::events::table;
use crate::history::remove;
use crate::packs::hold::release;
use crate::store::{Trouble, get, unless_corrupt};

/// The events of a stretch of the log that a lane waits for.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    seqs: BTreeSet<u64>,
    /// Ranges of which a row is damaged: each of their events may be waited for.
    whole: BTreeSet<u64>,
    /// From here on a lane has not routed.
    unrouted_from: u64,
}

/// The lowest event that some lane, or one of its replay jobs, has yet to route; `None` when there are no lanes.
pub(crate) fn need_from(conn: &Connection) -> rusqlite::Result<Option<u64>> {
    let lanes = lane_row::all(conn)?;
    Ok(lanes.iter().map(lane_row::Found::need_from).min())
}

/// For each lane: the lowest event that it has yet to route.
pub(crate) fn needs(conn: &Connection) -> rusqlite::Result<Vec<(u32, u64)>> {
    let lanes = lane_row::all(conn)?;
    Ok(lanes
        .iter()
        .map(|lane| (lane.id(), lane.need_from()))
        .collect())
}

impl Needed {
    /// What lanes need of the events from `from` to before `end`.
    pub(crate) fn of(conn: &Connection, (from, end): (u64, u64)) -> rusqlite::Result<Self> {
        let mut needed = Self {
            unrouted_from: u64::MAX,
            ..Self::default()
        };
        let ranges = (
            waiting::range_of(from),
            waiting::range_of(end.saturating_sub(1)),
        );
        for lane in lane_row::all(conn)? {
            needed.unrouted_from = needed.unrouted_from.min(lane.unrouted_from());
            for row in waiting_rows::between(conn, lane.id(), ranges)? {
                match row.events {
                    Some(events) => needed.seqs.extend(events.iter().map(|(seq, _)| *seq)),
                    None => _ = needed.whole.insert(row.range),
                }
            }
        }
        Ok(needed)
    }

    /// Whether a lane needs this event.
    pub(crate) fn has(&self, seq: u64) -> bool {
        seq >= self.unrouted_from
            || self.seqs.contains(&seq)
            || self.whole.contains(&waiting::range_of(seq))
    }

    /// The parts of a stretch that no lane needs: each from its first event to before the second.
    pub(crate) fn gaps(&self, (from, end): (u64, u64)) -> Vec<(u64, u64)> {
        let end = end.min(self.unrouted_from);
        let seqs = self.seqs.iter().map(|seq| (*seq, seq.saturating_add(1)));
        let whole = self.whole.iter().map(|range| waiting_rows::bounds(*range));
        let mut kept: Vec<(u64, u64)> = seqs.chain(whole).collect();
        kept.sort_unstable();
        let (mut gaps, mut next) = (Vec::new(), from);
        for (first, behind) in kept {
            if next < first.min(end) {
                gaps.push((next, first.min(end)));
            }
            next = next.max(behind);
        }
        if next < end {
            gaps.push((next, end));
        }
        gaps
    }
}

/// Those of these events that no lane needs.
fn unneeded(conn: &Connection, seqs: impl IntoIterator<Item = u64>) -> rusqlite::Result<Vec<u64>> {
    let seqs: BTreeSet<u64> = seqs.into_iter().collect();
    let ranges: BTreeSet<u64> = seqs.iter().map(|seq| waiting::range_of(*seq)).collect();
    let mut unneeded = Vec::new();
    for range in ranges {
        let (first, behind) = waiting_rows::bounds(range);
        let needed = Needed::of(conn, (first, behind))?;
        let seqs = seqs.range(first..behind).copied();
        unneeded.extend(seqs.filter(|seq| !needed.has(*seq)));
    }
    Ok(unneeded)
}

/// A lane needs these events no longer: those below the trim mark leave the log, unless another lane needs them. Gives how many
/// left.
pub(crate) fn let_go(
    conn: &Connection,
    seqs: impl IntoIterator<Item = u64>,
    trimmed: u64,
) -> rusqlite::Result<usize> {
    let below = seqs.into_iter().filter(|seq| *seq < trimmed);
    let unneeded = unneeded(conn, below)?;
    for seq in &unneeded {
        unless_corrupt(conn, || remove(conn, (*seq, *seq + 1)))?;
    }
    Ok(unneeded.len())
}

/// The same of all events of a range.
pub(crate) fn let_go_of_range(conn: &Connection, range: u64, trimmed: u64) -> Result<(), Trouble> {
    let (first, behind) = waiting_rows::bounds(range);
    let seqs = table::numbers(conn, (first, behind.min(trimmed)), usize::MAX)?;
    let_go(conn, seqs, trimmed)?;
    Ok(())
}

/// What all lanes need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OfAllLanes {
    /// See [`need_from`].
    pub(crate) need_from: Option<u64>,
    /// Nothing below it waits in a lane, by its range; `None` when nothing waits.
    pub(crate) waits_from: Option<u64>,
}

/// Both at a time: the lanes' rows are read once.
pub(crate) fn of_all_lanes(conn: &Connection) -> rusqlite::Result<OfAllLanes> {
    let mut all = OfAllLanes::default();
    let mut select = conn.prepare_cached("SELECT min(range) FROM waiting WHERE lane = ?")?;
    for lane in lane_row::all(conn)? {
        all.need_from = all.need_from.into_iter().chain([lane.need_from()]).min();
        let range: Option<i64> = select.query_row([lane.id()], |row| row.get(0))?;
        let range = range.map(|range| waiting_rows::bounds(range.cast_unsigned()).0);
        all.waits_from = all.waits_from.into_iter().chain(range).min();
    }
    Ok(all)
}

/// Lanes let go of these events: their pictures are free from now on, unless another lane needs one. Gives how many events that
/// were.
pub(crate) fn release_pictures(
    conn: &Connection,
    seqs: impl IntoIterator<Item = u64>,
    swept: u64,
    age: i64,
) -> rusqlite::Result<usize> {
    let any = "SELECT EXISTS (SELECT 1 FROM picture_hold)";
    if !(conn.prepare_cached(any)?).query_row([], |row| row.get(0))? {
        return Ok(0);
    }
    // Of an event that the sweep has not come to there is nothing to release.
    let below = seqs.into_iter().filter(|seq| *seq < swept);
    let unneeded = unneeded(conn, below)?;
    for seq in &unneeded {
        unless_corrupt(conn, || release(conn, *seq, swept, age))?;
    }
    Ok(unneeded.len())
}

/// The same of all events of a range.
pub(crate) fn release_pictures_of_range(
    conn: &Connection,
    range: u64,
    swept: u64,
    age: i64,
) -> Result<(), Trouble> {
    let (first, behind) = waiting_rows::bounds(range);
    let sql = "SELECT DISTINCT seq FROM picture_hold WHERE seq >= ? AND seq < ?";
    let mut select = conn.prepare_cached(sql)?;
    let seqs = select.query_map((first.cast_signed(), behind.cast_signed()), |row| {
        get(row, 0)
    })?;
    let seqs: Vec<u64> = seqs.collect::<Result<_, _>>()?;
    release_pictures(conn, seqs, swept, age)?;
    Ok(())
}

/// All that waits in lanes below a sequence number, whole ranges where a row is damaged.
pub(crate) fn waiting_below(conn: &Connection, end: u64) -> rusqlite::Result<BTreeSet<u64>> {
    let mut seqs = BTreeSet::new();
    for lane in lane_row::all(conn)? {
        for row in waiting_rows::all(conn, lane.id())? {
            let (first, behind) = waiting_rows::bounds(row.range);
            match row.events {
                Some(events) => seqs.extend(events.iter().map(|(seq, _)| *seq)),
                None => seqs.extend(first..behind),
            }
        }
    }
    seqs.split_off(&end);
    Ok(seqs)
}

#[cfg(test)]
mod tests {
    use faceway_core::{DeviceKey, waiting};
    use rusqlite::Connection;

    use super::super::lane_row::LaneRow;
    use super::super::waiting_rows::{self, Kind};
    use super::{Needed, let_go};

    #[test]
    fn what_waits_in_a_lane_does_not_leave() {
        let conn = Connection::open_in_memory().unwrap();
        for tables in [
            include_str!("../schema.sql"),
            include_str!("../added.sql"),
            include_str!("tables.sql"),
        ] {
            conn.execute_batch(tables).unwrap();
        }
        crate::store::add_columns(&conn).unwrap();
        let insert = "INSERT INTO event VALUES (?, 0, x'', 0, NULL, 0, x'', NULL)";
        for seq in 1..=4 {
            conn.execute(insert, [seq]).unwrap();
        }
        let lane = LaneRow {
            id: 1,
            routed_through: 3,
            ..LaneRow::default()
        };
        lane.write(&conn).unwrap();
        let bytes = waiting::encode(0, &[(2, DeviceKey(1))]);
        waiting_rows::write(&conn, 1, 0, Kind::Waiting, Some(&bytes)).unwrap();
        assert_eq!(let_go(&conn, 1..=4, 5).unwrap(), 2);
        let mut select = conn.prepare("SELECT seq FROM event").unwrap();
        let left = select.query_map([], |row| row.get(0)).unwrap();
        let left: Vec<i64> = left.collect::<Result<_, _>>().unwrap();
        assert_eq!(left, [2, 4], "2 waits, 4 is not routed");
    }

    #[test]
    fn gaps_spare_what_a_lane_needs() {
        let needed = Needed {
            seqs: [3, 4, 9].into(),
            whole: [1].into(),
            unrouted_from: 5000,
        };
        assert_eq!(needed.gaps((1, 12)), [(1, 3), (5, 9), (10, 12)]);
        assert_eq!(needed.gaps((3, 5)), []);
        assert_eq!(needed.gaps((1000, 3000)), [(1000, 1024), (2048, 3000)]);
        assert_eq!(needed.gaps((4990, 6000)), [(4990, 5000)]);
        assert!(needed.has(5000) && needed.has(1500) && !needed.has(1000));
    }
}
