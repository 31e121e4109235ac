//! The vendor's shapes. Private: nothing outside this crate speaks his words.

use std::borrow::Cow;

use faceway_core::lenient::on_scale;
use faceway_core::{Members, Reject, Text, Timestamp};
use serde::Deserialize;

/// What a camera posts.
pub(crate) struct Sighting<'a> {
    /// `id`, his record id; it comes again when the camera sends again.
    pub(crate) id: Text<'a>,
    /// `camera`.
    pub(crate) camera: Text<'a>,
    /// `time`, RFC 3339.
    pub(crate) time: Option<Timestamp>,
    /// `name`; blank or null for a stranger.
    pub(crate) name: Option<Text<'a>>,
    /// Whether `name` was there and could not be read: then nobody can say that it was a stranger.
    pub(crate) name_unread: bool,
    /// `score`, 0 to 1.
    pub(crate) score: Option<f64>,
    /// What has no canonical word.
    pub(crate) rest: Members<'a>,
    /// What could not be read.
    pub(crate) warnings: Vec<Text<'a>>,
}

impl<'a> Sighting<'a> {
    /// Takes the known members out of the body. What is not of the documented type stays in `rest`, with a warning.
    pub(crate) fn take(mut rest: Members<'a>) -> Result<Self, Reject> {
        let mut warnings = Vec::new();
        let id = text(&mut rest, "id", &mut warnings);
        let camera = text(&mut rest, "camera", &mut warnings);
        let (Some(id), Some(camera)) = (id, camera) else {
            return Err(Reject::Unreadable("no `id` or no `camera`".into()));
        };
        let name = text(&mut rest, "name", &mut warnings);
        Ok(Self {
            id,
            camera,
            time: rest.take_as("time", &mut warnings),
            name,
            name_unread: rest.has("name"),
            score: score(&mut rest, &mut warnings),
            rest,
            warnings,
        })
    }
}

/// Serde borrows a `Cow` only when told so.
#[derive(Deserialize)]
#[serde(transparent)]
struct Words<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'a>(
    members: &mut Members<'a>,
    name: &str,
    warnings: &mut Vec<Text<'a>>,
) -> Option<Text<'a>> {
    let Words(text) = members.take_as(name, warnings)?;
    (!text.trim().is_empty()).then_some(text)
}

fn score<'a>(members: &mut Members<'a>, warnings: &mut Vec<Text<'a>>) -> Option<f64> {
    let raw = members.peek("score")?;
    let score: f64 = members.take_as("score", warnings)?;
    if let Some(score) = on_scale(score, 1.0) {
        return Some(score);
    }
    // Nothing is lost and nothing is made up: 93.5 may be 0.935 or a mistake.
    members.put("score", faceway_core::Rest::Raw(raw));
    warnings.push("score: not in 0 to 1".into());
    None
}
