//! Brokers that end the connection a while after a status that they do not take (they ask another server first), so that
//! it outlives the status: seen only by how often connections end soon.

use tokio::time::Duration;

/// A connection that ends before this ended soon. One that lasts longer shows that it may hold.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// So many in a row are no chance.
const ENDS_MIN: u8 = 3;

/// How connections ended, from one to the next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Endings(State);

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// The status is said, and so many connections in a row have ended soon.
    Trusting(u8),
    /// It is not said. `again`: a connection with it has ended soon since one without it held.
    Asking { again: bool },
    /// A connection without it held; now it is said once more.
    Asked,
    /// It was not the status, so nothing is asked until a connection lasts.
    Innocent,
}

/// What a connection that lasted shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasted {
    /// Nothing new.
    Nothing,
    /// To be certain, another is needed, with the status on it.
    AskAgain,
    /// The status is to be left out.
    LeaveOut,
}

impl Endings {
    pub(crate) const fn new() -> Self {
        Self(State::Trusting(0))
    }

    /// Whether the next connection is to be without the status, and without the last will.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.0, State::Asking { .. })
    }

    /// A connection ended soon. `says`: there is a status that the next one may be without.
    pub(crate) fn ended_soon(&mut self, says: bool) {
        self.0 = match self.0 {
            State::Trusting(ends) if ends + 1 < ENDS_MIN => State::Trusting(ends + 1),
            State::Trusting(_) if says => State::Asking { again: false },
            State::Asked if says => State::Asking { again: true },
            _ => State::Innocent,
        };
    }

    /// A connection has lasted.
    pub(crate) fn lasted(&mut self) -> Lasted {
        let (next, lasted) = match self.0 {
            State::Asking { again: true } => (State::Trusting(0), Lasted::LeaveOut),
            State::Asking { again: false } => (State::Asked, Lasted::AskAgain),
            _ => (State::Trusting(0), Lasted::Nothing),
        };
        self.0 = next;
        lasted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that ends connections soon where the status is said, if it is `unwanted`.
    fn against(unwanted: bool) -> Result<(), u32> {
        let mut endings = Endings::new();
        for connection in 0..20 {
            if unwanted && !endings.is_quiet() {
                endings.ended_soon(true);
                continue;
            }
            match endings.lasted() {
                Lasted::LeaveOut => return Ok(()),
                Lasted::AskAgain => {}
                Lasted::Nothing => return Err(connection),
            }
        }
        Err(20)
    }

    #[test]
    fn a_status_that_ends_connections_is_found() {
        assert_eq!(against(true), Ok(()));
        assert_eq!(against(false), Err(0));
    }

    #[test]
    fn an_outage_leaves_nothing_out() {
        for says in [true, false] {
            for ends in 0..20 {
                let mut endings = Endings::new();
                for _ in 0..ends {
                    endings.ended_soon(says);
                }
                // It is back: at the next connection, or at one after it, everything is said.
                let mut lasted = endings.lasted();
                if lasted == Lasted::AskAgain {
                    lasted = endings.lasted();
                }
                assert_eq!(lasted, Lasted::Nothing, "after {ends}");
                assert!(!endings.is_quiet());
            }
        }
    }
}
