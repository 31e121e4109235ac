//! The machine itself: its state, what comes in, and what leaves next.

mod keep;
mod load;
mod repair;
mod settle;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use faceway_core::{DeviceKey, HeldEvent, OnceMark, Replay, Timestamp};

use crate::batch::{Batching, Share};
use crate::breaker::{Breaker, Company, State};
use crate::queues::{Class, Queues};
use crate::ranges::Ranges;
use crate::{Policy, Queued, Tick};

pub use settle::{Acknowledged, Fate};
pub use view::{LaneView, Place, Stage};

/// So many events are looked at to find one that was not tried.
const COMPANY_MAX: usize = 256;

/// The moment of now, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers.
    pub tick: Tick,
    /// For what is kept.
    pub wall: Timestamp,
}

/// An event that the rules let pass to this outbound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its sequence number.
    pub seq: u64,
    /// The unit of order.
    pub device: DeviceKey,
}

/// A message that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Names it in [`Lane::acknowledge`].
    pub number: u64,
    /// Its events, each device's in their order; not empty. The message may hold fewer, from the first.
    pub events: Vec<Queued>,
}

/// What the lane wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// This leaves now. Ask again: there may be more.
    Deliver(Delivery),
    /// Nothing leaves before then, unless something happens.
    Wait(Tick),
    /// Nothing leaves until something happens.
    Idle,
}

/// One lane: see the crate's documentation.
pub struct Lane {
    policy: Policy,
    breaker: Breaker,
    batching: Batching,
    queues: Queues,
    ranges: Ranges,
    held: BTreeMap<u64, HeldEvent>,
    flights: HashMap<u64, Vec<Flight>>,
    deliveries: u64,
    /// How long the attempts took of events that are suspended.
    suspended: HashMap<u64, Duration>,
    routed_through: u64,
    /// The end of the log, as far as the lane was told.
    tail: u64,
    undecided: Vec<u64>,
    replays: Vec<Replay>,
    /// Events that are handed out once more and wait.
    replayed: HashSet<u64>,
    buried: u64,
    parked: u64,
    keep: keep::Keep,
    is_outage_announced: bool,
    is_stopping: bool,
}

/// An event in flight.
#[derive(Clone, Copy, Debug)]
struct Flight {
    event: Queued,
    class: Class,
}

impl Lane {
    /// The rules have been asked about every entry up to here.
    pub const fn routed_through(&self) -> u64 {
        self.routed_through
    }

    /// Events of a former version, about which the rules are asked before anything else: [`Lane::offer_undecided`].
    pub fn undecided(&self) -> &[u64] {
        &self.undecided
    }

    /// The end of the log: whether there is more to route decides when an outage is the destination's.
    pub const fn set_tail(&mut self, tail: u64) {
        self.tail = tail;
    }

    /// Takes in what the rules let pass of the entries up to `through`, ascending, and what `once` let pass.
    pub fn offer(&mut self, through: u64, offers: &[Offer], passed: Vec<OnceMark>) {
        for Offer { seq, device } in offers {
            // What is behind it was routed before: routing it again would double it.
            if *seq > self.routed_through {
                self.ranges.insert(*seq, *device);
                self.queues.insert(*seq, *device, Class::Live);
            }
        }
        if through > self.routed_through {
            self.routed_through = through;
            self.tail = self.tail.max(through);
            self.keep.touch();
        }
        self.keep.change.passed.extend(passed);
    }

    /// Takes in what the rules let pass of the first `count` undecided events, ascending.
    pub fn offer_undecided(&mut self, count: usize, offers: &[Offer], passed: Vec<OnceMark>) {
        self.undecided.drain(..count.min(self.undecided.len()));
        self.keep.change.undecided = Some(self.undecided.clone());
        self.keep.touch();
        self.keep.change.passed.extend(passed);
        for offer in offers {
            self.insert_if_new(*offer, Class::Live);
        }
    }

    fn insert_if_new(&mut self, Offer { seq, device }: Offer, class: Class) {
        if self.ranges.get(seq).is_none() {
            self.ranges.insert(seq, device);
            self.queues.insert(seq, device, class);
            if class == Class::Replayed {
                self.replayed.insert(seq);
            }
        }
    }

    /// What leaves next. `chance` is from 0 to 1 and spreads the pauses.
    pub fn next(&mut self, now: Tick, chance: f64) -> Action {
        if self.is_stopping {
            return Action::Idle;
        }
        for seq in self.queues.wake_due(now) {
            self.is_due(seq);
        }
        self.resume_if_due(now, chance);
        self.end_step_if_over(now, chance);
        let events = self.choose(now);
        if events.is_empty() {
            return self.wait(now);
        }
        self.depart(events)
    }

    /// It is parked no longer. That is not written: after a crash it waits for the rest of its pause once more.
    fn is_due(&mut self, seq: u64) {
        if let Some(held) = self.held.get_mut(&seq)
            && held.hold.take().is_some()
        {
            self.parked -= 1;
        }
    }

    fn choose(&mut self, now: Tick) -> Vec<(u64, DeviceKey)> {
        let is_at_rest = self.flights.is_empty();
        let state = self.breaker.state(now);
        if self.breaker.must_resume() {
            // What was suspended stands before what waits of its devices.
        } else if state == State::Closed {
            if self.flights.len() < self.policy.concurrency_max {
                return self.choose_freely(now);
            }
        } else if state == State::HalfOpen && is_at_rest {
            self.batching.pause();
            let swept = self.breaker.swept();
            return self.choose_by(|lane, event| {
                // What is behind another device's event says nothing of what is in the balance.
                let is_free = swept.is_none_or(|device| device == event.device);
                is_free.then(|| lane.breaker.turn_in_step(event))
            });
        } else if is_at_rest && self.breaker.is_in_doubt() {
            self.batching.pause();
            return self
                .choose_by(|lane, event| Some(lane.breaker.turn(event)).filter(|turn| *turn == 0));
        } else if is_at_rest && self.breaker.is_comparing() && self.company(&[]) == Company::New {
            self.batching.pause();
            return self.choose_by(|lane, event| {
                let is_worth_it = lane.leads_to_new(event);
                is_worth_it.then(|| lane.breaker.turn(event))
            });
        }
        self.batching.pause();
        Vec::new()
    }

    /// Whether this first event was not tried, or can be passed for one behind it that was not. Others tell nothing new: without
    /// this they would leave again and again before the pause is over.
    fn leads_to_new(&self, event: &Queued) -> bool {
        let is_new = |(seq, device): (u64, DeviceKey)| {
            !self.breaker.has_tried(&queued(&self.held, seq, device))
        };
        let behind = self.queues.events_of(event.device).take(COMPANY_MAX);
        is_new((event.seq, event.device))
            || self.breaker.is_tried_out(event) && behind.into_iter().any(is_new)
    }

    fn choose_freely(&mut self, now: Tick) -> Vec<(u64, DeviceKey)> {
        let (breaker, held) = (&self.breaker, &self.held);
        let share = |seq, device| {
            let event = queued(held, seq, device);
            if breaker.is_careful() && !breaker.may_leave(&event) {
                Share::NotNow
            } else if event.failures > 0 || breaker.goes_alone(&event) {
                // It would bring the others of its message to a halt.
                Share::Alone
            } else {
                Share::Together
            }
        };
        self.batching
            .next(&mut self.queues, self.policy.batch_max, now, share)
    }

    /// The one first event with the lowest turn; of several such the lowest sequence number.
    fn choose_by(
        &mut self,
        turn: impl Fn(&Self, &Queued) -> Option<usize>,
    ) -> Vec<(u64, DeviceKey)> {
        let heads = self.queues.heads().filter_map(|(seq, device)| {
            let event = queued(&self.held, seq, device);
            Some((turn(self, &event)?, seq, device))
        });
        let Some((_, seq, device)) = heads.min_by_key(|(turn, seq, _)| (*turn, *seq)) else {
            return Vec::new();
        };
        self.queues.take(device);
        vec![(seq, device)]
    }

    fn depart(&mut self, events: Vec<(u64, DeviceKey)>) -> Action {
        let events: Vec<Queued> = events
            .into_iter()
            .map(|(seq, device)| queued(&self.held, seq, device))
            .collect();
        let devices: BTreeSet<DeviceKey> = events.iter().map(|event| event.device).collect();
        self.queues.depart(&devices);
        self.breaker.left(&events);
        let flights = events.iter().map(|event| Flight {
            event: *event,
            class: if self.replayed.remove(&event.seq) {
                Class::Replayed
            } else {
                Class::Live
            },
        });
        let flights = flights.collect();
        self.deliveries += 1;
        self.flights.insert(self.deliveries, flights);
        Action::Deliver(Delivery {
            number: self.deliveries,
            events,
        })
    }

    fn wait(&self, now: Tick) -> Action {
        let until = match self.breaker.state(now) {
            // While the lane waits for its probe nothing else wakes it: what is due can wait as long.
            State::Open(until) => Some(until),
            State::HalfOpen => self.queues.next_due(),
            State::Closed => {
                let lingers = self.batching.lingers();
                [lingers, self.queues.next_due()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        };
        until.map_or(Action::Idle, Action::Wait)
    }

    /// Resumes what was suspended, when nothing got through.
    fn resume_if_due(&mut self, now: Tick, chance: f64) {
        // What is in flight may get through yet, and behind a suspension that is not durable there may be more.
        if !self.flights.is_empty() || self.keep.holds_devices() || !self.breaker.has_suspended() {
            return;
        }
        let swept = self.breaker.swept();
        if swept.is_some_and(|device| !self.queues.is_ready(device)) && self.queues.ready() > 0 {
            self.breaker.has_swept_a_device();
        }
        if self.has_nothing_to_compare()
            && self.breaker.nothing_is_left(now, chance)
            && self.breaker.tried() > 1
        {
            // A single one is announced when it has failed once more: at a quiet site it may be its own fault.
            self.announce_outage();
        }
        if self.breaker.must_resume() {
            self.resume();
        }
    }

    /// Waits, when every device has had its turn in this step.
    fn end_step_if_over(&mut self, now: Tick, chance: f64) {
        let is_asking = self.breaker.is_in_step() && self.breaker.state(now) == State::HalfOpen;
        if !is_asking || !self.flights.is_empty() || self.breaker.has_suspended() {
            return;
        }
        let mut heads = self.queues.heads();
        let is_over = heads.all(|(seq, device)| {
            let event = queued(&self.held, seq, device);
            self.breaker.has_had_its_turn(&event)
        });
        drop(heads);
        if is_over {
            self.breaker.end_step(now, chance);
            self.announce_outage();
        }
    }

    fn has_nothing_to_compare(&self) -> bool {
        self.is_routed() && self.queues.ready() == 0
    }

    /// Whether the rules have been asked about everything that there is.
    fn is_routed(&self) -> bool {
        let is_at_the_tail = self.routed_through >= self.tail;
        is_at_the_tail && self.undecided.is_empty() && self.replays.is_empty()
    }

    /// What could leave beside these events, which are about to come back.
    fn company(&self, ending: &[Flight]) -> Company {
        let devices: BTreeSet<DeviceKey> =
            ending.iter().map(|flight| flight.event.device).collect();
        let of_these = devices
            .into_iter()
            .flat_map(|device| self.queues.events_of(device));
        let mut company = Company::Nothing;
        for (seq, device) in of_these.chain(self.queues.all_ready()).take(COMPANY_MAX) {
            let event = queued(&self.held, seq, device);
            if !self.breaker.has_tried(&event) {
                return Company::New;
            }
            if !self.breaker.is_tried_out(&event) {
                company = Company::Failed;
            }
        }
        company
    }

    /// Takes in what `once` let pass of what was not offered by [`Lane::offer`].
    pub fn remember(&mut self, passed: Vec<OnceMark>) {
        self.keep.change.passed.extend(passed);
    }

    /// Up to `count` events that leave soon, about in the order in which they do: what is to be fetched ahead. A device with a
    /// message in flight is among the others, behind those that may leave now.
    pub fn upcoming(&self, count: usize) -> Vec<u64> {
        let mut flights: Vec<(&u64, &Vec<Flight>)> = self.flights.iter().collect();
        flights.sort_unstable_by_key(|(number, _)| **number);
        let flights = flights.into_iter().flat_map(|(_, flights)| flights);
        let busy = flights.map(|flight| flight.event.device);
        self.queues.in_turn(busy, count)
    }

    /// Nothing leaves any more.
    pub const fn stop(&mut self) {
        self.is_stopping = true;
    }
}

fn queued(held: &BTreeMap<u64, HeldEvent>, seq: u64, device: DeviceKey) -> Queued {
    Queued {
        seq,
        device,
        failures: held.get(&seq).map_or(0, |held| held.failures),
        age: Duration::ZERO,
    }
}
