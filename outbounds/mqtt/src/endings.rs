//! Brokers that end the connection a while after something that they do not take (they ask somebody else first), so that
//! it outlives what it ends of: seen only by how often connections end soon.

use tokio::time::Duration;

/// A connection that ends before this ended soon. One that lasts longer shows that it may hold.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// So many in a row are no chance.
const ENDS_MIN: u8 = 3;

/// What is not said on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// The status, and the last will with it.
    pub(crate) status: bool,
    pub(crate) announcements: bool,
}

/// What is asked in turn.
const TURNS: [Quiet; 3] = [
    Quiet {
        status: true,
        announcements: false,
    },
    Quiet {
        status: false,
        announcements: true,
    },
    Quiet {
        status: true,
        announcements: true,
    },
];

/// How connections ended, from one to the next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Endings(State);

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Everything is said, and so many connections in a row have ended soon.
    Trusting(u8),
    /// This turn is left out. `again`: a connection with everything has ended soon since it held.
    Asking { turn: usize, again: bool },
    /// This turn held; now everything is said once more.
    Asked(usize),
    /// It was none of ours, so nothing is asked until a connection lasts.
    Innocent,
}

/// What a connection that lasted shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasted {
    /// Nothing new.
    Nothing,
    /// To be certain, another is needed, with everything on it.
    AskAgain,
    /// These are to be left out.
    LeaveOut(Quiet),
}

impl Endings {
    pub(crate) const fn new() -> Self {
        Self(State::Trusting(0))
    }

    /// What is not said on the next connection.
    pub(crate) fn quiet(&self) -> Quiet {
        match self.0 {
            State::Asking { turn, .. } => TURNS[turn],
            _ => Quiet::default(),
        }
    }

    /// A connection ended soon, on which at most `says` was said.
    pub(crate) fn ended_soon(&mut self, says: Quiet) {
        self.0 = match self.0 {
            State::Trusting(ends) if ends + 1 < ENDS_MIN => State::Trusting(ends + 1),
            State::Trusting(_) => turn_from(0, says),
            State::Asking { turn, .. } => turn_from(turn + 1, says),
            State::Asked(turn) => State::Asking { turn, again: true },
            State::Innocent => State::Innocent,
        };
    }

    /// A connection has lasted.
    pub(crate) fn lasted(&mut self) -> Lasted {
        let (next, lasted) = match self.0 {
            State::Asking { turn, again: true } => {
                (State::Trusting(0), Lasted::LeaveOut(TURNS[turn]))
            }
            State::Asking { turn, .. } => (State::Asked(turn), Lasted::AskAgain),
            _ => (State::Trusting(0), Lasted::Nothing),
        };
        self.0 = next;
        lasted
    }
}

/// The next turn that is about something that is said.
fn turn_from(first: usize, says: Quiet) -> State {
    let fits =
        |turn: &Quiet| (says.status || !turn.status) && (says.announcements || !turn.announcements);
    let turn = (first..TURNS.len()).find(|turn| fits(&TURNS[*turn]));
    turn.map_or(State::Innocent, |turn| State::Asking { turn, again: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Quiet = TURNS[2];
    const NOTHING: Quiet = Quiet {
        status: false,
        announcements: false,
    };

    /// A broker that ends connections soon where one of these is said.
    fn against(unwanted: Quiet, says: Quiet) -> Result<Quiet, u32> {
        let mut endings = Endings::new();
        for connection in 0..20 {
            let quiet = endings.quiet();
            let said = |says: bool, quiet: bool, unwanted: bool| says && !quiet && unwanted;
            let ends = said(says.status, quiet.status, unwanted.status)
                || said(
                    says.announcements,
                    quiet.announcements,
                    unwanted.announcements,
                );
            if ends {
                endings.ended_soon(says);
                continue;
            }
            match endings.lasted() {
                Lasted::LeaveOut(quiet) => return Ok(quiet),
                Lasted::AskAgain => {}
                Lasted::Nothing => return Err(connection),
            }
        }
        Err(20)
    }

    #[test]
    fn what_ends_connections_is_found() {
        for unwanted in TURNS {
            assert_eq!(against(unwanted, ALL), Ok(unwanted));
        }
        assert_eq!(against(TURNS[0], TURNS[0]), Ok(TURNS[0]));
        assert_eq!(against(NOTHING, ALL), Err(0));
    }

    #[test]
    fn an_outage_leaves_nothing_out() {
        for ends in 0..20 {
            let mut endings = Endings::new();
            for _ in 0..ends {
                endings.ended_soon(ALL);
            }
            // It is back: at the next connection, or at one after it, everything is said.
            let mut lasted = endings.lasted();
            if lasted == Lasted::AskAgain {
                lasted = endings.lasted();
            }
            assert_eq!(lasted, Lasted::Nothing, "after {ends}");
            assert_eq!(endings.quiet(), NOTHING);
        }
    }
}
