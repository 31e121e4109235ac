//! Requests that are turned away are told in the log, in a [`Rhythm`], so that nobody has to guess why a device's records
//! do not come, and no scanner fills the disk.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::rhythm::Rhythm;

/// Characters of a path that nobody has asked for.
const PATH_CHARS_MAX: usize = 64;

/// What was told, and when.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway(Mutex<Rhythm<Which>>);

/// At which inbound (`None`: at no inbound) and why.
type Which = (Option<String>, Cow<'static, str>);

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
        if let Some(times) = self.note((Some(inbound.to_owned()), why.clone())) {
            tracing::warn!(inbound, from = %peer, status, times, "turned away: {why}");
        }
    }

    /// At a path that is no inbound's. Without its query, where tokens are.
    pub(super) fn nowhere(&self, path: &str, peer: IpAddr) {
        let why = Cow::Borrowed("no inbound has this path");
        if let Some(times) = self.note((None, why)) {
            let path: String = path.chars().take(PATH_CHARS_MAX).collect();
            tracing::warn!(?path, from = %peer, status = 404, times, "turned away: no inbound has this path");
        }
    }

    fn note(&self, which: Which) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.note(which, Instant::now())
    }
}
