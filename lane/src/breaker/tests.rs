//! The breaker by tables.

use super::*;
use faceway_core::Parked;

fn rule(attempts_max: u32) -> Breaker {
    Breaker::new(Policy {
        backoff_min: Duration::from_secs(1),
        backoff_max: Duration::from_secs(60),
        attempts_max: std::num::NonZeroU32::new(attempts_max),
        age_max: None,
        ..Policy::default()
    })
}

fn event(seq: u64, device: u64, failures: u32) -> Queued {
    Queued {
        seq,
        device: DeviceKey(device),
        failures,
        age: Duration::ZERO,
    }
}

fn at(seconds: u64) -> Tick {
    Tick::after(Duration::from_secs(seconds))
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

/// When something may leave. Every device has had its turn.
fn next_probe(breaker: &mut Breaker, now: Tick) -> Tick {
    if breaker.is_in_step() {
        breaker.end_step(now, 1.0);
    }
    match breaker.state(now) {
        State::Open(until) => until,
        State::Closed | State::HalfOpen => now,
    }
}

#[test]
fn an_outage_waits_longer_each_time_and_counts_nothing() {
    let mut breaker = rule(2);
    let mut now = at(0);
    let mut pauses = Vec::new();
    for round in 0..9 {
        // Another device every time, so that no event probes three times.
        let ruling = breaker.rule(
            &[event(round, round, 0)],
            down(None),
            Company::Nothing,
            now,
            1.0,
        );
        assert_eq!(ruling.settled, Settled::Release, "round {round}");
        assert_eq!(ruling.outage_began, round == 0);
        let State::Open(until) = breaker.state(now) else {
            panic!("an outage must wait")
        };
        pauses.push(until.since(now).as_secs());
        now = until;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert!(
        breaker
            .rule(&[event(9, 9, 0)], delivered(), Company::Nothing, now, 1.0)
            .outage_ended
    );
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn a_probe_that_is_asked_for_leaves_at_once_and_counts_as_one() {
    let mut breaker = rule(2);
    assert!(!breaker.probe_now(at(0)), "nothing waits");
    breaker.rule(&[event(1, 1, 0)], down(None), Company::Nothing, at(0), 1.0);
    breaker.rule(&[event(1, 1, 0)], down(None), Company::Nothing, at(1), 1.0);
    assert_eq!(breaker.state(at(1)), State::Open(at(3)));
    assert!(breaker.probe_now(at(1)));
    assert_eq!(breaker.state(at(1)), State::HalfOpen);
    assert!(!breaker.probe_now(at(1)), "it may leave already");
    let ruling = breaker.rule(&[event(1, 1, 0)], down(None), Company::Nothing, at(1), 1.0);
    assert_eq!(ruling.settled, Settled::Release, "nothing is counted");
    assert_eq!(breaker.state(at(1)), State::Open(at(5)));
}

#[test]
fn retry_after_is_honoured_up_to_the_longest_pause() {
    let mut breaker = rule(0);
    breaker.rule(
        &[event(1, 1, 0)],
        down(Some(20)),
        Company::Nothing,
        at(0),
        0.0,
    );
    assert_eq!(breaker.state(at(0)), State::Open(at(20)));
    breaker.rule(
        &[event(1, 1, 0)],
        down(Some(3600)),
        Company::Nothing,
        at(20),
        0.0,
    );
    assert_eq!(breaker.state(at(20)), State::Open(at(80)));
}

/// Whichever event probes; and what is asked for by hand is one probe.
#[test]
fn no_probe_comes_before_retry_after() {
    let mut breaker = rule(0);
    let mut now = at(0);
    for _ in 0..12 {
        let seq = (1..=3)
            .min_by_key(|seq| breaker.turn(&event(*seq, *seq, 0)))
            .unwrap();
        breaker.rule(
            &[event(seq, seq, 0)],
            down(Some(4)),
            Company::Nothing,
            now,
            0.0,
        );
        let State::Open(until) = breaker.state(now) else {
            panic!("an outage must wait")
        };
        assert!(until.since(now) >= Duration::from_secs(4), "{until:?}");
        now = until;
    }
    let asked = now.plus(Duration::from_millis(1));
    breaker.rule(&[event(9, 9, 0)], down(Some(4)), Company::Nothing, now, 0.0);
    assert!(breaker.probe_now(asked));
    breaker.rule(
        &[event(9, 9, 0)],
        down(Some(4)),
        Company::Nothing,
        asked,
        0.0,
    );
    assert!(
        matches!(breaker.state(asked), State::Open(until) if until.since(asked) >= Duration::from_secs(4))
    );
}

#[test]
fn what_was_on_its_way_when_the_outage_began_lengthens_no_pause() {
    let mut breaker = rule(0);
    breaker.rule(&[event(1, 1, 0)], down(None), Company::Nothing, at(0), 1.0);
    breaker.rule(&[event(2, 2, 0)], down(None), Company::Nothing, at(0), 1.0);
    breaker.rule(&[event(3, 3, 0)], down(None), Company::Nothing, at(0), 1.0);
    assert_eq!(breaker.state(at(0)), State::Open(at(1)));
}

#[test]
fn a_poisonous_event_cannot_pass_for_an_outage() {
    let mut breaker = rule(0);
    let mut now = at(0);
    let mut settled = Vec::new();
    for _ in 0..4 {
        settled.push(
            breaker
                .rule(&[event(1, 1, 0)], down(None), Company::Nothing, now, 1.0)
                .settled,
        );
        let State::Open(until) = breaker.state(now) else {
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
    let next = breaker.rule(&[event(2, 2, 0)], delivered(), Company::Nothing, now, 1.0);
    assert!(next.outage_ended);
    let again = breaker.rule(&[event(1, 1, 0)], down(None), Company::Nothing, now, 1.0);
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
    assert_eq!(breaker.state(now), State::Closed, "and the others go on");
}

#[test]
fn who_has_probed_in_vain_comes_after_all_others() {
    let mut breaker = rule(0);
    let mut now = at(0);
    let mut probes = Vec::new();
    // Three poisonous events of three devices; all of them can be leased whenever a probe may leave.
    for _ in 0..13 {
        let seq = (1..=3)
            .min_by_key(|seq| breaker.turn(&event(*seq, *seq, 0)))
            .unwrap();
        breaker.rule(
            &[event(seq, seq, 0)],
            down(None),
            Company::Nothing,
            now,
            1.0,
        );
        probes.push(seq);
        let State::Open(until) = breaker.state(now) else {
            panic!("an outage must wait")
        };
        now = until;
    }
    assert_eq!(probes, [1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 1, 1]);
    assert_eq!(
        breaker.turn(&event(4, 4, 0)),
        0,
        "one that has not probed is the next"
    );
    assert_eq!(breaker.candidates.len(), 3);
}

#[test]
fn an_event_that_fails_alone_is_parked_and_in_the_end_buried() {
    let mut breaker = rule(3);
    let parked = breaker.rule(&[event(1, 1, 0)], failed(), Company::Nothing, at(0), 1.0);
    assert_eq!(
        parked.settled,
        Settled::Park {
            until: at(1),
            why: Parked::Alone
        }
    );
    let parked = breaker.rule(&[event(1, 1, 1)], failed(), Company::Nothing, at(1), 1.0);
    assert_eq!(
        parked.settled,
        Settled::Park {
            until: at(3),
            why: Parked::Alone
        }
    );
    let buried = breaker.rule(&[event(1, 1, 2)], failed(), Company::Nothing, at(3), 1.0);
    assert_eq!(
        buried.settled,
        Settled::Suspend {
            code: Code::status(500)
        },
        "it is buried when another one gets through"
    );
    assert_eq!(
        breaker.state(at(3)),
        State::Closed,
        "its device and the others go on"
    );
}

#[test]
fn attempts_max_zero_is_without_end_and_age_max_ends_it() {
    let mut breaker = rule(0);
    assert!(matches!(
        breaker
            .rule(
                &[event(1, 1, 1_000_000)],
                failed(),
                Company::Nothing,
                at(0),
                1.0
            )
            .settled,
        Settled::Park { .. }
    ));
    breaker.policy.age_max = Some(Duration::from_secs(10));
    let old = Queued {
        age: Duration::from_secs(10),
        ..event(1, 1, 0)
    };
    assert!(matches!(
        breaker
            .rule(&[old], failed(), Company::Nothing, at(10), 1.0)
            .settled,
        Settled::Bury { .. }
    ));
}

#[test]
fn several_devices_failing_alone_are_an_outage() {
    let mut breaker = rule(2);
    assert!(
        !breaker
            .rule(&[event(1, 1, 0)], failed(), Company::Nothing, at(0), 1.0)
            .outage_began
    );
    assert!(
        !breaker
            .rule(&[event(2, 2, 0)], failed(), Company::Nothing, at(0), 1.0)
            .outage_began
    );
    let third = breaker.rule(&[event(3, 3, 1)], failed(), Company::Nothing, at(0), 1.0);
    assert!(third.outage_began);
    assert_eq!(third.settled, Settled::Release, "no attempt is counted");
    let probe = breaker.rule(&[event(3, 3, 1)], failed(), Company::Nothing, at(1), 1.0);
    assert_eq!(probe.settled, Settled::Release);
    assert!(
        breaker
            .rule(&[event(4, 4, 0)], delivered(), Company::Nothing, at(5), 1.0)
            .outage_ended
    );
    assert!(
        !breaker
            .rule(&[event(5, 5, 0)], failed(), Company::Nothing, at(5), 1.0)
            .outage_began,
        "a success wipes the slate"
    );
}

#[test]
fn a_success_between_makes_it_no_outage() {
    let mut breaker = rule(0);
    for device in 0..20 {
        assert!(
            !breaker
                .rule(
                    &[event(device, device, 0)],
                    failed(),
                    Company::Nothing,
                    at(0),
                    1.0
                )
                .outage_began
        );
        breaker.rule(
            &[event(100 + device, 100, 0)],
            delivered(),
            Company::Nothing,
            at(0),
            1.0,
        );
    }
}

#[test]
fn a_destination_that_answers_again_ends_the_outage_whatever_it_says() {
    let mut breaker = rule(3);
    breaker.rule(&[event(1, 1, 0)], down(None), Company::Nothing, at(0), 1.0);
    let alone = breaker.rule(&[event(1, 1, 0)], failed(), Company::Nothing, at(1), 1.0);
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
    breaker.rule(&[event(2, 2, 0)], down(None), Company::Nothing, at(2), 1.0);
    let buried = breaker.rule(
        &[event(2, 2, 0)],
        Verdict::Bury {
            code: Code::status(422),
        },
        Company::Nothing,
        at(4),
        1.0,
    );
    assert!(buried.outage_ended);
}

fn three() -> [Queued; 3] {
    [event(1, 1, 0), event(2, 2, 0), event(3, 1, 0)]
}

fn incurable() -> Verdict {
    Verdict::Bury {
        code: Code::status(422),
    }
}

#[test]
fn several_that_fail_together_are_taken_apart_and_nothing_is_counted() {
    for verdict in [failed(), incurable()] {
        let mut breaker = rule(1);
        for _ in 0..5 {
            let ruling = breaker.rule(&three(), verdict.clone(), Company::Nothing, at(0), 1.0);
            assert!(ruling.split);
            assert_eq!(ruling.settled, Settled::Release);
            assert_eq!(ruling.result, AttemptResult::Retry);
            assert_eq!(
                breaker.state(at(0)),
                State::Closed,
                "it is no outage either"
            );
        }
        let alone = breaker.rule(&three()[..1], verdict, Company::Nothing, at(0), 1.0);
        assert!(!alone.split);
        let is_over = matches!(
            alone.settled,
            Settled::Bury { .. } | Settled::Suspend { .. }
        );
        assert!(is_over, "now it is");
    }
}

#[test]
fn an_outage_is_one_for_several_as_for_one() {
    let mut breaker = rule(1);
    let ruling = breaker.rule(&three(), down(Some(20)), Company::Nothing, at(0), 1.0);
    assert!(ruling.outage_began && !ruling.split);
    assert_eq!(ruling.settled, Settled::Release);
    assert_eq!(breaker.state(at(0)), State::Open(at(20)));
    let ruling = breaker.rule(&three(), delivered(), Company::Nothing, at(20), 1.0);
    assert!(ruling.outage_ended);
    assert_eq!(ruling.settled, Settled::Done);
}

#[test]
fn what_is_said_of_several_ends_an_outage_unless_events_failed_alone() {
    for verdict in [failed(), incurable()] {
        let mut breaker = rule(0);
        breaker.rule(&[event(9, 9, 0)], down(None), Company::Nothing, at(0), 1.0);
        assert!(
            breaker
                .rule(&three(), verdict, Company::Nothing, at(0), 1.0)
                .outage_ended
        );
        assert_eq!(breaker.state(at(0)), State::Closed);
    }
    let mut breaker = rule(0);
    for device in 1..=3 {
        breaker.rule(
            &[event(device, device, 0)],
            failed(),
            Company::Nothing,
            at(0),
            1.0,
        );
    }
    assert!(
        !breaker
            .rule(&three(), failed(), Company::Nothing, at(0), 1.0)
            .outage_ended
    );
    assert!(matches!(breaker.state(at(0)), State::Open(_)));
    assert!(
        breaker
            .rule(&three(), incurable(), Company::Nothing, at(0), 1.0)
            .outage_ended
    );
}

#[test]
fn pauses_are_spread() {
    let mut breaker = rule(0);
    breaker.rule(&[event(1, 1, 0)], down(None), Company::Nothing, at(0), 0.0);
    assert_eq!(
        breaker.state(at(0)),
        State::Open(at(0).plus(Duration::from_millis(500)))
    );
}

/// One device that the destination knows, and one that it does not, both in flight when the connection breaks.
fn broken(breaker: &mut Breaker) -> [Queued; 2] {
    breaker.rule(&[event(1, 1, 0)], delivered(), Company::Nothing, at(0), 1.0);
    let (known, unknown) = (event(2, 1, 0), event(3, 2, 0));
    let both = [known, unknown];
    breaker.left(&both);
    let first = breaker.rule(&both[..1], down(None), Company::Nothing, at(0), 1.0);
    assert!(!first.outage_began, "that is not known yet");
    assert_eq!(breaker.state(at(0)), State::HalfOpen, "at once");
    let straggler = breaker.rule(&both[1..], down(None), Company::Nothing, at(0), 1.0);
    assert_eq!(straggler, released(false));
    assert!(breaker.turn(&both[0]) < breaker.turn(&both[1]));
    both
}

#[test]
fn whoever_breaks_the_connection_is_found_by_one_that_does_not() {
    let mut breaker = rule(2);
    let both = broken(&mut breaker);
    assert!(
        breaker
            .rule(&both[..1], delivered(), Company::Nothing, at(0), 1.0)
            .outage_ended
    );
    assert!(breaker.is_careful() && breaker.goes_alone(&both[1]));
    let (other, unknown) = (event(4, 1, 0), &both[1..]);
    breaker.left(std::slice::from_ref(&other));
    assert!(breaker.may_leave(&unknown[0]));
    breaker.left(unknown);
    assert!(breaker.may_leave(&other) && !breaker.may_leave(&event(9, 9, 0)));
    let parked = breaker.rule(unknown, down(None), Company::Nothing, at(0), 1.0);
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
    let taken_along = breaker.rule(
        std::slice::from_ref(&other),
        down(None),
        Company::Nothing,
        at(0),
        1.0,
    );
    assert_eq!(taken_along, released(false));
    assert_eq!(breaker.state(at(0)), State::Closed);
    // It comes back later than what it took along, and has been tried before.
    let again = event(3, 2, 1);
    breaker.left(&[again, other]);
    breaker.rule(&[other], down(None), Company::Nothing, at(1), 1.0);
    let buried = breaker.rule(&[again], down(None), Company::Nothing, at(1), 1.0);
    assert!(matches!(buried.settled, Settled::Bury { .. }) && buried.outage_ended);
    assert_eq!(breaker.state(at(1)), State::Closed);
}

#[test]
fn it_is_an_outage_when_one_that_is_known_does_not_get_through_either() {
    let mut breaker = rule(1);
    let both = broken(&mut breaker);
    breaker.left(&both[..1]);
    let probe = breaker.rule(&both[..1], down(None), Company::Nothing, at(0), 1.0);
    assert!(probe.outage_began && probe.settled == Settled::Release);
    assert!(matches!(breaker.state(at(0)), State::Open(_)));
    assert_eq!(breaker.turn(&both[1]), 0, "in their order, as ever");
    breaker.rule(&both[..1], delivered(), Company::Nothing, at(9), 1.0);
    assert!(!breaker.is_careful());
}

#[test]
fn there_is_no_doubt_where_nobody_is_known_or_the_destination_asks_for_a_pause() {
    let mut breaker = rule(1);
    let unknown = [event(1, 1, 0)];
    breaker.left(&unknown);
    assert!(
        breaker
            .rule(&unknown, down(None), Company::Nothing, at(0), 1.0)
            .outage_began
    );
    breaker.rule(&unknown, delivered(), Company::Nothing, at(9), 1.0);
    let unknown = [event(2, 2, 0)];
    breaker.left(&unknown);
    breaker.rule(&unknown, down(Some(20)), Company::Nothing, at(9), 1.0);
    assert_eq!(breaker.state(at(9)), State::Open(at(29)));
}

#[test]
fn a_wary_lane_is_at_ease_again_when_others_are_taken() {
    let mut breaker = rule(1);
    let both = broken(&mut breaker);
    breaker.rule(&both[..1], delivered(), Company::Nothing, at(0), 1.0);
    for device in 10..20 {
        assert!(breaker.is_careful());
        let new = [event(device, device, 0)];
        breaker.left(&new);
        breaker.rule(&new, delivered(), Company::Nothing, at(0), 1.0);
    }
    assert!(!breaker.is_careful());
}

#[test]
fn a_success_from_before_the_break_blames_nobody() {
    let mut breaker = rule(1);
    breaker.rule(
        &[event(1, 1, 0), event(2, 2, 0)],
        delivered(),
        Company::Nothing,
        at(0),
        1.0,
    );
    let [first, second, unknown] = [event(3, 1, 0), event(4, 2, 0), event(5, 3, 0)];
    breaker.left(&[first, second, unknown]);
    breaker.rule(&[first], down(None), Company::Nothing, at(0), 1.0);
    assert!(
        breaker
            .rule(&[second], delivered(), Company::Nothing, at(0), 1.0)
            .outage_ended
    );
    let ruling = breaker.rule(&[unknown], down(None), Company::Nothing, at(0), 1.0);
    assert_eq!(ruling, released(false));
    assert!(breaker.is_in_doubt(), "a new probe decides");
}

#[test]
fn several_that_are_blamed_one_after_another_are_an_outage() {
    let mut breaker = rule(1);
    breaker.rule(&[event(1, 1, 0)], delivered(), Company::Nothing, at(0), 1.0);
    breaker.candidates.extend(11..=14);
    for device in 11..=14 {
        let candidate = [event(device, device, 0)];
        breaker.left(&candidate);
        let ruling = breaker.rule(&candidate, down(None), Company::Nothing, at(0), 1.0);
        assert_eq!(ruling.blamed, device < 14, "{device}");
    }
    assert!(breaker.is_in_doubt());
    assert_eq!(breaker.state(at(0)), State::HalfOpen);
}

#[test]
fn whoever_hears_retry_after_is_believed() {
    // One that was in flight when the doubt began.
    let mut one = rule(1);
    judge_first(&mut one);
    let both = [event(2, 1, 0), event(3, 2, 0)];
    one.left(&both);
    one.rule(&both[..1], down(None), Company::Nothing, at(0), 1.0);
    one.rule(&both[1..], down(Some(30)), Company::Nothing, at(0), 1.0);
    assert_eq!(one.state(at(0)), State::Open(at(30)));
    // One that a blamed event took along, and that event itself.
    let mut one = rule(1);
    judge_first(&mut one);
    one.candidates.push_back(3);
    one.left(&both);
    assert!(
        one.rule(&both[1..], down(None), Company::Nothing, at(0), 1.0)
            .blamed
    );
    one.rule(&both[..1], down(Some(30)), Company::Nothing, at(0), 1.0);
    assert_eq!(one.state(at(0)), State::Open(at(30)));
    let mut one = rule(1);
    judge_first(&mut one);
    one.candidates.push_back(3);
    one.left(&both);
    assert!(
        !one.rule(&both[1..], down(Some(30)), Company::Nothing, at(0), 1.0)
            .blamed
    );
    assert_eq!(one.state(at(0)), State::Open(at(30)));
}

fn judge_first(breaker: &mut Breaker) {
    breaker.rule(&[event(1, 1, 0)], delivered(), Company::Nothing, at(0), 1.0);
}

#[test]
fn one_that_is_suspected_is_to_blame_whoever_comes_back_first() {
    let mut breaker = rule(2);
    breaker.rule(
        &[event(1, 1, 0), event(2, 2, 0)],
        delivered(),
        Company::Nothing,
        at(0),
        1.0,
    );
    breaker.candidates.push_back(5);
    // Of a device that the destination knows, beside one that it does not.
    let [candidate, known, unknown] = [event(5, 1, 0), event(6, 2, 0), event(7, 7, 0)];
    breaker.left(&[candidate, known, unknown]);
    breaker.rule(&[known], down(None), Company::Nothing, at(0), 1.0);
    breaker.rule(&[unknown], down(None), Company::Nothing, at(0), 1.0);
    assert!(
        breaker
            .rule(&[candidate], down(None), Company::Nothing, at(0), 1.0)
            .blamed
    );
    assert_eq!(breaker.state(at(0)), State::Closed);
}

#[test]
fn an_outage_under_new_devices_alone_is_told() {
    let mut breaker = rule(1);
    judge_first(&mut breaker);
    let unknown = [event(2, 2, 0)];
    breaker.left(&unknown);
    assert!(
        !breaker
            .rule(&unknown, down(None), Company::Nothing, at(0), 1.0)
            .outage_began
    );
    breaker.left(&unknown);
    assert!(
        breaker
            .rule(&unknown, down(None), Company::Nothing, at(0), 1.0)
            .outage_began
    );
    assert!(breaker.is_in_doubt());
}

/// Also after a start, which forgets who is blameable.
#[test]
fn who_has_failed_alone_probes_after_the_others() {
    let breaker = rule(1);
    assert!(breaker.turn(&event(1, 1, 1)) > breaker.turn(&event(2, 2, 0)));
}

#[test]
fn all_of_a_batch_are_back_with_it() {
    let mut breaker = rule(1);
    let (first, second) = ([event(1, 1, 0), event(2, 2, 0)], [event(3, 3, 0)]);
    breaker.left(&first);
    breaker.left(&second);
    breaker.rule(&second, down(None), Company::Nothing, at(0), 1.0);
    breaker.rule(&first, down(None), Company::Nothing, at(0), 1.0);
    let probe = &first[1..];
    breaker.left(probe);
    breaker.rule(probe, down(None), Company::Nothing, at(1), 1.0);
    assert_eq!(breaker.state(at(1)), State::Open(at(3)), "it is a probe");
}

fn refused() -> Verdict {
    Verdict::Refused {
        code: Code::status(401),
    }
}

#[test]
fn a_success_that_left_before_a_refusal_says_nothing_of_it() {
    let mut breaker = rule(1);
    let [early, bad, late] = [1, 2, 3].map(|seq| [event(seq, seq, 0)]);
    breaker.left(&early);
    breaker.left(&bad);
    assert!(
        breaker
            .rule(&bad, refused(), Company::Nothing, at(0), 1.0)
            .is_suspended()
    );
    let first = breaker.rule(&early, delivered(), Company::Nothing, at(0), 1.0);
    assert!(first.confirmed.is_empty() && breaker.has_suspended());
    breaker.left(&late);
    let second = breaker.rule(&late, delivered(), Company::Nothing, at(0), 1.0);
    assert!(second.confirmed.len() == 1 && !breaker.has_suspended());
}

#[test]
fn what_is_behind_a_refused_probe_is_tried_at_once() {
    let mut breaker = rule(1);
    let bad = [event(1, 1, 0)];
    breaker.rule(&bad, refused(), Company::Nothing, at(0), 1.0);
    assert!(breaker.nothing_is_left(at(0), 1.0));
    breaker.resume();
    assert_eq!(breaker.state(at(0)), State::Open(at(1)));
    let again = breaker.rule(&bad, refused(), Company::New, at(0), 1.0);
    assert!(again.is_suspended());
    assert_eq!(breaker.state(at(0)), State::HalfOpen);
    let behind = breaker.rule(&[event(2, 1, 0)], delivered(), Company::Nothing, at(1), 1.0);
    assert!(behind.outage_ended && behind.confirmed.len() == 1);
    // It is not asked twice about one that was refused beside others.
    breaker.policy.attempts_max = std::num::NonZeroU32::new(2);
    breaker.rule(&[event(3, 1, 0)], failed(), Company::Nothing, at(2), 1.0);
    breaker.rule(&[event(4, 2, 0)], delivered(), Company::Nothing, at(2), 1.0);
    let spent = breaker.rule(&[event(3, 1, 1)], refused(), Company::Nothing, at(3), 1.0);
    assert!(matches!(spent.settled, Settled::Bury { .. }));
}

#[test]
fn a_destination_that_is_down_is_no_comparison() {
    let mut breaker = rule(1);
    breaker.rule(&[event(1, 1, 0)], refused(), Company::Nothing, at(0), 1.0);
    breaker.rule(&[event(2, 2, 0)], down(None), Company::Nothing, at(0), 1.0);
    assert!(breaker.must_resume());
}

/// e1 of a device is refused by itself, e2 behind it hears that the destination is down.
#[test]
fn a_refusal_does_not_end_an_outage_before_something_gets_through() {
    let mut breaker = rule(0);
    judge_first(&mut breaker);
    // Of a device that never got through, so that the outage is in doubt.
    let (bad, behind) = ([event(2, 2, 0)], [event(3, 2, 0)]);
    let mut now = at(10);
    let mut left = 0;
    while now < at(70) && left < 1000 {
        for (event, verdict) in [(&bad, refused()), (&behind, down(None))] {
            breaker.left(event);
            left += 1;
            let ruling = breaker.rule(event, verdict, Company::New, now, 1.0);
            assert!(!ruling.outage_ended, "nothing got through");
        }
        assert!(breaker.must_resume());
        breaker.resume();
        now = next_probe(&mut breaker, now);
    }
    assert!(left <= 16, "{left} in a minute");
}

#[test]
fn a_sweep_is_not_stuck_behind_more_than_are_remembered() {
    let mut breaker = rule(0);
    let mut now = at(0);
    for _ in 0..10_000 {
        for seq in 1.. {
            if seq > 100 {
                return;
            }
            let event = [event(seq, 1, 0)];
            breaker.left(&event);
            if !breaker
                .rule(&event, refused(), Company::New, now, 1.0)
                .is_suspended()
            {
                break;
            }
        }
        breaker.resume();
        now = next_probe(&mut breaker, now);
    }
    panic!("the hundred-and-first is never reached");
}

#[test]
fn one_success_does_not_condemn_all_that_failed_before_it() {
    let mut breaker = rule(0);
    for seq in 1..=20 {
        breaker.rule(&[event(seq, seq, 0)], refused(), Company::New, at(0), 1.0);
    }
    breaker.resume();
    breaker.left(&[event(99, 99, 0)]);
    breaker.rule(&[event(99, 99, 0)], delivered(), Company::New, at(1), 1.0);
    let mut given_up = 0;
    for seq in 1..=20 {
        let event = [event(seq, seq, 0)];
        breaker.left(&event);
        let ruling = breaker.rule(&event, refused(), Company::New, at(2), 1.0);
        given_up +=
            usize::from(matches!(ruling.settled, Settled::Bury { .. }) && !ruling.is_suspended());
    }
    assert!(
        given_up < 3,
        "{given_up} are buried with no success between"
    );
}

#[test]
fn a_destination_that_refuses_many_of_its_events_is_known_by_that() {
    let mut breaker = rule(0);
    let mut seq = 0;
    let mut run = |breaker: &mut Breaker, refuses: u64| {
        let mut is_outage = false;
        for _ in 0..refuses {
            seq += 1;
            let event = [event(seq, 1, 0)];
            breaker.left(&event);
            is_outage |= !breaker
                .rule(&event, refused(), Company::New, at(0), 1.0)
                .is_suspended();
        }
        seq += 1;
        let event = [event(seq, 1, 0)];
        breaker.left(&event);
        breaker.rule(&event, delivered(), Company::New, at(0), 1.0);
        is_outage
    };
    for refuses in [2, 3, 5, 9] {
        assert!(!run(&mut breaker, refuses), "{refuses}");
    }
}

#[test]
fn one_that_has_tries_left_does_not_hide_behind_one_that_has_none() {
    let mut breaker = rule(10);
    let (bad, good) = ([event(1, 1, 0)], [event(2, 1, 0)]);
    breaker.rule(&bad, refused(), Company::New, at(0), 1.0);
    breaker.rule(&good, failed(), Company::Nothing, at(0), 1.0);
    breaker.resume();
    let again = breaker.rule(&bad, refused(), Company::Failed, at(1), 1.0);
    assert!(again.is_suspended(), "what is behind it has its turn");
}

#[test]
fn an_outage_that_counts_nothing_lets_three_devices_go_on_in_the_end() {
    let mut breaker = rule(5);
    let mut now = at(0);
    let mut failures = [0; 3];
    for round in 0..2_000 {
        let device = round % 3;
        let event = [event(device + 1, device, failures[device as usize])];
        breaker.left(&event);
        let ruling = breaker.rule(&event, failed(), Company::Failed, now, 1.0);
        if matches!(
            ruling.settled,
            Settled::Park {
                why: Parked::Alone,
                ..
            }
        ) {
            failures[device as usize] += 1;
        }
        if ruling.is_suspended() {
            return;
        }
        now = next_probe(&mut breaker, now);
    }
    panic!("no event is ever passed");
}
