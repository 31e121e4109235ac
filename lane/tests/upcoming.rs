//! What a lane names as leaving soon is what leaves next, so that nothing is fetched ahead in vain.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use faceway_core::{Code, DeviceKey, LaneState, Timestamp, Verdict};
use faceway_lane::{Acknowledged, Action, Lane, Now, Offer, Policy, Tick};
use proptest::prelude::*;

fn now() -> Now {
    Now {
        tick: Tick::default(),
        wall: Timestamp::from_millis(1_795_334_400_000).unwrap(),
    }
}

/// Lets deliveries leave and end, the first one first, until `count` events have left; gives them.
fn leave(lane: &mut Lane, in_flight: &mut VecDeque<u64>, count: usize) -> Vec<u64> {
    let mut left = Vec::new();
    while left.len() < count {
        match lane.next(now().tick, 0.5) {
            Action::Deliver(delivery) => {
                in_flight.push_back(delivery.number);
                left.extend(delivery.events.iter().map(|event| event.seq));
            }
            Action::Wait(_) | Action::Idle => {
                let acknowledged = Acknowledged {
                    verdict: Verdict::Delivered {
                        code: Code::word("ok"),
                    },
                    took: Duration::ZERO,
                    sent: 1,
                    ages: Vec::new(),
                };
                let number = in_flight.pop_front().unwrap();
                lane.acknowledge(number, acknowledged, now(), 0.5);
            }
        }
    }
    left
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However many events each device has, and however many are in flight.
    #[test]
    fn what_is_upcoming_leaves_next(
        devices in prop::collection::vec(0..20_u64, 1..400),
        window in 1..40_usize,
        count in 1..80_usize,
    ) {
        let policy = Policy { concurrency_max: window, ..Policy::default() };
        let mut lane = Lane::load(policy, LaneState::default(), now()).0;
        let offers = devices.iter().zip(1..);
        let offers = offers.map(|(device, seq)| Offer { seq, device: DeviceKey(device * device / 20) });
        let offers: Vec<Offer> = offers.collect();
        lane.offer(offers.len() as u64, &offers, Vec::new());
        let (mut in_flight, mut waiting) = (VecDeque::new(), offers.len());
        while waiting > 0 {
            let upcoming = lane.upcoming(count);
            prop_assert_eq!(upcoming.len(), count.min(waiting));
            let left = leave(&mut lane, &mut in_flight, upcoming.len());
            prop_assert_eq!(left.iter().collect::<BTreeSet<_>>(), upcoming.iter().collect());
            waiting -= left.len();
        }
    }
}
