//! How long a good event waits while its destination answers and refuses others, and what a destination that refuses
//! whatever comes costs.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::time::Duration;

use faceway_core::{Code, DeviceKey, LaneState, Scope, Timestamp, Verdict};
use faceway_lane::{Acknowledged, Action, Delivery, Fate, Lane, Now, Offer, Policy, Stage, Tick};

const BACKOFF_MAX: u64 = 5 * 60_000;
/// What an answer takes.
const LATENCY: u64 = 50;

/// A lane and a destination that answers, over hours.
struct Site {
    lane: Lane,
    events: Vec<DeviceKey>,
    bad: BTreeSet<u64>,
    refuses_all: bool,
    says: fn() -> Verdict,
    millis: u64,
    attempts: usize,
    taken: Vec<u64>,
    buried: BTreeSet<u64>,
}

fn refused() -> Verdict {
    Verdict::Refused {
        code: Code::status(401),
    }
}

fn failed() -> Verdict {
    Verdict::Retry {
        scope: Scope::Message,
        code: Code::status(500),
        after: None,
    }
}

fn now(millis: u64) -> Now {
    Now {
        tick: Tick::after(Duration::from_millis(millis)),
        wall: Timestamp::from_millis(1_795_334_400_000 + millis as i64).unwrap(),
    }
}

impl Site {
    fn new(says: fn() -> Verdict) -> Self {
        Self {
            lane: Lane::load(Policy::default(), LaneState::default(), now(0)).0,
            events: Vec::new(),
            bad: BTreeSet::new(),
            refuses_all: false,
            says,
            millis: 0,
            attempts: 0,
            taken: Vec::new(),
            buried: BTreeSet::new(),
        }
    }

    /// A device sends events, of which the destination refuses the first ones.
    fn push(&mut self, device: u64, bad: usize, good: usize) {
        for at in 0..bad + good {
            self.events.push(DeviceKey(device));
            let seq = self.events.len() as u64;
            if at < bad {
                self.bad.insert(seq);
            }
            let offer = Offer {
                seq,
                device: DeviceKey(device),
            };
            self.lane.set_tail(seq);
            self.lane.offer(seq, &[offer], Vec::new());
        }
    }

    fn answer(&mut self, delivery: &Delivery) {
        self.attempts += 1;
        let seq = delivery.events[0].seq;
        let is_refused = self.refuses_all || self.bad.contains(&seq);
        if !is_refused {
            let device = self.events[seq as usize - 1];
            let mut before = self.taken.iter().filter(|taken| **taken > seq);
            assert!(
                before.all(|taken| self.events[*taken as usize - 1] != device),
                "{seq} comes behind a later one of its device"
            );
            self.taken.push(seq);
        }
        let verdict = if is_refused {
            (self.says)()
        } else {
            Verdict::Delivered {
                code: Code::status(200),
            }
        };
        let ended = Acknowledged {
            verdict,
            took: Duration::from_millis(LATENCY),
            sent: 1,
            ages: Vec::new(),
        };
        self.lane
            .acknowledge(delivery.number, ended, now(self.millis), 1.0);
    }

    fn commit(&mut self) -> bool {
        let change = self.lane.take_change();
        let fates = self.lane.take_fates();
        let buried = fates.iter().filter_map(|fate| match fate {
            Fate::Buried { seq, .. } => Some(*seq),
            _ => None,
        });
        self.buried.extend(buried);
        if change.is_some() {
            self.lane.committed(self.buried.len() as u64);
        }
        change.is_some()
    }

    /// Lets time go by, until this holds; gives how long that took.
    fn pass(&mut self, most: u64, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        let began = self.millis;
        let mut in_flight: Vec<(u64, Delivery)> = Vec::new();
        while self.millis - began <= most {
            if holds(self) {
                return Some(self.millis - began);
            }
            let action = self.lane.next(now(self.millis).tick, 1.0);
            if let Action::Deliver(delivery) = action {
                in_flight.push((self.millis + LATENCY, delivery));
                continue;
            }
            if let Some((at, delivery)) = (!in_flight.is_empty()).then(|| in_flight.remove(0)) {
                self.millis = at;
                self.answer(&delivery);
                continue;
            }
            if self.commit() {
                continue;
            }
            match action {
                Action::Wait(until) => {
                    let until = until.since(Tick::after(Duration::ZERO)).as_millis() as u64;
                    self.millis = until.max(self.millis + 1);
                }
                _ => return holds(self).then(|| self.millis - began),
            }
        }
        self.lane.give_up();
        None
    }
}

/// Measured before: five minutes for each refused event, and for ever from the sixty-fifth on.
#[test]
fn a_good_event_comes_past_refused_ones_of_other_devices_within_twice_the_longest_pause() {
    for says in [refused, failed] {
        for devices in [1, 2, 3, 10, 64, 65, 200, 500] {
            let mut site = Site::new(says);
            for device in 1..=devices {
                site.push(device, 1, 0);
            }
            site.push(1_000, 0, 1);
            let good = site.events.len() as u64;
            let waited = site.pass(2 * BACKOFF_MAX, |site| site.taken.contains(&good));
            assert!(
                waited.is_some(),
                "behind {devices} devices after {} attempts",
                site.attempts
            );
            assert!(site.attempts <= 2 * devices as usize + 16);
        }
    }
}

/// The destination refused whatever came, and is mended for all but a few, which are the first in line.
#[test]
fn refused_events_in_front_hold_up_no_device_when_the_destination_is_mended() {
    for bad in [1, 3, 8] {
        let mut site = Site::new(refused);
        site.refuses_all = true;
        for device in 1..=bad {
            site.push(device, 1, 0);
        }
        for device in 100..110 {
            site.push(device, 0, 3);
        }
        site.pass(4 * 3_600_000, |_| false);
        assert!(site.taken.is_empty() && site.buried.is_empty());
        site.refuses_all = false;
        let waited = site.pass(2 * BACKOFF_MAX, |site| site.taken.len() == 30);
        assert!(waited.is_some(), "{bad}: {:?}", site.taken);
        let good = site.buried.iter().find(|seq| !site.bad.contains(*seq));
        assert_eq!(good, None, "it is buried");
    }
}

/// Behind what is refused of its own device an event waits for sweeps, every five minutes, that go twice as far each time.
#[test]
fn a_good_event_comes_past_many_refused_ones_of_its_device_in_few_sweeps() {
    for (bad, sweeps) in [(3, 1), (7, 1), (15, 2), (40, 4), (60, 4)] {
        let mut site = Site::new(refused);
        site.push(1, bad, 3);
        let waited = site.pass(sweeps * 2 * BACKOFF_MAX, |site| site.taken.len() == 3);
        assert!(
            waited.is_some(),
            "behind {bad}, after {} attempts",
            site.attempts
        );
        site.pass(2 * BACKOFF_MAX, |site| site.buried.len() == bad);
        assert_eq!(site.buried.len(), bad, "{:?}", site.buried);
    }
}

/// A token that is exchanged over night.
#[test]
fn an_outage_that_refuses_whatever_comes_buries_nothing_and_asks_little() {
    for says in [refused, failed] {
        let mut site = Site::new(says);
        site.refuses_all = true;
        for _ in 0..20 {
            for device in 1..=100 {
                site.push(device, 0, 1);
            }
        }
        site.pass(12 * 3_600_000, |_| false);
        assert!(site.buried.is_empty());
        assert!(
            matches!(site.lane.view().stage, Stage::Waiting { .. }),
            "it waits"
        );
        assert!(site.attempts < 20_000, "{} attempts", site.attempts);
        site.refuses_all = false;
        let waited = site.pass(2 * BACKOFF_MAX, |site| site.taken.len() == 2_000);
        assert!(waited.is_some(), "{} came", site.taken.len());
        assert!(site.buried.is_empty(), "{:?}", site.buried);
    }
}
