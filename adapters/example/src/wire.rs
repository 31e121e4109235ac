//! The vendor's shapes. Private: nothing outside this crate speaks its words.

use faceway_core::reader::Zone;
use faceway_core::{Members, Reader, Reject, Text, Timestamp};

/// What a camera posts.
pub(crate) struct Sighting<'a> {
    /// `id`, the camera's record id; it comes again when the camera sends again.
    pub(crate) id: Text<'a>,
    /// `camera`.
    pub(crate) camera: Text<'a>,
    /// `time`, RFC 3339.
    pub(crate) time: Option<Timestamp>,
    /// `name`; blank or null for a stranger.
    pub(crate) name: Option<Text<'a>>,
    /// Whether `name` was there and could not be read: then it may not have been a stranger.
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
    pub(crate) fn take(body: Members<'a>) -> Result<Self, Reject> {
        let mut fields = Reader::new(body, "");
        let (id, camera) = (fields.text("id"), fields.text("camera"));
        let (Some(id), Some(camera)) = (id, camera) else {
            return Err(Reject::Unreadable("no `id` or no `camera`".into()));
        };
        let name = fields.text("name");
        Ok(Self {
            id,
            camera,
            name,
            name_unread: fields.members.has("name"),
            time: fields.written_time("time", Zone::Named),
            score: fields.score("score"),
            rest: fields.members,
            warnings: fields.warnings,
        })
    }
}
