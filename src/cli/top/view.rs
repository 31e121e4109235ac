//! What is shown: the last two looks, and what the operator has chosen. Pure: it changes by what it hears and by keys.

use faceway::api;
use faceway_core::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::needs;
use super::poll::Sample;

/// Everything that a picture is made of.
#[derive(Debug)]
pub(super) struct View {
    /// Where the gateway is.
    pub(super) place: String,
    /// When the picture is looked at; it stands still while `paused`.
    pub(super) now: Timestamp,
    pub(super) latest: Option<Sample>,
    previous: Option<Sample>,
    pub(super) gone: Option<Gone>,
    /// The chosen one, of the inbounds and then the lanes.
    pub(super) selected: usize,
    pub(super) paused: bool,
    pub(super) help: bool,
}

/// The gateway does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) since: Timestamp,
    pub(super) reason: String,
}

/// What comes after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Quit,
}

/// What the operator has chosen.
pub(super) enum Chosen<'a> {
    Inbound(&'a api::Inbound),
    Lane(&'a api::Lane),
}

/// What a row is known by: whether it is a lane's, and the name.
type Key = (bool, String);

impl Chosen<'_> {
    fn key(&self) -> Key {
        match self {
            Self::Inbound(inbound) => (false, inbound.name.clone()),
            Self::Lane(lane) => (true, lane.name.clone()),
        }
    }
}

const PAGE: usize = 10;

impl View {
    pub(super) fn new(place: String, now: Timestamp) -> Self {
        Self {
            place,
            now,
            latest: None,
            previous: None,
            gone: None,
            selected: 0,
            paused: false,
            help: false,
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if !self.paused {
            self.now = now;
        }
    }

    /// A look has seen something, or nothing for a reason.
    pub(super) fn heard(&mut self, looked: Result<Sample, String>, now: Timestamp) {
        if self.paused {
            return;
        }
        self.now = now;
        match looked {
            Ok(mut sample) => {
                self.gone = None;
                needs::sort(&mut sample, now);
                let chosen = self.chosen().map(|chosen| chosen.key());
                self.previous = self.latest.replace(sample);
                self.follow(chosen);
            }
            Err(reason) => {
                let since = self.gone.as_ref().map_or(now, |gone| gone.since);
                // The last line of advice is for the start of a command, not for its screen.
                let reason = reason.lines().next().unwrap_or_default().to_owned();
                self.gone = Some(Gone { since, reason });
            }
        }
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Next::Quit,
                _ => Next::Stay,
            };
        }
        match key.code {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Esc => return Next::Quit,
            KeyCode::Char('?') => self.help = !self.help,
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('j') | KeyCode::Down => self.choose(self.selected.saturating_add(1)),
            KeyCode::Char('k') | KeyCode::Up => self.choose(self.selected.saturating_sub(1)),
            KeyCode::PageDown => self.choose(self.selected.saturating_add(PAGE)),
            KeyCode::PageUp => self.choose(self.selected.saturating_sub(PAGE)),
            KeyCode::Char('g') | KeyCode::Home => self.choose(0),
            KeyCode::Char('G') | KeyCode::End => self.choose(usize::MAX),
            KeyCode::Tab => self.other_table(),
            _ => {}
        }
        Next::Stay
    }

    fn choose(&mut self, wanted: usize) {
        let count = self.inbounds().len() + self.lanes().len();
        self.selected = wanted.min(count.saturating_sub(1));
    }

    /// Rows change their places: the choice goes with its row, but at the very top it stays, where the worst is.
    fn follow(&mut self, chosen: Option<Key>) {
        let lanes_begin = self.inbounds().len();
        let place = chosen.and_then(|(is_lane, name)| match is_lane {
            false => self.inbounds().iter().position(|one| one.name == name),
            true => {
                let place = self.lanes().iter().position(|one| one.name == name)?;
                Some(lanes_begin + place)
            }
        });
        match place.filter(|_| self.selected > 0) {
            Some(place) => self.selected = place,
            None => self.choose(self.selected),
        }
    }

    fn other_table(&mut self) {
        let lanes_begin = self.inbounds().len();
        let to = if self.selected < lanes_begin {
            lanes_begin
        } else {
            0
        };
        self.choose(to);
    }

    pub(super) fn inbounds(&self) -> &[api::Inbound] {
        self.latest
            .as_ref()
            .map_or(&[], |sample| &sample.overview.inbounds)
    }

    pub(super) fn lanes(&self) -> &[api::Lane] {
        self.latest
            .as_ref()
            .map_or(&[], |sample| &sample.overview.lanes)
    }

    pub(super) fn chosen(&self) -> Option<Chosen<'_>> {
        let inbounds = self.inbounds();
        match inbounds.get(self.selected) {
            Some(inbound) => Some(Chosen::Inbound(inbound)),
            None => {
                let lane = self.lanes().get(self.selected - inbounds.len())?;
                Some(Chosen::Lane(lane))
            }
        }
    }

    /// How fast a counter grows, each second; `None` before there are two looks at the same run of the gateway.
    pub(super) fn rate(&self, count: impl Fn(&super::counters::Counters) -> f64) -> Option<f64> {
        let (latest, previous) = (self.latest.as_ref()?, self.previous.as_ref()?);
        let elapsed = latest.taken.saturating_duration_since(previous.taken);
        let same_run = latest.overview.started_at == previous.overview.started_at;
        let grown = count(&latest.counters) - count(&previous.counters);
        (same_run && grown >= 0.0 && !elapsed.is_zero()).then(|| grown / elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::{Chosen, Next, View};
    use crate::cli::top::draw::tests::{busy, now, sample};

    fn press(view: &mut View, code: KeyCode) -> Next {
        view.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn chosen(view: &View) -> &str {
        match view.chosen() {
            Some(Chosen::Inbound(inbound)) => &inbound.name,
            Some(Chosen::Lane(lane)) => &lane.name,
            None => "",
        }
    }

    #[test]
    fn keys_choose_within_what_there_is() {
        let mut view = busy();
        for (code, name) in [
            (KeyCode::Up, "hall"),
            (KeyCode::Char('j'), "gates"),
            (KeyCode::Tab, "erp"),
            (KeyCode::Char('G'), "screen"),
            (KeyCode::Down, "screen"),
            (KeyCode::Char('k'), "old-erp"),
            (KeyCode::Tab, "hall"),
        ] {
            assert_eq!(press(&mut view, code), Next::Stay);
            assert_eq!(chosen(&view), name, "after {code:?}");
        }
    }

    #[test]
    fn the_choice_goes_with_its_row() {
        let mut view = busy();
        press(&mut view, KeyCode::Char('G'));
        assert_eq!((chosen(&view), view.selected), ("screen", 5));
        let mut worse = sample(4);
        worse.overview.lanes[1].state = "waiting".into();
        worse.overview.lanes[0].state = "idle".into();
        view.heard(Ok(worse), now());
        assert_eq!((chosen(&view), view.selected), ("screen", 3));
        // Who has chosen nothing looks at the worst.
        press(&mut view, KeyCode::Char('g'));
        let mut mended = sample(6);
        mended.overview.inbounds[1].source = None;
        view.heard(Ok(mended), now());
        assert_eq!((chosen(&view), view.selected), ("gates", 0));
    }

    #[test]
    fn it_ends_when_it_is_told_so() {
        let mut view = busy();
        assert_eq!(press(&mut view, KeyCode::Char('q')), Next::Quit);
        assert_eq!(press(&mut view, KeyCode::Esc), Next::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.press(interrupt), Next::Quit);
        assert_eq!(press(&mut view, KeyCode::Char('c')), Next::Stay);
        press(&mut view, KeyCode::Char('?'));
        assert_eq!(press(&mut view, KeyCode::Esc), Next::Stay, "it closes help");
    }

    #[test]
    fn rates_are_those_between_two_looks_at_one_run() {
        let mut view = busy();
        assert_eq!(view.rate(|counters| counters.taken("lobby")), Some(12.5));
        // A gateway that was started again counts from nothing.
        let mut again = sample(4);
        again.overview.started_at = now();
        view.heard(Ok(again), now());
        assert_eq!(view.rate(|counters| counters.taken("lobby")), None);
    }

    #[test]
    fn a_gateway_that_is_gone_is_found_again() {
        let mut view = busy();
        view.heard(Err("no gateway answers\nIs it running?".into()), now());
        view.heard(Err("no gateway answers".into()), now().plus_millis(5_000));
        let gone = view.gone.clone().unwrap();
        assert_eq!((gone.since, &*gone.reason), (now(), "no gateway answers"));
        assert!(!view.lanes().is_empty(), "what was last seen stays");
        view.heard(Ok(sample(4)), now());
        assert_eq!(view.gone, None);
    }

    #[test]
    fn a_pause_holds_everything_still() {
        let mut view = busy();
        press(&mut view, KeyCode::Char('p'));
        view.tick(now().plus_millis(60_000));
        view.heard(Err("gone".into()), now().plus_millis(60_000));
        assert_eq!((view.now, &view.gone), (now(), &None));
    }
}
