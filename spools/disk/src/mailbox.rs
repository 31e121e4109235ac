//! The way to a thread: what is asked of it, in order, and a bell.
//!
//! Its locks are those of `crate::sync`: `spools/disk/tests/mailbox.rs` runs this file under a scheduler that tries their
//! orders.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex, MutexGuard};

/// What is asked.
pub(crate) trait Mail {
    /// So many events are taken together at most.
    const EVENTS_MAX: usize;
    /// And so many bytes.
    const BYTES_MAX: usize;

    /// How many events and bytes it is.
    fn weight(&self) -> (usize, usize);

    /// Whether it waits for company.
    fn can_wait(&self) -> bool;
}

/// How the writer is told to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    #[default]
    No,
    /// When everything that was asked is durable.
    Flush,
    /// At once.
    Now,
}

/// What the writer takes for one group.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) ops: Vec<T>,
    pub(crate) stop: Stop,
}

/// Commits of lanes wait so long for company when nothing else is to be written: each group costs a sync.
pub(crate) const LINGER: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    bell: Condvar,
}

#[derive(Debug)]
struct State<T> {
    ops: VecDeque<T>,
    waits_since: Option<Instant>,
    stop: Stop,
    asleep: bool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let state = State {
            ops: VecDeque::new(),
            waits_since: None,
            stop: Stop::No,
            asleep: false,
        };
        Self {
            state: Mutex::new(state),
            bell: Condvar::new(),
        }
    }
}

impl<T: Mail> State<T> {
    /// Whether something is to be written at once.
    fn is_urgent(&self) -> bool {
        self.ops.iter().any(|op| !op.can_wait())
    }
}

impl<T: Mail> Mailbox<T> {
    /// Asks something; gives it back when the writer has ended.
    pub(crate) fn push(&self, op: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.stop != Stop::No {
            return Err(op);
        }
        if op.can_wait() && state.waits_since.is_none() {
            state.waits_since = Some(Instant::now());
        }
        state.ops.push_back(op);
        self.ring(state);
        Ok(())
    }

    /// Ends the writer.
    pub(crate) fn stop(&self, stop: Stop) {
        let mut state = self.lock();
        if state.stop != Stop::Now {
            state.stop = stop;
        }
        self.ring(state);
    }

    /// Waits until there is something to do, at most `patience`, and takes one group's worth of it.
    pub(crate) fn take(&self, patience: Duration) -> Taken<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while !state.is_urgent() && state.stop == Stop::No {
            let until = state
                .waits_since
                .map_or(deadline, |at| (at + LINGER).min(deadline));
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.asleep = true;
            let woken = self.bell.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.asleep = false;
        }
        let ops = group(&mut state.ops);
        // A commit that found no place in this group has waited already.
        state.waits_since = (!state.ops.is_empty()).then(Instant::now);
        Taken {
            ops,
            stop: if state.ops.is_empty() || state.stop == Stop::Now {
                state.stop
            } else {
                Stop::No
            },
        }
    }

    /// Everything that was not taken, at the end.
    pub(crate) fn drain(&self) -> Vec<T> {
        let mut state = self.lock();
        state.stop = Stop::Now;
        state.ops.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The system is only called when the writer sleeps.
    fn ring(&self, state: MutexGuard<'_, State<T>>) {
        let asleep = state.asleep;
        drop(state);
        if asleep {
            self.bell.notify_one();
        }
    }
}

fn group<T: Mail>(ops: &mut VecDeque<T>) -> Vec<T> {
    let (mut count, mut bytes, mut taken) = (0, 0, 0);
    for op in ops.iter() {
        let (events, size) = op.weight();
        if taken > 0 && (count + events > T::EVENTS_MAX || bytes + size > T::BYTES_MAX) {
            break;
        }
        count += events;
        bytes += size;
        taken += 1;
    }
    ops.drain(..taken).collect()
}
