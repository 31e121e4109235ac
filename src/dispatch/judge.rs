//! What a verdict leads to. Pure: time and chance come in as arguments.
//!
//! Two kinds of trouble are told apart. **An outage** is the destination's: the lane waits, probes with one event, and
//! counts nothing. **An event that fails alone** is parked with growing pauses, its device waits behind it, and in the
//! end it is buried. When events of several devices fail alone with no success between them, that is an outage too.
//!
//! Events that fail together say nothing of any one of them: they are taken apart and judged alone. Nor does a connection
//! that breaks under several: `doubt.rs` says who is suspected then, and how it is found out. What the destination refuses
//! is compared with what it does with others: `judge/aside.rs`.

mod alone;
mod aside;
mod outage;

use std::collections::VecDeque;
use std::time::Duration;

use faceway_core::{AttemptResult, Code, DeviceKey, Lease, Scope, Settled, Timestamp, Verdict};
use faceway_rules::Retry;

use super::doubt::Doubt;
use aside::Asides;
pub(super) use aside::{Aside, Beside};
use outage::Cause;
pub(super) use outage::Outage;

/// So many devices failing one after another are no coincidence.
const DEVICES_FAILING_MAX: usize = 3;
/// So many probes with one event, then another device's event is tried.
const PROBES_OF_ONE_EVENT_MAX: u32 = 3;
/// A long outage wears out one event after another; only the last ones are remembered.
const SUSPECTS_MAX: usize = 64;

/// The memory of one lane about its destination.
pub(super) struct Judge {
    retry: Retry,
    outage: Option<Outage>,
    asides: Asides,
    /// Events that probed in vain three times before another one got through, or that alone were in doubt when the
    /// connection broke: when one of them brings the destination to a halt once more, it is the event that is to blame.
    suspects: VecDeque<u64>,
    /// Devices whose events were blamed for a break since the last success.
    blamed: Vec<DeviceKey>,
    doubt: Doubt,
}

/// An attempt that was not confirmed and may be, later.
struct Failed<'l> {
    lease: &'l Lease,
    code: Code,
    after: Option<Duration>,
    /// It was on its way when the outage began.
    is_straggler: bool,
    now: Timestamp,
    chance: f64,
}

/// Whether events may leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Permit {
    /// As many as the lane may have on their way.
    Open,
    /// One, and only when nothing else is on its way.
    Probe,
    /// None before then.
    Wait(Timestamp),
}

/// What a verdict leads to.
#[derive(Debug, PartialEq)]
pub(super) struct Judgement {
    pub(super) settled: Settled,
    pub(super) result: AttemptResult,
    /// An outage began: release what the lane holds.
    pub(super) outage_began: bool,
    /// An outage ended: wake what was parked because of it.
    pub(super) outage_ended: bool,
    /// One of several events is to blame, or more: each is to go alone.
    pub(super) take_apart: bool,
    /// The event breaks the connection, and is not in doubt any more.
    pub(super) blamed: bool,
    /// It is buried for now: whether that stands is told later.
    pub(super) set_aside: bool,
    /// What was set aside and stays buried.
    pub(super) stands: Vec<Aside>,
}

impl Judge {
    pub(super) fn new(retry: Retry) -> Self {
        Self {
            retry,
            outage: None,
            asides: Asides::default(),
            suspects: VecDeque::new(),
            blamed: Vec::new(),
            doubt: Doubt::default(),
        }
    }

    pub(super) const fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }

    pub(super) fn permit(&self, now: Timestamp) -> Permit {
        let Some(Outage { next_probe, .. }) = self.outage else {
            return Permit::Open;
        };
        // No pause is that long: somebody has set the clock back, and nobody waits for it to catch up.
        let clock_was_set = next_probe.since(now) > self.retry.backoff_max;
        if next_probe <= now || clock_was_set {
            Permit::Probe
        } else {
            Permit::Wait(next_probe)
        }
    }

    /// Lets the next probe leave now; `false` when none is waited for. It is still one probe, and when it fails the pause
    /// after it is as long as it would have been.
    pub(super) fn probe_now(&mut self, now: Timestamp) -> bool {
        match &mut self.outage {
            Some(outage) if outage.next_probe > now => {
                outage.next_probe = now;
                true
            }
            _ => false,
        }
    }

    /// These are on their way now.
    pub(super) fn left(&mut self, events: &[Lease]) {
        self.doubt.left(events);
    }

    /// These were to leave and have not.
    pub(super) fn stayed(&mut self, events: &[Lease]) {
        self.doubt.back(events);
        self.came_back(events);
    }

    /// Whether the first of these was on its way when the outage began. From now on none of them was.
    fn came_back(&mut self, events: &[Lease]) -> bool {
        let (Some(outage), Some(first)) = (&mut self.outage, events.first()) else {
            return false;
        };
        let is_straggler = outage.stragglers.contains(&first.seq);
        for lease in events {
            outage.stragglers.remove(&lease.seq);
        }
        is_straggler
    }

    /// Whose turn it is to probe: the lowest. An event that has probed in vain three times comes after all others, and
    /// of several such the one that did so last comes last; before them one that has failed alone, perhaps before the
    /// gateway was started, and before those what has failed since the last success. While it is in doubt whether the destination is down at all, devices that it knows come first.
    pub(super) fn turn(&self, lease: &Lease) -> usize {
        let wearied = self
            .suspects
            .iter()
            .position(|suspect| *suspect == lease.seq);
        match wearied {
            Some(place) => place + 3,
            None if lease.failures > 0 => 2,
            None if self.has_tried(lease) => 1,
            None => usize::from(self.is_in_doubt() && !self.doubt.is_proven(lease)),
        }
    }

    /// Whether no device has proven itself yet, as after a start: then the one that will may stand behind many.
    pub(super) fn knows_nobody(&self) -> bool {
        self.doubt.knows_nobody()
    }

    /// Whether an outage may be one event's doing.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.outage
            .as_ref()
            .is_some_and(|outage| !outage.doubted.is_empty())
    }

    /// Whether this event shares no message with others: it would bring them to a halt.
    pub(super) fn goes_alone(&self, lease: &Lease) -> bool {
        self.suspects.contains(&lease.seq) || self.is_wary() && !self.doubt.is_proven(lease)
    }

    /// Whether the lane is wary: not everything [may leave](Judge::may_leave) at once then.
    pub(super) const fn is_wary(&self) -> bool {
        self.doubt.is_wary()
    }

    /// Whether this event may be on its way beside what is.
    pub(super) fn may_leave(&self, lease: &Lease) -> bool {
        self.doubt.may_leave(lease)
    }

    /// How many events come after all others in probing.
    pub(super) fn wearied(&self) -> usize {
        self.suspects.len()
    }

    /// Judges one attempt with one message of these events, for each of them alike. `beside` is what the
    /// lane has at hand besides. `chance` is from 0 to 1 and spreads the pauses.
    pub(super) fn judge(
        &mut self,
        events: &[Lease],
        verdict: Verdict,
        beside: Beside,
        now: Timestamp,
        chance: f64,
    ) -> Judgement {
        let Some(lease) = events.first() else {
            // There is no message without an event.
            return released(false);
        };
        let several = events.len() > 1;
        // Before it is known that these are back; asked only where it matters, as nearly all verdicts are confirmations.
        let suspected = match &verdict {
            Verdict::Retry {
                scope: Scope::Destination,
                ..
            } => self.doubt.suspected(&self.suspects),
            _ => Vec::new(),
        };
        let departure = self.doubt.departure(events);
        let excused = self.doubt.back(events);
        let is_straggler = self.came_back(events);
        let failed = |code, after| Failed {
            lease,
            code,
            after,
            is_straggler,
            now,
            chance,
        };
        match verdict {
            Verdict::Delivered { .. } => self.delivered(events, is_straggler, departure),
            Verdict::Bury { .. } if several => self.together(false),
            Verdict::Bury { code } => self.incurable(code),
            Verdict::Refused { .. }
            | Verdict::Retry {
                scope: Scope::Message,
                ..
            } if several => self.together(true),
            Verdict::Refused { code } => self.refused(failed(code, None), beside),
            Verdict::Retry { scope, code, after } => {
                let failed = failed(code, after);
                match scope {
                    Scope::Destination if excused && failed.after.is_none() => released(false),
                    Scope::Destination if is_straggler => self.straggled(failed, several),
                    Scope::Destination => self.broke(failed, several, suspected),
                    Scope::Message => self.alone(failed, beside),
                }
            }
        }
    }

    fn delivered(&mut self, events: &[Lease], is_straggler: bool, departure: u64) -> Judgement {
        let stands = self.asides.compared(events, departure);
        self.blamed.clear();
        self.suspects
            .retain(|seq| events.iter().all(|lease| lease.seq != *seq));
        let ended = self.outage.take();
        if let Some(outage) = &ended
            && !outage.doubted.is_empty()
        {
            self.doubt.be_wary();
            // One that left before the break says nothing of what is behind it.
            let compared = !is_straggler && events.iter().any(|lease| self.doubt.is_proven(lease));
            if let ([seq], true) = (&*outage.doubted, compared) {
                self.suspect(*seq);
            }
        }
        self.doubt.took(events);
        Judgement {
            settled: Settled::Done,
            result: AttemptResult::Delivered,
            outage_ended: ended.is_some(),
            stands,
            ..released(false)
        }
    }

    /// The destination answers, and says that no retry can cure it: whatever the outage was, it is over.
    fn incurable(&mut self, code: Code) -> Judgement {
        Judgement {
            settled: Settled::Bury { code },
            result: AttemptResult::Buried,
            outage_ended: self.outage.take().is_some(),
            ..released(false)
        }
    }

    /// Several events failed together, at a destination that answers. Nobody knows which is to blame, so nothing is
    /// counted. An outage of events that fail each as if alone is not over because several `may_pass` later.
    fn together(&mut self, may_pass: bool) -> Judgement {
        let ended = self
            .outage
            .take_if(|outage| !may_pass || outage.cause == Cause::Destination);
        Judgement {
            outage_ended: ended.is_some(),
            take_apart: true,
            ..released(false)
        }
    }

    fn suspect(&mut self, seq: u64) {
        self.suspects.retain(|known| *known != seq);
        self.suspects.push_back(seq);
        if self.suspects.len() > SUSPECTS_MAX {
            self.suspects.pop_front();
        }
    }

    /// Doubles with every failure, is spread over its upper half, and is never longer than `backoff_max`.
    fn pause(&self, failures: u32, after: Option<Duration>, chance: f64) -> Duration {
        let longest = self.retry.backoff_max;
        let doubled = self
            .retry
            .backoff_min
            .saturating_mul(1 << failures.min(30))
            .min(longest);
        let spread = doubled.mul_f64(chance.clamp(0.0, 1.0).mul_add(0.5, 0.5));
        spread.max(after.unwrap_or_default()).min(longest)
    }
}

fn released(outage_began: bool) -> Judgement {
    Judgement {
        settled: Settled::Release,
        result: AttemptResult::Retry,
        outage_began,
        outage_ended: false,
        take_apart: false,
        blamed: false,
        set_aside: false,
        stands: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faceway_core::{EventId, Parked, Private};

    fn judge(attempts_max: u32) -> Judge {
        Judge::new(Retry {
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            attempts_max: std::num::NonZeroU32::new(attempts_max),
            age_max: None,
        })
    }

    fn lease(seq: u64, device: u64, failures: u32) -> Lease {
        Lease {
            seq,
            id: EventId::from_bytes([0; 16]),
            device: DeviceKey(device),
            received_at: at(0),
            failures,
            routed: false,
            trace_context: None,
            body: Private::default(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn down(after: Option<u64>) -> Verdict {
        Verdict::Retry {
            scope: Scope::Destination,
            code: Code::status(503),
            after: after.map(Duration::from_secs),
        }
    }

    fn failed() -> Verdict {
        Verdict::Retry {
            scope: Scope::Message,
            code: Code::status(500),
            after: None,
        }
    }

    fn delivered() -> Verdict {
        Verdict::Delivered {
            code: Code::status(200),
        }
    }

    /// When something may leave.
    fn next_probe(judge: &Judge, now: Timestamp) -> Timestamp {
        match judge.permit(now) {
            Permit::Wait(until) => until,
            Permit::Open | Permit::Probe => now,
        }
    }

    #[test]
    fn an_outage_waits_longer_each_time_and_counts_nothing() {
        let mut judge = judge(2);
        let mut now = at(0);
        let mut pauses = Vec::new();
        for round in 0..9 {
            // Another device every time, so that no event probes three times.
            let judgement = judge.judge(
                &[lease(round, round, 0)],
                down(None),
                Beside::Nothing,
                now,
                1.0,
            );
            assert_eq!(judgement.settled, Settled::Release, "round {round}");
            assert_eq!(judgement.outage_began, round == 0);
            let Permit::Wait(until) = judge.permit(now) else {
                panic!("an outage must wait")
            };
            pauses.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(
            judge
                .judge(&[lease(9, 9, 0)], delivered(), Beside::Nothing, now, 1.0)
                .outage_ended
        );
        assert_eq!(judge.permit(now), Permit::Open);
    }

    #[test]
    fn a_probe_that_is_asked_for_leaves_at_once_and_counts_as_one() {
        let mut judge = judge(2);
        assert!(!judge.probe_now(at(0)), "nothing waits");
        judge.judge(&[lease(1, 1, 0)], down(None), Beside::Nothing, at(0), 1.0);
        judge.judge(&[lease(1, 1, 0)], down(None), Beside::Nothing, at(1), 1.0);
        assert_eq!(judge.permit(at(1)), Permit::Wait(at(3)));
        assert!(judge.probe_now(at(1)));
        assert_eq!(judge.permit(at(1)), Permit::Probe);
        assert!(!judge.probe_now(at(1)), "it may leave already");
        let judgement = judge.judge(&[lease(1, 1, 0)], down(None), Beside::Nothing, at(1), 1.0);
        assert_eq!(judgement.settled, Settled::Release, "nothing is counted");
        assert_eq!(judge.permit(at(1)), Permit::Wait(at(5)));
    }

    #[test]
    fn retry_after_is_honoured_up_to_the_longest_pause() {
        let mut judge = judge(0);
        judge.judge(
            &[lease(1, 1, 0)],
            down(Some(20)),
            Beside::Nothing,
            at(0),
            0.0,
        );
        assert_eq!(judge.permit(at(0)), Permit::Wait(at(20)));
        judge.judge(
            &[lease(1, 1, 0)],
            down(Some(3600)),
            Beside::Nothing,
            at(20),
            0.0,
        );
        assert_eq!(judge.permit(at(20)), Permit::Wait(at(80)));
    }

    /// Whichever event probes; and what is asked for by hand is one probe.
    #[test]
    fn no_probe_comes_before_retry_after() {
        let mut judge = judge(0);
        let mut now = at(0);
        for _ in 0..12 {
            let seq = (1..=3)
                .min_by_key(|seq| judge.turn(&lease(*seq, *seq, 0)))
                .unwrap();
            judge.judge(
                &[lease(seq, seq, 0)],
                down(Some(4)),
                Beside::Nothing,
                now,
                0.0,
            );
            let Permit::Wait(until) = judge.permit(now) else {
                panic!("an outage must wait")
            };
            assert!(until.since(now) >= Duration::from_secs(4), "{until}");
            now = until;
        }
        let asked = now.plus_millis(1);
        judge.judge(&[lease(9, 9, 0)], down(Some(4)), Beside::Nothing, now, 0.0);
        assert!(judge.probe_now(asked));
        judge.judge(
            &[lease(9, 9, 0)],
            down(Some(4)),
            Beside::Nothing,
            asked,
            0.0,
        );
        assert!(
            matches!(judge.permit(asked), Permit::Wait(until) if until.since(asked) >= Duration::from_secs(4))
        );
    }

    #[test]
    fn what_was_on_its_way_when_the_outage_began_lengthens_no_pause() {
        let mut judge = judge(0);
        judge.judge(&[lease(1, 1, 0)], down(None), Beside::Nothing, at(0), 1.0);
        judge.judge(&[lease(2, 2, 0)], down(None), Beside::Nothing, at(0), 1.0);
        judge.judge(&[lease(3, 3, 0)], down(None), Beside::Nothing, at(0), 1.0);
        assert_eq!(judge.permit(at(0)), Permit::Wait(at(1)));
    }

    #[test]
    fn a_poisonous_event_cannot_pass_for_an_outage() {
        let mut judge = judge(0);
        let mut now = at(0);
        let mut settled = Vec::new();
        for _ in 0..4 {
            settled.push(
                judge
                    .judge(&[lease(1, 1, 0)], down(None), Beside::Nothing, now, 1.0)
                    .settled,
            );
            let Permit::Wait(until) = judge.permit(now) else {
                panic!("an outage must wait")
            };
            now = until;
        }
        assert_eq!(
            settled[..3],
            [Settled::Release, Settled::Release, Settled::Release]
        );
        assert!(
            matches!(
                settled[3],
                Settled::Park {
                    why: Parked::Probe,
                    ..
                }
            ),
            "three probes, then another's turn"
        );
        let next = judge.judge(&[lease(2, 2, 0)], delivered(), Beside::Nothing, now, 1.0);
        assert!(next.outage_ended);
        let again = judge.judge(&[lease(1, 1, 0)], down(None), Beside::Nothing, now, 1.0);
        assert!(
            matches!(
                again.settled,
                Settled::Park {
                    why: Parked::Alone,
                    ..
                }
            ),
            "now it is counted"
        );
        assert_eq!(judge.permit(now), Permit::Open, "and the others go on");
    }

    #[test]
    fn who_has_probed_in_vain_comes_after_all_others() {
        let mut judge = judge(0);
        let mut now = at(0);
        let mut probes = Vec::new();
        // Three poisonous events of three devices; all of them can be leased whenever a probe may leave.
        for _ in 0..13 {
            let seq = (1..=3)
                .min_by_key(|seq| judge.turn(&lease(*seq, *seq, 0)))
                .unwrap();
            judge.judge(&[lease(seq, seq, 0)], down(None), Beside::Nothing, now, 1.0);
            probes.push(seq);
            let Permit::Wait(until) = judge.permit(now) else {
                panic!("an outage must wait")
            };
            now = until;
        }
        assert_eq!(probes, [1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 1, 1]);
        assert_eq!(
            judge.turn(&lease(4, 4, 0)),
            0,
            "one that has not probed is the next"
        );
        assert_eq!(judge.wearied(), 3);
    }

    #[test]
    fn a_clock_that_is_set_back_lengthens_no_pause() {
        let mut judge = judge(0);
        judge.judge(
            &[lease(1, 1, 0)],
            down(None),
            Beside::Nothing,
            at(1_000_000),
            1.0,
        );
        assert_eq!(
            judge.permit(at(1_000_000)),
            Permit::Wait(at(1_000_001)),
            "before it was set"
        );
        assert_eq!(judge.permit(at(0)), Permit::Probe);
        let probe = judge.judge(&[lease(1, 1, 0)], down(None), Beside::Nothing, at(0), 1.0);
        assert_eq!(probe.settled, Settled::Release);
        assert_eq!(judge.permit(at(0)), Permit::Wait(at(2)), "no storm");
    }

    #[test]
    fn an_event_that_fails_alone_is_parked_and_in_the_end_buried() {
        let mut judge = judge(3);
        let parked = judge.judge(&[lease(1, 1, 0)], failed(), Beside::Nothing, at(0), 1.0);
        assert_eq!(
            parked.settled,
            Settled::Park {
                until: at(1),
                why: Parked::Alone
            }
        );
        let parked = judge.judge(&[lease(1, 1, 1)], failed(), Beside::Nothing, at(1), 1.0);
        assert_eq!(
            parked.settled,
            Settled::Park {
                until: at(3),
                why: Parked::Alone
            }
        );
        let buried = judge.judge(&[lease(1, 1, 2)], failed(), Beside::Nothing, at(3), 1.0);
        assert_eq!(
            buried.settled,
            Settled::Bury {
                code: Code::status(500)
            }
        );
        assert_eq!(
            judge.permit(at(3)),
            Permit::Open,
            "its device and the others go on"
        );
    }

    #[test]
    fn attempts_max_zero_is_without_end_and_age_max_ends_it() {
        let mut judge = judge(0);
        assert!(matches!(
            judge
                .judge(
                    &[lease(1, 1, 1_000_000)],
                    failed(),
                    Beside::Nothing,
                    at(0),
                    1.0
                )
                .settled,
            Settled::Park { .. }
        ));
        judge.retry.age_max = Some(Duration::from_secs(10));
        assert!(matches!(
            judge
                .judge(&[lease(1, 1, 0)], failed(), Beside::Nothing, at(10), 1.0)
                .settled,
            Settled::Bury { .. }
        ));
    }

    #[test]
    fn several_devices_failing_alone_are_an_outage() {
        let mut judge = judge(2);
        assert!(
            !judge
                .judge(&[lease(1, 1, 0)], failed(), Beside::Nothing, at(0), 1.0)
                .outage_began
        );
        assert!(
            !judge
                .judge(&[lease(2, 2, 0)], failed(), Beside::Nothing, at(0), 1.0)
                .outage_began
        );
        let third = judge.judge(&[lease(3, 3, 1)], failed(), Beside::Nothing, at(0), 1.0);
        assert!(third.outage_began);
        assert_eq!(third.settled, Settled::Release, "no attempt is counted");
        let probe = judge.judge(&[lease(3, 3, 1)], failed(), Beside::Nothing, at(1), 1.0);
        assert_eq!(probe.settled, Settled::Release);
        assert!(
            judge
                .judge(&[lease(4, 4, 0)], delivered(), Beside::Nothing, at(5), 1.0)
                .outage_ended
        );
        assert!(
            !judge
                .judge(&[lease(5, 5, 0)], failed(), Beside::Nothing, at(5), 1.0)
                .outage_began,
            "a success wipes the slate"
        );
    }

    #[test]
    fn a_success_between_makes_it_no_outage() {
        let mut judge = judge(0);
        for device in 0..20 {
            assert!(
                !judge
                    .judge(
                        &[lease(device, device, 0)],
                        failed(),
                        Beside::Nothing,
                        at(0),
                        1.0
                    )
                    .outage_began
            );
            judge.judge(
                &[lease(100 + device, 100, 0)],
                delivered(),
                Beside::Nothing,
                at(0),
                1.0,
            );
        }
    }

    #[test]
    fn a_destination_that_answers_again_ends_the_outage_whatever_it_says() {
        let mut judge = judge(3);
        judge.judge(&[lease(1, 1, 0)], down(None), Beside::Nothing, at(0), 1.0);
        let alone = judge.judge(&[lease(1, 1, 0)], failed(), Beside::Nothing, at(1), 1.0);
        assert!(alone.outage_ended);
        assert!(
            matches!(
                alone.settled,
                Settled::Park {
                    why: Parked::Alone,
                    ..
                }
            ),
            "and the event counts as alone"
        );
        judge.judge(&[lease(2, 2, 0)], down(None), Beside::Nothing, at(2), 1.0);
        let buried = judge.judge(
            &[lease(2, 2, 0)],
            Verdict::Bury {
                code: Code::status(422),
            },
            Beside::Nothing,
            at(4),
            1.0,
        );
        assert!(buried.outage_ended);
    }

    fn three() -> [Lease; 3] {
        [lease(1, 1, 0), lease(2, 2, 0), lease(3, 1, 0)]
    }

    fn incurable() -> Verdict {
        Verdict::Bury {
            code: Code::status(422),
        }
    }

    #[test]
    fn several_that_fail_together_are_taken_apart_and_nothing_is_counted() {
        for verdict in [failed(), incurable()] {
            let mut judge = judge(1);
            for _ in 0..5 {
                let judgement = judge.judge(&three(), verdict.clone(), Beside::Nothing, at(0), 1.0);
                assert!(judgement.take_apart);
                assert_eq!(judgement.settled, Settled::Release);
                assert_eq!(judgement.result, AttemptResult::Retry);
                assert_eq!(judge.permit(at(0)), Permit::Open, "it is no outage either");
            }
            let alone = judge.judge(&three()[..1], verdict, Beside::Nothing, at(0), 1.0);
            assert!(!alone.take_apart);
            assert!(matches!(alone.settled, Settled::Bury { .. }), "now it is");
        }
    }

    #[test]
    fn an_outage_is_one_for_several_as_for_one() {
        let mut judge = judge(1);
        let judgement = judge.judge(&three(), down(Some(20)), Beside::Nothing, at(0), 1.0);
        assert!(judgement.outage_began && !judgement.take_apart);
        assert_eq!(judgement.settled, Settled::Release);
        assert_eq!(judge.permit(at(0)), Permit::Wait(at(20)));
        let judgement = judge.judge(&three(), delivered(), Beside::Nothing, at(20), 1.0);
        assert!(judgement.outage_ended);
        assert_eq!(judgement.settled, Settled::Done);
    }

    #[test]
    fn what_is_said_of_several_ends_an_outage_unless_events_failed_alone() {
        for verdict in [failed(), incurable()] {
            let mut judge = judge(0);
            judge.judge(&[lease(9, 9, 0)], down(None), Beside::Nothing, at(0), 1.0);
            assert!(
                judge
                    .judge(&three(), verdict, Beside::Nothing, at(0), 1.0)
                    .outage_ended
            );
            assert_eq!(judge.permit(at(0)), Permit::Open);
        }
        let mut judge = judge(0);
        for device in 1..=3 {
            judge.judge(
                &[lease(device, device, 0)],
                failed(),
                Beside::Nothing,
                at(0),
                1.0,
            );
        }
        assert!(
            !judge
                .judge(&three(), failed(), Beside::Nothing, at(0), 1.0)
                .outage_ended
        );
        assert!(matches!(judge.permit(at(0)), Permit::Wait(_)));
        assert!(
            judge
                .judge(&three(), incurable(), Beside::Nothing, at(0), 1.0)
                .outage_ended
        );
    }

    #[test]
    fn pauses_are_spread() {
        let mut judge = judge(0);
        judge.judge(&[lease(1, 1, 0)], down(None), Beside::Nothing, at(0), 0.0);
        assert_eq!(judge.permit(at(0)), Permit::Wait(at(0).plus_millis(500)));
    }

    /// One device that the destination knows, and one that it does not, both on their way when the connection breaks.
    fn broken(judge: &mut Judge) -> [Lease; 2] {
        judge.judge(&[lease(1, 1, 0)], delivered(), Beside::Nothing, at(0), 1.0);
        let (known, unknown) = (lease(2, 1, 0), lease(3, 2, 0));
        let both = [known, unknown];
        judge.left(&both);
        let first = judge.judge(&both[..1], down(None), Beside::Nothing, at(0), 1.0);
        assert!(!first.outage_began, "that is not known yet");
        assert_eq!(judge.permit(at(0)), Permit::Probe, "at once");
        let straggler = judge.judge(&both[1..], down(None), Beside::Nothing, at(0), 1.0);
        assert_eq!(straggler, released(false));
        assert!(judge.turn(&both[0]) < judge.turn(&both[1]));
        both
    }

    #[test]
    fn whoever_breaks_the_connection_is_found_by_one_that_does_not() {
        let mut judge = judge(2);
        let both = broken(&mut judge);
        assert!(
            judge
                .judge(&both[..1], delivered(), Beside::Nothing, at(0), 1.0)
                .outage_ended
        );
        assert!(judge.is_wary() && judge.goes_alone(&both[1]));
        let (other, unknown) = (lease(4, 1, 0), &both[1..]);
        judge.left(std::slice::from_ref(&other));
        assert!(judge.may_leave(&unknown[0]));
        judge.left(unknown);
        assert!(judge.may_leave(&other) && !judge.may_leave(&lease(9, 9, 0)));
        let parked = judge.judge(unknown, down(None), Beside::Nothing, at(0), 1.0);
        assert!(
            parked.blamed
                && matches!(
                    parked.settled,
                    Settled::Park {
                        why: Parked::Alone,
                        ..
                    }
                )
        );
        let taken_along = judge.judge(
            std::slice::from_ref(&other),
            down(None),
            Beside::Nothing,
            at(0),
            1.0,
        );
        assert_eq!(taken_along, released(false));
        assert_eq!(judge.permit(at(0)), Permit::Open);
        // It comes back later than what it took along, and has been tried before.
        let again = lease(3, 2, 1);
        judge.left(&[again.clone(), other.clone()]);
        judge.judge(&[other], down(None), Beside::Nothing, at(1), 1.0);
        let buried = judge.judge(&[again], down(None), Beside::Nothing, at(1), 1.0);
        assert!(matches!(buried.settled, Settled::Bury { .. }) && buried.outage_ended);
        assert_eq!(judge.permit(at(1)), Permit::Open);
    }

    #[test]
    fn it_is_an_outage_when_one_that_is_known_does_not_get_through_either() {
        let mut judge = judge(1);
        let both = broken(&mut judge);
        judge.left(&both[..1]);
        let probe = judge.judge(&both[..1], down(None), Beside::Nothing, at(0), 1.0);
        assert!(probe.outage_began && probe.settled == Settled::Release);
        assert!(matches!(judge.permit(at(0)), Permit::Wait(_)));
        assert_eq!(judge.turn(&both[1]), 0, "in their order, as ever");
        judge.judge(&both[..1], delivered(), Beside::Nothing, at(9), 1.0);
        assert!(!judge.is_wary());
    }

    #[test]
    fn there_is_no_doubt_where_nobody_is_known_or_the_destination_asks_for_a_pause() {
        let mut judge = judge(1);
        let unknown = [lease(1, 1, 0)];
        judge.left(&unknown);
        assert!(
            judge
                .judge(&unknown, down(None), Beside::Nothing, at(0), 1.0)
                .outage_began
        );
        judge.judge(&unknown, delivered(), Beside::Nothing, at(9), 1.0);
        let unknown = [lease(2, 2, 0)];
        judge.left(&unknown);
        judge.judge(&unknown, down(Some(20)), Beside::Nothing, at(9), 1.0);
        assert_eq!(judge.permit(at(9)), Permit::Wait(at(29)));
    }

    #[test]
    fn a_wary_lane_is_at_ease_again_when_others_are_taken() {
        let mut judge = judge(1);
        let both = broken(&mut judge);
        judge.judge(&both[..1], delivered(), Beside::Nothing, at(0), 1.0);
        for device in 10..20 {
            assert!(judge.is_wary());
            let new = [lease(device, device, 0)];
            judge.left(&new);
            judge.judge(&new, delivered(), Beside::Nothing, at(0), 1.0);
        }
        assert!(!judge.is_wary());
    }

    #[test]
    fn a_success_from_before_the_break_blames_nobody() {
        let mut judge = judge(1);
        judge.judge(
            &[lease(1, 1, 0), lease(2, 2, 0)],
            delivered(),
            Beside::Nothing,
            at(0),
            1.0,
        );
        let [first, second, unknown] = [lease(3, 1, 0), lease(4, 2, 0), lease(5, 3, 0)];
        judge.left(&[first.clone(), second.clone(), unknown.clone()]);
        judge.judge(&[first], down(None), Beside::Nothing, at(0), 1.0);
        assert!(
            judge
                .judge(&[second], delivered(), Beside::Nothing, at(0), 1.0)
                .outage_ended
        );
        let judgement = judge.judge(&[unknown], down(None), Beside::Nothing, at(0), 1.0);
        assert_eq!(judgement, released(false));
        assert!(judge.is_in_doubt(), "a new probe decides");
    }

    #[test]
    fn several_that_are_blamed_one_after_another_are_an_outage() {
        let mut judge = judge(1);
        judge.judge(&[lease(1, 1, 0)], delivered(), Beside::Nothing, at(0), 1.0);
        judge.suspects.extend(11..=14);
        for device in 11..=14 {
            let suspect = [lease(device, device, 0)];
            judge.left(&suspect);
            let judgement = judge.judge(&suspect, down(None), Beside::Nothing, at(0), 1.0);
            assert_eq!(judgement.blamed, device < 14, "{device}");
        }
        assert!(judge.is_in_doubt());
        assert_eq!(judge.permit(at(0)), Permit::Probe);
    }

    #[test]
    fn whoever_hears_retry_after_is_believed() {
        // One that was on its way when the doubt began.
        let mut one = judge(1);
        judge_first(&mut one);
        let both = [lease(2, 1, 0), lease(3, 2, 0)];
        one.left(&both);
        one.judge(&both[..1], down(None), Beside::Nothing, at(0), 1.0);
        one.judge(&both[1..], down(Some(30)), Beside::Nothing, at(0), 1.0);
        assert_eq!(one.permit(at(0)), Permit::Wait(at(30)));
        // One that a blamed event took along, and that event itself.
        let mut one = judge(1);
        judge_first(&mut one);
        one.suspects.push_back(3);
        one.left(&both);
        assert!(
            one.judge(&both[1..], down(None), Beside::Nothing, at(0), 1.0)
                .blamed
        );
        one.judge(&both[..1], down(Some(30)), Beside::Nothing, at(0), 1.0);
        assert_eq!(one.permit(at(0)), Permit::Wait(at(30)));
        let mut one = judge(1);
        judge_first(&mut one);
        one.suspects.push_back(3);
        one.left(&both);
        assert!(
            !one.judge(&both[1..], down(Some(30)), Beside::Nothing, at(0), 1.0)
                .blamed
        );
        assert_eq!(one.permit(at(0)), Permit::Wait(at(30)));
    }

    fn judge_first(judge: &mut Judge) {
        judge.judge(&[lease(1, 1, 0)], delivered(), Beside::Nothing, at(0), 1.0);
    }

    #[test]
    fn one_that_is_suspected_is_to_blame_whoever_comes_back_first() {
        let mut judge = judge(2);
        judge.judge(
            &[lease(1, 1, 0), lease(2, 2, 0)],
            delivered(),
            Beside::Nothing,
            at(0),
            1.0,
        );
        judge.suspects.push_back(5);
        // Of a device that the destination knows, beside one that it does not.
        let [suspect, known, unknown] = [lease(5, 1, 0), lease(6, 2, 0), lease(7, 7, 0)];
        judge.left(&[suspect.clone(), known.clone(), unknown.clone()]);
        judge.judge(&[known], down(None), Beside::Nothing, at(0), 1.0);
        judge.judge(&[unknown], down(None), Beside::Nothing, at(0), 1.0);
        assert!(
            judge
                .judge(&[suspect], down(None), Beside::Nothing, at(0), 1.0)
                .blamed
        );
        assert_eq!(judge.permit(at(0)), Permit::Open);
    }

    #[test]
    fn an_outage_under_new_devices_alone_is_told() {
        let mut judge = judge(1);
        judge_first(&mut judge);
        let unknown = [lease(2, 2, 0)];
        judge.left(&unknown);
        assert!(
            !judge
                .judge(&unknown, down(None), Beside::Nothing, at(0), 1.0)
                .outage_began
        );
        judge.left(&unknown);
        assert!(
            judge
                .judge(&unknown, down(None), Beside::Nothing, at(0), 1.0)
                .outage_began
        );
        assert!(judge.is_in_doubt());
    }

    /// Also after a start, which forgets who is suspected.
    #[test]
    fn who_has_failed_alone_probes_after_the_others() {
        let judge = judge(1);
        assert!(judge.turn(&lease(1, 1, 1)) > judge.turn(&lease(2, 2, 0)));
    }

    #[test]
    fn all_of_a_batch_are_back_with_it() {
        let mut judge = judge(1);
        let (first, second) = ([lease(1, 1, 0), lease(2, 2, 0)], [lease(3, 3, 0)]);
        judge.left(&first);
        judge.left(&second);
        judge.judge(&second, down(None), Beside::Nothing, at(0), 1.0);
        judge.judge(&first, down(None), Beside::Nothing, at(0), 1.0);
        let probe = &first[1..];
        judge.left(probe);
        judge.judge(probe, down(None), Beside::Nothing, at(1), 1.0);
        assert_eq!(judge.permit(at(1)), Permit::Wait(at(3)), "it is a probe");
    }

    fn refused() -> Verdict {
        Verdict::Refused {
            code: Code::status(401),
        }
    }

    #[test]
    fn a_success_that_left_before_a_refusal_says_nothing_of_it() {
        let mut judge = judge(1);
        let [early, bad, late] = [1, 2, 3].map(|seq| [lease(seq, seq, 0)]);
        judge.left(&early);
        judge.left(&bad);
        assert!(
            judge
                .judge(&bad, refused(), Beside::Nothing, at(0), 1.0)
                .set_aside
        );
        let first = judge.judge(&early, delivered(), Beside::Nothing, at(0), 1.0);
        assert!(first.stands.is_empty() && judge.has_set_aside());
        judge.left(&late);
        let second = judge.judge(&late, delivered(), Beside::Nothing, at(0), 1.0);
        assert!(second.stands.len() == 1 && !judge.has_set_aside());
    }

    #[test]
    fn what_is_behind_a_refused_probe_is_tried_at_once() {
        let mut judge = judge(1);
        let bad = [lease(1, 1, 0)];
        judge.judge(&bad, refused(), Beside::Nothing, at(0), 1.0);
        assert!(judge.nothing_is_left(at(0), 1.0));
        judge.taken_back();
        assert_eq!(judge.permit(at(0)), Permit::Wait(at(1)));
        let again = judge.judge(&bad, refused(), Beside::New, at(0), 1.0);
        assert!(again.set_aside && matches!(again.settled, Settled::Bury { .. }));
        assert_eq!(judge.permit(at(0)), Permit::Probe);
        let behind = judge.judge(&[lease(2, 1, 0)], delivered(), Beside::Nothing, at(1), 1.0);
        assert!(behind.outage_ended && behind.stands.len() == 1);
        // It is not asked twice about one that was refused beside others.
        judge.retry.attempts_max = std::num::NonZeroU32::new(2);
        judge.judge(&[lease(3, 1, 0)], failed(), Beside::Nothing, at(2), 1.0);
        judge.judge(&[lease(4, 2, 0)], delivered(), Beside::Nothing, at(2), 1.0);
        let spent = judge.judge(&[lease(3, 1, 1)], refused(), Beside::Nothing, at(3), 1.0);
        assert!(!spent.set_aside && matches!(spent.settled, Settled::Bury { .. }));
    }

    #[test]
    fn a_destination_that_is_down_is_no_comparison() {
        let mut judge = judge(1);
        judge.judge(&[lease(1, 1, 0)], refused(), Beside::Nothing, at(0), 1.0);
        judge.judge(&[lease(2, 2, 0)], down(None), Beside::Nothing, at(0), 1.0);
        assert!(judge.must_take_back());
    }

    /// e1 of a device is refused by itself, e2 behind it hears that the destination is down.
    #[test]
    fn a_refusal_does_not_end_an_outage_before_something_gets_through() {
        let mut judge = judge(0);
        judge_first(&mut judge);
        // Of a device that never got through, so that the outage is in doubt.
        let (bad, behind) = ([lease(2, 2, 0)], [lease(3, 2, 0)]);
        let mut now = at(10);
        let mut left = 0;
        while now < at(70) && left < 1000 {
            for (event, verdict) in [(&bad, refused()), (&behind, down(None))] {
                judge.left(event);
                left += 1;
                let judgement = judge.judge(event, verdict, Beside::New, now, 1.0);
                assert!(!judgement.outage_ended, "nothing got through");
            }
            assert!(judge.must_take_back());
            judge.taken_back();
            now = next_probe(&judge, now);
        }
        assert!(left <= 16, "{left} in a minute");
    }

    #[test]
    fn a_sweep_is_not_stuck_behind_more_than_are_remembered() {
        let mut judge = judge(0);
        let mut now = at(0);
        for _ in 0..10_000 {
            for seq in 1.. {
                if seq > 100 {
                    return;
                }
                let event = [lease(seq, 1, 0)];
                judge.left(&event);
                if !judge
                    .judge(&event, refused(), Beside::New, now, 1.0)
                    .set_aside
                {
                    break;
                }
            }
            judge.taken_back();
            now = next_probe(&judge, now);
        }
        panic!("the hundred-and-first is never reached");
    }

    #[test]
    fn one_success_does_not_condemn_all_that_failed_before_it() {
        let mut judge = judge(0);
        for seq in 1..=20 {
            judge.judge(&[lease(seq, seq, 0)], refused(), Beside::New, at(0), 1.0);
        }
        judge.taken_back();
        judge.left(&[lease(99, 99, 0)]);
        judge.judge(&[lease(99, 99, 0)], delivered(), Beside::New, at(1), 1.0);
        let mut given_up = 0;
        for seq in 1..=20 {
            let event = [lease(seq, seq, 0)];
            judge.left(&event);
            let judgement = judge.judge(&event, refused(), Beside::New, at(2), 1.0);
            given_up += usize::from(
                matches!(judgement.settled, Settled::Bury { .. }) && !judgement.set_aside,
            );
        }
        assert!(
            given_up < 3,
            "{given_up} are buried with no success between"
        );
    }

    #[test]
    fn a_destination_that_refuses_many_of_its_events_is_known_by_that() {
        let mut judge = judge(0);
        let mut seq = 0;
        let mut run = |judge: &mut Judge, refuses: u64| {
            let mut is_outage = false;
            for _ in 0..refuses {
                seq += 1;
                let event = [lease(seq, 1, 0)];
                judge.left(&event);
                is_outage |= !judge
                    .judge(&event, refused(), Beside::New, at(0), 1.0)
                    .set_aside;
            }
            seq += 1;
            let event = [lease(seq, 1, 0)];
            judge.left(&event);
            judge.judge(&event, delivered(), Beside::New, at(0), 1.0);
            is_outage
        };
        for refuses in [2, 3, 5, 9] {
            assert!(!run(&mut judge, refuses), "{refuses}");
        }
    }

    #[test]
    fn one_that_has_tries_left_does_not_hide_behind_one_that_has_none() {
        let mut judge = judge(10);
        let (bad, good) = ([lease(1, 1, 0)], [lease(2, 1, 0)]);
        judge.judge(&bad, refused(), Beside::New, at(0), 1.0);
        judge.judge(&good, failed(), Beside::Nothing, at(0), 1.0);
        judge.taken_back();
        let again = judge.judge(&bad, refused(), Beside::Failed, at(1), 1.0);
        assert!(again.set_aside, "what is behind it has its turn");
    }

    #[test]
    fn an_outage_that_counts_nothing_lets_three_devices_go_on_in_the_end() {
        let mut judge = judge(5);
        let mut now = at(0);
        let mut failures = [0; 3];
        for round in 0..2_000 {
            let device = round % 3;
            let event = [lease(device + 1, device, failures[device as usize])];
            judge.left(&event);
            let judgement = judge.judge(&event, failed(), Beside::Failed, now, 1.0);
            if matches!(
                judgement.settled,
                Settled::Park {
                    why: Parked::Alone,
                    ..
                }
            ) {
                failures[device as usize] += 1;
            }
            if judgement.set_aside {
                return;
            }
            now = next_probe(&judge, now);
        }
        panic!("nobody is ever passed by");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_put_a_sweep_off() {
        let mut judge = judge(0);
        for seq in 1..=3 {
            judge.judge(
                &[lease(seq, 1, 0)],
                refused(),
                Beside::New,
                at(1_000_000),
                1.0,
            );
        }
        judge.taken_back();
        let again = judge.judge(&[lease(1, 1, 0)], refused(), Beside::New, at(10), 1.0);
        assert!(again.set_aside);
    }
}
