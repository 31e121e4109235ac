//! Secrets of a site: 32 random bytes at `state.secret.<name>`, written once.

use bytes::Bytes;
use tokio::time::Instant;

use crate::client::{Failure, Outgoing, pause};
use crate::names::StreamKind;
use crate::shared::Shared;

impl Shared {
    pub(crate) async fn secret(&self, name: &str) -> Result<[u8; 32], Failure> {
        let subject = self.client.names.secret(name);
        let deadline = Instant::now() + self.settings.append_timeout;
        loop {
            let found = self
                .client
                .last_at_leader(StreamKind::State, &subject)
                .await?;
            if let Some(kept) = found {
                let secret = kept.payload[..].try_into().ok();
                // One that is damaged is never replaced: links and identities would change.
                return secret
                    .filter(|_| kept.is_whole())
                    .ok_or_else(|| Failure::Refused {
                        code: 0,
                        text: format!("the secret {name:?} is damaged"),
                    });
            }
            let made: [u8; 32] = rand::random();
            let message = Outgoing::new(subject.clone(), Bytes::copy_from_slice(&made))
                .with("Nats-Expected-Last-Subject-Sequence", 0);
            match self.client.publish_once(&message).await {
                // Also after a success the leader is asked: another gateway may have been first.
                Ok(_) | Err(Failure::Moved) => {}
                Err(failure) if failure.passes() && Instant::now() < deadline => pause().await,
                Err(failure) => return Err(failure),
            }
        }
    }
}
