//! How a segment leaves: as a whole, the oldest first. What a lane still needs of it is copied into the table before.

use std::time::Duration;

use faceway_segments::SegmentInfo;
use rusqlite::Connection;

use super::table;
use crate::group::Group;
use crate::history::remove;
use crate::lane_store::needed::Needed;
use crate::settings::GROUP_BYTES_MAX;
use crate::store::{Trouble, is_corrupt, unless_corrupt};
use crate::writer::Writer;

/// Events that are copied in one group at most.
const MOVED_MAX: usize = 1024;

/// A segment takes events for so long at least, unless it is full.
pub(crate) const AGE_MIN: Duration = Duration::from_secs(60);

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The oldest segment stays.
    Nothing,
    /// Something was done towards its leaving, or it leaves with this group.
    Something,
}

impl Writer {
    /// Lets the oldest segment leave when all lanes have passed it and `is_old` holds for its newest event, by number and
    /// time. A segment of which lanes need most stays: copying it would cost more than it gives. When room `is_short`, it
    /// leaves also then, unless lanes need nearly all of it.
    pub(crate) fn let_segment_leave(
        &mut self,
        conn: &Connection,
        group: &mut Group,
        is_short: bool,
        is_old: impl Fn(u64, i64) -> bool,
    ) -> Result<Left, Trouble> {
        let is_done = group.keeps_all || group.leaves.is_some() || group.has_moved;
        if is_done {
            return Ok(Left::Nothing);
        }
        let Some(oldest) = self.oldest_segment(group.meta.swept, is_short, &is_old) else {
            return Ok(Left::Nothing);
        };
        let behind = oldest.last_seq + 1;
        let first = if oldest.events > 0 {
            oldest.first_seq
        } else {
            behind
        };
        let is_past = oldest
            .times
            .is_none_or(|(_, high)| is_old(oldest.last_seq, high));
        if behind > group.meta.swept || !is_past || has_rows(conn, (group.meta.trimmed, first))? {
            return Ok(Left::Nothing);
        }
        let needed = Needed::of(conn, (first, behind))?;
        let gaps = needed.gaps((first, behind));
        let free: u64 = gaps.iter().map(|(from, end)| end - from).sum();
        let (all, kept) = (behind - first, behind - first - free);
        if kept * 10 > all * 9 || (kept * 4 > all * 3 && !is_short) {
            return Ok(Left::Nothing);
        }
        group.dirty = true;
        group.more = true;
        if !self.copy_needed(conn, group, (first, behind), &gaps)? {
            return Ok(Left::Something);
        }
        for gap in gaps {
            unless_corrupt(conn, || remove(conn, gap))?;
        }
        group.meta.trimmed = group.meta.trimmed.max(behind);
        group.leaves = Some(behind);
        self.budget.segment_leaves(oldest.file_bytes);
        Ok(Left::Something)
    }

    /// The oldest segment that can leave. The one that is written to is closed when it is the only one and all of it may leave.
    fn oldest_segment(
        &mut self,
        swept: u64,
        is_short: bool,
        is_old: impl Fn(u64, i64) -> bool,
    ) -> Option<SegmentInfo> {
        let writer = &mut self.segments.writer;
        if let Some(oldest) = writer.oldest() {
            return Some(oldest);
        }
        // On a full disk the files beside the oldest segment could not be written, and now there may be room.
        self.segments.seal_now();
        let writer = &mut self.segments.writer;
        if let Some(oldest) = writer.oldest() {
            return Some(oldest);
        }
        let (active, first) = (writer.active()?, writer.reader().first());
        let is_past = active
            .times
            .is_some_and(|(_, high)| is_old(active.last_seq, high));
        let is_passed = active.first_seq == first && active.last_seq < swept && is_past;
        // Closing one that is hardly used gives no room, as the next one takes as much.
        let is_worth_it = !is_short || writer.left() < active.file_bytes / 2;
        if is_passed && is_worth_it && writer.rotate() {
            self.segments.seal_now();
        }
        self.segments.writer.oldest()
    }

    /// A segment takes events for a part of the history only: else what comes in rarely would stay much longer.
    /// Where lanes have passed nothing of it, it could not leave anyhow.
    pub(crate) fn look_at_age_of_segment(&mut self, swept: u64, is_old: impl Fn(u64, i64) -> bool) {
        let active = self.segments.writer.active();
        let active = active.filter(|active| active.first_seq < swept);
        let times = active.and_then(|active| Some((active.first_seq, active.times?.0)));
        self.segments.rotates = times.is_some_and(|(seq, low)| is_old(seq, low));
    }

    /// Copies what is not in the gaps. `false` when there is more than a group may copy.
    fn copy_needed(
        &self,
        conn: &Connection,
        group: &mut Group,
        (first, behind): (u64, u64),
        gaps: &[(u64, u64)],
    ) -> Result<bool, Trouble> {
        let there = table::numbers(conn, (first, behind), usize::MAX)?;
        let (mut copied, mut bytes) = (0, 0);
        let mut from = first;
        for (end, next) in gaps.iter().copied().chain([(behind, behind)]) {
            for seq in (from..end).filter(|seq| there.binary_search(seq).is_err()) {
                if copied >= MOVED_MAX || bytes >= GROUP_BYTES_MAX {
                    return Ok(false);
                }
                let columns = self.shared.events.columns(conn, seq)?;
                let Some(columns) = columns else {
                    self.shared.readers.note_damage(seq);
                    continue;
                };
                bytes += table::bytes(&columns);
                copied += 1;
                group.has_moved = true;
                table::insert(conn, seq, columns)?;
            }
            from = next;
        }
        Ok(true)
    }

    /// What was copied is durable, so that segments may leave.
    pub(crate) fn let_segments_leave(&mut self, group: &mut Group) {
        let Some(behind) = group.leaves.take() else {
            return;
        };
        match self.segments.writer.trim(behind) {
            Ok(names) => {
                self.segments.keeper.remove(names);
                let oldest = self.segments.writer.reader().segments();
                let oldest = oldest.first().map_or(u64::MAX, |segment| segment.number);
                self.shared.gauge.oldest_is(oldest);
            }
            Err(error) => {
                self.shared.gauge.failed();
                if let Some(times) = self.shared.gauge.throttle.note("segment leaves") {
                    tracing::warn!(%error, times, "a segment of the log cannot leave; it is tried again");
                }
            }
        }
    }
}

/// Whether the table has events that leave before the segment.
fn has_rows(conn: &Connection, (from, end): (u64, u64)) -> Result<bool, Trouble> {
    match table::first_from(conn, from) {
        Ok(first) => Ok(first.is_some_and(|(seq, _)| seq < end)),
        // What is on a broken page stays there.
        Err(error) if is_corrupt(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
