//! Duties of gateways that share a disk in memory. A test says when one is wanted elsewhere, or lost.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use faceway_core::{
    AskError, BoxFuture, Duties, Duty, ForEver, Held, Owner, Question, SiteHealth, SpoolError,
    Timestamp,
};
use tokio::sync::{oneshot, watch};

use super::{Kept, MemoryDisk, MemorySpool};

/// What is known of duties.
#[derive(Default)]
pub(super) struct Shared {
    /// Whether several gateways are to share the disk; else each handle has every duty.
    is_on: bool,
    owners: BTreeMap<Duty, Standing>,
    /// Handles that made room for another one, by duty: they take it again only after that one.
    leaving: BTreeMap<Duty, u64>,
    /// Grows with each change.
    changes: watch::Sender<u64>,
    /// By handle.
    asked: BTreeMap<u64, VecDeque<Asked>>,
    taken: u64,
}

struct Standing {
    /// The handle.
    owner: u64,
    /// Which taking it is.
    number: u64,
    is_wanted: bool,
}

struct Asked {
    duty: Duty,
    text: Bytes,
    answer: oneshot::Sender<Bytes>,
}

impl MemoryDisk {
    /// Several gateways share it from now on: each duty is one handle's.
    pub fn share(&self) {
        self.lock().shared.is_on = true;
    }

    /// Another gateway is to have this duty.
    pub fn want(&self, duty: &Duty) {
        let shared = &mut self.lock().shared;
        if let Some(standing) = shared.owners.get_mut(duty) {
            standing.is_wanted = true;
        }
        shared.changed();
    }

    /// Its owner has this duty no longer.
    pub fn take_away(&self, duty: &Duty) {
        let shared = &mut self.lock().shared;
        shared.owners.remove(duty);
        shared.changed();
    }
}

impl Shared {
    /// Tells what waits for a change of duties or rules.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn standing(&self, duty: &Duty, number: u64) -> Option<&Standing> {
        let standing = self.owners.get(duty)?;
        (standing.number == number).then_some(standing)
    }
}

/// A duty of a handle.
struct MemoryHeld {
    disk: MemoryDisk,
    duty: Duty,
    number: u64,
}

impl MemoryHeld {
    async fn until(&self, holds: impl Fn(&Kept) -> bool) {
        let mut changes = self.disk.lock().shared.changes.subscribe();
        while !holds(&self.disk.lock()) {
            // The sender is the disk's, which this holds.
            let _ = changes.changed().await;
        }
    }
}

impl Held for MemoryHeld {
    fn wanted(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.until(|kept| {
            let standing = kept.shared.standing(&self.duty, self.number);
            standing.is_some_and(|standing| standing.is_wanted)
        }))
    }

    fn lost(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.until(|kept| kept.shared.standing(&self.duty, self.number).is_none()))
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Drop for MemoryHeld {
    fn drop(&mut self) {
        let mut kept = self.disk.lock();
        let shared = &mut kept.shared;
        let Some(standing) = shared.standing(&self.duty, self.number) else {
            return;
        };
        if standing.is_wanted {
            let owner = standing.owner;
            shared.leaving.insert(self.duty.clone(), owner);
        }
        shared.owners.remove(&self.duty);
        shared.changed();
    }
}

impl MemorySpool {
    fn try_take(&self, duty: &Duty) -> Option<Box<dyn Held>> {
        let mut kept = self.lock();
        let shared = &mut kept.shared;
        if shared.owners.contains_key(duty) || shared.leaving.get(duty) == Some(&self.number) {
            return None;
        }
        shared.leaving.remove(duty);
        shared.taken += 1;
        let number = shared.taken;
        let standing = Standing {
            owner: self.number,
            number,
            is_wanted: false,
        };
        shared.owners.insert(duty.clone(), standing);
        Some(Box::new(MemoryHeld {
            disk: self.disk.clone(),
            duty: duty.clone(),
            number,
        }))
    }
}

impl Duties for MemorySpool {
    fn take(&self, duty: Duty) -> BoxFuture<'_, Box<dyn Held>> {
        let is_on = self.lock().shared.is_on;
        if !is_on {
            return Box::pin(std::future::ready(Box::new(ForEver) as _));
        }
        Box::pin(async move {
            let mut changes = self.lock().shared.changes.subscribe();
            loop {
                self.thawed().await;
                if let Some(held) = self.try_take(&duty) {
                    return held;
                }
                let _ = changes.changed().await;
            }
        })
    }

    fn gateway(&self) -> Option<&str> {
        let is_on = self.lock().shared.is_on;
        is_on.then_some(&*self.name)
    }

    fn owners(&self) -> BoxFuture<'_, Result<Vec<Owner>, SpoolError>> {
        self.ask_disk(|number, kept| {
            let owners = kept.shared.owners.iter();
            let owner = |(duty, standing): (&Duty, &Standing)| Owner {
                duty: duty.clone(),
                gateway: format!("gw-{}", standing.owner),
                is_here: standing.owner == number,
                since: Timestamp::EPOCH,
            };
            Ok(owners.map(owner).collect())
        })
    }

    fn ask(&self, duty: &Duty, question: Bytes) -> BoxFuture<'_, Result<Bytes, AskError>> {
        let (answer, answered) = oneshot::channel();
        let mut kept = self.lock();
        let owner = kept.shared.owners.get(duty).map(|standing| standing.owner);
        let Some(owner) = owner.filter(|owner| *owner != self.number) else {
            return Box::pin(std::future::ready(Err(AskError::NoOwner)));
        };
        let asked = Asked {
            duty: duty.clone(),
            text: question,
            answer,
        };
        kept.shared.asked.entry(owner).or_default().push_back(asked);
        kept.shared.changed();
        drop(kept);
        Box::pin(async move { answered.await.map_err(|_| AskError::Silent) })
    }

    fn asked(&self) -> BoxFuture<'_, Question> {
        Box::pin(async move {
            let mut changes = self.lock().shared.changes.subscribe();
            loop {
                let next = {
                    let mut kept = self.lock();
                    let asked = kept.shared.asked.get_mut(&self.number);
                    asked.and_then(VecDeque::pop_front)
                };
                if let Some(asked) = next {
                    return Question {
                        duty: asked.duty,
                        text: asked.text,
                        answer: Box::new(move |text| {
                            // Who asked may be gone.
                            let _ = asked.answer.send(text);
                        }),
                    };
                }
                let _ = changes.changed().await;
            }
        })
    }

    fn health(&self) -> Option<SiteHealth> {
        self.lock().shared.is_on.then_some(SiteHealth {
            is_connected: true,
            is_synced: true,
            members: 2,
            is_janitor: false,
            seen_lag_ms: 0,
        })
    }
}

impl MemorySpool {
    fn ask_disk<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(u64, &Kept) -> T + Send + 'a,
    ) -> BoxFuture<'a, T> {
        Box::pin(async move {
            self.thawed().await;
            work(self.number, &self.lock())
        })
    }
}

/// What a gateway knows of rules that another one appended.
impl MemorySpool {
    pub(super) fn version(&self) -> u64 {
        let kept = self.lock();
        let rules = kept.rules.as_ref().filter(|_| kept.shared.is_on);
        rules.map_or(0, |rules| rules.mark.version)
    }

    pub(super) async fn newer(&self, seen: u64) -> u64 {
        let mut changes = self.lock().shared.changes.subscribe();
        loop {
            let version = self.version();
            if version > seen {
                return version;
            }
            let _ = changes.changed().await;
        }
    }
}
