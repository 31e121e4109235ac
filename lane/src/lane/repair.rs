//! Replay, revival, a probe by hand, another policy.

use std::collections::BTreeSet;

use faceway_core::{DeviceKey, Replay, Timestamp};

use super::settle::events_of;
use super::{Class, Flight, Lane, Offer};
use crate::breaker::Breaker;
use crate::{Policy, Tick};

/// So many events of replay jobs wait at a time: a job is routed no faster than it is delivered.
const REPLAYED_MAX: usize = 1024;

impl Lane {
    /// Lets the next probe leave now; `false` when the lane waits for none.
    pub fn probe_now(&mut self, now: Tick) -> bool {
        let is_asked = self.breaker.probe_now(now);
        if is_asked {
            // Events that have probed in vain wait for longer than the lane does; there may be no others.
            self.wake_probes();
        }
        is_asked
    }

    /// The outbound changed: what was learned of the old one does not count. Only when nothing is in flight.
    pub fn set_policy(&mut self, policy: Policy) {
        let suspended = self.breaker.resume();
        self.policy = policy;
        self.breaker = Breaker::new(policy);
        for suspended in suspended {
            self.breaker
                .restore_suspended(suspended.seq, suspended.device, suspended.code);
        }
        self.is_stopping = false;
        self.is_outage_announced = false;
        self.wake_probes();
    }

    /// Hands the entries of the log from `first_seq` to `through_seq` out once more, after all that is new: their rules are
    /// asked again. What is not routed yet is delivered anyway, and not handed out twice. Gives the job's number.
    pub fn replay(
        &mut self,
        (first_seq, through_seq): (u64, u64),
        (since, until): (Timestamp, Timestamp),
    ) -> u64 {
        let number = self.replays.last().map_or(1, |last| last.number + 1);
        let through_seq = through_seq.min(self.routed_through);
        if first_seq <= through_seq {
            self.replays.push(Replay {
                number,
                routed_through: first_seq.saturating_sub(1),
                through_seq,
                since,
                until,
            });
            self.keep_replays();
        }
        number
    }

    /// Ends a replay job: what of it waits already is delivered.
    pub fn cancel_replay(&mut self, number: u64) -> bool {
        let before = self.replays.len();
        self.replays.retain(|job| job.number != number);
        self.keep_replays();
        self.replays.len() < before
    }

    /// The job that is to be routed further now.
    pub fn replay_to_route(&self) -> Option<Replay> {
        let is_hungry = self.replayed.len() < REPLAYED_MAX;
        self.replays.first().copied().filter(|_| is_hungry)
    }

    /// The jobs that are not routed to their end.
    pub fn replays(&self) -> &[Replay] {
        &self.replays
    }

    /// Takes in what the rules let pass of a job's entries up to `through`, ascending. What waits already is not doubled.
    pub fn offer_replayed(&mut self, number: u64, through: u64, offers: &[Offer]) {
        let Some(at) = self.replays.iter().position(|job| job.number == number) else {
            return;
        };
        for offer in offers {
            self.insert_if_new(*offer, Class::Replayed);
        }
        self.replays[at].routed_through = through;
        if through >= self.replays[at].through_seq {
            self.replays.remove(at);
        }
        self.keep_replays();
    }

    fn keep_replays(&mut self) {
        self.keep.change.replays = Some(self.replays.clone());
        self.keep.touch();
    }

    /// Buried events live again: each comes before later ones of its device, with no attempt counted.
    pub fn revive(&mut self, events: &[Offer]) {
        for offer in events {
            self.insert_if_new(*offer, Class::Live);
            self.keep.burials.insert(offer.seq, None);
            self.buried = self.buried.saturating_sub(1);
        }
        self.keep.touch();
    }

    /// Buried entries are gone for good.
    pub fn drop_buried(&mut self, seqs: &[u64]) {
        self.keep.change.dropped.extend(seqs);
        self.buried = self.buried.saturating_sub(seqs.len() as u64);
        self.keep.touch();
    }

    /// These events of a delivery cannot be had any more: they are let go. Gives whether any is left of it; otherwise the
    /// delivery has ended.
    pub fn lose(&mut self, number: u64, lost: &[u64]) -> bool {
        let Some(mut flights) = self.flights.remove(&number) else {
            return false;
        };
        let gone: Vec<Flight> = flights
            .extract_if(.., |flight| lost.contains(&flight.event.seq))
            .collect();
        self.breaker.stayed(&events_of(&gone));
        for flight in &gone {
            self.ranges.remove(flight.event.seq);
            self.set_held(flight.event.seq, None);
        }
        let left: BTreeSet<DeviceKey> = flights.iter().map(|flight| flight.event.device).collect();
        let devices: BTreeSet<DeviceKey> = gone.iter().map(|flight| flight.event.device).collect();
        for device in devices.difference(&left) {
            self.queues.ended(*device);
        }
        let is_left = !flights.is_empty();
        if is_left {
            self.flights.insert(number, flights);
        }
        is_left
    }
}
