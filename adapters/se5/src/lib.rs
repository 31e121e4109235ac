//! Sophon SE5 and SE3 boxes: they watch many cameras, and tell who was seen.
//!
//! The vendor's documents are the API guides at `bm168x.gitbook.io/project`, one for each line of firmware. A box tells
//! its events twice: at once, over a websocket of its own (port 5679) that loses what is not read, and later, by HTTP
//! pushes of its history that it repeats until they are answered. Both are read here, in the names of v1 (V2R6 to V5R7),
//! of v2 (V6R1 and later) and of the SE3's older pushes, together with its reports of the cameras' state. A record that
//! comes by both ways has the same key, so it is kept once.
//!
//! **Shape of `vendor`:** what is left stands where it stood (`vendor.ext_data.…`, `vendor.ep_info.…`).
//!
//! **Invariant:** face templates and licence keys (`feature…`, `mq_license_key`, `dev_sno`) never get into an event.

pub mod connect;
mod form;
mod greeting;
mod identity;
mod message;
mod person;
mod scrub;
pub mod simulate;
mod simulator;
mod wire;
mod words;

use faceway_core::simulator::Simulator;
use faceway_core::{
    Adapter, Answer, Arrival, Dialogue, Element, Outcome, Reach, Reject, Setting, SettingKind,
    Settings,
};

/// The adapter of Sophon SE5 and SE3 boxes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Se5;

impl Adapter for Se5 {
    fn name(&self) -> &'static str {
        "se5"
    }

    fn reach(&self) -> &'static [Reach] {
        const {
            &[
                Reach::Dialled {
                    api_for: &[DEVICES.name, PROTOCOL.name],
                },
                Reach::Pushed,
            ]
        }
    }

    fn settings(&self) -> &'static [Setting] {
        const { &[PROTOCOL, SCORE_SCALE, IMAGES, DEVICES] }
    }

    fn read<'a>(
        &self,
        arrival: &Arrival<'a>,
        settings: &Settings,
    ) -> Result<Vec<Element<'a>>, Reject> {
        wire::read(arrival, settings)
    }

    fn greeting(&self, settings: &Settings) -> Box<dyn Dialogue<Vec<String>>> {
        Box::new(greeting::Greeting::new(settings))
    }

    /// Which body a box expects is not documented; its status is what counts. A stream hears no answer.
    fn answer(&self, outcome: &Outcome) -> Answer {
        match outcome {
            Outcome::Kept => Answer::json(200, KEPT.as_bytes()),
            Outcome::Busy => Answer::json(503, BUSY.as_bytes()),
            Outcome::Refused(reason) => {
                let body = serde_json::json!({ "code": 400, "message": reason });
                Answer::json(400, body.to_string().into_bytes())
            }
        }
    }

    fn simulator(&self) -> Option<&'static dyn Simulator> {
        Some(&simulator::Se5)
    }
}

const PROTOCOL: Setting = Setting {
    name: "protocol",
    kind: SettingKind::Word(&["v1", "v2"]),
    about: "the names that the firmware uses: v1 (V2R6 to V5R7) or v2 (V6R1 and later); messages are read in either, whatever it says",
};

const SCORE_SCALE: Setting = Setting {
    name: "score_scale",
    kind: SettingKind::Number(&[1, 100]),
    about: "what the firmware's highest score is, 1 (default) or 100",
};

const IMAGES: Setting = Setting {
    name: "images",
    kind: SettingKind::Words(&["face", "scene", "enrolled"]),
    about: "the pictures that are asked for and kept, of face (and infrared), scene, enrolled; default all",
};

const DEVICES: Setting = Setting {
    name: "devices",
    kind: SettingKind::Texts,
    about: "ids of the cameras whose events the box's websocket shall send; default all of the box's",
};

const KEPT: &str = r#"{"code":200,"message":"success"}"#;
const BUSY: &str = r#"{"code":503,"message":"cannot keep it now, send it again"}"#;

#[cfg(test)]
mod tests {
    use faceway_core::{Adapter as _, Outcome};

    use super::Se5;

    #[test]
    fn answers_tell_success_by_their_status() {
        for (outcome, status) in [
            (Outcome::Kept, 200),
            (Outcome::Busy, 503),
            (Outcome::Refused("\"x\"\n".into()), 400),
        ] {
            let answer = Se5.answer(&outcome);
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((answer.status, &body["code"]), (status, &status.into()));
        }
    }
}
