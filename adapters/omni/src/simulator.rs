//! An OMNI Platform as it is played: webhooks, and the websockets of its event service.

use std::borrow::Cow;
use std::sync::Arc;

use faceway_core::Timestamp;
use faceway_core::simulator::{
    About, Again, Choice, ChoiceKind, Chosen, Demo, Door, Listen, Listener, Posting, Request,
    Simulator, Source,
};

use crate::simulate::Simulation;

/// Where its pictures would be. Nothing serves them.
const PICTURES: &str = "http://omni.invalid";
/// The types that had a websocket of their own up to 1.17.1; those of 1.14 and before are the first two.
const TYPES: [&str; 5] = [
    "identification",
    "non_identification",
    "har",
    "roi",
    "crossing",
];
const TYPES_OF_1_14: usize = 2;

/// An OMNI Platform.
pub(crate) struct Omni;

const ABOUT: About = About {
    summary: "an OMNI Platform posts webhooks, each once, or serves its websocket, live only",
    help: "\
An OMNI Platform, which posts webhooks to --to, or serves its websocket at --listen.

Webhooks: one object a request, one after another; 2xx is success. Whether the platform tries again is not documented: \
here it does not, which is the worst that a receiver can meet, and what was lost is told.

Websocket: /event-service/ws?endpoint_id=… (1.18), /event-service/<type>/ws?endpoint_id=… (up to 1.17), \
/event-service/identification/ws?access=… and non_identification (1.13, 1.14). Other paths are refused with 404, a \
missing id with 401. Live only: what happens while nobody is connected is lost, and what a client does not read is \
dropped when its buffer of 64 messages is full. --count is what somebody was sent.

With both, --count is what happens, and a record comes twice.",
    examples: &[
        "faceway simulate omni --to http://127.0.0.1:8080/in/mall --rate 5",
        "faceway simulate omni --listen 127.0.0.1:8001 --count 100",
    ],
    to: "Where webhooks go: the inbound's address, with ?token=… where it wants one",
    listen: Some(Listen {
        help: "Serve the websocket there; port 0 takes a free one",
        door: Door::Websocket,
    }),
    api_listen: None,
    sends_pictures: false,
    connection: &[],
    devices: &[Choice::new(
        "cameras",
        "N",
        ChoiceKind::Number(1, 10_000),
        "How many cameras",
    )
    .or("3")],
    demo: Demo {
        inbound: "mall",
        comment: "an OMNI Platform, whose websocket is dialled",
        keys: &[("url", "ws://{listen}/event-service/ws?endpoint_id=demo")],
        posts: false,
        rate: 0.5,
        chosen: &[("cameras", "2")],
    },
};

impl Simulator for Omni {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn source(&self, chosen: &Chosen) -> Box<dyn Source> {
        let cameras = chosen.number("cameras").unwrap_or(1);
        Box::new(Platform(Arc::new(Simulation::new(
            chosen.seed,
            cameras,
            PICTURES,
        ))))
    }
}

struct Platform(Arc<Simulation>);

impl Source for Platform {
    fn posting(&self) -> Posting {
        Posting {
            why_lost: "no page tells of a second attempt".into(),
            ..Posting::new(Again::Never)
        }
    }

    fn request(&self, number: u64, at: Timestamp) -> Request {
        Request {
            headers: Vec::new(),
            body: self.0.message(number, at).body,
        }
    }

    fn taken(&self, status: u16, _: &[u8]) -> Result<(), Cow<'static, str>> {
        match status {
            200..300 => Ok(()),
            _ => Err(format!("HTTP {status}").into()),
        }
    }

    fn admit(&self, path: &str, query: &str) -> Result<Box<dyn Listener>, (u16, &'static str)> {
        let only = only_type(path, query)?;
        let platform = Arc::clone(&self.0);
        Ok(Box::new(Client { platform, only }))
    }
}

/// The only type that is told at this address, if there is one.
fn only_type(path: &str, query: &str) -> Result<Option<&'static str>, (u16, &'static str)> {
    let within = path.strip_prefix("/event-service/").unwrap_or_default();
    let (only, known) = match within.strip_suffix("/ws") {
        None if within == "ws" => (None, &["endpoint_id"][..]),
        None => (None, &[][..]),
        Some(word) => match TYPES.iter().position(|known| *known == word) {
            Some(index) if index < TYPES_OF_1_14 => {
                (Some(TYPES[index]), &["endpoint_id", "access"][..])
            }
            Some(index) => (Some(TYPES[index]), &["endpoint_id"][..]),
            None => (None, &[][..]),
        },
    };
    if known.is_empty() {
        return Err((404, "no such path"));
    }
    let has_id = query.split('&').any(|pair| {
        pair.split_once('=')
            .is_some_and(|(name, value)| known.contains(&name) && !value.is_empty())
    });
    match has_id {
        true => Ok(only),
        false => Err((401, "no endpoint_id")),
    }
}

struct Client {
    platform: Arc<Simulation>,
    only: Option<&'static str>,
}

impl Listener for Client {
    /// Whatever a client says, no page tells of it.
    fn hear(&mut self, _: &str) -> Result<(), &'static str> {
        Ok(())
    }

    fn tell(&self, number: u64, at: Timestamp) -> Option<String> {
        let message = self.platform.message(number, at);
        if self.only.is_some_and(|only| only != message.event_type) {
            return None;
        }
        String::from_utf8(message.body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::only_type;

    #[test]
    fn the_three_forms_of_the_address_are_let_in() {
        for (path, query, only) in [
            ("/event-service/ws", "endpoint_id=e-1", None),
            (
                "/event-service/crossing/ws",
                "scope_id=s&endpoint_id=e-1",
                Some("crossing"),
            ),
            (
                "/event-service/identification/ws",
                "access=t",
                Some("identification"),
            ),
            (
                "/event-service/non_identification/ws",
                "access=t",
                Some("non_identification"),
            ),
        ] {
            assert_eq!(only_type(path, query), Ok(only), "{path}");
        }
        for (path, query, status) in [
            ("/event-service/ws", "", 401),
            ("/event-service/ws", "endpoint_id=", 401),
            ("/event-service/ws", "access=t", 401),
            ("/event-service/roi/ws", "access=t", 401),
            ("/event-service/nothing/ws", "endpoint_id=e-1", 404),
            ("/event-service/", "endpoint_id=e-1", 404),
            ("/ws", "endpoint_id=e-1", 404),
            ("/", "endpoint_id=e-1", 404),
        ] {
            assert_eq!(only_type(path, query).unwrap_err().0, status, "{path}");
        }
    }
}
