//! A duty that this gateway has.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use faceway_core::{BoxFuture, Duty, Ended, Held};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::lock;
use crate::members::Life;
use crate::shared::Shared;

use super::run::GIVE_BACK;

/// What this gateway was given.
pub(super) struct Grant {
    pub(super) id: u64,
    pub(super) duty: Duty,
    /// Which write of its record it is.
    pub(super) call: u64,
    /// The number of its record.
    pub(super) number: u64,
    life: Arc<Life>,
    /// The time of the incarnation in which it was given.
    time: u64,
    ended: watch::Sender<Option<Ended>>,
}

impl Grant {
    pub(super) fn new(
        (id, duty): (u64, Duty),
        (call, number): (u64, u64),
        (life, time): (Arc<Life>, u64),
    ) -> Self {
        Self {
            id,
            duty,
            call,
            number,
            life,
            time,
            ended: watch::Sender::new(None),
        }
    }

    pub(super) fn is_lost(&self, now: Instant) -> bool {
        self.life.time(now) != Some(self.time) || *self.ended.borrow() == Some(Ended::Lost)
    }

    /// Whether the incarnation that has it lives.
    pub(super) fn is_of_the_living(&self) -> bool {
        self.life.is_valid(Instant::now())
    }

    pub(super) fn lose_if_over(&self) {
        if self.is_lost(Instant::now()) {
            self.lose();
        }
    }

    pub(super) fn lose(&self) {
        self.ended.send_if_modified(|ended| {
            let is_new = *ended != Some(Ended::Lost);
            *ended = Some(Ended::Lost);
            is_new
        });
    }

    /// Another gateway is to have it.
    pub(super) fn want(&self) {
        self.ended.send_if_modified(|ended| {
            let is_new = ended.is_none();
            ended.get_or_insert(Ended::Wanted);
            is_new
        });
    }

    async fn ended(&self) -> Ended {
        let mut watched = self.ended.subscribe();
        let changed = async move {
            // The sender lives in `self`, so this ends by the value alone.
            let ended = watched.wait_for(Option::is_some).await;
            ended.ok().and_then(|ended| *ended).unwrap_or(Ended::Lost)
        };
        let mut changed = pin!(changed);
        // A gateway that was frozen asks this first when it wakes, and nothing may have taken the duty away yet.
        std::future::poll_fn(|context| {
            if self.is_lost(Instant::now()) {
                return Poll::Ready(Ended::Lost);
            }
            changed.as_mut().poll(context)
        })
        .await
    }
}

/// A grant, as the gateway holds it. Dropped, it is given back in the background.
pub(super) struct HeldDuty {
    shared: Arc<Shared>,
    grant: Arc<Grant>,
    is_released: bool,
}

impl HeldDuty {
    pub(super) fn new(shared: &Arc<Shared>, grant: Arc<Grant>) -> Self {
        lock(&shared.duties.slots)
            .grants
            .insert(grant.id, Arc::clone(&grant));
        Self {
            shared: Arc::clone(shared),
            grant,
            is_released: false,
        }
    }

    /// Starts to give it back.
    fn give_back(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        if std::mem::replace(&mut self.is_released, true) {
            return None;
        }
        let (shared, grant) = (Arc::clone(&self.shared), Arc::clone(&self.grant));
        lock(&shared.duties.slots).grants.remove(&grant.id);
        grant.lose();
        let tasks = shared.tasks.clone();
        // It goes on when the caller does not wait. Without a runtime the record stays until this gateway's incarnation ends.
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        Some(tasks.spawn_on(async move { shared.give_back(&grant).await }, &runtime))
    }
}

impl Held for HeldDuty {
    fn ended(&self) -> BoxFuture<'_, Ended> {
        Box::pin(self.grant.ended())
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let given = self.give_back();
        Box::pin(async move {
            if let Some(given) = given {
                let _ = timeout(GIVE_BACK, given).await;
            }
        })
    }
}

impl Drop for HeldDuty {
    fn drop(&mut self) {
        self.give_back();
    }
}
