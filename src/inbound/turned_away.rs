//! Requests that are turned away are logged, by a [throttle](crate::throttle), so that an operator sees why a device's records
//! do not come, and no scanner fills the disk.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::throttle::SharedThrottle;

/// Characters of a path that no inbound has.
const PATH_CHARS_MAX: usize = 64;

/// What was told, and when.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway(SharedThrottle<Which>);

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
        if let Some(times) = self.0.note((Some(inbound.to_owned()), why.clone())) {
            tracing::warn!(inbound, from = %peer, status, times, "turned away: {why}");
        }
    }

    /// At a path that is no inbound's. Without its query, where tokens are.
    pub(super) fn nowhere(&self, path: &str, peer: IpAddr) {
        let why = Cow::Borrowed("no inbound has this path");
        if let Some(times) = self.0.note((None, why)) {
            let path: String = path.chars().take(PATH_CHARS_MAX).collect();
            tracing::warn!(?path, from = %peer, status = 404, times, "turned away: no inbound has this path");
        }
    }
}
