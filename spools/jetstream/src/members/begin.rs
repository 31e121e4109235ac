//! The beginning of an incarnation: it listens, its record is kept, and it has answered itself.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Failure, Headers, Listener, Reply};
use crate::names::{StreamKind, name, token_of};
use crate::settings::OpenError;
use crate::shared::Shared;

use super::record::MemberRecord;
use super::{CUT_OFF, Life, TICK};

/// How long an incarnation has to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// How long the record of a beginning may take; then it begins anew.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the first beginning is tried.
const ELECTION: Duration = Duration::from_secs(12);
/// How often an incarnation is asked that does not answer.
const TRIES: usize = 2;

/// It is also what a user meets who may not do what `README.md` says.
const DEAF: &str = "the gateway does not hear itself through the servers; its user needs to subscribe to \
                    fw.<site>.ping.* and fw.<site>.ask.*, and to answer (allow_responses)";

/// What an incarnation listens to.
pub(crate) struct Ears {
    pub(super) pings: Listener,
    pub(super) questions: Listener,
}

/// Begins an incarnation. It listens before its record is there, so that who reads the record can ask.
async fn begin(shared: &Shared) -> Result<(Life, Ears), Failure> {
    let incarnation = format!("{:032x}", rand::random::<u128>());
    let since = shared.clock.now();
    let client = &shared.client;
    let mut ears = Ears {
        pings: client.listen(client.names.ping(&incarnation)).await?,
        questions: client.listen(client.names.ask(&incarnation)).await?,
    };
    let record = MemberRecord::of(shared, &incarnation, since);
    let message = record.message(shared);
    let published = Instant::now();
    let ack = timeout(PATIENCE, client.publish_once(&message)).await;
    let ack = ack.map_err(Failure::unavailable)??;
    shared.members.named(record.server);
    let answered = Instant::now();
    let itself = client.ask(
        client.names.ping(&incarnation),
        Headers::default(),
        Bytes::new(),
        CUT_OFF,
    );
    let answer = async {
        while let Some(heard) = ears.pings.next().await {
            if let Some(reply) = heard.reply {
                client.tell(reply, Headers::default(), Bytes::new()).await;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        reply = itself => match reply? {
            Reply::Answer(..) => {}
            _ => return Err(Failure::unavailable(DEAF)),
        },
        () = answer => {}
    }
    let life = Life::new(incarnation, since, published, ack.seq, answered);
    Ok((life, ears))
}

/// Begins until it succeeds, or an election would be over.
pub(crate) async fn try_for_a_while(shared: &Shared) -> Result<(Life, Ears), Failure> {
    let deadline = Instant::now() + ELECTION;
    loop {
        match begin(shared).await {
            Err(failure) if failure.passes() && Instant::now() < deadline => sleep(TICK).await,
            begun => return begun,
        }
    }
}

/// Begins until it succeeds.
pub(super) async fn insist(shared: &Shared) -> (Life, Ears) {
    loop {
        match begin(shared).await {
            Ok(begun) => return begun,
            Err(failure) => {
                shared.warn("member", || {
                    format!(
                        "the gateway is no member of the site now, and has no duties: {failure}"
                    )
                });
                sleep(TICK).await;
            }
        }
    }
}

/// Whether no other gateway of this name is at work. `mine` is this gateway's incarnation where it has one: of two that start
/// at the same moment one goes on.
pub(crate) async fn is_alone(shared: &Shared, mine: Option<&str>) -> Result<(), OpenError> {
    let client = &shared.client;
    let own = client.names.member(&shared.settings.gateway, "*");
    let subjects = client.subjects(StreamKind::Members, &own).await;
    let subjects = subjects.map_err(|failure| OpenError::Cluster(failure.to_string()))?;
    for subject in subjects {
        let Some(other) = token_of(&subject, 0) else {
            continue;
        };
        let is_first = mine.is_none_or(|mine| other < mine);
        if Some(other) != mine && is_first && answers(shared, other).await {
            let gateway = token_of(&subject, 1).and_then(name).unwrap_or_default();
            return Err(OpenError::Refused(format!(
                "another gateway of the name {gateway:?} is at work in the site {:?}: give this one another \
                 spool.jetstream.gateway",
                shared.settings.site
            )));
        }
    }
    Ok(())
}

async fn answers(shared: &Shared, incarnation: &str) -> bool {
    for _ in 0..TRIES {
        let subject = shared.client.names.ping(incarnation);
        let asked = shared
            .client
            .ask(subject, Headers::default(), Bytes::new(), ANSWER);
        match asked.await {
            Ok(Reply::Answer(..)) => return true,
            Ok(Reply::NoResponders) => return false,
            _ => {}
        }
    }
    false
}
