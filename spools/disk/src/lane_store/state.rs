//! A lane as it is kept, read from its rows; what is damaged is given on the safe side: twice rather than never.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use faceway_core::{DeviceKey, LaneState, waiting};
use rusqlite::Connection;

use super::lane_row::LaneRow;
use super::waiting_rows::{Kind, WaitingRow, bounds};
use super::{held_rows, waiting_rows};
use crate::buried;
use crate::events::Events;
use crate::once;

/// A lane, and what of its rows is damaged.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) state: LaneState,
    /// Ranges of which a row is damaged: their events are undecided.
    pub(crate) ranges: Vec<u64>,
    /// Events of which what was known is lost.
    pub(crate) held: Vec<u64>,
}

/// Reads a lane.
pub(crate) fn load(conn: &Connection, events: &Events, lane: &LaneRow) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let rows = waiting_rows::all(conn, lane.id)?;
    let damaged = rows.iter().filter(|row| row.events.is_none());
    let damaged: BTreeSet<u64> = damaged.map(|row| row.range).collect();
    let mut undecided = events_of(&rows, Kind::Undecided);
    let waiting: BTreeSet<u64> = events_of(&rows, Kind::Waiting);
    for range in &damaged {
        undecided.extend(candidates(conn, events, lane, *range)?);
    }
    undecided.retain(|seq| !waiting.contains(seq));
    for (seq, held) in held_rows::all(conn, lane.id)? {
        match held {
            Some(held) => loaded.state.held.push((seq, held)),
            None => loaded.held.push(seq),
        }
    }
    loaded.ranges = damaged.into_iter().collect();
    loaded.state.routed_through = lane.routed_through;
    loaded.state.waiting = waiting_of(rows);
    loaded.state.undecided = undecided.into_iter().collect();
    loaded.state.replays.clone_from(&lane.replays);
    loaded.state.passed = once::read(conn, lane.id)?;
    loaded.state.buried = lane.buried;
    Ok(loaded)
}

fn events_of(rows: &[WaitingRow], kind: Kind) -> BTreeSet<u64> {
    let rows = rows.iter().filter(|row| row.kind == kind);
    let events = rows.filter_map(|row| row.events.as_ref()).flatten();
    events.map(|(seq, _)| *seq).collect()
}

/// Sound rows, as they are.
fn waiting_of(rows: Vec<WaitingRow>) -> Vec<(u64, Bytes)> {
    let mut ranges: BTreeMap<u64, (Bytes, Vec<(u64, DeviceKey)>)> = BTreeMap::new();
    for row in rows {
        let Some(events) = row.events.filter(|_| row.kind == Kind::Waiting) else {
            continue;
        };
        match ranges.get_mut(&row.range) {
            None => _ = ranges.insert(row.range, (row.bytes, events)),
            // A damaged index may let a row be written beside the one before: what waits in either waits.
            Some((bytes, known)) => {
                known.extend(events);
                known.sort_unstable_by_key(|(seq, _)| *seq);
                known.dedup_by_key(|(seq, _)| *seq);
                *bytes = waiting::encode(row.range, known);
            }
        }
    }
    let row = |(range, (bytes, _))| (range, bytes);
    ranges.into_iter().map(row).collect()
}

/// Events of a range that may wait: all that are there, the lane has routed, and are not buried.
fn candidates(
    conn: &Connection,
    events: &Events,
    lane: &LaneRow,
    range: u64,
) -> rusqlite::Result<Vec<u64>> {
    let (first, behind) = bounds(range);
    let end = behind.min(lane.routed_through.saturating_add(1));
    let mut seqs = events.numbers(conn, (first, end))?;
    let buried = buried::numbers(conn, lane.id, (first, end))?;
    seqs.retain(|seq| !buried.contains(seq));
    Ok(seqs)
}
