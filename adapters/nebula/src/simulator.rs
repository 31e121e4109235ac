//! SenseNebula Pass terminals as they are played: each pushes its records in order, and has an API that tells it where to.

mod account;

use std::borrow::Cow;
use std::time::Duration;

use account::Account;
use faceway_core::Timestamp;
use faceway_core::simulator::{
    About, Again, Api, Choice, ChoiceKind, Chosen, Demo, Door, Listen, Posting, Request, Simulator,
    Source,
};

use crate::simulate::Simulation;

/// How many terminals there are unless told otherwise. One has one API.
const TERMINALS: u64 = 3;
/// Records that a terminal keeps while they are not taken, by the vendor's document. What it does beyond is not said; here
/// the oldest make room.
const KEPT_MAX: u64 = 50_000;
/// How long a terminal waits before it sends again.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// SenseNebula Pass terminals that stand together.
pub(crate) struct Terminals;

const ABOUT: About = About {
    summary: "SenseNebula Pass terminals post each record until it is taken; they keep 50,000",
    help: "\
SenseNebula Pass terminals, API 1.3.0, which post to --to, or to where they are told at --listen.

Recognitions of invented people and now and then an alarm, one after another for each terminal. As real ones do, a \
terminal keeps a record that is not answered with HTTP 200 and code 200 (up to 50,000 of them), and sends it again before \
later ones.

With --listen there is one terminal, and its API (here without TLS): POST /v1/auth/login, GET and POST \
/v1/event/subscribe. Without --to nothing is pushed before somebody subscribes; records are kept meanwhile.",
    examples: &[
        "faceway simulate nebula --to http://127.0.0.1:8080/in/lobby --rate 50 --count 1000 --images 40000",
        "faceway simulate nebula --listen 127.0.0.1:8000 --username admin --password admin123",
    ],
    to: "Where to: the inbound's address, with ?token=… where it wants one",
    listen: Some(Listen {
        help: "Serve the terminal's API there; port 0 takes a free one",
        door: Door::Api,
    }),
    api_listen: None,
    sends_pictures: true,
    connection: &[
        Choice::new(
            "username",
            "NAME",
            ChoiceKind::Text,
            "Who may log in at the API",
        )
        .or("admin"),
        Choice::new(
            "password",
            "TEXT",
            ChoiceKind::Text,
            "The password of the simulation's account",
        )
        .or("admin123"),
    ],
    devices: &[
        Choice::new(
            "terminals",
            "N",
            ChoiceKind::Number(1, 10_000),
            "How many terminals [default: 3]",
        )
        .not_with_listen(),
        Choice::new(
            "twice",
            "N",
            ChoiceKind::Number(1, u64::MAX),
            "Send every Nth record twice, as a terminal does whose answer got lost",
        ),
    ],
    demo: Demo {
        inbound: "lobby",
        comment: "SenseNebula terminals, which push",
        keys: &[],
        posts: true,
        rate: 1.3,
        chosen: &[("terminals", "2"), ("twice", "8")],
    },
};

impl Simulator for Terminals {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn source(&self, chosen: &Chosen) -> Box<dyn Source> {
        let terminals = match chosen.listens {
            true => 1,
            false => chosen.number("terminals").unwrap_or(TERMINALS),
        };
        let text = |name| chosen.text(name).unwrap_or_default().to_owned();
        Box::new(Site {
            simulation: Simulation::new(chosen.seed, terminals, chosen.picture),
            terminals,
            twice: chosen.number("twice"),
            username: text("username"),
            password: text("password"),
        })
    }
}

/// Terminals at one place. The records of each are those whose number leaves its index when divided by the number of
/// terminals.
struct Site {
    simulation: Simulation,
    terminals: u64,
    /// Every so many records are sent twice.
    twice: Option<u64>,
    username: String,
    password: String,
}

impl Source for Site {
    fn posting(&self) -> Posting {
        Posting {
            queues: self.terminals,
            batch: 1,
            kept_max: Some(KEPT_MAX),
            again: Again::After {
                pause: pause_after,
                attempts_max: None,
            },
            twice: self.twice,
            why_lost: "a terminal keeps 50,000".into(),
        }
    }

    fn request(&self, number: u64, at: Timestamp) -> Request {
        let push = self.simulation.push(number, at);
        // Terminals before API 1.1.0 send no Content-Type; later ones send these headers.
        Request {
            headers: vec![("model", "SIMULATED".to_owned()), ("sn", push.device)],
            body: push.body,
        }
    }

    fn taken(&self, status: u16, body: &[u8]) -> Result<(), Cow<'static, str>> {
        match status {
            200 => taken(body),
            _ => Err(format!("HTTP {status}").into()),
        }
    }

    fn api(&self, to: Option<&str>) -> Option<Box<dyn Api>> {
        let (username, password) = (self.username.clone(), self.password.clone());
        Some(Box::new(Account::new(username, password, to)))
    }
}

fn pause_after(attempt: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    PAUSE_MIN.saturating_mul(doubled).min(PAUSE_MAX)
}

/// Whether an answer says that the record was taken.
fn taken(body: &[u8]) -> Result<(), Cow<'static, str>> {
    let answer: serde_json::Value =
        serde_json::from_slice(body).map_err(|_| "an answer that is not JSON")?;
    match answer.get("code").and_then(serde_json::Value::as_i64) {
        Some(200) => Ok(()),
        Some(code) => Err(format!("code {code}").into()),
        None => Err("an answer without a code".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT_MAX, PAUSE_MAX, PAUSE_MIN, pause_after, taken};

    #[test]
    fn only_code_200_is_success() {
        assert!(taken(br#"{"code":200,"msg":"success","message":"success","data":{}}"#).is_ok());
        for answer in [r#"{"code":503}"#, r#"{"msg":"success"}"#, "OK", "", "[]"] {
            assert!(taken(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(pause_after(1), PAUSE_MIN);
        assert_eq!(pause_after(2), PAUSE_MIN * 2);
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
        assert_eq!(KEPT_MAX, 50_000, "`why_lost` says it");
    }
}
