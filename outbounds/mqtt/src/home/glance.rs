//! As much of a canonical event as an announcement needs.

use std::borrow::Cow;

use serde::Deserialize;

use crate::packet::Publication;

/// One event of a kind that Home Assistant has an entity for.
#[derive(Deserialize)]
pub(super) struct Glance<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) device: GlanceDevice<'a>,
    #[serde(borrow, default)]
    images: Vec<GlanceImage<'a>>,
}

#[derive(Deserialize)]
pub(super) struct GlanceDevice<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct GlanceImage<'a> {
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
}

impl<'a> Glance<'a> {
    /// Of a recognition or an alarm by a device; anything else has nothing to announce.
    pub(super) fn at(publication: &'a Publication) -> Option<Self> {
        let glance: Self = serde_json::from_slice(&publication.payload).ok()?;
        let fits =
            glance.schema == "faceway.event/1" && matches!(&*glance.kind, "recognition" | "alarm");
        fits.then_some(glance)
    }

    /// Whether it says who was seen, so that a picture belongs to it.
    pub(super) fn is_recognition(&self) -> bool {
        self.kind == "recognition"
    }

    /// The face where there is one, else the first picture with a link.
    pub(super) fn link(&self) -> Option<&str> {
        let linked = || self.images.iter().filter(|image| is_link(image));
        let face = linked().find(|image| image.role.as_deref() == Some("face"));
        face.or_else(|| linked().next())?.url.as_deref()
    }

    /// The device's name, and its id where it has none.
    pub(super) fn name(&self) -> &str {
        self.device.name.as_deref().unwrap_or(&self.device.id)
    }
}

/// Home Assistant logs what is no such link as an error, and keeps the old picture under the new time.
fn is_link(image: &GlanceImage<'_>) -> bool {
    let url = image.url.as_deref().unwrap_or_default();
    url.starts_with("http://") || url.starts_with("https://")
}
