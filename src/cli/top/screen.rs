//! The terminal: taken over, drawn, and given back in every case.

use std::time::Duration;

use faceway_core::{Clock as _, SystemClock};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::draw::{self, Look};
use super::poll::{Sample, poll};
use super::view::{Next, View};
use crate::cli::admin::Admin;
use crate::cli::signals::Signals;
use crate::cli::{Ended, Failure};

/// Ages grow also while nothing is heard.
const TICK: Duration = Duration::from_secs(1);

/// Shows the gateway until the operator has seen enough, or the process is told to end.
pub(super) async fn live(admin: Admin, every: Duration) -> Ended {
    let mut view = View::new(admin.place(), SystemClock.now());
    match poll(&admin).await {
        // A token that is missing is told where it can be read. A gateway that is not there may come.
        Err(failure @ (Failure::Input(_) | Failure::InputTold)) => return Err(failure),
        first => view.heard(first.map_err(reason), SystemClock.now()),
    }
    let mut signals = Signals::listen()?;
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|error| Failure::trouble(format!("cannot listen for signals: {error}")))?;
    let mut ticks = tokio::time::interval(TICK);
    let mut looks = looks(admin, every);
    let mut screen = Screen::take()?;
    let mut keys = keys();
    loop {
        screen.draw(&view)?;
        tokio::select! {
            Some(looked) = looks.recv() => view.heard(looked.map_err(reason), SystemClock.now()),
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind == KeyEventKind::Press => {
                    if view.press(key) == Next::Quit {
                        return Ok(());
                    }
                }
                // A resize is drawn; whatever else terminals tell is none of our business.
                Some(_) => {}
                // No key can come any more.
                None => return Ok(()),
            },
            _ = ticks.tick() => view.tick(SystemClock.now()),
            () = signals.end() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}

fn reason(failure: Failure) -> String {
    match failure {
        Failure::Input(text) | Failure::Trouble(text) => text,
        Failure::InputTold | Failure::NobodyReads => String::new(),
    }
}

/// Looks again and again, beside the keys: a gateway that hangs must not make the terminal hang.
fn looks(admin: Admin, every: Duration) -> mpsc::Receiver<Result<Sample, Failure>> {
    let (tell, hear) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            if tell.send(poll(&admin).await).await.is_err() {
                return;
            }
        }
    });
    hear
}

/// What is pressed. The thread ends with the process: a read from a terminal cannot be called off.
fn keys() -> mpsc::Receiver<Event> {
    let (tell, hear) = mpsc::channel(64);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if tell.blocking_send(event).is_err() {
                return;
            }
        }
    });
    hear
}

/// The terminal while it is ours. It is given back when this is dropped, and before a panic speaks.
struct Screen {
    terminal: DefaultTerminal,
    look: Look,
}

impl Screen {
    fn take() -> Result<Self, Failure> {
        let terminal = ratatui::try_init().map_err(|error| {
            // Half of it may have been done.
            ratatui::restore();
            Failure::trouble(format!(
                "cannot take over the terminal: {error}\nWithout one: faceway top --once"
            ))
        })?;
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let look = Look {
            colour: !plain,
            live: true,
        };
        Ok(Self { terminal, look })
    }

    fn draw(&mut self, view: &View) -> Ended {
        let look = self.look;
        self.terminal
            .draw(|frame| draw::draw(view, look, frame.area(), frame.buffer_mut()))
            .map_err(|error| Failure::trouble(format!("cannot draw on the terminal: {error}")))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal itself is gone, the text is lost.
        let _ = self.terminal.show_cursor();
        // A panic has given it back before it spoke; once more would write over its words.
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Screen;

    /// Run on a terminal of its own by the test below, never by itself.
    #[test]
    #[ignore = "takes over the terminal that it runs on, and panics"]
    fn panics_on_a_terminal() {
        let _screen = Screen::take().unwrap();
        panic!("it went wrong");
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peers/terminal.py");
        let told = std::process::Command::new("/usr/bin/python3")
            .args([peer, "wait", ""])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "--test-threads=1"])
            .arg("cli::top::screen::tests::panics_on_a_terminal")
            .output()
            .unwrap();
        assert!(told.status.success(), "{told:?}");
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["taken"], true, "{told}");
        assert_eq!(told["restored"], true, "{told}");
        let after = told["after"].as_str().unwrap();
        assert!(
            after.contains("it went wrong"),
            "the panic can be read: {told}"
        );
    }
}
