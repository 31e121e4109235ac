//! The task that listens to a session's connection and looks at its confirms: one task, so that a look is one look.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
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
    let mut pending = FuturesUnordered::new();
    let watching = std::future::poll_fn(|context| {
        while let Poll::Ready(event) = events.as_mut().poll_next(context) {
            if let Err(failure) = hear(&session, event) {
                return Poll::Ready(failure);
            }
        }
        loop {
            let mut tags = Vec::new();
            while let Poll::Ready(Some((tag, confirm))) = handed.poll_recv(context) {
                tags.push(tag);
                pending.push(Pending { tag, confirm });
            }
            let handed = session.hand(&tags);
            match look(&mut pending, context) {
                Err(failure) => return Poll::Ready(failure),
                Ok(confirmed) if session.look(&confirmed, handed) => {}
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

/// A confirm that has not come.
struct Pending {
    tag: u64,
    confirm: PublisherConfirm,
}

impl Future for Pending {
    type Output = lapin::Result<Confirmed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let tag = self.tag;
        let confirmation = Pin::new(&mut self.confirm).poll(context);
        confirmation.map_ok(|confirmation| read(tag, confirmation))
    }
}

/// One look at all of them. The library wakes each within the call that resolves it, so that whatever was resolved before
/// the look is in it.
fn look(
    pending: &mut FuturesUnordered<Pending>,
    context: &mut Context<'_>,
) -> Result<Vec<Confirmed>, Failure> {
    let mut confirmed = Vec::new();
    while let Poll::Ready(Some(one)) = Pin::new(&mut *pending).poll_next(context) {
        confirmed.push(one.map_err(|error| Failure::of(&error))?);
    }
    Ok(confirmed)
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
