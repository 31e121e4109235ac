//! A duty that this gateway has.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use faceway_core::{BoxFuture, Duty, Held};
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
    fate: watch::Sender<Fate>,
}

/// What has become of a grant.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    is_wanted: bool,
    is_lost: bool,
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
            fate: watch::Sender::default(),
        }
    }

    pub(super) fn is_lost(&self, now: Instant) -> bool {
        self.life.time(now) != Some(self.time) || self.fate.borrow().is_lost
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
        self.fate.send_if_modified(|fate| {
            let is_new = !fate.is_lost;
            fate.is_lost = true;
            is_new
        });
    }

    /// Another gateway is to have it.
    pub(super) fn want(&self) {
        self.fate.send_if_modified(|fate| {
            let is_new = !fate.is_wanted;
            fate.is_wanted = true;
            is_new
        });
    }

    async fn wanted(&self) {
        let mut fate = self.fate.subscribe();
        // The sender lives in `self`, so this ends by the value alone.
        let _ = fate.wait_for(|fate| fate.is_wanted).await;
    }

    async fn lost(&self) {
        let mut fate = self.fate.subscribe();
        let mut told = pin!(async move {
            let _ = fate.wait_for(|fate| fate.is_lost).await;
        });
        // A gateway that was frozen asks this first when it wakes, and nothing may have taken the duty away yet.
        std::future::poll_fn(|context| {
            if self.is_lost(Instant::now()) {
                return Poll::Ready(());
            }
            told.as_mut().poll(context)
        })
        .await;
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
    fn wanted(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.grant.wanted())
    }

    fn lost(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.grant.lost())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faceway_core::Timestamp;
    use futures_util::FutureExt as _;

    use super::*;

    fn grant(life: Life) -> Grant {
        Grant::new((1, Duty::Janitor), (1, 1), (Arc::new(life), 0))
    }

    #[test]
    fn a_gateway_that_wakes_is_told_by_its_first_question() {
        let now = Instant::now();
        let begun = |ago: u64| {
            let at = now.checked_sub(Duration::from_secs(ago)).expect("a moment");
            Life::new("i".into(), Timestamp::EPOCH, at, 1, now)
        };
        assert_eq!(grant(begun(1)).lost().now_or_never(), None);
        // Nothing has watched meanwhile.
        assert_eq!(grant(begun(13)).lost().now_or_never(), Some(()));
    }

    #[test]
    fn what_is_wanted_is_not_lost() {
        let now = Instant::now();
        let grant = grant(Life::new("i".into(), Timestamp::EPOCH, now, 1, now));
        assert_eq!(grant.wanted().now_or_never(), None);
        grant.want();
        assert_eq!(grant.wanted().now_or_never(), Some(()));
        assert_eq!(grant.lost().now_or_never(), None);
        grant.lose();
        assert_eq!(grant.lost().now_or_never(), Some(()));
    }
}
