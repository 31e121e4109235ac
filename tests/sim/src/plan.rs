//! What a seed decides.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::receiver::{Mood, Nature};

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Devices send events, some of which were sent before.
    Push(Vec<Push>),
    /// Time passes.
    Pass(Duration),
    /// A receiver changes.
    Mood(usize, Mood),
    /// A receiver answers faster or slower.
    Latency(usize, Duration),
    /// The clock on the wall is set.
    Jump(i64),
    /// Commits of lanes fail for a while.
    FailCommits(u32),
    /// The spool is full, or has room again.
    Full(bool),
    /// The next probe is asked for.
    Probe(usize),
    /// All that came in is handed out once more.
    Replay(usize),
    /// Everything that is buried lives again.
    Revive(usize),
    /// Another reading of the rules becomes active.
    Rules(bool),
}

/// One event that a device sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push {
    /// Its number; one that was used before is a resend.
    pub(crate) number: u64,
    pub(crate) device: u64,
    pub(crate) is_alarm: bool,
    pub(crate) nature: Nature,
}

/// Receivers of a world.
pub(crate) const RECEIVERS: usize = 2;
/// An hour, a day, thirty years.
const JUMPS: [i64; 6] = [
    3_600_000,
    -3_600_000,
    86_400_000,
    -86_400_000,
    946_080_000_000,
    -946_080_000_000,
];

/// Chance by a seed.
pub(crate) struct Plan {
    pub(crate) rng: SmallRng,
    next: u64,
    devices: u64,
    /// Whether receivers may refuse whatever comes, which may cost the burial of a good event.
    pub(crate) is_harsh: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let devices = rng.random_range(1..8);
        let is_harsh = rng.random_bool(0.4);
        Self {
            rng,
            next: 1,
            devices,
            is_harsh,
        }
    }

    pub(crate) fn steps(&mut self) -> Vec<Step> {
        let count = self.rng.random_range(3..30);
        (0..count).map(|_| self.step()).collect()
    }

    fn step(&mut self) -> Step {
        let receiver = self.rng.random_range(0..RECEIVERS);
        match self.rng.random_range(0..40) {
            0..16 => Step::Push(self.pushes()),
            16..26 => Step::Pass(self.pause()),
            26..32 => Step::Mood(receiver, self.mood()),
            32 => Step::Latency(
                receiver,
                Duration::from_millis(self.rng.random_range(0..500)),
            ),
            33 => Step::Jump(JUMPS[self.rng.random_range(0..JUMPS.len())]),
            34 => Step::FailCommits(self.rng.random_range(1..6)),
            35 => Step::Full(self.rng.random_bool(0.5)),
            36 => Step::Probe(receiver),
            37 => Step::Replay(receiver),
            38 => Step::Revive(receiver),
            _ => Step::Rules(self.rng.random_bool(0.5)),
        }
    }

    fn pause(&mut self) -> Duration {
        let millis = match self.rng.random_range(0..4) {
            0 => self.rng.random_range(0..10),
            1 => self.rng.random_range(0..1_000),
            2 => self.rng.random_range(0..30_000),
            _ => self.rng.random_range(0..600_000),
        };
        Duration::from_millis(millis)
    }

    fn mood(&mut self) -> Mood {
        let most = if self.is_harsh { 8 } else { 6 };
        match self.rng.random_range(0..most) {
            0..3 => Mood::Well,
            3 => Mood::Down,
            4 => Mood::Busy,
            5 => Mood::Hangs,
            6 => Mood::RefusesAll,
            _ => Mood::FailsAll,
        }
    }

    fn pushes(&mut self) -> Vec<Push> {
        // Now and then one device floods.
        let (count, flood) = match self.rng.random_range(0..12) {
            0 => (
                self.rng.random_range(50..200),
                Some(self.rng.random_range(0..self.devices)),
            ),
            _ => (self.rng.random_range(1..8), None),
        };
        (0..count).map(|_| self.push(flood)).collect()
    }

    fn push(&mut self, flood: Option<u64>) -> Push {
        let is_resend = self.next > 1 && self.rng.random_bool(0.1);
        let number = if is_resend {
            self.rng.random_range(1..self.next)
        } else {
            self.next += 1;
            self.next - 1
        };
        let device = flood.unwrap_or_else(|| self.rng.random_range(0..self.devices));
        let nature = match self.rng.random_range(0..30) {
            0 => Nature::Fails,
            1 => Nature::Incurable,
            2 => Nature::Refused,
            _ => Nature::Good,
        };
        Push {
            number,
            device,
            is_alarm: self.rng.random_bool(0.5),
            nature,
        }
    }

    /// A good event of another device: a site goes on, and without it nothing tells a bad event from a receiver that is down.
    pub(crate) fn guest(&mut self) -> Push {
        self.next += 1;
        Push {
            number: self.next - 1,
            device: 1000 + self.next % 4,
            is_alarm: true,
            nature: Nature::Good,
        }
    }
}
