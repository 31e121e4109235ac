//! The one row of `meta`: what the spool as a whole knows.

use rusqlite::Connection;

use crate::covered::META;
use crate::store::get;

/// What the one row of `meta` says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meta {
    pub(crate) next: u64,
    pub(crate) total: u64,
    pub(crate) trimmed: u64,
    pub(crate) groups: u64,
    /// Below this every event is through or waits, and what becomes of its pictures is written.
    pub(crate) swept: u64,
    /// An earlier program wrote since `swept` was written: what pictures are for is to be found out anew.
    pub(crate) is_stale: bool,
    /// The scale of ages and the wall clock.
    pub(crate) clock: Option<(i64, i64)>,
}

impl Meta {
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT next, total, trimmed, groups, swept, swept_groups, age, wall FROM meta";
        conn.query_row(sql, [], |row| {
            let swept_groups: Option<i64> = row.get(5)?;
            let clock: (Option<i64>, Option<i64>) = (row.get(6)?, row.get(7)?);
            Ok(Self {
                swept: row.get::<_, Option<i64>>(4)?.unwrap_or(0).cast_unsigned(),
                is_stale: swept_groups != Some(row.get(3)?),
                clock: clock.0.zip(clock.1),
                next: get(row, 0)?,
                total: get(row, 1)?,
                trimmed: get(row, 2)?,
                groups: get(row, 3)?,
            })
        })
    }

    pub(crate) fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        // As long as it is stale, also the next start has to know that.
        let sql = "UPDATE meta SET next = ?1, total = ?2, trimmed = ?3, groups = ?4, row_crc = ?5, swept = ?6, \
                   swept_groups = iif(?7, NULL, ?4), age = ?8, wall = ?9";
        let [next, total, trimmed, groups] =
            [self.next, self.total, self.trimmed, self.groups].map(u64::cast_signed);
        let crc = META.crc([next, total, trimmed, groups], &[]);
        let (age, wall) = self.clock.unzip();
        let swept = self.swept.cast_signed();
        conn.prepare_cached(sql)?.execute((
            next,
            total,
            trimmed,
            groups,
            crc,
            swept,
            self.is_stale,
            age,
            wall,
        ))?;
        Ok(())
    }
}
