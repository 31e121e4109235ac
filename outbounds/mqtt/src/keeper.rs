//! The task that keeps a connection, also while there is nothing to deliver: the broker's `online` must stay true.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::dial::{NoConnection, failed};
use crate::hints::Hints;
use crate::opening::Opening;
use crate::own::OwnMessages;
use crate::plan::Plan;
use crate::session::{End, Job, Session, asked_to_close};
use crate::verdict;

/// The first pause before a broker that no delivery asks for is dialled again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Keeps a connection until `closing` is true. When it is lost it is dialled again after a pause, or at once when a
/// delivery asks. When to ask again after a failure is the lane's decision; the pauses here are only for an idle one.
pub(crate) async fn keep(
    plan: Arc<Plan>,
    mut jobs: mpsc::Receiver<Job>,
    mut closing: watch::Receiver<bool>,
) {
    let mut own = OwnMessages::new(Arc::clone(&plan));
    let mut opening = Opening::new(Arc::clone(&plan));
    let mut hints = Hints::default();
    let mut pause = PAUSE_MIN;
    let mut warned = None;
    let mut asking = Vec::new();
    loop {
        // Each delivery gets an attempt that began after it asked: what comes during this one gets the next.
        while let Ok(job) = jobs.try_recv() {
            asking.push(job);
        }
        plan.welcomed.send_replace(false);
        let attempt = tokio::select! {
            biased;
            () = asked_to_close(&mut closing) => return,
            attempt = opening.open(&mut own) => attempt,
        };
        let (word, useful) = match attempt {
            Ok(opened) => {
                plan.welcomed.send_replace(true);
                warned = warned.filter(|word| *word == "taken-over");
                let session = Session::new(&plan, &mut own, &mut hints, opened);
                let first = std::mem::take(&mut asking);
                match session.run(first, &mut jobs, &mut closing).await {
                    End::Closed => return,
                    End::Again => continue,
                    End::Lost { word, useful } => {
                        warn_once(&plan, &broken_off(word), &mut warned);
                        (word, useful)
                    }
                }
            }
            Err(none) => {
                let no_tls = none.no_tls(&plan);
                warn_once(&plan, &none, &mut warned);
                // A delivery gets it with its verdict, and the lane logs it with the outage.
                if let (Some(reason), true) = (&no_tls, asking.is_empty()) {
                    warn_of(&plan, none.word, reason, &mut warned);
                }
                for job in asking.drain(..) {
                    job.reply
                        .send(verdict::outage_because(none.word, no_tls.as_deref()));
                }
                (none.word, false)
            }
        };
        tracing::debug!(host = plan.address.host, code = word, "no MQTT connection");
        pause = if useful { PAUSE_MIN } else { pause };
        tokio::select! {
            biased;
            () = asked_to_close(&mut closing) => return,
            job = jobs.recv() => match job {
                Some(job) => asking.push(job),
                None => return,
            },
            () = sleep(jittered(pause)) => pause = (pause * 2).min(PAUSE_MAX),
        }
    }
}

fn broken_off(word: &'static str) -> NoConnection {
    let advice = (word == "taken-over").then_some(
        "another client came with our client id: write another under `client_id` for one of them",
    );
    NoConnection {
        advice,
        ..failed(word)
    }
}

/// What an operator can put right is told, once for each change.
fn warn_once(plan: &Plan, none: &NoConnection, warned: &mut Option<&'static str>) {
    if let Some(advice) = none.advice {
        warn_of(plan, none.word, advice, warned);
    }
}

fn warn_of(plan: &Plan, word: &'static str, advice: &str, warned: &mut Option<&'static str>) {
    if warned.replace(word) != Some(word) {
        let (host, port) = (&plan.address.host, plan.address.port);
        tracing::warn!(host, port, code = word, "the MQTT broker: {advice}");
    }
}

/// Half of it by chance, so that many gateways do not come back to a broker in step.
fn jittered(pause: Duration) -> Duration {
    pause / 2 + (pause / 2).mul_f64(rand::random::<f64>())
}
