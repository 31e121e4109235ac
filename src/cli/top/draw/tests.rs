//! Pictures, held by golden files. `FACEWAY_BLESS=1` writes them; then look at them.

use std::path::Path;
use std::time::{Duration, Instant};

use faceway::api::{Failure, Gap, Inbound, Lane, Overview, ReloadFailed, Source};
use faceway_core::{Timestamp, is_hidden};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::{Look, draw, plain, shares, text};
use crate::cli::top::counters::Counters;
use crate::cli::top::poll::Sample;
use crate::cli::top::view::View;

mod colours;

const LIVE: Look = Look {
    colour: true,
    live: true,
};

pub(in crate::cli::top) fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn before(seconds: i64) -> Timestamp {
    now().plus_millis(-seconds * 1000)
}

pub(in crate::cli::top) fn inbound(name: &str, adapter: &str) -> Inbound {
    Inbound {
        name: name.into(),
        adapter: adapter.into(),
        path: Some(format!("/in/{name}")),
        token: true,
        source: None,
        terminals: Vec::new(),
        terminal_states: [].into(),
    }
}

fn hall() -> Inbound {
    let source = Source {
        state: "waiting".into(),
        since: before(250),
        next_attempt: Some(now().plus_millis(3_000)),
        last_error: Some("cannot connect: Connection refused".into()),
        gaps: 2,
        gap_seconds: 1_034,
        last_gap: Some(Gap {
            from: before(9_000),
            to: before(8_000),
        }),
    };
    Inbound {
        source: Some(source),
        ..inbound("hall", "se5")
    }
}

fn gates() -> Inbound {
    let states = [("subscribed", 4_998), ("refused", 1), ("unreachable", 0)];
    Inbound {
        terminal_states: states.map(|(state, count)| (state.into(), count)).into(),
        ..inbound("gates", "nebula")
    }
}

pub(in crate::cli::top) fn lane(name: &str, state: &str) -> Lane {
    Lane {
        leaving: false,
        name: name.into(),
        gateway: None,
        protocol: Some("webhook".into()),
        state: state.into(),
        since: Some(before(9)),
        next_probe: None,
        backlog: 0,
        oldest: None,
        parked: 0,
        buried: 0,
        last_failure: None,
    }
}

fn erp() -> Lane {
    Lane {
        since: Some(before(200)),
        next_probe: Some(now().plus_millis(4_500)),
        backlog: 1_204_331,
        oldest: Some(before(260)),
        parked: 3,
        buried: 12,
        last_failure: Some(Failure {
            at: before(20),
            code: "refused".into(),
            reason: None,
        }),
        ..lane("erp", "waiting")
    }
}

/// What is seen `seconds` after the first look.
pub(in crate::cli::top) fn sample(seconds: u64) -> Sample {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    let removed = Lane {
        protocol: None,
        since: None,
        backlog: 7,
        oldest: Some(before(400_000)),
        ..lane("old-erp", "removed")
    };
    let counters = format!(
        "faceway_received_total{{inbound=\"lobby\",result=\"stored\"}} {}\n\
         faceway_received_total{{inbound=\"lobby\",result=\"busy\"}} {}\n\
         faceway_attempts_total{{outbound=\"screen\",result=\"delivered\",code=\"written\"}} {}\n\
         faceway_inbound_last_event_timestamp_seconds{{inbound=\"lobby\"}} {}\n",
        1_000 + seconds * 25 / 2,
        seconds / 2,
        seconds * 2_000,
        before(2).as_seconds(),
    );
    Sample {
        taken: start + Duration::from_secs(seconds),
        overview: Overview {
            version: "0.1.0".into(),
            started_at: before(90_000),
            ready: true,
            trouble: None,
            degraded: None,
            spool_bytes: 1_234_567_890,
            free_bytes: 40 << 30,
            quarantined: 3,
            reload_failed: None,
            inbounds: vec![inbound("lobby", "nebula"), hall(), gates()],
            lanes: vec![erp(), lane("screen", "delivering"), removed],
        },
        counters: Counters::read(&counters),
    }
}

/// A gateway with everything that can be.
pub(in crate::cli::top) fn busy() -> View {
    let mut view = View::new("10.1.0.5:9464".into(), now());
    view.heard(Ok(sample(0)), now());
    view.heard(Ok(sample(2)), now());
    view
}

fn picture(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(view, LIVE, frame.area(), frame.buffer_mut()))
        .unwrap();
    text(terminal.backend().buffer())
}

fn golden(name: &str, picture: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/cli/top/draw/{name}.txt"));
    if std::env::var_os("FACEWAY_BLESS").is_some() {
        std::fs::write(&file, picture).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        picture == written,
        "{name} looks different: look at it, then FACEWAY_BLESS=1\n{picture}"
    );
}

#[test]
fn a_busy_gateway_fits_a_small_terminal() {
    let mut view = busy();
    view.selected = 3;
    let picture = picture(&view, 80, 24);
    golden("busy", &picture);
    for part in ["waiting", "1,204,331", "refused", "buried list --to erp"] {
        assert!(picture.contains(part), "{part}");
    }
}

#[test]
fn a_source_is_told_more_about() {
    let view = busy();
    golden("source", &picture(&view, 80, 24));
}

#[test]
fn a_gateway_that_is_gone_is_shown_as_such() {
    let mut view = busy();
    view.heard(
        Err("no gateway answers at http://10.1.0.5:9464/".into()),
        now(),
    );
    view.tick(now().plus_millis(65_000));
    let shown = picture(&view, 80, 24);
    golden("gone", &shown);
    assert!(shown.contains("GONE for 1m: no gateway answers"));
    let mut never = View::new("10.1.0.5:9464".into(), now());
    never.heard(Err("no gateway answers".into()), now());
    assert!(picture(&never, 80, 24).contains("GONE for 0s"));
}

#[test]
fn a_narrow_terminal_has_fewer_columns() {
    let shown = picture(&busy(), 60, 24);
    golden("narrow", &shown);
    assert!(
        shown.contains("OUTBOUND") && shown.contains("1,204,331"),
        "{shown}"
    );
    assert!(!shown.contains("OLDEST"), "{shown}");
}

#[test]
fn help_says_what_columns_mean() {
    let mut view = busy();
    view.help = true;
    golden("help", &picture(&view, 80, 24));
}

#[test]
fn plain_text_has_every_row_and_no_keys() {
    let shown = plain(&busy(), 110);
    golden("plain", &shown);
    assert!(shown.contains("old-erp") && !shown.contains("quit"));
}

#[test]
fn why_there_is_no_tls_stands_beside_the_code() {
    let mut untrusted = sample(4);
    let reason = "its certificate expired on 2021-01-01\u{1b}";
    for lane in &mut untrusted.overview.lanes {
        if let Some(last) = &mut lane.last_failure {
            (last.code, last.reason) = ("tls".into(), Some(reason.into()));
        }
    }
    let mut view = busy();
    view.heard(Ok(untrusted), now());
    let shown = plain(&view, 110);
    let told = "\nerp: tls, 20s ago: its certificate expired on 2021-01-01\u{FFFD}\n";
    assert!(shown.contains(told), "{shown}");
    // The chosen one.
    view.press(ratatui::crossterm::event::KeyCode::Tab.into());
    let shown = picture(&view, 80, 24);
    assert!(
        shown.contains("\nits certificate expired on 2021-01-01"),
        "{shown}"
    );
    assert!(shown.contains("12 events given up"), "{shown}");
}

#[test]
fn a_full_spool_is_told() {
    let mut view = busy();
    let mut full = sample(4);
    full.overview.ready = false;
    full.overview.trouble = Some("full".into());
    view.heard(Ok(full), now());
    assert!(picture(&view, 80, 24).contains("NOT READY: the spool is full"));
}

#[test]
fn a_degraded_spool_is_told() {
    let mut view = busy();
    let mut degraded = sample(4);
    degraded.overview.degraded = Some("the log cannot be folded".into());
    view.heard(Ok(degraded), now());
    let shown = picture(&view, 80, 24);
    assert!(
        shown.contains("DEGRADED, events are kept: the log cannot be folded"),
        "{shown}"
    );
}

/// A site with thirty outbounds, of which a few need an operator.
fn thirty() -> View {
    let mut many = sample(4);
    many.overview.inbounds = vec![inbound("lobby", "nebula")];
    many.overview.lanes = (1..=30)
        .map(|n| lane(&format!("out-{n}"), "idle"))
        .collect();
    many.overview.lanes[27] = Lane {
        name: "out-28".into(),
        buried: 0,
        ..erp()
    };
    many.overview.lanes[29] = Lane {
        leaving: true,
        ..many.overview.lanes[29].clone()
    };
    many.overview.lanes[11].buried = 60;
    many.overview.lanes[12].buried = 1;
    let mut view = busy();
    view.heard(Ok(many), now());
    view
}

#[test]
fn what_is_stuck_is_seen_at_once_among_many() {
    let mut view = thirty();
    view.selected = 1;
    let shown = picture(&view, 80, 24);
    golden("thirty", &shown);
    for part in [
        "30 outbounds, 1-9 shown: 1 waiting, 1 leaving, 2 with buried, 1 with parked",
        "out-28",
        "leaving",
        "60",
    ] {
        assert!(shown.contains(part), "{part}");
    }
}

#[test]
fn a_lane_that_leaves_and_waits_says_both() {
    let mut view = busy();
    let mut leaving = sample(4);
    leaving.overview.lanes[0].leaving = true;
    view.heard(Ok(leaving), now());
    for width in [60, 80, 110] {
        let shown = picture(&view, width, 24);
        assert!(shown.contains("waiting, leaving"), "{shown}");
    }
}

#[test]
fn a_reload_that_failed_is_told_beside_what_else_is_wrong() {
    let mut view = busy();
    let mut failed = sample(4);
    failed.overview.reload_failed = Some(ReloadFailed {
        at: before(200),
        text: "error: there is no outbound `archive`\n --> routes.toml:5:3\n".into(),
    });
    failed.overview.ready = false;
    view.heard(Ok(failed), now());
    let shown = picture(&view, 80, 24);
    golden("reload", &shown);
    let told = "RELOAD FAILED 3m ago, see faceway check: there is no outbound `archive`";
    assert!(shown.contains(told) && shown.contains("NOT READY"));
    assert!(plain(&view, 110).contains(told));
}

/// Names and reasons come from elsewhere; a terminal must not obey them.
#[test]
fn nothing_that_a_terminal_would_obey_is_drawn() {
    let mut sample = sample(4);
    if let Some(source) = &mut sample.overview.inbounds[1].source {
        source.last_error =
            Some("\u{1b}[2Jgone\u{7}\nbad\u{9b}2J x\u{202e}y\u{200d}z\u{fe0f}".into());
    }
    let mut view = busy();
    view.heard(Ok(sample), now());
    let picture = picture(&view, 80, 24);
    let obeyed = picture
        .chars()
        .find(|char| is_hidden(*char) && *char != '\n');
    assert_eq!(obeyed, None, "{picture}");
}

#[test]
fn many_are_scrolled_to_the_chosen_one() {
    let mut many = sample(4);
    many.overview.inbounds = (0..40)
        .map(|n| inbound(&format!("door-{n}"), "nebula"))
        .collect();
    let mut view = busy();
    view.heard(Ok(many), now());
    view.selected = 25;
    let picture = picture(&view, 80, 24);
    assert!(
        picture.contains("door-25") && !picture.contains("door-26"),
        "{picture}"
    );
    assert!(
        picture.contains("40 inbounds, 20-26 shown") && picture.contains("old-erp"),
        "{picture}"
    );
}

#[test]
fn any_size_can_be_drawn() {
    let mut view = busy();
    for selected in [0, 5] {
        view.selected = selected;
        for width in [0, 1, 20, 80] {
            for height in [0, 1, 2, 3, 4, 5, 6, 8, 13, 14, 24] {
                let mut buffer =
                    ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, width, height));
                draw(&view, LIVE, buffer.area, &mut buffer);
            }
        }
    }
}

#[test]
fn rows_are_shared() {
    assert_eq!(shares(10, 3, 4), (3, 4));
    assert_eq!(shares(10, 40, 4), (6, 4));
    assert_eq!(shares(10, 40, 40), (5, 5));
    assert_eq!(shares(10, 2, 40), (2, 8));
    assert_eq!(shares(0, 2, 40), (0, 0));
}
