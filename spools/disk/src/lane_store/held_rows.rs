//! The rows of waiting events of which more is known: failures, a pause, a suspension.

use std::time::Duration;

use faceway_core::{Code, HeldEvent, Hold, Parked};
use rusqlite::{Connection, Row};

use crate::row::{fields_crc, moment};
use crate::store::{Trouble, get};

/// A hold as the columns keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Columns {
    failures: u32,
    hold: i64,
    /// Nanoseconds.
    pause: i64,
    set_at: i64,
    code: String,
}

impl Columns {
    fn of(held: &HeldEvent) -> Self {
        let mut columns = Self {
            failures: held.failures,
            hold: 0,
            pause: 0,
            set_at: 0,
            code: String::new(),
        };
        match &held.hold {
            None => {}
            Some(Hold::Parked { pause, set_at, why }) => {
                columns.hold = match why {
                    Parked::Alone => 1,
                    Parked::Probe => 2,
                };
                columns.pause = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
                columns.set_at = set_at.as_millis();
            }
            Some(Hold::Suspended { code }) => {
                columns.hold = 3;
                columns.code = code.as_str().to_owned();
            }
        }
        columns
    }

    fn event(self) -> HeldEvent {
        let parked = |why| Hold::Parked {
            pause: Duration::from_nanos(self.pause.unsigned_abs()),
            set_at: moment(self.set_at),
            why,
        };
        let hold = match self.hold {
            1 => Some(parked(Parked::Alone)),
            2 => Some(parked(Parked::Probe)),
            3 => Some(Hold::Suspended {
                code: Code::stored(self.code),
            }),
            _ => None,
        };
        HeldEvent {
            failures: self.failures,
            hold,
        }
    }

    fn crc(&self, lane: u32, seq: u64) -> i64 {
        let signed = [self.hold, self.pause, self.set_at].map(i64::to_le_bytes);
        let numbers = [lane.into(), seq, self.failures.into()].map(u64::to_le_bytes);
        i64::from(fields_crc(&[
            numbers.as_flattened(),
            signed.as_flattened(),
            self.code.as_bytes(),
        ]))
    }
}

/// All of a lane, ascending; `None` where a row is damaged.
pub(crate) fn all(conn: &Connection, lane: u32) -> rusqlite::Result<Vec<(u64, Option<HeldEvent>)>> {
    let sql = "SELECT seq, failures, hold, pause, set_at, code, crc FROM held_event WHERE lane = ? ORDER BY seq";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map([lane], |row| {
        let seq = get(row, 0)?;
        Ok((seq, read(row, lane, seq)))
    })?;
    rows.collect()
}

/// Writes a row in place of the one before, or removes it.
pub(crate) fn write(
    conn: &Connection,
    lane: u32,
    seq: u64,
    held: Option<&HeldEvent>,
) -> Result<(), Trouble> {
    let Some(held) = held else {
        let sql = "DELETE FROM held_event WHERE lane = ? AND seq = ?";
        conn.prepare_cached(sql)?
            .execute((lane, seq.cast_signed()))?;
        return Ok(());
    };
    let columns = Columns::of(held);
    let sql = "INSERT OR REPLACE INTO held_event (lane, seq, failures, hold, pause, set_at, code, crc) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    conn.prepare_cached(sql)?.execute((
        lane,
        seq.cast_signed(),
        columns.failures,
        columns.hold,
        columns.pause,
        columns.set_at,
        &columns.code,
        columns.crc(lane, seq),
    ))?;
    Ok(())
}

/// A field of another type is damage too.
fn read(row: &Row<'_>, lane: u32, seq: u64) -> Option<HeldEvent> {
    let columns = Columns {
        failures: row.get(1).ok()?,
        hold: row.get(2).ok()?,
        pause: row.get(3).ok()?,
        set_at: row.get(4).ok()?,
        code: row.get(5).ok()?,
    };
    (columns.crc(lane, seq) == row.get::<_, i64>(6).ok()?).then(|| columns.event())
}
