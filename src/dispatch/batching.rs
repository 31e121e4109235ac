//! When events leave together, and which.

use std::time::Duration;

use faceway_core::Lease;
use tokio::time::Instant;

use super::apart::Apart;
use super::hands::{BatchLimits, Hands};
use super::judge::Judge;
use super::render::BATCH_BYTES_MAX;

/// How long events that do not fill a batch wait for more. Long enough to bring a burst of pushes together, short enough
/// that nobody at a door notices it.
const LINGER: Duration = Duration::from_millis(50);

/// Chooses what leaves next while the destination is up.
pub(super) struct Batching {
    limits: BatchLimits,
    apart: Apart,
    /// Until when events wait for more.
    lingers: Option<Instant>,
}

impl Batching {
    pub(super) fn new(events_max: usize) -> Self {
        Self {
            limits: BatchLimits {
                events: events_max.max(1),
                bytes: BATCH_BYTES_MAX,
            },
            apart: Apart::default(),
            lingers: None,
        }
    }

    /// How many events can leave together.
    pub(super) const fn events_max(&self) -> usize {
        self.limits.events
    }

    /// When to ask for [`Batching::next`] again although nothing has changed.
    pub(super) const fn lingers(&self) -> Option<Instant> {
        self.lingers
    }

    /// What failed together and goes alone.
    pub(super) const fn apart(&mut self) -> &mut Apart {
        &mut self.apart
    }

    /// The events that leave now; none when there are none, or when they wait for more.
    pub(super) fn next(&mut self, hands: &mut Hands, judge: &Judge, now: Instant) -> Vec<Lease> {
        if !judge.is_wary() {
            return self.choose(hands, judge, now);
        }
        let held = hands.hold_back(|lease| judge.may_leave(lease));
        let next = self.choose(hands, judge, now);
        hands.let_go(held);
        next
    }

    fn choose(&mut self, hands: &mut Hands, judge: &Judge, now: Instant) -> Vec<Lease> {
        if self.limits.events == 1 {
            return hands.next().into_iter().collect();
        }
        // What has probed in vain would bring the others of its batch to a halt.
        let alone = |lease: &Lease| self.apart.holds(lease) || judge.goes_alone(lease);
        let Some(first) = hands.peek() else {
            self.lingers = None;
            return Vec::new();
        };
        if !alone(first) && !hands.fill_a_batch(&self.limits) {
            let until = *self.lingers.get_or_insert(now + LINGER);
            if now < until {
                return Vec::new();
            }
        }
        self.lingers = None;
        hands.next_batch(&self.limits, alone)
    }

    /// Nothing may leave now: who waits for more waits for something else.
    pub(super) const fn pause(&mut self) {
        self.lingers = None;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use faceway_core::{DeviceKey, EventId, Private, Timestamp};
    use faceway_rules::Retry;

    use super::*;

    fn lease(seq: u64, failures: u32) -> Lease {
        Lease {
            seq,
            id: EventId::from_bytes([0; 16]),
            device: DeviceKey(seq),
            received_at: Timestamp::from_millis(0).unwrap(),
            failures,
            routed: false,
            trace_context: None,
            body: Private::new(Bytes::from_static(b"{}")),
        }
    }

    struct Scene {
        batching: Batching,
        hands: Hands,
        judge: Judge,
        now: Instant,
    }

    impl Scene {
        fn new(events_max: usize) -> Self {
            Self {
                batching: Batching::new(events_max),
                hands: Hands::default(),
                judge: Judge::new(Retry::default()),
                now: Instant::now(),
            }
        }

        fn take(&mut self, leases: impl IntoIterator<Item = Lease>) {
            leases.into_iter().for_each(|lease| self.hands.take(lease));
        }

        fn next(&mut self) -> Vec<u64> {
            let next = self.batching.next(&mut self.hands, &self.judge, self.now);
            next.iter().map(|lease| lease.seq).collect()
        }
    }

    #[test]
    fn a_full_batch_leaves_at_once_and_a_part_of_one_when_it_has_lingered() {
        let mut scene = Scene::new(2);
        scene.take((1..=3).map(|seq| lease(seq, 0)));
        assert_eq!(scene.next(), [1, 2]);
        assert!(scene.next().is_empty());
        assert_eq!(scene.batching.lingers(), Some(scene.now + LINGER));
        scene.now += LINGER / 2;
        assert!(scene.next().is_empty());
        scene.now += LINGER / 2;
        assert_eq!(scene.next(), [3]);
        assert_eq!(scene.batching.lingers(), None);
        scene.take([lease(4, 0)]);
        assert!(scene.next().is_empty(), "the next ones have their own time");
        scene.take([lease(5, 0)]);
        assert_eq!(scene.next(), [4, 5], "nobody waits longer than needed");
        assert_eq!(scene.batching.lingers(), None);
    }

    #[test]
    fn one_in_a_message_waits_for_nothing() {
        let mut scene = Scene::new(1);
        scene.take([lease(1, 0), lease(2, 0)]);
        assert_eq!((scene.next(), scene.next()), (vec![1], vec![2]));
        assert_eq!(scene.batching.lingers(), None);
    }

    #[test]
    fn nothing_lingers_when_nothing_is_there_or_nothing_may_leave() {
        let mut scene = Scene::new(2);
        scene.take([lease(1, 0)]);
        assert!(scene.next().is_empty());
        scene.batching.pause();
        assert_eq!(scene.batching.lingers(), None);
        assert!(scene.next().is_empty());
        scene.hands.give_back_all();
        assert!(scene.next().is_empty());
        assert_eq!(scene.batching.lingers(), None, "it would never end");
    }

    #[test]
    fn what_was_refused_together_goes_alone_until_it_is_settled() {
        let mut scene = Scene::new(3);
        let refused = [lease(1, 0), lease(2, 0)];
        scene.batching.apart().refused(&refused);
        scene.take((1..=5).map(|seq| lease(seq, 0)));
        assert_eq!(scene.next(), [1]);
        assert_eq!(scene.next(), [2]);
        assert_eq!(scene.next(), [3, 4, 5]);
        scene.batching.apart().settled(1);
        assert!(!scene.batching.apart().holds(&refused[0]));
        assert!(scene.batching.apart().holds(&refused[1]));
    }

    #[test]
    fn what_failed_alone_before_goes_alone() {
        let mut scene = Scene::new(2);
        scene.take([lease(1, 1), lease(2, 0), lease(3, 0)]);
        assert_eq!(scene.next(), [1]);
        assert_eq!(scene.next(), [2, 3]);
    }

    #[test]
    fn the_second_time_that_nobody_answers_one_event_may_be_to_blame() {
        let mut scene = Scene::new(2);
        let both = [lease(1, 0), lease(2, 0)];
        scene.batching.apart().unanswered(&both);
        assert!(!scene.batching.apart().holds(&both[0]), "it is an outage");
        scene.batching.apart().unanswered(&both[..1]);
        assert!(scene.batching.apart().holds(&both[0]));
        assert!(!scene.batching.apart().holds(&both[1]));
    }
}
