//! A Sophon SE5 box as it is played: its websocket, its history reporting, its API.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use faceway_core::Timestamp;
use faceway_core::simulator::{
    About, Again, Api, ApiCall, ApiReply, Choice, ChoiceKind, Chosen, Demo, Door, Listen, Listener,
    Posting, Request, Simulator, Source,
};

use crate::connect::{Configured, DeviceList, Protocol, device_list};
use crate::simulate::Simulation;

/// How often the history is reported, and how much of it at once (documented).
const HISTORY_PERIOD: Duration = Duration::from_secs(1);
const HISTORY_RECORDS_MAX: u64 = 100;

/// A Sophon SE5 box.
pub(crate) struct Se5;

const ABOUT: About = About {
    summary: "a Sophon box serves its websocket, silent until configured, or reports its history",
    help: "\
An SE5 box, which serves its websocket at --listen, or reports its history to --to.

Websocket (a box has it at port 5679): silent until a client sends its configuration, then only events of the cameras in \
it, with the pictures it asked for. Realtime is fire and forget: what happens while nobody is connected is lost, and what \
a client does not read is dropped when its buffer of 64 messages is full. --count is what somebody was sent.

History: all records with all their pictures, one object a request, at most 100 a second; what is not answered with 200 is \
sent again in the next second, and later ones wait for it.

With both, --count is what happens, and a record comes twice.",
    examples: &[
        "faceway simulate se5 --listen 127.0.0.1:5679 --api-listen 127.0.0.1:5555 --protocol v2",
        "faceway simulate se5 --to http://127.0.0.1:8080/in/hall --rate 5 --images 40000",
    ],
    to: "Where the history goes: the inbound's address, with ?token=… where it wants one",
    listen: Some(Listen {
        help: "Serve the websocket there; port 0 takes a free one",
        door: Door::Websocket,
    }),
    api_listen: Some("Serve the list of cameras there, as a box does at port 5555"),
    sends_pictures: true,
    connection: &[Choice::new(
        "protocol",
        "PROTOCOL",
        ChoiceKind::Words(&["v1", "v2"]),
        "Whose names it uses: v1 (V2R6 to V5R7) or v2 (V6R1 and later)",
    )
    .or("v1")],
    devices: &[Choice::new(
        "cameras",
        "N",
        ChoiceKind::Number(1, 10_000),
        "How many cameras",
    )
    .or("3")],
    demo: Demo {
        inbound: "hall",
        comment: "a Sophon SE5 box: dialled, and it pushes its history too",
        keys: &[
            ("url", "ws://{listen}"),
            ("api_url", "http://{api}"),
            ("path", "/in/hall"),
        ],
        posts: true,
        rate: 0.6,
        chosen: &[("cameras", "2")],
    },
};

impl Simulator for Se5 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn source(&self, chosen: &Chosen) -> Box<dyn Source> {
        let protocol = match chosen.text("protocol") {
            Some("v2") => Protocol::V2,
            _ => Protocol::V1,
        };
        let cameras = chosen.number("cameras").unwrap_or(1);
        let simulation = Simulation::new(chosen.seed, protocol, cameras, chosen.picture);
        Box::new(Cameras {
            simulation: Arc::new(simulation),
            protocol,
        })
    }
}

/// A box with its cameras.
struct Cameras {
    simulation: Arc<Simulation>,
    protocol: Protocol,
}

impl Source for Cameras {
    fn posting(&self) -> Posting {
        Posting::new(Again::Cycle {
            period: HISTORY_PERIOD,
            requests_max: HISTORY_RECORDS_MAX,
        })
    }

    fn request(&self, number: u64, at: Timestamp) -> Request {
        Request {
            headers: Vec::new(),
            body: self.simulation.history(number, at).body.into_bytes(),
        }
    }

    fn taken(&self, status: u16, _: &[u8]) -> Result<(), Cow<'static, str>> {
        match status {
            200 => Ok(()),
            _ => Err(format!("HTTP {status}").into()),
        }
    }

    /// No page names a path.
    fn admit(&self, _: &str, _: &str) -> Result<Box<dyn Listener>, (u16, &'static str)> {
        Ok(Box::new(Client {
            simulation: Arc::clone(&self.simulation),
            protocol: self.protocol,
            configured: Configured::default(),
        }))
    }

    fn api(&self, _: Option<&str>) -> Option<Box<dyn Api>> {
        Some(Box::new(CameraList {
            asked: device_list(self.protocol),
            cameras: self.simulation.device_list(),
        }))
    }
}

/// A client, which hears nothing before it has sent its configuration.
struct Client {
    simulation: Arc<Simulation>,
    protocol: Protocol,
    configured: Configured,
}

impl Listener for Client {
    fn hear(&mut self, text: &str) -> Result<(), &'static str> {
        self.configured = Configured::read(self.protocol, text).ok_or("a configuration in JSON")?;
        Ok(())
    }

    fn tell(&self, number: u64, at: Timestamp) -> Option<String> {
        let record = self.simulation.realtime(number, at, &self.configured);
        record.map(|record| record.body)
    }
}

/// The API, as far as it tells of the cameras.
struct CameraList {
    asked: DeviceList,
    cameras: String,
}

impl Api for CameraList {
    fn answer(&mut self, call: &ApiCall<'_>) -> ApiReply {
        match (
            call.path == self.asked.path,
            call.method == self.asked.method,
        ) {
            (true, true) => ApiReply::new(200, self.cameras.clone()),
            (true, false) => ApiReply::new(405, String::new()),
            (false, _) => ApiReply::new(404, String::new()),
        }
    }
}
