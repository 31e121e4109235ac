//! What a seed decides.

use std::time::Duration;

use faceway_testkit::memory::MemoryLimits;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::picture::PICTURES;
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
    /// Appends fail for a while; some arrive all the same.
    FailAppends(u32),
    /// The disk is full, or has room again.
    Full(bool),
    /// Something comes that cannot be read.
    Unreadable(usize),
    /// Time goes by: so much of the log, in hundredths, is old enough to leave.
    AgeEvents(u64),
    /// Pictures of what is delivered, and what lies in quarantine, are old enough to leave.
    AgePictures,
    /// The next probe is asked for.
    Probe(usize),
    /// All that came in is handed out once more.
    Replay(usize),
    /// Everything that is buried lives again.
    Revive(usize),
    /// Another reading of the rules becomes active.
    Rules(bool),
    /// An outbound is taken out of the rules.
    Retire(usize),
    /// It is in the rules again.
    Return(usize),
    /// The lane of an outbound that is out of the rules is dropped.
    Drop(usize),
    /// Another gateway claims the lanes.
    TakeOver(Before),
    /// The gateway is frozen.
    Freeze,
    /// Every gateway that is frozen goes on.
    Thaw,
}

/// What the gateway does whose lanes another one claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Works,
    IsFrozen,
    Stops,
}

/// One event that a device sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push {
    /// Its number; one that was used before is a resend.
    pub(crate) number: u64,
    pub(crate) device: u64,
    pub(crate) is_alarm: bool,
    pub(crate) nature: Nature,
    /// Its pictures; several events may have the same.
    pub(crate) pictures: [Option<u8>; 2],
}

/// Receivers of a world.
pub(crate) const RECEIVERS: usize = 2;
/// Fewer devices than are tried within twice the `backoff_max` of the plans.
const REFUSED_DEVICES_MAX: u64 = 40;
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
    /// For what was added later: the stories of the seeds stay as they are.
    more: SmallRng,
    next: u64,
    devices: u64,
    /// Whether receivers may refuse whatever comes, which may cost the burial of a good event.
    pub(crate) is_harsh: bool,
    /// How much the spool takes.
    pub(crate) limits: MemoryLimits,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let devices = rng.random_range(1..8);
        let is_harsh = rng.random_bool(0.4);
        let limits = if rng.random_bool(0.5) {
            let bytes_max = rng.random_range(20_000..200_000);
            MemoryLimits {
                bytes_max,
                quarantine_bytes_max: bytes_max / 8,
            }
        } else {
            MemoryLimits::default()
        };
        Self {
            rng,
            more: SmallRng::seed_from_u64(seed ^ 0x5eed),
            next: 1,
            devices,
            is_harsh,
            limits,
        }
    }

    pub(crate) fn steps(&mut self) -> Vec<Step> {
        let count = self.rng.random_range(3..30);
        (0..count).map(|_| self.step()).collect()
    }

    fn step(&mut self) -> Step {
        let receiver = self.rng.random_range(0..RECEIVERS);
        match self.rng.random_range(0..54) {
            0..18 => Step::Push(self.pushes()),
            18..30 => Step::Pass(self.pause()),
            30..36 => Step::Mood(receiver, self.mood()),
            36 => Step::Latency(receiver, self.latency()),
            37 => Step::Jump(JUMPS[self.rng.random_range(0..JUMPS.len())]),
            38 => Step::FailCommits(self.rng.random_range(1..6)),
            39 => Step::FailAppends(self.rng.random_range(1..6)),
            40 => Step::Full(self.rng.random_bool(0.5)),
            41 => Step::Unreadable(self.rng.random_range(1..6_000)),
            42 => Step::AgeEvents(self.rng.random_range(1..=100)),
            43 => Step::AgePictures,
            44 => Step::Probe(receiver),
            45 => Step::Replay(receiver),
            46 => Step::Revive(receiver),
            47 => Step::Rules(self.rng.random_bool(0.5)),
            48 => Step::Retire(receiver),
            49 => Step::Return(receiver),
            50 => Step::Drop(receiver),
            51 => Step::TakeOver(self.before()),
            52 => Step::Freeze,
            _ => Step::Thaw,
        }
    }

    fn before(&mut self) -> Before {
        match self.rng.random_range(0..3) {
            0 => Before::Works,
            1 => Before::IsFrozen,
            _ => Before::Stops,
        }
    }

    fn latency(&mut self) -> Duration {
        let millis = self.rng.random_range(0..500);
        // Now and then none at all.
        Duration::from_millis(if millis < 150 { 0 } else { millis })
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
        let mut pushes: Vec<Push> = (0..count).map(|_| self.push(flood)).collect();
        if self.more.random_bool(0.06) {
            pushes.extend(self.refused_devices());
        }
        pushes
    }

    /// One event of each of many devices, of which the receiver takes none, and behind them one that it takes.
    fn refused_devices(&mut self) -> Vec<Push> {
        let (count, nature) = if self.more.random_bool(0.7) {
            let count = self.more.random_range(2..REFUSED_DEVICES_MAX);
            (count, Nature::Refused)
        } else {
            // What fails and has tries left is counted in a sweep, one event each time: where the log is full of such events
            // of many devices, and none gets through, that takes hours.
            (self.more.random_range(2..6), Nature::Fails)
        };
        let bad = (0..count).map(|at| (2_000 + at, nature));
        let events: Vec<(u64, Nature)> = bad.chain([(3_000, Nature::Good)]).collect();
        let push = |(device, nature)| {
            self.next += 1;
            Push {
                number: self.next - 1,
                device,
                is_alarm: true,
                nature,
                pictures: [None; 2],
            }
        };
        events.into_iter().map(push).collect()
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
            pictures: self.pictures(),
        }
    }

    fn pictures(&mut self) -> [Option<u8>; 2] {
        let count = self.rng.random_range(0..4);
        let mut picture = |wants: usize| {
            let picture = self.rng.random_range(0..PICTURES);
            (count > wants).then_some(picture)
        };
        [picture(1), picture(2)]
    }

    /// A good event of another device: a site goes on, and without it nothing tells a bad event from a receiver that is down.
    pub(crate) fn guest(&mut self) -> Push {
        self.next += 1;
        Push {
            number: self.next - 1,
            device: 1000 + self.next % 4,
            is_alarm: true,
            nature: Nature::Good,
            pictures: [None; 2],
        }
    }
}
