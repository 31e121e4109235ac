//! Requests that are turned away are told in the log: the first at once, then at most once a minute with how many there
//! were, so that nobody has to guess why a device's records do not come, and no scanner fills the disk.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The same is told again after this.
const PAUSE: Duration = Duration::from_secs(60);
/// So many different ones are known at a time; beyond that some are told sooner than after the pause.
const KNOWN_MAX: usize = 256;
/// Characters of a path that nobody has asked for.
const PATH_CHARS_MAX: usize = 64;

/// What was told, and when.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway(Mutex<HashMap<Which, Told>>);

/// At which inbound (`None`: at no inbound) and why.
type Which = (Option<String>, Cow<'static, str>);

#[derive(Debug)]
struct Told {
    at: Instant,
    since: u64,
}

impl TurnedAway {
    /// At an inbound. The reason is a text of ours or of the adapter and holds nothing of the request.
    pub(super) fn at(
        &self,
        inbound: &str,
        peer: IpAddr,
        status: u16,
        why: impl Into<Cow<'static, str>>,
    ) {
        let why = why.into();
        if let Some(times) = self.note((Some(inbound.to_owned()), why.clone()), Instant::now()) {
            tracing::warn!(inbound, from = %peer, status, times, "turned away: {why}");
        }
    }

    /// At a path that is no inbound's. Without its query, where tokens are.
    pub(super) fn nowhere(&self, path: &str, peer: IpAddr) {
        let why = Cow::Borrowed("no inbound has this path");
        if let Some(times) = self.note((None, why), Instant::now()) {
            let path: String = path.chars().take(PATH_CHARS_MAX).collect();
            tracing::warn!(?path, from = %peer, status = 404, times, "turned away: no inbound has this path");
        }
    }

    /// How many there were since it was last told, when it is to be told now.
    fn note(&self, which: Which, now: Instant) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX && !known.contains_key(&which) {
            known.clear();
        }
        match known.get_mut(&which) {
            Some(told) if now < told.at + PAUSE => {
                told.since += 1;
                None
            }
            Some(told) => {
                let times = told.since + 1;
                *told = Told { at: now, since: 0 };
                Some(times)
            }
            None => {
                known.insert(which, Told { at: now, since: 0 });
                Some(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{KNOWN_MAX, PAUSE, TurnedAway};

    #[test]
    fn the_first_is_told_and_then_one_a_minute_with_how_many_there_were() {
        let told = TurnedAway::default();
        let now = Instant::now();
        let lobby = || (Some("lobby".to_owned()), "wrong".into());
        let second = Duration::from_secs(1);
        assert_eq!(told.note(lobby(), now), Some(1));
        assert_eq!(told.note(lobby(), now + second), None);
        assert_eq!(told.note(lobby(), now + PAUSE - second), None);
        assert_eq!(told.note((None, "wrong".into()), now), Some(1), "another");
        assert_eq!(told.note(lobby(), now + PAUSE), Some(3));
        assert_eq!(told.note(lobby(), now + PAUSE + second), None);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let told = TurnedAway::default();
        let now = Instant::now();
        for n in 0..10 * KNOWN_MAX {
            assert_eq!(
                told.note((Some(n.to_string()), "wrong".into()), now),
                Some(1)
            );
        }
        assert!(told.0.lock().unwrap().len() <= KNOWN_MAX);
    }
}
