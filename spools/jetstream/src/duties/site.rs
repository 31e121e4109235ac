//! What is seen of a site: who has which duty, and who is there.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faceway_core::{Duty, Member, Owner, Server, Site, SiteHealth, StreamUse, Timestamp};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::client::Failure;
use crate::lock;
use crate::names::{StreamKind, duty_of};
use crate::settings::Durability;
use crate::shared::Shared;

use super::record::Standing;

/// How old an answer may be.
const OLD: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) async fn owners(&self) -> Result<Vec<Owner>, Failure> {
        if let Some((at, owners)) = &*lock(&self.duties.owners)
            && at.elapsed() < OLD
        {
            return Ok(owners.clone());
        }
        let at = Instant::now();
        let here = self.members.life();
        let look = self.look_at_members().await?;
        let records = self.present(&self.client.names.all_duties()).await?;
        let owner = |kept: &crate::client::Kept| match Standing::of(Some(kept)) {
            Standing::Owned { record, .. } if look.living.contains_key(&record.incarnation) => {
                Some(Owner {
                    duty: duty_of(&kept.subject)?,
                    is_here: record.incarnation == here.incarnation,
                    gateway: record.gateway,
                    since: Timestamp::from_millis(record.since).unwrap_or(Timestamp::EPOCH),
                })
            }
            _ => None,
        };
        let mut owners: Vec<Owner> = records.iter().filter_map(owner).collect();
        owners.sort_by(|one, other| one.duty.cmp(&other.duty));
        *lock(&self.duties.owners) = Some((at, owners.clone()));
        Ok(owners)
    }

    pub(super) fn health(&self) -> SiteHealth {
        let is_asked = self.settings.durability == Durability::Synced;
        let is_unproved = self.gauge.is_unproved.load(Ordering::Relaxed);
        let lag = self.tail.borrow().fresh_at.elapsed();
        SiteHealth {
            is_connected: self.members.life().time(Instant::now()).is_some(),
            is_synced: is_asked && !is_unproved,
            is_janitor: self.duties.has(&Duty::Janitor),
            members: self.members.last_look().gateways().len(),
            seen_lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(super) async fn site(&self) -> Result<Site, Failure> {
        let streams = StreamKind::ALL.map(|kind| self.stream_use(kind));
        let streams = try_join_all(streams).await?;
        let servers = self.servers(&streams.iter().map(|(_, names)| names).collect::<Vec<_>>());
        Ok(Site {
            name: self.settings.site.clone(),
            durability: match self.settings.durability {
                Durability::Synced => "synced",
                Durability::Relaxed => "relaxed",
            },
            members: self.member_list().await?,
            servers,
            streams: streams.into_iter().map(|(stream, _)| stream).collect(),
        })
    }

    async fn stream_use(&self, kind: StreamKind) -> Result<(StreamUse, Vec<String>), Failure> {
        let look = self.client.look(kind, "").await?;
        let stream = StreamUse {
            name: self.client.stream(kind),
            bytes: look.state.bytes,
            messages: look.state.messages,
            leader: look.peers.leader,
        };
        Ok((stream, look.peers.names))
    }

    async fn member_list(&self) -> Result<Vec<Member>, Failure> {
        let here = self.members.life();
        let look = self.look_at_members().await?;
        let records = look
            .living
            .iter()
            .map(|(incarnation, gateway)| self.member(gateway, incarnation));
        let records = try_join_all(records).await?.into_iter().flatten();
        let mut members: Vec<Member> = records.map(|(_, record)| record.member(&here)).collect();
        members.sort_by(|one, other| one.gateway.cmp(&other.gateway));
        Ok(members)
    }

    /// Servers of the last proof. Without one: those that keep streams, as far as they are known.
    fn servers(&self, named: &[&Vec<String>]) -> Vec<Server> {
        let mut servers = lock(&self.servers).clone();
        let (connected, version) = self.client.server();
        let known: BTreeSet<String> = servers.iter().map(|server| server.name.clone()).collect();
        let others: BTreeSet<&String> = named.iter().copied().flatten().collect();
        let others = others.into_iter().filter(|name| !known.contains(*name));
        servers.extend(others.map(|name| Server {
            name: name.clone(),
            version: if *name == connected {
                version.clone()
            } else {
                String::new()
            },
            is_synced: None,
        }));
        servers.sort_by(|one, other| one.name.cmp(&other.name));
        servers
    }
}
