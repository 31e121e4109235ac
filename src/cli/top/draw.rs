//! From what was seen to a picture of it. Pure: the same view gives the same picture.

mod detail;
mod rows;

use faceway::api::{Lane, Overview};
use faceway_core::is_hidden;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Table, Widget as _};

use super::needs::{self, Summary, Urgency};
use super::view::View;
use crate::cli::words::{ago, bytes, grouped, span};

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) colour: bool,
    /// On a terminal: with a choice, more about it, and the keys.
    pub(super) live: bool,
}

impl Look {
    /// Colour says nothing that the words beside it do not say.
    fn style(self, urgency: Urgency) -> Style {
        match urgency {
            Urgency::Act if self.colour => Style::new().fg(Color::Red),
            Urgency::Look if self.colour => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        }
    }
}

/// Lines above the tables, before what is wrong.
const HEAD: u16 = 2;
/// A summary and a headline for each table, and a blank line between.
const HEADS_OF_TABLES: u16 = 5;
/// The chosen one: a blank line and four about it.
const DETAIL: u16 = 5;
/// A lower terminal has room for the tables only.
const DETAIL_HEIGHT_MIN: u16 = 14;

const KEYS: &str = "q quit   up/down, j/k select   Tab other table   p pause   ? help";

const HELP: &str = "\
INBOUND   what comes in       OUTBOUND  where it goes
IN/S      records taken       STATE     idle; delivering; waiting: the
REFUSED/S records sent away,            destination is down, and tried by and
          to be sent again              by; leaving: not in routes.toml, ends
LAST      newest event                  when all is through; removed: not in
silent    none for a day                routes.toml, and cannot deliver
                              SINCE     how long in this state
                              OUT/S     deliveries confirmed
                              BACKLOG   events not through, OLDEST of them
                              PARKED    failed, tried again later
                              BURIED    given up: faceway buried list
                              behind    the oldest waits for 5m or longer
What needs you comes first; red: see to it, yellow: have a look.

q, Esc, Ctrl-C  quit          j/k, up/down, PgUp/PgDn, g/G  select
p               hold still    Tab                           other table
?, Esc          back

faceway why ID tells one event's story; docs/operating.md, what to do.";

/// The picture as plain text, with every row, and below it why lanes fail, where there are words for it: on a terminal
/// that stands beside the chosen one.
pub(super) fn plain(view: &View, width: u16) -> String {
    let rows = view.inbounds().len() + view.lanes().len();
    let rows = u16::try_from(rows).unwrap_or(u16::MAX);
    let above = head_lines(view) + HEADS_OF_TABLES;
    let height = above.saturating_add(rows);
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    let look = Look {
        colour: false,
        live: false,
    };
    draw(view, look, buffer.area, &mut buffer);
    text(&buffer) + &reasons(view)
}

fn reasons(view: &View) -> String {
    let told = |lane: &Lane| {
        let last = lane.last_failure.as_ref()?;
        last.reason.as_ref()?;
        Some(format!(
            "{}: {}\n",
            lane.name,
            last.told(&ago(last.at, view.now))
        ))
    };
    let lines: String = view.lanes().iter().filter_map(told).collect();
    let seen = |char: char| {
        if is_hidden(char) && char != '\n' {
            '\u{FFFD}'
        } else {
            char
        }
    };
    match lines.is_empty() {
        true => lines,
        false => format!("\n{}", lines.chars().map(seen).collect::<String>()),
    }
}

/// The letters of a picture.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines = buffer.content.chunks(width).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

/// Draws it.
pub(super) fn draw(view: &View, look: Look, area: Rect, buffer: &mut Buffer) {
    draw_all(view, look, area, buffer);
    // Cells go to the terminal as they are: whatever a gateway said, none may steer it.
    for cell in &mut buffer.content {
        if cell.symbol().contains(is_hidden) {
            cell.set_symbol("\u{FFFD}");
        }
    }
}

fn draw_all(view: &View, look: Look, area: Rect, buffer: &mut Buffer) {
    head(view, look, area, buffer);
    let top = head_lines(view);
    let mut below = inner(area, top, area.height.saturating_sub(top));
    if look.live {
        let footer = inner(below, below.height.saturating_sub(1), 1);
        line(
            buffer,
            footer,
            0,
            KEYS,
            Style::new().add_modifier(Modifier::DIM),
        );
        below.height = below.height.saturating_sub(1);
        if view.help {
            for (number, text) in HELP.lines().enumerate() {
                line(buffer, below, number, text, Style::new());
            }
            return;
        }
        if area.height >= DETAIL_HEIGHT_MIN {
            let tables = below.height.saturating_sub(DETAIL);
            detail::draw(view, inner(below, tables + 1, DETAIL - 1), buffer);
            below.height = tables;
        }
    }
    tables(view, look, below, buffer);
}

/// `height` lines of an area, from its line `top` on; fewer when it ends before.
fn inner(area: Rect, top: u16, height: u16) -> Rect {
    let top = top.min(area.height);
    Rect {
        y: area.y + top,
        height: height.min(area.height - top),
        ..area
    }
}

fn line(buffer: &mut Buffer, area: Rect, number: usize, text: &str, style: Style) {
    let Some(y) = u16::try_from(number).ok().filter(|y| *y < area.height) else {
        return;
    };
    buffer.set_stringn(area.x, area.y + y, text, usize::from(area.width), style);
}

fn head(view: &View, look: Look, area: Rect, buffer: &mut Buffer) {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let overview = view.latest.as_ref().map(|sample| &sample.overview);
    let first = match overview {
        Some(overview) => gateway(overview, view),
        None => "faceway".into(),
    };
    line(buffer, area, 0, &format!("{first}   {}", view.place), bold);
    if let Some(overview) = overview {
        line(buffer, area, 1, &room(overview), Style::new());
    }
    for (number, told) in alarms(view).iter().enumerate() {
        let style = look.style(Urgency::Act).patch(bold);
        line(buffer, area, usize::from(HEAD) + number, told, style);
    }
}

/// Lines of the head: where nothing is wrong, a blank one.
fn head_lines(view: &View) -> u16 {
    let alarms = u16::try_from(alarms(view).len()).unwrap_or(1);
    HEAD + alarms.max(1)
}

/// What is wrong with the gateway as a whole, a line each.
fn alarms(view: &View) -> Vec<String> {
    let reload = view.latest.as_ref().and_then(|sample| {
        let failed = sample.overview.reload_failed.as_ref()?;
        let first = failed.text.lines().next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        let since = ago(failed.at, view.now);
        Some(format!("RELOAD FAILED {since}, see faceway check: {first}"))
    });
    trouble(view).into_iter().chain(reload).collect()
}

fn gateway(overview: &Overview, view: &View) -> String {
    let ready = match (&view.gone, overview.ready) {
        (Some(_), _) => "gone",
        (None, true) if overview.degraded.is_some() => "DEGRADED",
        (None, true) => "ready",
        (None, false) => "NOT READY",
    };
    let up = span(view.now.since(overview.started_at));
    let pause = if view.paused { "   PAUSED" } else { "" };
    format!("faceway {}   {ready}   up {up}{pause}", overview.version)
}

fn room(overview: &Overview) -> String {
    format!(
        "spool {}   disk free {}   quarantine {}",
        bytes(overview.spool_bytes),
        bytes(overview.free_bytes),
        grouped(overview.quarantined)
    )
}

fn trouble(view: &View) -> Option<String> {
    if let Some(gone) = &view.gone {
        let since = span(view.now.since(gone.since));
        return Some(format!("GONE for {since}: {}", gone.reason));
    }
    let overview = &view.latest.as_ref()?.overview;
    if overview.ready {
        let degraded = overview.degraded.as_ref();
        return degraded.map(|why| format!("DEGRADED, events are kept: {why}"));
    }
    Some(match overview.trouble.as_deref() {
        Some("full") => "NOT READY: the spool is full, devices are told to send again".into(),
        Some("failing") => "NOT READY: the disk fails, devices are told to send again".into(),
        other => format!("NOT READY: {}", other.unwrap_or("it cannot keep events")),
    })
}

/// Both tables, each with a summary, a headline and as many rows as fit; what is chosen is among them.
fn tables(view: &View, look: Look, area: Rect, buffer: &mut Buffer) {
    let (inbounds, lanes) = (view.inbounds().len(), view.lanes().len());
    let Some(sample) = &view.latest else { return };
    let room = usize::from(area.height.saturating_sub(HEADS_OF_TABLES));
    let (upper, lower) = shares(room, inbounds, lanes);
    let chosen = look.live.then_some(view.selected);
    let upper_chosen = chosen.filter(|chosen| *chosen < inbounds);
    let lower_chosen = chosen.and_then(|chosen| chosen.checked_sub(inbounds));
    let height = |rows: usize| u16::try_from(rows + 2).unwrap_or(u16::MAX);
    let window = Window::new(inbounds, upper, upper_chosen);
    let above = inner(area, 0, height(upper));
    let summary = needs::of_inbounds(sample, view.now);
    let table = rows::inbounds(view, look, window);
    show((summary, table), window, look, above, buffer);
    let window = Window::new(lanes, lower, lower_chosen);
    let below = inner(area, height(upper) + 1, height(lower));
    let summary = needs::of_lanes(sample, view.now);
    let table = rows::lanes(view, look, window, area.width);
    show((summary, table), window, look, below, buffer);
}

fn show(
    (summary, table): (Summary, Table<'_>),
    window: Window,
    look: Look,
    area: Rect,
    buffer: &mut Buffer,
) {
    let style = look.style(summary.urgency);
    line(buffer, area, 0, &window.told(&summary), style);
    let area = inner(area, 1, area.height);
    table.column_spacing(1).render(area, buffer);
    if let Some(row) = window.chosen.filter(|_| look.live) {
        let row = u16::try_from(row - window.from + 1).unwrap_or(u16::MAX);
        let chosen = inner(area, row, 1);
        buffer.set_style(chosen, Style::new().add_modifier(Modifier::REVERSED));
    }
}

/// How `room` rows are shared: half each, and what one does not need is the other's.
fn shares(room: usize, upper: usize, lower: usize) -> (usize, usize) {
    let upper = upper.min((room / 2).max(room.saturating_sub(lower)));
    (upper, lower.min(room - upper))
}

/// The rows of a table that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from: usize,
    rows: usize,
    all: usize,
    chosen: Option<usize>,
}

impl Window {
    /// `30 outbounds, 3-12 shown: 1 waiting`. The range only when some are not shown.
    fn told(&self, summary: &Summary) -> String {
        let to = self.from + self.rows;
        let range = match self.rows {
            rows if rows >= self.all => String::new(),
            0 => ", none shown".into(),
            _ => format!(", {}-{to} shown", self.from + 1),
        };
        format!("{}{range}: {}", summary.all, summary.needs)
    }

    fn new(all: usize, rows: usize, chosen: Option<usize>) -> Self {
        let from = chosen.map_or(0, |chosen| (chosen + 1).saturating_sub(rows));
        let chosen = chosen.filter(|_| rows > 0);
        Self {
            from,
            rows,
            all,
            chosen,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
