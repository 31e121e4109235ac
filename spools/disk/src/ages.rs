//! How long ago something was, on a scale that no one sets.
//!
//! The wall clock stamps what comes in, and may jump: a battery is empty, a time server is wrong. So nothing leaves by its
//! stamp alone. The scale here is the wall clock's time when the directory is new, and then counts the time that goes by,
//! in milliseconds. Each jump of the wall clock against it begins a stretch of the log whose stamps are read accordingly.
//!
//! While the gateway is down, nothing counts. A pause between two starts is believed as the wall clock tells it, up to
//! [`DOWN_MAX_MS`]; a longer one, or one that is negative, counts as none.

use std::sync::Mutex;
use std::time::Duration;

use faceway_core::Clock;
use rusqlite::Connection;

use crate::meta::Meta;
use crate::shared::lock;
use crate::store::get;
use crate::throttle::Throttle;

/// The wall clock may differ so much from the time that goes by before that counts as a jump.
const JUMP_MS: i64 = 120_000;
/// A gateway may have been off for so long.
pub(crate) const DOWN_MAX_MS: i64 = 31 * 86_400_000;
/// Stretches that are kept.
const STRETCHES_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    state: Mutex<State>,
    log: Throttle,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// The scale when the monotonic clock showed `since`.
    base: i64,
    since: Duration,
    /// In order; never empty once the spool is open.
    stretches: Vec<Stretch>,
    /// The database does not have them all.
    is_unsaved: bool,
}

/// What came in between two jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    /// Its first event, and its first unreadable body.
    seq: u64,
    number: u64,
    /// Where it begins on the scale.
    from: i64,
    /// How far the wall clock was ahead of the scale.
    ahead: i64,
}

const BEGINNING: Stretch = Stretch {
    seq: 0,
    number: 0,
    from: i64::MIN,
    ahead: 0,
};

impl Ages {
    /// Goes on from what the database says. `newest`: when the newest event came in, for a directory of an earlier program.
    pub(crate) fn begin(
        &self,
        conn: &Connection,
        meta: &Meta,
        newest: Option<i64>,
        clock: &dyn Clock,
    ) -> rusqlite::Result<()> {
        let (wall, mut stretches) = (clock.now().as_millis(), read(conn)?);
        if stretches.is_empty() {
            stretches.push(BEGINNING);
        }
        let (age, last) = match meta.clock {
            Some(stored) => stored,
            None => newest.map_or((wall, wall), |newest| (newest, newest)),
        };
        let pause = wall.saturating_sub(last);
        let believed = if (0..=DOWN_MAX_MS).contains(&pause) {
            pause
        } else {
            0
        };
        *lock(&self.state) = State {
            base: age.saturating_add(believed),
            since: clock.monotonic(),
            stretches,
            is_unsaved: false,
        };
        Ok(())
    }

    /// The scale now.
    pub(crate) fn now(&self, clock: &dyn Clock) -> i64 {
        lock(&self.state).now(clock)
    }

    /// Looks whether the wall clock has jumped. `seq`, `number`: what comes in next.
    pub(crate) fn look(
        &self,
        clock: &dyn Clock,
        seq: u64,
        number: impl FnOnce() -> rusqlite::Result<u64>,
    ) -> rusqlite::Result<()> {
        let mut state = lock(&self.state);
        let now = state.now(clock);
        let ahead = clock.now().as_millis().saturating_sub(now);
        let before = state.stretches.last().unwrap_or(&BEGINNING).ahead;
        let jump = ahead.saturating_sub(before);
        if jump.abs() <= JUMP_MS {
            return Ok(());
        }
        if state.stretches.len() >= STRETCHES_MAX {
            state.stretches.remove(0);
            state.stretches[0].from = i64::MIN;
        }
        let number = number()?;
        state.stretches.push(Stretch {
            seq,
            number,
            from: now,
            ahead,
        });
        state.is_unsaved = true;
        drop(state);
        if let Some(times) = self.log.note("clock") {
            tracing::warn!(
                seconds = jump / 1000,
                times,
                "the wall clock has jumped: history, pictures and quarantine do not leave by it, they go on to age by the \
                 time that goes by"
            );
        }
        Ok(())
    }

    /// A view of the stretches, for many questions.
    pub(crate) fn view(&self, clock: &dyn Clock) -> AgesView {
        let state = lock(&self.state).clone();
        AgesView {
            now: state.now(clock),
            stretches: state.stretches,
        }
    }

    /// Writes what the database does not have.
    pub(crate) fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        let state = lock(&self.state);
        if !state.is_unsaved {
            return Ok(());
        }
        conn.execute("DELETE FROM clock_jump", [])?;
        let sql = "INSERT OR REPLACE INTO clock_jump (place, seq, number, since, ahead) VALUES (?, ?, ?, ?, ?)";
        let mut insert = conn.prepare_cached(sql)?;
        for (place, stretch) in state.stretches.iter().enumerate() {
            insert.execute((
                place as i64,
                stretch.seq.cast_signed(),
                stretch.number.cast_signed(),
                stretch.from,
                stretch.ahead,
            ))?;
        }
        Ok(())
    }

    /// Whether a group has to be written for them.
    pub(crate) fn is_unsaved(&self) -> bool {
        lock(&self.state).is_unsaved
    }

    /// The group that had them is durable.
    pub(crate) fn saved(&self) {
        lock(&self.state).is_unsaved = false;
    }
}

impl State {
    fn now(&self, clock: &dyn Clock) -> i64 {
        let passed = clock.monotonic().saturating_sub(self.since);
        let passed = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        self.base.saturating_add(passed)
    }
}

/// The stretches at one moment.
#[derive(Clone, Debug)]
pub(crate) struct AgesView {
    pub(crate) now: i64,
    stretches: Vec<Stretch>,
}

impl AgesView {
    /// When an event came in, on the scale. `at`: its stamp.
    pub(crate) fn of_event(&self, seq: u64, at: i64) -> i64 {
        let next = self.stretches.partition_point(|stretch| stretch.seq <= seq);
        self.of(next, at)
    }

    /// The same of an unreadable body.
    pub(crate) fn of_unreadable(&self, number: u64, at: i64) -> i64 {
        let next = (self.stretches).partition_point(|stretch| stretch.number <= number);
        self.of(next, at)
    }

    fn of(&self, next: usize, at: i64) -> i64 {
        let stretch = next
            .checked_sub(1)
            .and_then(|last| self.stretches.get(last));
        let stretch = stretch.unwrap_or(&BEGINNING);
        let end = self.stretches.get(next).map_or(self.now, |next| next.from);
        // It came in before the next jump, whatever its stamp says, and after the one before.
        let at = at.saturating_sub(stretch.ahead).min(end);
        at.max(stretch.from)
    }
}

fn read(conn: &Connection) -> rusqlite::Result<Vec<Stretch>> {
    let mut select =
        conn.prepare("SELECT seq, number, since, ahead FROM clock_jump ORDER BY place")?;
    let rows = select.query_map([], |row| {
        Ok(Stretch {
            seq: get(row, 0)?,
            number: get(row, 1)?,
            from: row.get(2)?,
            ahead: row.get(3)?,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faceway_core::{Clock as _, Timestamp};
    use faceway_testkit::clock::TestClock;
    use rusqlite::Connection;

    use super::{Ages, DOWN_MAX_MS};
    use crate::meta::Meta;

    const DAY: i64 = 86_400_000;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("added.sql")).unwrap();
        conn
    }

    /// Ages that begin at 1000 seconds, and a clock that shows them.
    fn begun() -> (Ages, TestClock, Connection) {
        let (ages, conn) = (Ages::default(), database());
        let clock = TestClock::at(Timestamp::from_seconds(1000).unwrap());
        ages.begin(&conn, &Meta::default(), None, &clock).unwrap();
        (ages, clock, conn)
    }

    fn jump(clock: &TestClock, by: i64) {
        clock.jump(clock.now().plus_millis(by));
    }

    #[test]
    fn a_clock_that_is_set_ages_nothing() {
        for by in [3650 * DAY, -3650 * DAY, 300_000, -300_000] {
            let (ages, clock, _conn) = begun();
            clock.advance(Duration::from_secs(10));
            jump(&clock, by);
            ages.look(&clock, 7, || Ok(3)).unwrap();
            clock.advance(Duration::from_secs(5));
            assert_eq!(ages.now(&clock), 1_015_000, "{by}");
            let view = ages.view(&clock);
            assert_eq!(view.of_event(6, 1_009_000), 1_009_000, "before the jump");
            assert_eq!(view.of_event(7, 1_012_000 + by), 1_012_000, "after it");
            assert_eq!(view.of_unreadable(2, 1_009_000), 1_009_000);
            assert_eq!(view.of_unreadable(3, 1_012_000 + by), 1_012_000);
            // On their way when the clock was set.
            assert_eq!(view.of_event(6, 1_009_000 + by.abs()), 1_010_000);
            assert_eq!(
                view.of_event(7, 1_012_000),
                if by > 0 { 1_010_000 } else { 1_015_000 }
            );
        }
    }

    #[test]
    fn a_clock_that_is_put_right_is_no_jump() {
        let (ages, clock, _conn) = begun();
        jump(&clock, 90_000);
        ages.look(&clock, 7, || panic!("no jump")).unwrap();
        jump(&clock, -180_000);
        ages.look(&clock, 7, || panic!("no jump")).unwrap();
    }

    /// What is believed of a pause between two starts.
    #[test]
    fn a_pause_is_believed_up_to_a_month() {
        let (hour, start) = (3_600_000, 1_000_000);
        for (pause, believed) in [
            (hour, hour),
            (DOWN_MAX_MS, DOWN_MAX_MS),
            (DOWN_MAX_MS + 1, 0),
            (3650 * DAY, 0),
            (-hour, 0),
        ] {
            let (_, clock, conn) = begun();
            let meta = Meta {
                clock: Some((start, start)),
                ..Meta::default()
            };
            jump(&clock, pause);
            let ages = Ages::default();
            ages.begin(&conn, &meta, None, &clock).unwrap();
            ages.look(&clock, 9, || Ok(1)).unwrap();
            assert_eq!(ages.now(&clock), start + believed, "{pause}");
            assert_eq!(ages.view(&clock).of_event(8, start), start);
            assert_eq!(ages.is_unsaved(), believed == 0);
            // The newest event's time stands for what an earlier program did not write.
            let ages = Ages::default();
            ages.begin(&conn, &Meta::default(), Some(start), &clock)
                .unwrap();
            assert_eq!(ages.now(&clock), start + believed, "{pause}");
        }
    }

    #[test]
    fn jumps_outlive_a_restart() {
        let (ages, clock, conn) = begun();
        jump(&clock, 10 * DAY);
        ages.look(&clock, 7, || Ok(3)).unwrap();
        ages.save(&conn).unwrap();
        ages.saved();
        clock.advance(Duration::from_secs(60));
        let meta = Meta {
            clock: Some((ages.now(&clock), clock.now().as_millis())),
            ..Meta::default()
        };
        let again = Ages::default();
        again.begin(&conn, &meta, None, &clock).unwrap();
        again.look(&clock, 9, || panic!("it is known")).unwrap();
        assert_eq!(
            again.view(&clock).of_event(7, 1_030_000 + 10 * DAY),
            1_030_000
        );
    }
}
