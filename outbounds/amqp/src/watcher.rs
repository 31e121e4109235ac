//! Whoever listens to a session's connection and looks at its confirms: one task, so that a look is one look.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use lapin::{Confirmation, Event, PublisherConfirm};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::ledger::{Answer, Carried, Confirmed};
use crate::session::Session;

/// Hears what the connection tells and looks at the confirms, until the session ends.
pub(crate) async fn watch<E>(
    session: Arc<Session>,
    mut events: Pin<Box<E>>,
    mut handed: mpsc::UnboundedReceiver<(u64, PublisherConfirm)>,
) where
    E: Stream<Item = Event> + Send,
{
    let mut watcher = Watcher::default();
    let watching = std::future::poll_fn(|context| {
        while let Poll::Ready(event) = events.as_mut().poll_next(context) {
            if let Err(failure) = hear(&session, event) {
                return Poll::Ready(failure);
            }
        }
        loop {
            while let Poll::Ready(Some((tag, confirm))) = handed.poll_recv(context) {
                watcher.handed = tag + 1;
                watcher.pending.push((tag, confirm));
            }
            match watcher.poll(context) {
                Err(failure) => return Poll::Ready(failure),
                Ok(confirmed) if session.look(&confirmed, watcher.handed) => {}
                Ok(_) => return Poll::Pending,
            }
        }
    });
    tokio::select! {
        biased;
        failure = watching => session.end(failure),
        () = session.ended() => {}
    }
}

fn hear(session: &Session, event: Option<Event>) -> Result<(), Failure> {
    match event {
        Some(Event::ConnectionBlocked(_)) => session.set_blocked(true),
        Some(Event::ConnectionUnblocked) => session.set_blocked(false),
        Some(Event::Error(error)) => return Err(Failure::of(&error)),
        Some(_) => {}
        None => return Err(Failure::word("closed")),
    }
    Ok(())
}

/// The confirms that have not come.
#[derive(Default)]
struct Watcher {
    pending: Vec<(u64, PublisherConfirm)>,
    /// One more than the last tag that was handed over: they come in order.
    handed: u64,
}

impl Watcher {
    /// One look at all of them.
    fn poll(&mut self, context: &mut Context<'_>) -> Result<Vec<Confirmed>, Failure> {
        let mut confirmed = Vec::new();
        let mut failure = None;
        self.pending
            .retain_mut(|(tag, confirm)| match Pin::new(confirm).poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(confirmation)) => {
                    confirmed.push(read(*tag, confirmation));
                    false
                }
                Poll::Ready(Err(error)) => {
                    failure = Some(Failure::of(&error));
                    false
                }
            });
        failure.map_or(Ok(confirmed), Err)
    }
}

fn read(tag: u64, confirmation: Confirmation) -> Confirmed {
    let answer = match confirmation {
        Confirmation::Ack(_) => Answer::Ack,
        // Not requested cannot be: the channel was told to confirm before it was used.
        Confirmation::Nack(_) | Confirmation::NotRequested => Answer::Nack,
    };
    let carried = match confirmation.take_message() {
        None => Carried::Nothing,
        Some(message) => {
            let id = message.delivery.properties.message_id().as_ref();
            Carried::Message(id.and_then(|id| id.as_str().parse().ok()))
        }
    };
    Confirmed {
        tag,
        answer,
        carried,
    }
}
