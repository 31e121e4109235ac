//! The record of a gateway that lives: JSON, at `member.<gateway>.<incarnation>` of MEMBERS.

use bytes::Bytes;
use faceway_core::{Member, Timestamp};
use serde::{Deserialize, Serialize};

use crate::client::{Kept, Outgoing};
use crate::shared::Shared;

use super::Life;

/// The form of a record. A member of another form lives all the same.
const VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MemberRecord {
    v: u32,
    pub(crate) gateway: String,
    pub(crate) incarnation: String,
    version: String,
    pub(crate) public_url: String,
    /// Milliseconds since 1970, by the gateway's clock.
    since: i64,
    /// The newest version of the rules that it knows.
    rules: u64,
    /// The server that it is connected to.
    pub(crate) server: String,
}

impl MemberRecord {
    /// This gateway's.
    pub(super) fn of(shared: &Shared, incarnation: &str, since: Timestamp) -> Self {
        Self {
            v: VERSION,
            gateway: shared.settings.gateway.clone(),
            incarnation: incarnation.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            public_url: shared.settings.public_url.clone(),
            since: since.as_millis(),
            rules: *shared.rules.borrow(),
            server: shared.client.server().0,
        }
    }

    /// `None` where it cannot be read.
    pub(crate) fn parse(kept: &Kept) -> Option<Self> {
        let record = serde_json::from_slice(&kept.payload).ok();
        record.filter(|_| kept.is_whole())
    }

    pub(super) fn message(&self, shared: &Shared) -> Outgoing {
        let names = &shared.client.names;
        let subject = names.member(&self.gateway, &self.incarnation);
        // A record is plain data.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        Outgoing::new(subject, Bytes::from(payload))
    }

    pub(crate) fn member(self, life: &Life) -> Member {
        Member {
            is_here: self.incarnation == life.incarnation,
            gateway: self.gateway,
            version: self.version,
            since: Timestamp::from_millis(self.since).unwrap_or(Timestamp::EPOCH),
            public_url: self.public_url,
            rules: self.rules,
        }
    }
}
