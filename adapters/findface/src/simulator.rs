//! A FindFace Multi as it is played: events of each type wait in a queue of their own and leave it in order, in batches. A
//! batch is sent whole until it is answered with 200, with growing delays, and given up after so many attempts.

use std::borrow::Cow;

use faceway_core::Timestamp;
use faceway_core::simulator::{
    About, Again, Choice, ChoiceKind, Chosen, Demo, Posting, Request, Simulator, Source,
};

use crate::simulate::{Simulation, WEBHOOK_TYPES, nth_of_type, pause_after};

/// The platform is written in Python; its log has this library's error texts.
const USER_AGENT: &str = "Python/3.10 aiohttp/3.8.4";

/// A FindFace Multi.
pub(crate) struct Multi;

const ABOUT: About = About {
    summary: "a FindFace platform posts batches, and a whole batch again until it hears exactly 200",
    help: "\
A FindFace Multi platform, which posts to --to.

Face, body and car events, episodes, counters and areas, as JSON arrays of one type each. Every type has a queue of its \
own that is sent strictly in order.

Anything but HTTP 200, also 202 and 204, and no answer are a failure: the whole batch is sent again after 0.27 s, 0.73 s, \
1.97 s and so on, up to 100 s, and given up after --attempts.",
    examples: &[
        "faceway simulate findface --to http://127.0.0.1:8080/in/city --batch 20 --attempts 0 --verbose",
    ],
    to: "Where to: the inbound's address, with ?token=… where it wants one",
    listen: None,
    api_listen: None,
    sends_pictures: false,
    connection: &[],
    devices: &[
        Choice::new(
            "cameras",
            "N",
            ChoiceKind::Number(1, 10_000),
            "How many cameras",
        )
        .or("3"),
        Choice::new(
            "batch",
            "N",
            ChoiceKind::Number(1, 1000),
            "Events in a batch (batch_size); --count is rounded up to whole batches",
        )
        .or("1"),
        Choice::new(
            "attempts",
            "N",
            ChoiceKind::Number(0, u32::MAX as u64),
            "After how many attempts a batch is given up (send_attempts); 0 for never",
        )
        .or("10"),
        Choice::new(
            "verbose",
            "",
            ChoiceKind::Flag,
            "With names in place of ids (VERBOSE_WEBHOOKS)",
        ),
    ],
    demo: Demo {
        inbound: "city",
        comment: "a FindFace platform, which pushes",
        keys: &[],
        posts: true,
        rate: 0.7,
        chosen: &[("cameras", "2"), ("attempts", "0"), ("verbose", "")],
    },
};

impl Simulator for Multi {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn source(&self, chosen: &Chosen) -> Box<dyn Source> {
        let number = |name| chosen.number(name).unwrap_or(1);
        let batch = number("batch");
        let simulation = Simulation::new(chosen.seed, number("cameras"), batch);
        Box::new(Platform {
            simulation: match chosen.flag("verbose") {
                true => simulation.verbose(),
                false => simulation,
            },
            batch,
            attempts: u32::try_from(number("attempts")).unwrap_or(u32::MAX),
        })
    }
}

struct Platform {
    simulation: Simulation,
    batch: u64,
    /// After so many a batch is given up; 0 for never.
    attempts: u32,
}

impl Source for Platform {
    fn posting(&self) -> Posting {
        Posting {
            queues: WEBHOOK_TYPES.len() as u64,
            batch: self.batch,
            why_lost: format!("given up after {} attempts", self.attempts).into(),
            ..Posting::new(Again::After {
                pause: pause_after,
                attempts_max: Some(self.attempts).filter(|attempts| *attempts > 0),
            })
        }
    }

    fn request(&self, number: u64, at: Timestamp) -> Request {
        Request {
            headers: vec![("user-agent", USER_AGENT.to_owned())],
            body: self.simulation.batch(number, at).body,
        }
    }

    fn in_queue(&self, queue: u64, earlier: u64) -> u64 {
        let webhook_type = WEBHOOK_TYPES[(queue % WEBHOOK_TYPES.len() as u64) as usize];
        nth_of_type(webhook_type, earlier)
    }

    fn taken(&self, status: u16, _: &[u8]) -> Result<(), Cow<'static, str>> {
        match status {
            200 => Ok(()),
            _ => Err(format!("HTTP {status}").into()),
        }
    }
}
