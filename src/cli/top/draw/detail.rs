//! More about the chosen one: four lines.

use faceway::api;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::super::view::{Chosen, View};
use super::line;
use super::rows::{state_of_inbound, state_of_lane, terminals};
use crate::cli::words::{ago, counted, grouped, span, until};

pub(super) fn draw(view: &View, area: Rect, buffer: &mut Buffer) {
    let lines = match view.chosen() {
        Some(Chosen::Inbound(inbound)) => of_inbound(view, inbound),
        Some(Chosen::Lane(lane)) => of_lane(view, lane),
        None => return,
    };
    for (number, text) in lines.iter().enumerate() {
        let style = match number {
            0 => Style::new().add_modifier(Modifier::BOLD),
            _ => Style::new(),
        };
        line(buffer, area, number, text, style);
    }
}

fn of_lane(view: &View, lane: &api::Lane) -> [String; 4] {
    let now = view.now;
    let mut first = format!(
        "{} ({}): {}",
        lane.name,
        lane.protocol
            .as_deref()
            .unwrap_or("no longer in routes.toml"),
        state_of_lane(lane)
    );
    if let Some(since) = lane.since {
        first += &format!(" for {}", span(now.since(since)));
    }
    if let Some(probe) = lane.next_probe {
        first += &format!(", tries {}", until(probe, now));
    }
    if let Some(since) = lane.since {
        first += &format!(", since {since}");
    }
    let mut second = format!("{} not through", counted(lane.backlog, "event"));
    if let Some(oldest) = lane.oldest {
        second += &format!(", the oldest received {}", ago(oldest, now));
    }
    let given_up = match lane.buried {
        0 => String::new(),
        buried => format!(
            "{} given up: faceway buried list --to {}",
            counted(buried, "event"),
            lane.name
        ),
    };
    let failed = match &lane.last_failure {
        Some(last) => format!("last failure: {}, {}", last.code, ago(last.at, now)),
        None => "no failure since the start".into(),
    };
    let reason = lane.last_failure.as_ref();
    match reason.and_then(|last| last.reason.clone()) {
        // It has a line of its own, as it is long.
        Some(reason) => {
            let rest = [second, given_up]
                .into_iter()
                .filter(|text| !text.is_empty());
            let rest: Vec<_> = rest.collect();
            [first, rest.join("; "), failed, reason]
        }
        None => [first, second, failed, given_up],
    }
}

fn of_inbound(view: &View, inbound: &api::Inbound) -> [String; 4] {
    let first = format!(
        "{} ({}): {}",
        inbound.name,
        inbound.adapter,
        state_of_inbound(inbound, view.now)
    );
    let [third, fourth] = reached(view, inbound);
    [first, received(view, &inbound.name), third, fourth]
}

fn received(view: &View, inbound: &str) -> String {
    let Some(sample) = &view.latest else {
        return String::new();
    };
    let words = [
        ("stored", "stored"),
        ("duplicate", "known"),
        ("quarantined", "unreadable"),
        ("refused", "refused"),
        ("busy", "busy"),
    ];
    let counts = words.map(|(result, word)| {
        let count = sample.counters.received(inbound, result);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter"
        )]
        let count = count as u64;
        format!("{} {word}", grouped(count))
    });
    format!("since the start: {}", counts.join(", "))
}

fn reached(view: &View, inbound: &api::Inbound) -> [String; 2] {
    if let Some(source) = &inbound.source {
        let error = match &source.last_error {
            Some(error) => format!("last error: {error}"),
            None => "no error since the start".into(),
        };
        return match &source.last_gap {
            Some(gap) => [error, gaps(source, ago(gap.to, view.now))],
            None => [error, String::new()],
        };
    }
    let path = match &inbound.path {
        Some(path) => format!("devices post to {path}"),
        None => String::new(),
    };
    if inbound.terminal_states.is_empty() {
        return [path, String::new()];
    }
    let states = terminals(&inbound.terminal_states);
    [
        path,
        format!("terminals: {states}; the console tells which"),
    ]
}

fn gaps(source: &api::Source, last: String) -> String {
    format!(
        "not read {}, {}s together, last {last}; what it said then may be lost",
        times(source.gaps),
        grouped(source.gap_seconds)
    )
}

fn times(count: u64) -> String {
    match count {
        1 => "once".into(),
        count => format!("{} times", grouped(count)),
    }
}
