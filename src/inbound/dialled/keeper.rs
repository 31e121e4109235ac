//! From a source's messages to the spool: in their order, all that wait at once, and again until the spool has them.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use faceway_core::Outcome;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use super::Status;
use crate::inbound::Inbound;

/// A message, and its share of the memory until it is kept.
pub(super) struct Queued {
    pub(super) message: Bytes,
    pub(super) _share: Option<OwnedSemaphorePermit>,
}

/// Messages that wait; when there are as many, the socket is not read.
const QUEUED_MAX: usize = 64;
/// While the spool is full, it is asked this often.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

pub(super) fn queue() -> (mpsc::Sender<Queued>, mpsc::Receiver<Queued>) {
    mpsc::channel(QUEUED_MAX)
}

/// Keeps what is queued until the queue is closed and empty. What does not fit at once is kept in smaller parts: all together
/// may be more than the spool ever has room for. On `stop` it does not wait for a full spool any more: what is still unkept
/// then is lost, and that is told.
pub(super) async fn keep(
    inbound: &Inbound,
    peer: Option<IpAddr>,
    mut queued: mpsc::Receiver<Queued>,
    status: &Status,
    stop: &CancellationToken,
) {
    let mut taken = Vec::with_capacity(QUEUED_MAX);
    let mut at_once_max = QUEUED_MAX;
    loop {
        if taken.is_empty() && queued.recv_many(&mut taken, QUEUED_MAX).await == 0 {
            return;
        }
        let at_once = at_once_max.min(taken.len());
        let messages: Vec<Bytes> = (taken[..at_once].iter())
            .map(|queued| queued.message.clone())
            .collect();
        if inbound.keep_all(peer, &messages).await != Outcome::Busy {
            status.unblocked();
            // Their shares of the memory are given back with them.
            taken.drain(..at_once);
            at_once_max = QUEUED_MAX.min(at_once_max * 2);
            continue;
        }
        if at_once > 1 {
            at_once_max = at_once / 2;
            continue;
        }
        status.blocked(messages[0].len());
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(BUSY_PAUSE) => false,
        };
        if stopped {
            queued.close();
            let unkept = taken.len() + queued.len();
            return tracing::error!(
                inbound = inbound.name(),
                unkept,
                "stopping while the spool cannot keep; these messages are lost, their source does not repeat them"
            );
        }
    }
}
