//! A lane goes on with what was kept of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use faceway_core::{DeviceKey, HeldEvent, Hold, LaneState};

use super::{Lane, Now, keep};
use crate::Policy;
use crate::batch::Batching;
use crate::breaker::Breaker;
use crate::queues::{Class, Queues};
use crate::ranges::Ranges;

impl Lane {
    /// Goes on with what was kept. Gives the ranges that were damaged: the events in them are not known any more.
    pub fn load(policy: Policy, state: LaneState, now: Now) -> (Self, Vec<u64>) {
        let mut lane = Self {
            policy,
            breaker: Breaker::new(policy),
            batching: Batching::default(),
            queues: Queues::default(),
            ranges: Ranges::default(),
            held: BTreeMap::new(),
            flights: HashMap::new(),
            deliveries: 0,
            suspended: HashMap::new(),
            routed_through: state.routed_through,
            tail: state.routed_through,
            undecided: state.undecided,
            replays: state.replays,
            replayed: HashSet::new(),
            buried: state.buried,
            parked: 0,
            keep: keep::Keep::default(),
            is_outage_announced: false,
            is_stopping: false,
        };
        let held: HashMap<u64, HeldEvent> = state.held.into_iter().collect();
        let mut damaged = Vec::new();
        for (range, bytes) in state.waiting {
            let Some(events) = lane.ranges.load(range, bytes) else {
                damaged.push(range);
                continue;
            };
            for (seq, device) in events {
                lane.load_event(seq, device, held.get(&seq).cloned(), now);
            }
        }
        (lane, damaged)
    }

    fn load_event(&mut self, seq: u64, device: DeviceKey, held: Option<HeldEvent>, now: Now) {
        let Some(held) = held else {
            self.queues.insert(seq, device, Class::Live);
            return;
        };
        match &held.hold {
            Some(Hold::Parked { pause, set_at, .. }) => {
                let passed = now.wall.since(*set_at);
                let left = pause.saturating_sub(passed).min(self.policy.backoff_max);
                self.queues.park(seq, device, now.tick.plus(left));
                self.parked += 1;
            }
            Some(Hold::Suspended { code }) => {
                // Its device's later events may have been delivered: it is compared further, not put before them.
                self.breaker.restore_suspended(seq, device, code.clone());
            }
            None => self.queues.insert(seq, device, Class::Live),
        }
        self.held.insert(seq, held);
    }
}
