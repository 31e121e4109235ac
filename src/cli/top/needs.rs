//! What needs an operator, and how much: the order of the rows, their colours, and the line above each table. Pure.

use faceway::api;
use faceway_core::Timestamp;

use super::poll::Sample;
use crate::cli::words::{counted, grouped};

/// How much something needs an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Nothing to do.
    #[default]
    Fine,
    /// Worth a look.
    Look,
    /// Something does not get through, or was given up.
    Act,
}

/// One thing that an operator may have to see to.
pub(super) struct Need<T> {
    holds: fn(&T, &Sample, Timestamp) -> bool,
    /// How many, and then this.
    words: &'static str,
    urgency: Urgency,
}

/// Events that wait longer are told: a destination that is only slow, or a device that is stuck.
const LAG_SECONDS: u64 = 300;
/// As long as the alert `FacewayInboundSilent` waits.
const SILENCE_SECONDS: f64 = 86_400.0;

/// What lanes need an operator for, the worst first.
const OF_LANES: [Need<api::Lane>; 6] = [
    Need {
        holds: |lane, _, _| lane.state == "waiting",
        words: "waiting",
        urgency: Urgency::Act,
    },
    Need {
        holds: |lane, _, _| lane.state == "removed",
        words: "removed",
        urgency: Urgency::Look,
    },
    Need {
        holds: |lane, _, _| lane.leaving,
        words: "leaving",
        urgency: Urgency::Look,
    },
    Need {
        holds: |lane, _, _| lane.buried > 0,
        words: "with buried",
        urgency: Urgency::Act,
    },
    Need {
        holds: |lane, _, _| lane.parked > 0,
        words: "with parked",
        urgency: Urgency::Look,
    },
    Need {
        holds: |lane, _, now| lags(lane, now),
        words: "behind",
        urgency: Urgency::Look,
    },
];

/// What inbounds need an operator for, the worst first.
const OF_INBOUNDS: [Need<api::Inbound>; 4] = [
    Need {
        holds: |inbound, _, _| !is_read(inbound),
        words: "not connected",
        urgency: Urgency::Act,
    },
    Need {
        holds: |inbound, _, _| terminals(inbound, "refused") > 0,
        words: "with terminals refused",
        urgency: Urgency::Act,
    },
    Need {
        holds: |inbound, _, _| terminals(inbound, "unreachable") > 0,
        words: "with terminals unreachable",
        urgency: Urgency::Look,
    },
    Need {
        holds: is_silent,
        words: "silent",
        urgency: Urgency::Look,
    },
];

/// Whether its oldest event has waited for long.
pub(super) fn lags(lane: &api::Lane, now: Timestamp) -> bool {
    let waited = |oldest| now.since(oldest).as_secs();
    lane.oldest
        .is_some_and(|oldest| waited(oldest) >= LAG_SECONDS)
}

/// Whether its source, if it is dialled, is read.
fn is_read(inbound: &api::Inbound) -> bool {
    let source = inbound.source.as_ref();
    source.is_none_or(|source| source.state == "connected")
}

fn terminals(inbound: &api::Inbound, state: &str) -> u64 {
    inbound.terminal_states.get(state).copied().unwrap_or(0)
}

/// Whether it has given no event for a day; the time before the start is not known.
pub(super) fn is_silent(inbound: &api::Inbound, sample: &Sample, now: Timestamp) -> bool {
    let last = sample.counters.last_event(&inbound.name);
    let last = last.unwrap_or_else(|| sample.overview.started_at.as_seconds());
    now.as_seconds() - last > SILENCE_SECONDS
}

/// How urgent what stands in an inbound's STATE is: whether it is read, and its terminals.
pub(super) fn of_state(inbound: &api::Inbound) -> Urgency {
    if !is_read(inbound) || terminals(inbound, "refused") > 0 {
        Urgency::Act
    } else if terminals(inbound, "unreachable") > 0 {
        Urgency::Look
    } else {
        Urgency::Fine
    }
}

/// Puts what needs an operator first. Of several that need the same, the order of `routes.toml` stays, so that rows do not
/// jump about with every event.
pub(super) fn sort(sample: &mut Sample, now: Timestamp) {
    let mut lanes = std::mem::take(&mut sample.overview.lanes);
    lanes.sort_by_cached_key(|lane| rank(&OF_LANES, lane, sample, now));
    sample.overview.lanes = lanes;
    let mut inbounds = std::mem::take(&mut sample.overview.inbounds);
    inbounds.sort_by_cached_key(|inbound| rank(&OF_INBOUNDS, inbound, sample, now));
    sample.overview.inbounds = inbounds;
}

fn rank<T>(needs: &[Need<T>], one: &T, sample: &Sample, now: Timestamp) -> usize {
    let first = needs.iter().position(|need| (need.holds)(one, sample, now));
    first.unwrap_or(needs.len())
}

/// `30 outbounds, rows 1-10: 1 waiting, 2 with buried`, and how urgent the worst of it is.
pub(super) struct Summary {
    pub(super) all: String,
    pub(super) needs: String,
    pub(super) urgency: Urgency,
}

/// About the lanes.
pub(super) fn of_lanes(sample: &Sample, now: Timestamp) -> Summary {
    summary("outbound", &OF_LANES, &sample.overview.lanes, (sample, now))
}

/// About the inbounds.
pub(super) fn of_inbounds(sample: &Sample, now: Timestamp) -> Summary {
    summary(
        "inbound",
        &OF_INBOUNDS,
        &sample.overview.inbounds,
        (sample, now),
    )
}

fn summary<T>(
    word: &str,
    needs: &[Need<T>],
    all: &[T],
    (sample, now): (&Sample, Timestamp),
) -> Summary {
    let mut told = Vec::new();
    let mut urgency = Urgency::Fine;
    for need in needs {
        let count = all.iter().filter(|one| (need.holds)(one, sample, now));
        let count = u64::try_from(count.count()).unwrap_or(u64::MAX);
        if count > 0 {
            told.push(format!("{} {}", grouped(count), need.words));
            urgency = urgency.max(need.urgency);
        }
    }
    if told.is_empty() {
        told.push("nothing to see to".into());
    }
    Summary {
        all: counted(u64::try_from(all.len()).unwrap_or(u64::MAX), word),
        needs: told.join(", "),
        urgency,
    }
}

#[cfg(test)]
mod tests {
    use super::{Urgency, is_silent, of_lanes, sort};
    use crate::cli::top::draw::tests::{inbound, lane, now, sample};

    #[test]
    fn what_needs_somebody_comes_first_and_the_rest_stays_in_its_order() {
        let mut many = sample(4);
        many.overview.lanes = (0..30)
            .map(|n| {
                lane(
                    &format!("out-{n}"),
                    if n % 2 == 0 { "idle" } else { "delivering" },
                )
            })
            .collect();
        many.overview.lanes[28].state = "waiting".into();
        many.overview.lanes[11].buried = 1;
        many.overview.lanes[7].parked = 1;
        many.overview.lanes[5].oldest = Some(now().plus_millis(-301_000));
        many.overview.lanes[3].oldest = Some(now().plus_millis(-299_000));
        many.overview.lanes[20].leaving = true;
        sort(&mut many, now());
        let names: Vec<_> = many.overview.lanes.iter().map(|lane| &*lane.name).collect();
        let first = [
            "out-28", "out-20", "out-11", "out-7", "out-5", "out-0", "out-1", "out-2", "out-3",
        ];
        assert_eq!(names[..9], first);
        let told = of_lanes(&many, now());
        assert_eq!(
            told.needs,
            "1 waiting, 1 leaving, 1 with buried, 1 with parked, 1 behind"
        );
        assert_eq!((&*told.all, told.urgency), ("30 outbounds", Urgency::Act));
    }

    #[test]
    fn nothing_is_told_where_nothing_is_wrong() {
        let mut fine = sample(4);
        fine.overview.lanes = vec![lane("erp", "idle")];
        let told = of_lanes(&fine, now());
        assert_eq!((&*told.all, told.urgency), ("1 outbound", Urgency::Fine));
        assert_eq!(told.needs, "nothing to see to");
    }

    #[test]
    fn an_inbound_is_silent_after_a_day_without_an_event() {
        let sample = sample(4);
        let started = sample.overview.started_at;
        assert!(!is_silent(&inbound("lobby", "nebula"), &sample, now()));
        let never = inbound("never", "nebula");
        assert!(!is_silent(&never, &sample, started.plus_millis(86_400_000)));
        assert!(is_silent(&never, &sample, started.plus_millis(86_401_000)));
    }
}
