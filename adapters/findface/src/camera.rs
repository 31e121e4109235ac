//! The camera and its groups.

use faceway_core::reader::items;
use faceway_core::{Device, DeviceType, Group, Reader};

use crate::verbose::{named, verbose};

/// `camera` and `camera_group`. An episode has `cameras` and `camera_groups`: more than one camera is no one device, and
/// stays under `vendor`.
pub(crate) fn device<'a>(fields: &mut Reader<'a>) -> Device<'a> {
    let mut device = Device::default();
    // `url` is the video's, and may hold the camera's password.
    let (camera, stream) = verbose(
        fields,
        "camera",
        "camera.",
        |id| (Group { id, name: None }, None),
        |camera| (camera.id_and_name(), camera.text("url")),
    );
    device.stream = stream;
    let group = named(fields, "camera_group", "camera_group.");
    let camera = match camera == Group::default() {
        true => only_camera(fields),
        false => camera,
    };
    device.groups = match group == Group::default() {
        true => fields.groups("camera_groups"),
        false => vec![group],
    };
    (device.id, device.name) = (camera.id, camera.name);
    if device != Device::default() {
        device.device_type = Some(DeviceType::Camera);
    }
    device
}

fn only_camera<'a>(fields: &mut Reader<'a>) -> Group<'a> {
    let cameras = fields.told("cameras").and_then(items);
    match cameras.is_some_and(|cameras| cameras.len() == 1) {
        true => fields.groups("cameras").pop().unwrap_or_default(),
        false => Group::default(),
    }
}
