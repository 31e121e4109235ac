//! The contract of duties.

use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{
    AskError, BoxFuture, Duties, Duty, Held, Owner, Question, Site, SiteHealth, SpoolError,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::shared::Shared;
use crate::{JetStreamSpool, lock};

use super::Wished;
use super::decide::Wish;

impl Duties for JetStreamSpool {
    fn take(&self, duty: Duty) -> BoxFuture<'_, Box<dyn Held>> {
        Box::pin(self.shared.take(duty))
    }

    fn owners(&self) -> BoxFuture<'_, Result<Vec<Owner>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.owners().await?) })
    }

    fn ask(&self, duty: &Duty, question: Bytes) -> BoxFuture<'_, Result<Bytes, AskError>> {
        let duty = duty.clone();
        Box::pin(async move { self.shared.ask(&duty, question).await })
    }

    fn asked(&self) -> BoxFuture<'_, Question> {
        Box::pin(async move {
            match self.shared.duties.asked.lock().await.recv().await {
                Some(question) => question,
                None => std::future::pending().await,
            }
        })
    }

    fn health(&self) -> Option<SiteHealth> {
        Some(self.shared.health())
    }

    fn site(&self) -> BoxFuture<'_, Result<Option<Site>, SpoolError>> {
        Box::pin(async move { Ok(Some(self.shared.site().await?)) })
    }
}

/// A wish, for as long as it is waited for.
struct Wanting<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        lock(&self.shared.duties.slots).wishes.remove(&self.id);
    }
}

impl Shared {
    pub(crate) async fn take(self: &Arc<Self>, duty: Duty) -> Box<dyn Held> {
        let (give, given) = oneshot::channel();
        let wanting = Wanting {
            shared: self,
            id: self.wish(duty, give),
        };
        self.duties.wake();
        match given.await {
            Ok(held) => Box::new(held),
            // The wish is removed with `wanting` only, or granted.
            Err(_) => {
                let _ = wanting.id;
                std::future::pending().await
            }
        }
    }

    fn wish(&self, duty: Duty, give: oneshot::Sender<super::HeldDuty>) -> u64 {
        let mut slots = lock(&self.duties.slots);
        slots.next += 1;
        let id = slots.next;
        let wish = Wish::new(rand::random(), Instant::now());
        slots.wishes.insert(id, Wished { duty, wish, give });
        id
    }
}
