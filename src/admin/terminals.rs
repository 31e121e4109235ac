//! How the terminals stand whose subscription is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::gauge;

use crate::api;
use crate::inbound::{Terminal, TerminalState};
use crate::topology::Snapshot;

/// Shows an inbound's terminals, at most `max`.
pub(super) fn show(inbound: &mut api::Inbound, terminals: &[Arc<Terminal>], max: usize) {
    if !terminals.is_empty() {
        let shown = terminals.iter().map(|terminal| one(terminal)).collect();
        inbound.terminal_states = states(&shown);
        inbound.terminals = first(shown, max);
    }
}

type Shown = Vec<(TerminalState, api::Terminal)>;

fn one(terminal: &Terminal) -> (TerminalState, api::Terminal) {
    let (state, since, message) = terminal.status();
    let shown = api::Terminal {
        url: terminal.url().to_owned(),
        state: state.as_str().into(),
        since,
        message,
    };
    (state, shown)
}

fn states(shown: &Shown) -> BTreeMap<String, u64> {
    let mut states = BTreeMap::new();
    for (state, _) in shown {
        *states.entry(state.as_str().to_owned()).or_default() += 1;
    }
    states
}

/// Those with trouble come first, so that they are seen among thousands.
fn first(mut shown: Shown, max: usize) -> Vec<api::Terminal> {
    shown.sort_by_key(|(state, _)| *state);
    shown.into_iter().map(|(_, one)| one).take(max).collect()
}

/// Sets their gauges. They are counted by inbound, as no label may hold a device.
pub(super) fn gauges(snapshot: &Snapshot) {
    for endpoint in snapshot.endpoints.iter() {
        let (inbound, terminals) = (endpoint.name(), &endpoint.terminals);
        if terminals.is_empty() {
            continue;
        }
        let mut counts: BTreeMap<_, u32> = TerminalState::ALL.map(|state| (state, 0)).into();
        for terminal in terminals {
            *counts.entry(terminal.status().0).or_default() += 1;
        }
        for (state, count) in counts {
            let inbound = inbound.to_owned();
            gauge!("faceway_terminals", "inbound" => inbound, "state" => state.as_str())
                .set(f64::from(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Shown, first, states};
    use crate::api;
    use crate::inbound::TerminalState;

    #[test]
    fn trouble_is_seen_among_thousands() {
        let one = |number: usize| {
            let state = match number {
                4711 => TerminalState::Refused,
                4712 => TerminalState::Unreachable,
                _ => TerminalState::Subscribed,
            };
            let shown = api::Terminal {
                url: format!("https://{number}"),
                state: state.as_str().into(),
                since: "2026-11-22T08:15:30Z".parse().unwrap(),
                message: None,
            };
            (state, shown)
        };
        let all: Shown = (0..5000).map(one).collect();
        let counted = states(&all);
        assert_eq!((counted["refused"], counted["subscribed"]), (1, 4998));
        let urls: Vec<_> = first(all, 3).into_iter().map(|one| one.url).collect();
        assert_eq!(urls, ["https://4711", "https://4712", "https://0"]);
    }
}
