//! What becomes of the events of a message that has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use faceway_core::{
    Attempt, AttemptResult, Burial, Code, DeviceKey, HeldEvent, Hold, Parked, Verdict,
};

use super::{Flight, Lane, Now};
use crate::breaker::{Company, Outage, Ruling, Suspended};
use crate::{Queued, Settled};

/// A message that has ended.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// What the destination said.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
    /// So many events, from the first, were in the message; the others stay untried.
    pub sent: usize,
    /// How long ago the gateway got each event, in the order of the delivery. What is missing counts as new.
    pub ages: Vec<Duration>,
}

/// What the gateway counts and says in its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// An attempt, once its meaning is known.
    Attempt {
        /// Which event.
        seq: u64,
        /// What came of it.
        result: AttemptResult,
        /// The protocol's word.
        code: Code,
        /// How long it took.
        took: Duration,
    },
    /// The event is given up.
    Buried {
        /// Which event.
        seq: u64,
        /// Why.
        code: Code,
    },
    /// The connection ends whenever this event is sent.
    Blamed {
        /// Which event.
        seq: u64,
        /// What the last attempt said.
        code: Code,
    },
    /// The destination is down: the lane waits.
    OutageBegan {
        /// What the last attempt said.
        code: Code,
        /// It answers, and takes none of the events.
        refuses: bool,
    },
    /// The destination is back.
    OutageEnded,
}

impl Lane {
    /// Says what became of a delivery. `chance` is from 0 to 1 and spreads the pauses.
    pub fn acknowledge(&mut self, number: u64, ended: Acknowledged, now: Now, chance: f64) {
        let Some(mut flights) = self.flights.remove(&number) else {
            return;
        };
        for (flight, age) in flights.iter_mut().zip(&ended.ages) {
            flight.event.age = *age;
        }
        let (sent, unsent) = flights.split_at(ended.sent.min(flights.len()));
        for flight in unsent {
            self.put_back(flight);
        }
        self.breaker.stayed(&events_of(unsent));
        // Looked at only where it matters, as nearly all verdicts are confirmations.
        let company = match ended.verdict {
            Verdict::Delivered { .. } => Company::Nothing,
            _ => self.company(&flights),
        };
        let code = ended.verdict.code().clone();
        let events = events_of(sent);
        let ruling = self
            .breaker
            .rule(&events, ended.verdict, company, now.tick, chance);
        self.note_attempts(&events, &ruling, &code, ended.took, now);
        self.note_batch(&events, &ruling);
        for flight in sent {
            self.settle(flight, &ruling.settled, now);
        }
        self.follow(&events, ruling, &code, now);
        // After its events are in their places: a device that may leave before would leave out of order.
        let devices: BTreeSet<DeviceKey> =
            flights.iter().map(|flight| flight.event.device).collect();
        for device in devices {
            self.queues.ended(device);
        }
    }

    /// A delivery could not be sent: it comes again, and nothing is counted.
    pub fn unsend(&mut self, number: u64) {
        if let Some(flights) = self.flights.remove(&number) {
            self.breaker.stayed(&events_of(&flights));
            flights.iter().for_each(|flight| self.put_back(flight));
            let devices = flights.iter().map(|flight| flight.event.device);
            devices.for_each(|device| self.queues.ended(device));
        }
    }

    /// Gives up what is in flight: it comes again, and nothing is counted.
    pub fn give_up(&mut self) {
        let mut numbers: Vec<u64> = self.flights.keys().copied().collect();
        numbers.sort_unstable();
        numbers.into_iter().for_each(|number| self.unsend(number));
    }

    fn put_back(&mut self, flight: &Flight) {
        let Queued { seq, device, .. } = flight.event;
        if flight.class == super::Class::Replayed {
            self.replayed.insert(seq);
        }
        self.queues.insert(seq, device, flight.class);
    }

    /// Remembers attempts for the events' traces. Those of suspended events count when it is known what came of them.
    fn note_attempts(
        &mut self,
        events: &[Queued],
        ruling: &Ruling,
        code: &Code,
        took: Duration,
        now: Now,
    ) {
        for event in events {
            let attempt = Attempt {
                at: now.wall,
                took,
                result: ruling.result,
                code: code.clone(),
            };
            self.keep.attempt(event.seq, attempt);
            if matches!(ruling.settled, Settled::Suspend { .. }) {
                self.suspended.insert(event.seq, took);
            } else {
                self.keep.fates.push(Fate::Attempt {
                    seq: event.seq,
                    result: ruling.result,
                    code: code.clone(),
                    took,
                });
            }
        }
    }

    /// Remembers which events go alone.
    fn note_batch(&mut self, events: &[Queued], ruling: &Ruling) {
        let split = &mut self.batching.split;
        if ruling.split {
            split.refused(events);
        } else if ruling.settled != Settled::Release {
            events.iter().for_each(|event| split.settled(event.seq));
        } else if events.len() > 1 {
            split.unanswered(events);
        }
    }

    fn settle(&mut self, flight: &Flight, settled: &Settled, now: Now) {
        let Queued {
            seq,
            device,
            failures,
            ..
        } = flight.event;
        match settled {
            Settled::Done => {
                self.ranges.remove(seq);
                self.set_held(seq, None);
            }
            Settled::Park { until, why } => {
                let hold = Hold::Parked {
                    pause: until.since(now.tick),
                    set_at: now.wall,
                    why: *why,
                };
                let failures = failures + u32::from(*why == Parked::Alone);
                let hold = Some(hold);
                self.set_held(seq, Some(HeldEvent { failures, hold }));
                self.queues.park(seq, device, *until);
            }
            Settled::Bury { code } => {
                self.bury(seq, failures, code.clone(), now);
                self.hold_until_durable(device);
                self.keep.fates.push(Fate::Buried {
                    seq,
                    code: code.clone(),
                });
            }
            Settled::Suspend { code } => {
                let hold = Some(Hold::Suspended { code: code.clone() });
                self.set_held(seq, Some(HeldEvent { failures, hold }));
                self.hold_until_durable(device);
            }
            Settled::Release => self.put_back(flight),
        }
    }

    /// Else a crash would bring the event again, behind a later one that was delivered.
    fn hold_until_durable(&mut self, device: DeviceKey) {
        self.queues.hold(device);
        self.keep.hold_device(device);
    }

    pub(super) fn bury(&mut self, seq: u64, failures: u32, code: Code, now: Now) {
        self.ranges.remove(seq);
        self.set_held(seq, None);
        self.buried += 1;
        let at = now.wall;
        let burial = Burial { at, code, failures };
        self.keep.burials.insert(seq, Some(burial));
    }

    /// What follows for other events, and what the gateway says.
    fn follow(&mut self, events: &[Queued], ruling: Ruling, code: &Code, now: Now) {
        for suspended in &ruling.confirmed {
            self.confirm(suspended, now);
        }
        // One that began in doubt, or of which a single event told, has shown itself when a probe fails.
        let shows = self.breaker.outage().is_some_and(Outage::has_shown);
        if ruling.outage_began || shows {
            self.announce_outage();
        }
        if ruling.blamed {
            let blamed = events.iter().map(|event| Fate::Blamed {
                seq: event.seq,
                code: code.clone(),
            });
            self.keep.fates.extend(blamed);
        }
        if ruling.outage_ended {
            // One that was in doubt was not announced.
            if std::mem::take(&mut self.is_outage_announced) {
                self.keep.fates.push(Fate::OutageEnded);
            }
            self.wake_probes();
        }
    }

    /// The destination took another event: this one is to blame, and is buried.
    fn confirm(&mut self, suspended: &Suspended, now: Now) {
        let Suspended { seq, code, .. } = suspended;
        let failures = self.held.get(seq).map_or(0, |held| held.failures);
        self.bury(*seq, failures, code.clone(), now);
        self.count_suspended(*seq, AttemptResult::Buried, code);
        self.keep.fates.push(Fate::Buried {
            seq: *seq,
            code: code.clone(),
        });
    }

    fn count_suspended(&mut self, seq: u64, result: AttemptResult, code: &Code) {
        if let Some(took) = self.suspended.remove(&seq) {
            let code = code.clone();
            self.keep.fates.push(Fate::Attempt {
                seq,
                result,
                code,
                took,
            });
        }
    }

    /// Nothing got through: what was suspended comes again, before what is behind it.
    pub(super) fn resume(&mut self) {
        for Suspended {
            seq, device, code, ..
        } in self.breaker.resume()
        {
            let failures = self.held.get(&seq).map_or(0, |held| held.failures);
            let held = HeldEvent {
                failures,
                hold: None,
            };
            self.set_held(seq, (failures > 0).then_some(held));
            self.queues.insert(seq, device, super::Class::Live);
            self.count_suspended(seq, AttemptResult::Retry, &code);
        }
    }

    pub(super) fn announce_outage(&mut self) {
        let Some(outage) = self.breaker.outage().filter(|_| !self.is_outage_announced) else {
            return;
        };
        self.keep.fates.push(Fate::OutageBegan {
            code: outage.code.clone(),
            refuses: outage.refuses(),
        });
        self.is_outage_announced = true;
    }

    /// What was parked because of the outage is due.
    pub(super) fn wake_probes(&mut self) {
        let held = self.held.iter();
        let probes = held.filter(|(_, held)| {
            let hold = held.hold.as_ref();
            matches!(
                hold,
                Some(Hold::Parked {
                    why: Parked::Probe,
                    ..
                })
            )
        });
        let probes: Vec<u64> = probes.map(|(seq, _)| *seq).collect();
        for seq in probes {
            if let Some(device) = self.ranges.get(seq) {
                self.queues.wake(seq, device);
                self.is_due(seq);
            }
        }
    }

    /// Sets what is known of a waiting event, to be kept.
    pub(super) fn set_held(&mut self, seq: u64, held: Option<HeldEvent>) {
        let is_parked = |held: &HeldEvent| matches!(held.hold, Some(Hold::Parked { .. }));
        let now = held.as_ref().is_some_and(is_parked);
        let before = match held {
            Some(held) => self.held.insert(seq, held),
            None => self.held.remove(&seq),
        };
        if before.is_some() || now || self.held.contains_key(&seq) {
            self.keep.held.insert(seq);
        }
        self.parked =
            self.parked + u64::from(now) - u64::from(before.as_ref().is_some_and(is_parked));
    }
}

pub(super) fn events_of(flights: &[Flight]) -> Vec<Queued> {
    flights.iter().map(|flight| flight.event).collect()
}
