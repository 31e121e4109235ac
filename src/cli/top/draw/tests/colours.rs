//! Colours are no part of the golden files; which cell has one is held here.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::super::{Look, draw, text};
use super::{busy, thirty};
use crate::cli::top::view::View;

fn cells(view: &View, colour: bool) -> ratatui::buffer::Buffer {
    let look = Look { colour, live: true };
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal
        .draw(|frame| draw(view, look, frame.area(), frame.buffer_mut()))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The colour of a text where it is first seen below the head.
fn colour_of(view: &View, row: &str, part: &str) -> Color {
    let buffer = cells(view, true);
    let shown = text(&buffer);
    let mut rows = shown.lines().enumerate().skip(3);
    let (y, line) = rows.find(|(_, line)| line.starts_with(row)).unwrap();
    let x = line.find(part).unwrap_or_else(|| panic!("{part}: {line}"));
    let place = (u16::try_from(x).unwrap(), u16::try_from(y).unwrap());
    buffer[place].fg
}

#[test]
fn what_needs_somebody_has_a_colour() {
    let view = busy();
    for (row, part, colour) in [
        ("erp ", "waiting", Color::Red),
        ("erp ", "12 ", Color::Red),
        ("erp ", "3 ", Color::Yellow),
        ("old-erp", "removed", Color::Yellow),
        ("old-erp", "4d", Color::Yellow),
        ("screen", "delivering", Color::Green),
        ("screen", "0 ", Color::Reset),
        ("hall", "waiting", Color::Red),
        ("gates", "1 refused", Color::Red),
        ("lobby", "0.5", Color::Yellow),
        ("lobby", "takes posts", Color::Reset),
        ("3 inbounds", "not connected", Color::Red),
    ] {
        assert_eq!(colour_of(&view, row, part), colour, "{part} of {row}");
    }
}

#[test]
fn colour_is_an_extra() {
    let coloured = |colour| {
        let shown = cells(&thirty(), colour);
        let mut cells = shown.content.iter();
        cells.any(|cell| cell.fg != Color::Reset)
    };
    assert!(coloured(true));
    assert!(!coloured(false));
}
