//! The rows of both tables.

use std::collections::BTreeMap;

use faceway::api;
use faceway_core::Timestamp;
use ratatui::layout::Constraint;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Text;
use ratatui::widgets::{Cell, Row, Table};

use super::super::needs::{self, Urgency};
use super::super::view::View;
use super::{Look, Window};
use crate::cli::words::{grouped, span, until};

pub(super) fn inbounds(view: &View, look: Look, window: Window) -> Table<'static> {
    let rows = view.inbounds().iter().skip(window.from).take(window.rows);
    let rows: Vec<_> = rows
        .map(|inbound| row_of_inbound(view, look, inbound))
        .collect();
    let headline = bold(Row::new([
        left("INBOUND"),
        left("ADAPTER"),
        right("IN/S"),
        right("REFUSED/S"),
        right("LAST"),
        left("STATE"),
    ]));
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(5),
        Constraint::Fill(3),
    ];
    Table::new(rows, widths).header(headline)
}

fn row_of_inbound(view: &View, look: Look, inbound: &api::Inbound) -> Row<'static> {
    let name = &inbound.name;
    let sent_away = view.rate(|counters| counters.sent_away(name));
    let silent = view
        .latest
        .as_ref()
        .is_some_and(|sample| needs::is_silent(inbound, sample, view.now));
    let worth = |a_look: bool| match a_look {
        true => look.style(Urgency::Look),
        false => Style::new(),
    };
    Row::new([
        left(name.clone()),
        left(inbound.adapter.clone()),
        right(rate(view.rate(|counters| counters.taken(name)))),
        right(rate(sent_away)).style(worth(sent_away.is_some_and(|rate| rate > 0.0))),
        right(last_event(view, name)).style(worth(silent)),
        left(state_of_inbound(inbound, view.now)).style(look.style(needs::of_state(inbound))),
    ])
}

fn last_event(view: &View, inbound: &str) -> String {
    let at = view
        .latest
        .as_ref()
        .and_then(|sample| sample.counters.last_event(inbound));
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    let at = at.and_then(|at| Timestamp::from_seconds(at as i64).ok());
    at.map_or("-".into(), |at| span(view.now.since(at)))
}

/// How an inbound stands, in a few words.
pub(super) fn state_of_inbound(inbound: &api::Inbound, now: Timestamp) -> String {
    if let Some(source) = &inbound.source {
        let since = span(now.since(source.since));
        let state = format!("{} {since}", source.state);
        return match source.next_attempt {
            Some(next) => format!("{state}, tries {}", until(next, now)),
            None => state,
        };
    }
    if inbound.terminal_states.is_empty() {
        return "takes posts".into();
    }
    terminals(&inbound.terminal_states)
}

/// Those with trouble first: `1 refused, 4,998 subscribed`.
pub(super) fn terminals(states: &BTreeMap<String, u64>) -> String {
    let mut states: Vec<_> = states.iter().filter(|(_, count)| **count > 0).collect();
    states.sort_by_key(|(state, _)| state.as_str() == "subscribed");
    let words = states.into_iter();
    let words: Vec<_> = words
        .map(|(state, count)| format!("{} {state}", grouped(*count)))
        .collect();
    words.join(", ")
}

/// Columns of lanes: what is in the headline, how wide, and whether a narrow terminal has them too.
const LANES: [(&str, Constraint, bool); 9] = [
    ("OUTBOUND", Constraint::Fill(1), true),
    ("STATE", Constraint::Length(10), true),
    ("SINCE", Constraint::Length(5), false),
    ("OUT/S", Constraint::Length(7), true),
    ("BACKLOG", Constraint::Length(9), true),
    ("OLDEST", Constraint::Length(6), false),
    ("PARKED", Constraint::Length(6), true),
    ("BURIED", Constraint::Length(6), true),
    ("FAILED", Constraint::Fill(1), false),
];
const STATE: usize = 1;
/// Columns of the longest word of STATE, which few ever have: `waiting, leaving`.
const STATE_WIDE: u16 = 16;
/// A narrower terminal has no room for every column.
const NARROW: u16 = 72;

pub(super) fn lanes(view: &View, look: Look, window: Window, width: u16) -> Table<'static> {
    let fits = |column: usize| width >= NARROW || LANES[column].2;
    let fitting = |cells: [Cell<'static>; 9]| {
        let cells = cells.into_iter().enumerate();
        let cells = cells.filter(|(column, _)| fits(*column));
        Row::new(cells.map(|(_, cell)| cell).collect::<Vec<_>>())
    };
    let rows = view.lanes().iter().skip(window.from).take(window.rows);
    let rows: Vec<_> = rows
        .map(|lane| fitting(cells_of_lane(view, look, lane)))
        .collect();
    let headline = LANES.map(|(word, _, _)| match word {
        "OUTBOUND" | "STATE" | "FAILED" => left(word),
        number => right(number),
    });
    let widths = LANES.iter().enumerate();
    let widths = widths.filter(|(column, _)| fits(*column));
    let wide = view
        .lanes()
        .iter()
        .any(|lane| state_of_lane(lane).len() > 10);
    let widths: Vec<_> = widths
        .map(|(column, (_, width, _))| match column {
            STATE if wide => Constraint::Length(STATE_WIDE),
            _ => *width,
        })
        .collect();
    Table::new(rows, widths).header(bold(fitting(headline)))
}

fn cells_of_lane(view: &View, look: Look, lane: &api::Lane) -> [Cell<'static>; 9] {
    let age = |then: Option<Timestamp>| then.map_or("-".into(), |then| span(view.now.since(then)));
    let failure = lane.last_failure.as_ref();
    let when = |holds: bool, urgency| match holds {
        true => look.style(urgency),
        false => Style::new(),
    };
    [
        left(lane.name.clone()),
        left(state_of_lane(lane)).style(style(lane, look)),
        right(age(lane.since)),
        right(rate(view.rate(|counters| counters.delivered(&lane.name)))),
        right(grouped(lane.backlog)),
        right(age(lane.oldest)).style(when(needs::lags(lane, view.now), Urgency::Look)),
        right(grouped(lane.parked)).style(when(lane.parked > 0, Urgency::Look)),
        right(grouped(lane.buried)).style(when(lane.buried > 0, Urgency::Act)),
        left(failure.map_or("-".into(), |last| {
            format!("{} {}", last.code, span(view.now.since(last.at)))
        })),
    ]
}

/// Its state; of one that leaves, that it does.
pub(super) fn state_of_lane(lane: &api::Lane) -> String {
    match (lane.leaving, lane.state.as_str()) {
        (false, state) => state.into(),
        (true, "idle" | "delivering") => "leaving".into(),
        (true, state) => format!("{state}, leaving"),
    }
}

fn style(lane: &api::Lane, look: Look) -> Style {
    match lane.state.as_str() {
        "waiting" => look.style(Urgency::Act),
        "removed" | "stopped" => look.style(Urgency::Look),
        _ if lane.leaving => look.style(Urgency::Look),
        "delivering" if look.colour => Style::new().fg(Color::Green),
        _ => Style::new(),
    }
}

/// `-` before it is known, `0`, `3.4`, `1,204`.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".into(),
        Some(0.0) => "0".into(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}"),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded, and never below zero"
        )]
        Some(rate) => grouped(rate.round() as u64),
    }
}

fn bold(row: Row<'static>) -> Row<'static> {
    row.style(Style::new().add_modifier(Modifier::BOLD))
}

fn left(text: impl Into<String>) -> Cell<'static> {
    Cell::from(Text::from(text.into()))
}

fn right(text: impl Into<String>) -> Cell<'static> {
    Cell::from(Text::from(text.into()).right_aligned())
}
