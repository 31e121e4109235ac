//! The invented cameras as they are played: each record is made from its number, so a run can be repeated.

use std::borrow::Cow;
use std::time::Duration;

use faceway_core::Timestamp;
use faceway_core::simulator::{
    About, Again, Choice, ChoiceKind, Chosen, Demo, Posting, Request, Simulator, Source,
};
use serde_json::json;

/// The invented cameras.
pub(crate) struct Cameras;

const ABOUT: About = About {
    summary: "cameras post each record until it is taken",
    help: "\
Invented cameras, which post to --to.

A camera sends a record again every two seconds until it hears 200.",
    examples: &["faceway simulate example --to http://127.0.0.1:8080/in/yard --rate 5"],
    to: "Where to: the inbound's address, with ?token=… where it wants one",
    listen: None,
    api_listen: None,
    sends_pictures: false,
    connection: &[],
    devices: &[Choice::new(
        "cameras",
        "N",
        ChoiceKind::Number(1, 1000),
        "How many cameras",
    )
    .or("3")],
    demo: Demo {
        inbound: "yard",
        comment: "invented cameras, which push",
        keys: &[],
        posts: true,
        rate: 0.5,
        chosen: &[("cameras", "2")],
    },
};

/// Invented people; a stranger has no name.
const PEOPLE: [Option<&str>; 4] = [
    Some("Salla Hietamäki"),
    Some("Bertil Ånström"),
    Some("Noor Valkenburg"),
    None,
];

impl Simulator for Cameras {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn source(&self, chosen: &Chosen) -> Box<dyn Source> {
        Box::new(Site {
            seed: chosen.seed,
            cameras: chosen.number("cameras").unwrap_or(1),
        })
    }
}

/// Cameras at one place.
struct Site {
    seed: u64,
    cameras: u64,
}

impl Source for Site {
    /// A queue for each camera: what one of them cannot deliver holds no other up.
    fn posting(&self) -> Posting {
        Posting {
            queues: self.cameras,
            ..Posting::new(Again::After {
                pause: |_| Duration::from_secs(2),
                attempts_max: None,
            })
        }
    }

    fn request(&self, number: u64, at: Timestamp) -> Request {
        let dice = mix(self.seed ^ mix(number));
        let body = json!({
            "id": format!("s-{}", dice % 1_000_000),
            "time": at.to_string(),
            "camera": format!("gate-{}", number % self.cameras + 1),
            "name": PEOPLE[(dice % 4) as usize],
            "score": (dice / 8 % 1000) as f64 / 1000.0,
        });
        Request {
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        }
    }

    fn taken(&self, status: u16, _: &[u8]) -> Result<(), Cow<'static, str>> {
        match status {
            200 => Ok(()),
            _ => Err(format!("HTTP {status}").into()),
        }
    }
}

/// Splitmix64: every bit of the result depends on every bit of `value`.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}
