//! Keeps the connection, and notices a broker that does not want it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::dial::{Connection, failed};
use crate::plan::Plan;
use crate::refusal;

use super::link::{End, Link};
use super::reach::reach;
use super::{Order, Phase, Shared};

/// The first pause before the broker is dialled again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest after a failure that may pass.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// After the broker has refused.
const PAUSE_REFUSED: Duration = Duration::from_secs(600);
/// A connection that ended sooner was ended by what we said on it.
const SHORT: Duration = Duration::from_secs(10);
/// So many such connections in a row are no coincidence. Where a broker lets each user in only once, two connections throw
/// each other out, and deliveries would suffer for ever.
const SHORT_MAX: u32 = 3;
/// So many connections in a row on which nothing was confirmed in time are enough: events wait for each.
const SILENT_MAX: u32 = 2;

/// Why there is no connection now, and whether that is the broker's decision.
struct Failure {
    word: &'static str,
    refused: bool,
    /// Nor does the broker let the connection of the events in, whose keeper tells why: it is not about announcements.
    early: bool,
}

impl Failure {
    fn new(word: &'static str, refused: bool) -> Self {
        Self {
            word,
            refused,
            early: false,
        }
    }
}

/// Connections that were good for nothing, one after another.
#[derive(Default)]
struct InVain {
    short: u32,
    silent: u32,
}

impl InVain {
    /// Whether the broker does not want us, now that a connection has ended after `lasted`.
    fn is_refused(&mut self, lasted: Duration, word: &str, useful: bool) -> bool {
        self.short = if lasted < SHORT { self.short + 1 } else { 0 };
        self.silent = match (useful, word) {
            (true, _) => 0,
            (false, "timeout") => self.silent + 1,
            (false, _) => self.silent,
        };
        self.short >= SHORT_MAX || self.silent >= SILENT_MAX
    }
}

/// Until `stop` is true.
pub(super) async fn keep(
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    mut orders: mpsc::Receiver<Order>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut pause, mut warned) = (PAUSE_MIN, None);
    let (mut subscribes, mut in_vain) = (true, InVain::default());
    // Whether an event may wait for the next attempt: not where the last one took all its time.
    let mut hopeful = true;
    loop {
        if hopeful {
            shared.phase.send_replace(Phase::Coming);
        }
        let attempt = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            attempt = attempt(&plan) => attempt,
        };
        let failure = match attempt {
            Err(failure) => failure,
            Ok(connection) => {
                let began = Instant::now();
                let link = Link::new(&plan, &shared, connection, subscribes);
                let end = link.run(&mut orders, &mut stop).await;
                let lasted = began.elapsed();
                pause = if lasted < SHORT { pause } else { PAUSE_MIN };
                match end {
                    End::Stopped => return,
                    End::Refused(word) => Failure::new(word, true),
                    End::Lost {
                        word,
                        subscribing,
                        useful,
                    } => {
                        // Some brokers end the connection at a subscription that they do not allow.
                        subscribes &= !(subscribing && lasted < SHORT);
                        let refused = in_vain.is_refused(lasted, word, useful);
                        Failure::new(word, refused)
                    }
                }
            }
        };
        // No delivery waits for them on another connection: what is true then is made anew.
        while let Ok(order) = orders.try_recv() {
            drop(order);
        }
        let refused = failure.refused;
        if refused && !failure.early && warned.replace(failure.word) != Some(failure.word) {
            tell(&plan, failure.word);
        }
        hopeful = !refused && failure.word != "timeout";
        shared.phase.send_replace(match hopeful {
            true => Phase::Down,
            false => Phase::Refused,
        });
        let length = if refused { PAUSE_REFUSED } else { pause };
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            () = shared.wanted.notified(), if hopeful => {}
            () = welcomed(&plan), if refused && failure.early => hopeful = true,
            () = sleep(jittered(length)) => pause = (pause * 2).min(PAUSE_MAX),
        }
    }
}

async fn attempt(plan: &Plan) -> Result<Connection, Failure> {
    let dialled = match timeout(plan.timeout, reach(plan)).await {
        Ok(dialled) => dialled,
        Err(_) => Err(failed("timeout")),
    };
    let connection = dialled.map_err(|none| Failure {
        word: none.word,
        // The deliveries' own connection fails in the same way when the network is to blame.
        refused: none.advice.is_some(),
        early: !*plan.welcomed.borrow(),
    })?;
    if connection.welcome.no_retain {
        return Err(Failure::new(refusal::RETAIN.word, true));
    }
    Ok(connection)
}

fn tell(plan: &Plan, word: &'static str) {
    let (host, client_id) = (&plan.address.host, &plan.hello.client_id);
    if word == refusal::RETAIN.word {
        tracing::warn!(
            host,
            client_id,
            code = word,
            "the MQTT broker keeps no retained messages: announcements to Home Assistant are left out, events are not; let the broker retain, or write `home_assistant = false`"
        );
        return;
    }
    tracing::warn!(
        host,
        client_id,
        code = word,
        "the MQTT broker does not take announcements to Home Assistant, so they are left out, events are not: let this client id publish retained messages to homeassistant/# beside the one that delivers, or write `home_assistant = false`"
    );
}

/// Until the connection of the events is let in.
async fn welcomed(plan: &Plan) {
    // An error would say that the plan is gone, which is borrowed.
    let _ = plan.welcomed.subscribe().wait_for(|yes| *yes).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error would say that no task is there that could ask.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Half of it by chance, so that many gateways do not come back to a broker in step.
fn jittered(pause: Duration) -> Duration {
    pause / 2 + (pause / 2).mul_f64(rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const BRIEF: Duration = Duration::from_secs(1);

    fn refused(ends: &[(Duration, &str, bool)]) -> Vec<bool> {
        let mut in_vain = InVain::default();
        let ended =
            |(lasted, word, useful): &(_, &str, bool)| in_vain.is_refused(*lasted, word, *useful);
        ends.iter().map(ended).collect()
    }

    #[test]
    fn a_broker_that_ends_one_after_another_soon_does_not_want_them() {
        let taken_over = (BRIEF, "taken-over", true);
        assert_eq!(refused(&[taken_over; 3]), [false, false, true]);
        let lasted = (LONG, "closed", true);
        let between = [taken_over, taken_over, lasted, taken_over, taken_over];
        assert_eq!(refused(&between), [false; 5]);
    }

    #[test]
    fn a_broker_that_confirms_nothing_in_time_does_not_want_them() {
        let silent = (LONG, "timeout", false);
        assert_eq!(refused(&[silent; 2]), [false, true]);
        let froze = (LONG, "timeout", true);
        assert_eq!(refused(&[silent, froze, silent]), [false; 3]);
    }
}
