//! A duty of this gateway, told to operators: when it comes, when it goes, and why.

use std::sync::Arc;

use faceway_core::{BoxFuture, Duties, Duty, Held};
use metrics::{counter, gauge};

/// How a duty leaves a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Its work ended in order.
    HandedOver,
    /// It was gone.
    Lost,
}

/// A duty that this gateway has. Where one gateway has the log to itself nothing is told of it.
pub(crate) struct OnDuty {
    duty: Duty,
    held: Option<Box<dyn Held>>,
    is_shared: bool,
}

impl OnDuty {
    /// Waits until this gateway has the duty; for ever where it is not among the `gateways` that may have it, all when there are
    /// none. Dropping the future takes the wish back.
    pub(crate) async fn take(duties: &Arc<dyn Duties>, duty: Duty, gateways: &[String]) -> Self {
        if !may(&**duties, gateways) {
            std::future::pending().await
        }
        let is_shared = duties.health().is_some();
        if is_shared {
            tell(&duty, false);
        }
        let held = Some(duties.take(duty.clone()).await);
        if is_shared {
            tell(&duty, true);
            count(&duty, "taken");
            tracing::info!(
                duty = duty.kind(),
                name = duty.name(),
                "this gateway has the duty from now on"
            );
        }
        Self {
            duty,
            held,
            is_shared,
        }
    }

    /// Resolves when another gateway is to have it: finish, and hand over.
    pub(crate) fn wanted(&self) -> BoxFuture<'_, ()> {
        match &self.held {
            Some(held) => held.wanted(),
            None => Box::pin(std::future::pending()),
        }
    }

    /// Resolves when it is gone: stop at once.
    pub(crate) fn lost(&self) -> BoxFuture<'_, ()> {
        match &self.held {
            Some(held) => held.lost(),
            None => Box::pin(std::future::pending()),
        }
    }

    /// Its work has ended: another gateway may take it.
    pub(crate) async fn end(mut self, how: Left) {
        if let Some(held) = self.held.take() {
            self.told(how);
            held.release().await;
        }
    }

    fn told(&self, how: Left) {
        if !self.is_shared {
            return;
        }
        tell(&self.duty, false);
        let (kind, name) = (self.duty.kind(), self.duty.name());
        match how {
            Left::HandedOver => {
                count(&self.duty, "handed_over");
                tracing::info!(duty = kind, name, "this gateway has handed the duty over");
            }
            Left::Lost => {
                count(&self.duty, "lost");
                tracing::warn!(
                    duty = kind,
                    name,
                    "this gateway has lost the duty: another one may have it"
                );
            }
        }
    }
}

impl Drop for OnDuty {
    fn drop(&mut self) {
        // Its work ended without a word: the engine gives the duty back, as it is dropped with this.
        if self.held.is_some() {
            self.told(Left::HandedOver);
        }
    }
}

/// Whether this gateway may have a duty of these gateways.
pub(crate) fn may(duties: &dyn Duties, gateways: &[String]) -> bool {
    let own = duties.gateway();
    gateways.is_empty() || own.is_none_or(|own| gateways.iter().any(|name| name == own))
}

fn tell(duty: &Duty, is_held: bool) {
    gauge!("faceway_duty_held", "duty" => duty.kind(), "name" => duty.name().to_owned())
        .set(f64::from(u8::from(is_held)));
}

fn count(duty: &Duty, reason: &'static str) {
    counter!("faceway_duty_changes_total", "duty" => duty.kind(), "reason" => reason).increment(1);
}
