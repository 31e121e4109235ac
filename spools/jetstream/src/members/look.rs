//! Looking at MEMBERS, at its leader: who lives, and whether the leader sees all its servers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::client::{Failure, Peers, StreamLook};
use crate::names::{StreamKind, name, token_of};
use crate::shared::Shared;

use super::record::MemberRecord;

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How fresh this gateway's own record has to be, so that a look proves that another's is gone. A leader that has kept a write
/// of this moment has every write of before; see the module of [`super`] for how long a record stands and is valid.
const PROOF: Duration = Duration::from_millis(1500);

/// Who lives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// Names of gateways, by incarnation.
    pub(crate) living: BTreeMap<String, String>,
    /// Whether an incarnation that is not among them has ended for good.
    pub(crate) is_proof: bool,
    pub(crate) peers: Peers,
}

impl Look {
    /// A look of this moment. `acked` is the last publish of this gateway's own record.
    fn of(look: StreamLook, began: Instant, acked: super::life::Acked) -> Self {
        let of = |subject: &String| {
            let incarnation = token_of(subject, 0)?.to_owned();
            Some((incarnation, token_of(subject, 1).and_then(name)?))
        };
        let is_fresh = |at| began.saturating_duration_since(at) <= PROOF;
        Self {
            living: look.subjects.iter().filter_map(of).collect(),
            is_proof: acked.began.is_some_and(is_fresh) && look.state.last_seq >= acked.seq,
            peers: look.peers,
        }
    }

    /// Names of gateways that live.
    pub(crate) fn gateways(&self) -> BTreeSet<&str> {
        self.living.values().map(String::as_str).collect()
    }
}

impl Shared {
    /// Looks at the leader of MEMBERS.
    pub(crate) async fn look_at_members(&self) -> Result<Look, Failure> {
        let acked = self.members.life().last_acked();
        let began = Instant::now();
        let all = self.client.names.all_members();
        let look = self.client.look(StreamKind::Members, &all);
        let look = timeout(PATIENCE, look).await;
        let look = look.map_err(Failure::unavailable)??;
        let look = Look::of(look, began, acked);
        *crate::lock(&self.members.look) = std::sync::Arc::new(look.clone());
        Ok(look)
    }

    /// A member's record, with its number. `None` where it is gone, or cannot be read.
    pub(crate) async fn member(
        &self,
        gateway: &str,
        incarnation: &str,
    ) -> Result<Option<(u64, MemberRecord)>, Failure> {
        let subject = self.client.names.member(gateway, incarnation);
        let kept = self
            .client
            .last_at_leader_once(StreamKind::Members, &subject)
            .await?;
        Ok(kept.and_then(|kept| Some((kept.seq, MemberRecord::parse(&kept)?))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::life::Acked;
    use super::*;
    use crate::client::StreamLook;

    #[test]
    fn an_absent_record_is_believed_of_a_leader_that_has_kept_our_own_a_moment_ago() {
        let now = Instant::now() + Duration::from_secs(100);
        let look = |last_seq: u64, seq: u64, age: f64| {
            let acked = Acked {
                seq,
                began: Some(now - Duration::from_secs_f64(age)),
            };
            let mut look = StreamLook {
                state: Default::default(),
                subjects: vec!["fw.north.member.gw=2E1.abc".into()],
                peers: Peers::default(),
            };
            look.state.last_seq = last_seq;
            Look::of(look, now, acked)
        };
        let good = look(7, 7, 1.4);
        assert!(good.is_proof);
        assert_eq!(good.living["abc"], "gw.1");
        // A leader of before does not have it; and what it had a while ago says nothing of now.
        assert!(!look(6, 7, 1.4).is_proof);
        assert!(!look(7, 7, 1.6).is_proof);
    }
}
