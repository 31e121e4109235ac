//! Devices and groups.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Text, members};

members! {
    /// The device that saw it.
    pub struct Device<'a> {
        /// Serial number, device id or camera id.
        id: Option<Text<'a>>,
        /// What it is.
        device_type as "type": Option<DeviceType>,
        /// Its name.
        name: Option<Text<'a>>,
        /// IP address or host.
        address: Option<Text<'a>>,
        /// URL of its video, without credentials.
        stream: Option<Text<'a>>,
        /// The agent or box that it hangs on.
        parent: Option<Text<'a>>,
        /// The camera groups that it is in.
        groups: Vec<Group<'a>>,
    }
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// An access terminal with a screen.
    Terminal,
    /// A gate or turnstile.
    Gate,
    /// A camera.
    Camera,
    /// A door controller.
    Door,
    /// A box that analyses the video of others.
    Box,
}

members! {
    /// A group, watch list or profile group.
    pub struct Group<'a> {
        /// Its id.
        id: Option<Text<'a>>,
        /// Its name.
        name: Option<Text<'a>>,
    }
}
