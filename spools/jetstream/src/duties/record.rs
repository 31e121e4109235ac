//! The record of a duty: JSON. One that is given back is empty, and says by a header who gave it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::client::{Kept, Outgoing};

/// The form of a record.
const VERSION: u32 = 1;
/// Who gave a duty back.
const GIVEN_BY: &str = "Fw-Gateway";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DutyRecord {
    v: u32,
    pub(super) incarnation: String,
    pub(super) gateway: String,
    /// Milliseconds since 1970, by the owner's clock.
    pub(super) since: i64,
    /// Which write it is: an owner whose acknowledgement was lost knows it by this.
    pub(super) call: u64,
}

/// How a duty stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No gateway has it.
    Free {
        /// The number of the last record; 0 when there is none.
        number: u64,
        /// The gateway that gave it back.
        by: Option<String>,
    },
    /// An incarnation has it.
    Owned { number: u64, record: DutyRecord },
    /// What stands there cannot be read: a newer gateway may have written it.
    Unreadable,
}

impl DutyRecord {
    pub(super) fn new(incarnation: &str, gateway: &str, since: i64, call: u64) -> Self {
        Self {
            v: VERSION,
            incarnation: incarnation.to_owned(),
            gateway: gateway.to_owned(),
            since,
            call,
        }
    }

    pub(super) fn message(&self, subject: String, before: u64) -> Outgoing {
        // A record is plain data.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        Outgoing::new(subject, Bytes::from(payload))
            .with("Nats-Expected-Last-Subject-Sequence", before)
    }
}

/// The message that gives a duty back. It replaces this gateway's own record, and no other.
pub(super) fn given_back(subject: String, own: u64, gateway: &str) -> Outgoing {
    Outgoing::new(subject, Bytes::new())
        .with(GIVEN_BY, crate::names::token(gateway))
        .with("Nats-Expected-Last-Subject-Sequence", own)
}

impl Standing {
    /// Whether it says that another one has the duty whose record this incarnation wrote under `number` by `call`. An older
    /// record says nothing: a leader of before may have given it.
    pub(super) fn is_anothers(&self, incarnation: &str, call: u64, own: u64) -> bool {
        match self {
            Self::Owned { number, record } => {
                let is_mine = record.incarnation == incarnation && record.call == call;
                *number > own && !is_mine
            }
            Self::Free { number, .. } => *number > own,
            Self::Unreadable => true,
        }
    }

    pub(super) fn of(kept: Option<&Kept>) -> Self {
        let Some(kept) = kept else {
            return Self::Free {
                number: 0,
                by: None,
            };
        };
        if kept.payload.is_empty() {
            let by = kept.headers.get(GIVEN_BY).and_then(crate::names::name);
            return Self::Free {
                number: kept.seq,
                by,
            };
        }
        match serde_json::from_slice::<DutyRecord>(&kept.payload) {
            Ok(record) if kept.is_whole() && record.v == VERSION => Self::Owned {
                number: kept.seq,
                record,
            },
            _ => Self::Unreadable,
        }
    }
}
