//! From nothing to a connection that takes messages, with as much of what we say besides as this broker takes.
//!
//! A broker of MQTT 3.1.1 refuses by ending the connection, and so do some of MQTT 5; an outage looks the same. So nothing
//! is left out on a suspicion: the connection must fail with it, hold without it, fail with it again and hold without it
//! again, at once.

use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Duration, timeout};

use crate::dial::{Connection, NoConnection, Offer, Stage, dial, failed};
use crate::failure;
use crate::greeting::{Greeted, StatusAnswer, greet};
use crate::own::OwnMessages;
use crate::plan::{OLD, Plan};
use crate::refusal;

/// From so many attempts in a row without a welcome on, the version is a suspect too, and the operator is told.
const TRIES_MIN: u32 = 3;
/// A refusal in words is looked into at each so manieth attempt: a wrong password twice as often may get us banned.
const LOOK_EVERY: u32 = 4;
/// How long a goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_millis(200);

/// A connection on which the status has been said.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) greeted: Greeted,
}

/// An attempt that failed.
struct Failed {
    none: NoConnection,
    stage: Stage,
    /// Whether the broker said that it does not take the status.
    refused: bool,
}

/// How connections are opened, from one to the next.
pub(crate) struct Opening {
    plan: Arc<Plan>,
    /// Attempts in a row that reached the broker and got no welcome.
    tries: u32,
    /// It has welcomed us as we would like to be.
    speaks_newest: bool,
    /// The operator has the hint, of this time without a welcome.
    hinted: bool,
}

impl Opening {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        Self {
            plan,
            tries: 0,
            speaks_newest: false,
            hinted: false,
        }
    }

    /// Dials the broker; again, with less, where it does not take what a connection begins with.
    pub(crate) async fn open(&mut self, own: &mut OwnMessages) -> Result<Opened, NoConnection> {
        loop {
            let offer = own.offer();
            let failed = match self.attempt(offer, own).await {
                Ok(opened) => return Ok(self.welcomed(opened, offer, own)),
                Err(failed) => failed,
            };
            if failed.refused {
                own.refused();
                continue;
            }
            self.tries += u32::from(failed.stage == Stage::Hello);
            if failed.none.word == refusal::VERSION_5.word {
                return Err(self.other_version(failed.none, own));
            }
            self.hint(offer, &failed);
            let Some(less) = self.less(offer, &failed, own).await else {
                return Err(failed.none);
            };
            if own.offer() != offer {
                continue;
            }
            match self.attempt(offer, own).await {
                Ok(opened) => return Ok(self.welcomed(opened, offer, own)),
                Err(again) if again.stage == failed.stage => {}
                Err(again) => return Err(again.none),
            }
            // Twice: behind a balancer with one broker that is dead, every other connection fails.
            for _ in 0..2 {
                if !self.holds(less, failed.stage, own).await {
                    return Err(failed.none);
                }
            }
            own.settle_for(offer, less);
        }
    }

    fn welcomed(&mut self, opened: Opened, offer: Offer, own: &mut OwnMessages) -> Opened {
        (self.tries, self.hinted) = (0, false);
        self.speaks_newest |= offer.version == self.plan.version;
        if opened.connection.welcome.no_retain {
            own.not_retained();
        }
        if opened.greeted.status == StatusAnswer::Refused {
            own.refused();
        }
        opened
    }

    /// The broker itself says that it does not speak this version, which is certain: the next attempt speaks another, if
    /// that may be.
    fn other_version(&self, none: NoConnection, own: &mut OwnMessages) -> NoConnection {
        if !self.plan.fall_back {
            return none;
        }
        match own.offer().version {
            OLD => {
                own.speak(self.plan.version);
                none
            }
            _ => {
                own.speak(OLD);
                refusal::FALLS_BACK.into()
            }
        }
    }

    /// What holds where `offer` did not. None: nothing does, so it is not about what is offered.
    async fn less(&self, offer: Offer, failed: &Failed, own: &mut OwnMessages) -> Option<Offer> {
        for less in self.suspicions(offer, failed) {
            if self.holds(less, failed.stage, own).await {
                return Some(less);
            }
        }
        None
    }

    /// Whether a connection with `less` comes further than `stage`. It is given up again.
    async fn holds(&self, less: Offer, stage: Stage, own: &mut OwnMessages) -> bool {
        match self.attempt(less, own).await {
            Ok(opened) => {
                if opened.connection.welcome.no_retain {
                    own.not_retained();
                }
                part(opened.connection).await;
                true
            }
            Err(failed) => failed.stage > stage,
        }
    }

    /// What to try in place of `offer`.
    fn suspicions(&self, offer: Offer, failed: &Failed) -> Vec<Offer> {
        let word = failed.none.word;
        let silent = word == "timeout";
        let hung_up = matches!(word, "closed" | "reset");
        let refused = matches!(
            word,
            "not-authorized" | "retain" | "status-topic" | "qos" | "rejected"
        );
        match failed.stage {
            Stage::Reach => Vec::new(),
            Stage::Status if offer.status && failure::may_be_about_a_message(word) => vec![Offer {
                status: false,
                ..offer
            }],
            Stage::Status => Vec::new(),
            Stage::Hello if hung_up => self.fewer(offer, true),
            Stage::Hello if refused && self.tries % LOOK_EVERY == 1 => self.fewer(offer, false),
            // Each takes as long as an answer may: one at a time.
            Stage::Hello if silent && self.tries >= TRIES_MIN => {
                let fewer = self.fewer(offer, true);
                let at = (self.tries - TRIES_MIN) as usize % fewer.len().max(1);
                fewer.into_iter().skip(at).take(1).collect()
            }
            Stage::Hello => Vec::new(),
        }
    }

    /// What a `CONNECT` can be without. Only a broker that says nothing may not know the version.
    fn fewer(&self, offer: Offer, wordless: bool) -> Vec<Offer> {
        let version = OLD;
        let old = wordless && self.may_fall_back(offer) && self.tries >= TRIES_MIN;
        let will = false;
        let all = [
            (old, Offer { version, ..offer }),
            (offer.will, Offer { will, ..offer }),
            (
                old && offer.will,
                Offer {
                    version,
                    will,
                    ..offer
                },
            ),
        ];
        all.into_iter()
            .filter(|(may, _)| *may)
            .map(|(_, less)| less)
            .collect()
    }

    fn may_fall_back(&self, offer: Offer) -> bool {
        self.plan.fall_back && offer.version > OLD && !self.speaks_newest
    }

    /// Once for each time without a welcome.
    fn hint(&mut self, offer: Offer, failed: &Failed) {
        let word = failed.none.word;
        let wordless = matches!(word, "closed" | "reset" | "timeout");
        let due = failed.stage == Stage::Hello && wordless && self.tries >= TRIES_MIN;
        let fits = offer.version > OLD && !self.speaks_newest;
        if due && fits && !std::mem::replace(&mut self.hinted, true) {
            let (host, port) = (&self.plan.address.host, self.plan.address.port);
            tracing::warn!(
                host,
                port,
                code = word,
                "the MQTT broker ends the connection, or says nothing, when it is greeted with MQTT 5: if it speaks only MQTT 3.1.1, write `version = 4`"
            );
        }
    }

    /// One connection.
    async fn attempt(&self, offer: Offer, own: &OwnMessages) -> Result<Opened, Failed> {
        let mut stage = Stage::Reach;
        let fail = |none, stage, refused| Failed {
            none,
            stage,
            refused,
        };
        let dialled = timeout(self.plan.timeout, dial(&self.plan, offer, &mut stage)).await;
        let dialled = dialled.unwrap_or_else(|_| Err(failed("timeout")));
        let mut connection = dialled.map_err(|none| fail(none, stage, false))?;
        let mut greeted = Greeted::default();
        if self.plan.status_topic.is_some() {
            let retains = !connection.welcome.no_retain;
            let status = own.greeting(offer).filter(|_| retains);
            let greeting = greet(&mut connection, status, &mut greeted).await;
            let refused = greeted.status == StatusAnswer::Refused;
            greeting.map_err(|none| fail(none, Stage::Status, refused))?;
        }
        Ok(Opened {
            connection,
            greeted,
        })
    }
}

/// Says goodbye, so that the broker does not publish the last will.
async fn part(mut connection: Connection) {
    let said = async {
        if connection.protocol.goodbye(&mut connection.output).is_ok() {
            let _ = connection
                .stream
                .write_all_buf(&mut connection.output)
                .await;
        }
        let _ = connection.stream.shutdown().await;
    };
    let _ = timeout(GOODBYE_MAX, said).await;
}
