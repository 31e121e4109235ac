//! The rows of both tables.

use std::collections::BTreeMap;

use faceway::api;
use faceway_core::Timestamp;
use ratatui::layout::Constraint;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Text;
use ratatui::widgets::{Cell, Row, Table};

use super::super::view::View;
use super::{Look, Window};
use crate::cli::words::{grouped, span, until};

pub(super) fn inbounds(view: &View, window: Window) -> Table<'static> {
    let rows = view.inbounds().iter().skip(window.from).take(window.rows);
    let rows: Vec<_> = rows.map(|inbound| row_of_inbound(view, inbound)).collect();
    let headline = headline([
        left(window.headline("INBOUND")),
        left("ADAPTER"),
        right("IN/S"),
        right("REFUSED/S"),
        right("LAST"),
        left("STATE"),
    ]);
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

fn row_of_inbound(view: &View, inbound: &api::Inbound) -> Row<'static> {
    let name = &inbound.name;
    Row::new([
        left(name.clone()),
        left(inbound.adapter.clone()),
        right(rate(view.rate(|counters| counters.taken(name)))),
        right(rate(view.rate(|counters| counters.sent_away(name)))),
        right(last_event(view, name)),
        left(state_of_inbound(inbound, view.now)),
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

pub(super) fn lanes(view: &View, look: Look, window: Window) -> Table<'static> {
    let rows = view.lanes().iter().skip(window.from).take(window.rows);
    let rows: Vec<_> = rows.map(|lane| row_of_lane(view, look, lane)).collect();
    let headline = headline([
        left(window.headline("OUTBOUND")),
        left("STATE"),
        right("SINCE"),
        right("OUT/S"),
        right("BACKLOG"),
        right("OLDEST"),
        right("PARKED"),
        right("BURIED"),
        left("FAILED"),
    ]);
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(10),
        Constraint::Length(5),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Fill(1),
    ];
    Table::new(rows, widths).header(headline)
}

fn row_of_lane(view: &View, look: Look, lane: &api::Lane) -> Row<'static> {
    let age = |then: Option<Timestamp>| then.map_or("-".into(), |then| span(view.now.since(then)));
    let failure = lane.last_failure.as_ref();
    Row::new([
        left(lane.name.clone()),
        left(lane.state.clone()).style(style(lane, look)),
        right(age(lane.since)),
        right(rate(view.rate(|counters| counters.delivered(&lane.name)))),
        right(grouped(lane.backlog)),
        right(age(lane.oldest)),
        right(grouped(lane.parked)),
        right(grouped(lane.buried)),
        left(failure.map_or("-".into(), |last| {
            format!("{} {}", last.code, span(view.now.since(last.at)))
        })),
    ])
}

/// Colour says nothing that the words beside it do not say.
fn style(lane: &api::Lane, look: Look) -> Style {
    if !look.colour {
        return Style::new();
    }
    match lane.state.as_str() {
        "waiting" => Style::new().fg(Color::Red),
        "delivering" => Style::new().fg(Color::Green),
        "removed" | "stopped" => Style::new().fg(Color::Yellow),
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

fn headline<const N: usize>(cells: [Cell<'static>; N]) -> Row<'static> {
    Row::new(cells).style(Style::new().add_modifier(Modifier::BOLD))
}

fn left(text: impl Into<String>) -> Cell<'static> {
    Cell::from(Text::from(text.into()))
}

fn right(text: impl Into<String>) -> Cell<'static> {
    Cell::from(Text::from(text.into()).right_aligned())
}
