//! How the terminals stand whose subscription is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::gauge;

use super::Admin;
use crate::api;
use crate::inbound::{Terminal, TerminalState};

/// Inbounds with their terminals, at most `max` of each.
pub(super) fn with(
    admin: &Admin,
    mut inbounds: Vec<api::Inbound>,
    max: usize,
) -> Vec<api::Inbound> {
    for inbound in &mut inbounds {
        if let Some(terminals) = admin.terminals.get(&inbound.name) {
            let mut shown: Vec<_> = terminals.iter().map(|terminal| one(terminal)).collect();
            for (state, _) in &shown {
                let count = inbound.terminal_states.entry(state.as_str().into());
                *count.or_default() += 1;
            }
            shown.sort_by_key(|(state, _)| *state);
            inbound.terminals = shown.into_iter().map(|(_, one)| one).take(max).collect();
        }
    }
    inbounds
}

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

/// Sets their gauges. They are counted by inbound, as no label may hold a device.
pub(super) fn gauges(terminals: &std::collections::HashMap<String, Vec<Arc<Terminal>>>) {
    for (inbound, terminals) in terminals {
        let mut counts: BTreeMap<_, u32> = TerminalState::ALL.map(|state| (state, 0)).into();
        for terminal in terminals {
            *counts.entry(terminal.status().0).or_default() += 1;
        }
        for (state, count) in counts {
            let inbound = inbound.clone();
            gauge!("faceway_terminals", "inbound" => inbound, "state" => state.as_str())
                .set(f64::from(count));
        }
    }
}
