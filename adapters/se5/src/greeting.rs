//! The greeting of a box, with what has to be asked for it.

use std::borrow::Cow;

use faceway_core::{ApiAnswer, ApiRequest, Dialogue, Settings, Step};

use crate::connect::{Protocol, configuration, device_ids, device_list};

/// Finds out the names that a box understands and the ids of its cameras, as far as the settings leave them open, and
/// says what it must be sent. The list of cameras of v2 is asked for first: firmware of v1 does not know that path, while
/// a box of v2 might still know v1's.
pub(crate) struct Greeting {
    settings: Settings,
    /// What is being tried.
    asked: Protocol,
}

impl Greeting {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            asked: Protocol::of(settings).unwrap_or(Protocol::V2),
            settings: settings.clone(),
        }
    }

    fn ask(&self) -> Step<Vec<String>> {
        let list = device_list(self.asked);
        Step::Ask(match list.body {
            Some(body) => ApiRequest::post(list.path, body.to_owned()),
            None => ApiRequest::get(list.path),
        })
    }

    /// What is to be said to a box that names its cameras, or the other protocol is still to be tried.
    fn understood(&mut self, found: Vec<String>) -> Step<Vec<String>> {
        let named = self.settings.texts("devices");
        if found.is_empty() && named.is_none_or(<[String]>::is_empty) {
            let text = "the box's API names no camera, so its websocket would stay silent: add cameras to the box, or \
                        name them in `devices`";
            return Step::Failed(Cow::Borrowed(text));
        }
        Step::Done(vec![configuration(self.asked, &self.settings, &found)])
    }
}

impl Dialogue<Vec<String>> for Greeting {
    fn begin(&mut self) -> Step<Vec<String>> {
        let named = self.settings.texts("devices");
        match Protocol::of(&self.settings) {
            Some(protocol) if named.is_some_and(|named| !named.is_empty()) => {
                Step::Done(vec![configuration(protocol, &self.settings, &[])])
            }
            _ => self.ask(),
        }
    }

    fn hear(&mut self, answer: &ApiAnswer<'_>) -> Step<Vec<String>> {
        let found = (200..300)
            .contains(&answer.status)
            .then(|| device_ids(answer.body).ok())
            .flatten();
        if let Some(found) = found {
            return self.understood(found);
        }
        if self.asked == Protocol::V2 && Protocol::of(&self.settings).is_none() {
            self.asked = Protocol::V1;
            return self.ask();
        }
        Step::Failed(Cow::Owned(format!(
            "the box's API answered {} to the request for its cameras, which is no list of them: check `api_url` (its \
             port is 5555) and `protocol`, or name the cameras in `devices`",
            answer.status
        )))
    }
}

#[cfg(test)]
mod tests {
    use faceway_core::{ApiAnswer, Dialogue as _, SettingValue, Settings, Step};

    use super::Greeting;

    const V1: &str = r#"{"data":{"devices_list":[{"device_id":"3f1a"}]}}"#;
    const V2: &str = r#"{"devices":[{"media_device_id":"77c2"}]}"#;

    fn settings(protocol: Option<&str>, devices: &[&str]) -> Settings {
        let mut settings = Settings::default();
        if let Some(protocol) = protocol {
            settings.set("protocol", SettingValue::Text(protocol.into()));
        }
        if !devices.is_empty() {
            let devices = devices.iter().map(|id| (*id).to_owned()).collect();
            settings.set("devices", SettingValue::Texts(devices));
        }
        settings
    }

    /// What is asked, and how it ends, for a box that answers like this.
    fn led(settings: &Settings, answers: &[(u16, &str)]) -> (Vec<&'static str>, String) {
        let mut greeting = Greeting::new(settings);
        let mut step = greeting.begin();
        let (mut asked, mut answers) = (Vec::new(), answers.iter());
        loop {
            match step {
                Step::Done(said) => return (asked, said.join("\n")),
                Step::Failed(text) => return (asked, text.into_owned()),
                Step::Ask(request) => asked.push(request.path),
            }
            let (status, body) = answers.next().expect("an answer");
            let body = body.as_bytes();
            step = greeting.hear(&ApiAnswer {
                status: *status,
                body,
            });
        }
    }

    const LIST_1: &str = "/SophonDevice/api/Devices";
    const LIST_2: &str = "/sophon/v2/face/getmediadevices";

    #[test]
    fn asks_nothing_that_is_set() {
        let (asked, said) = led(&settings(Some("v1"), &["9b"]), &[]);
        assert!(asked.is_empty() && said.contains(r#""event_list":["9b"]"#));
    }

    #[test]
    fn asks_for_cameras_in_the_names_that_are_set() {
        let (asked, said) = led(&settings(Some("v1"), &[]), &[(200, V1)]);
        assert_eq!(asked, [LIST_1]);
        assert!(said.contains(r#""event_list":["3f1a"]"#), "{said}");
        let (asked, said) = led(&settings(Some("v2"), &[]), &[(200, V2)]);
        assert_eq!(asked, [LIST_2]);
        assert!(said.contains(r#""media_device_ids":["77c2"]"#), "{said}");
    }

    #[test]
    fn finds_out_the_names() {
        let (asked, said) = led(&settings(None, &["9b"]), &[(404, ""), (200, V1)]);
        assert_eq!(asked, [LIST_2, LIST_1]);
        assert!(said.contains(r#""event_list":["9b"]"#), "{said}");
        let (asked, said) = led(&settings(None, &[]), &[(200, V2)]);
        assert_eq!(asked, [LIST_2]);
        assert!(said.contains(r#""media_device_ids":["77c2"]"#), "{said}");
    }

    #[test]
    fn says_what_to_do() {
        let (_, said) = led(&settings(Some("v1"), &[]), &[(200, "<html>")]);
        assert!(said.contains("check `api_url`"), "{said}");
        let none = r#"{"data":{"devices_list":[]}}"#;
        let (_, said) = led(&settings(Some("v1"), &[]), &[(200, none)]);
        assert!(said.contains("names no camera"), "{said}");
    }
}
