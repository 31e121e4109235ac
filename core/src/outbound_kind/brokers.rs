//! What protocols of brokers have in common: who we are to them, and how large a message may be.

use super::{At, HeaderStyle, Headers, Reading};
use crate::{Key, Secret, Shape};

/// Who Faceway is to the broker.
pub const USERNAME: Key = Key::new("username", Shape::Text, "Who Faceway is to the broker.");

/// The password of [`USERNAME`].
pub const PASSWORD: Key = Key::new("password", Shape::Secret, "The password of `username`.");

/// How large a message may be.
pub const PAYLOAD_BYTES_MAX: Key = Key::new(
    "payload_bytes_max",
    Shape::Bytes { min: 1024 },
    "A larger event is buried, a picture that would make it so is sent as a link; 256KiB when left out.",
);

/// What follows an address and has no meaning to a broker.
const NO_MEANING_TO_BROKER: &str = "which has no meaning to a broker";

/// No packet of a broker's protocol is larger than 256 MB with all that goes beside the payload; brokers take far smaller
/// ones.
const PAYLOAD_BYTES_MAX_MAX: u64 = 240 * 1024 * 1024;
const PAYLOAD_BYTES: u64 = 256 * 1024;

impl Headers {
    /// Those beside a broker's messages.
    pub const OF_BROKER: Self = Self {
        style: HeaderStyle::Text,
        taken: &["id", "kind", "content-type", "message-id"],
    };
}

impl Reading<'_> {
    /// User and password of a broker.
    pub fn login(&self) -> (Option<String>, Option<Secret>) {
        let username = self.text("username").map(str::to_owned);
        let password = self.secret("password");
        if self.is_written("password") && !self.is_written("username") {
            let message = "`password` has no use without `username`";
            self.absent(At::Key("password"), message, "write `username = \"…\"`");
        }
        (username, password)
    }

    /// The largest payload for a broker, in bytes.
    pub fn payload_bytes_max(&self) -> u64 {
        let most = self.bytes("payload_bytes_max");
        if most.is_some_and(|most| most > PAYLOAD_BYTES_MAX_MAX) {
            let message = "`payload_bytes_max` is more than any broker takes";
            self.error(At::Value("payload_bytes_max"), message, "at most `240MiB`");
        }
        most.unwrap_or(PAYLOAD_BYTES)
    }

    /// Reports what follows a broker's address and has no meaning there: a query, and a path where `path_help` says what to
    /// do about it.
    pub fn nothing_behind(&self, url: &str, path_help: Option<&str>) {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = address.split_once('/').map_or("", |(_, path)| path);
        if !query.is_empty() {
            let message = format!("`url` has a `?` part, {NO_MEANING_TO_BROKER}");
            self.error(At::Value("url"), message, "leave it out");
        } else if let Some(help) = path_help.filter(|_| !path.is_empty()) {
            let message = format!("`url` has a path, {NO_MEANING_TO_BROKER}");
            self.error(At::Value("url"), message, help);
        }
    }
}
