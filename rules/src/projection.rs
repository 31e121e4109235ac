//! `omit` and `only`: what an outbound may see of an event.

use std::fmt;

use faceway_core::schema::ALWAYS;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Field;
use crate::trie::{Name, Trie};

/// What stays in an event. `schema`, `id` and `kind` always stay: without them a receiver can neither read the event nor
/// drop what it has seen.
///
/// It works on the event's text, so numbers keep their digits and the vendor's part stays as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection(Choice);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Choice {
    #[default]
    All,
    Omit(Trie),
    Only(Trie),
}

/// The text is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the JSON of an event")]
pub struct NotAnEvent;

/// Why a path cannot be omitted or kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    /// The event has no such field.
    #[error("the event has no field `{path}`")]
    Unknown {
        /// The path.
        path: String,
        /// What could be meant.
        help: String,
    },
    /// It always stays.
    #[error("`{0}` always stays in an event")]
    Kept(String),
}

impl Projection {
    /// Whether the whole event stays.
    pub fn is_all(&self) -> bool {
        self.0 == Choice::All
    }

    /// Everything but these fields.
    ///
    /// # Errors
    /// When a path is not of the event, or always stays.
    pub fn omit<'p>(paths: impl IntoIterator<Item = &'p str>) -> Result<Self, ProjectionError> {
        let mut trie = Trie::default();
        for path in paths {
            Self::check(path, true)?;
            trie.add(path.split('.'));
        }
        Ok(Self(Choice::Omit(trie)))
    }

    /// These fields alone, and what always stays.
    ///
    /// # Errors
    /// When a path is not of the event.
    pub fn only<'p>(paths: impl IntoIterator<Item = &'p str>) -> Result<Self, ProjectionError> {
        let mut trie = Trie::default();
        for path in paths {
            Self::check(path, false)?;
            trie.add(path.split('.'));
        }
        ALWAYS.iter().for_each(|name| trie.add([*name]));
        Ok(Self(Choice::Only(trie)))
    }

    pub(crate) fn check(path: &str, omit: bool) -> Result<(), ProjectionError> {
        if omit && ALWAYS.contains(&path) {
            return Err(ProjectionError::Kept(path.into()));
        }
        if Field::find(path).is_some() {
            return Ok(());
        }
        Err(ProjectionError::Unknown {
            path: path.into(),
            help: Field::help(path),
        })
    }

    /// Whether this field is taken out, whole or as a part of its group. Of a group it says whether nothing of it stays
    /// for sure.
    pub fn hides(&self, field: &Field) -> bool {
        match &self.0 {
            Choice::All => false,
            Choice::Omit(paths) => paths.covers(&field.segments),
            Choice::Only(paths) => !paths.covers(&field.segments),
        }
    }

    /// The event without what the outbound may not see. What is emptied by it goes altogether.
    ///
    /// # Errors
    /// When `body` is not a JSON object.
    pub fn apply(&self, body: &[u8]) -> Result<Vec<u8>, NotAnEvent> {
        let (paths, keep) = match &self.0 {
            Choice::All => return Ok(body.to_vec()),
            Choice::Omit(paths) => (paths, false),
            Choice::Only(paths) => (paths, true),
        };
        let event: &RawValue = serde_json::from_slice(body).map_err(|_| NotAnEvent)?;
        if !event.get().starts_with('{') {
            return Err(NotAnEvent);
        }
        let mut out = Vec::with_capacity(body.len());
        project(event, paths, keep, &mut out)?;
        Ok(out)
    }
}

/// Writes what stays of a value; false when nothing of it does.
fn project(
    value: &RawValue,
    paths: &Trie,
    keep: bool,
    out: &mut Vec<u8>,
) -> Result<bool, NotAnEvent> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => members(text, paths, keep, out),
        Some(b'[') => items(text, paths, keep, out),
        // A scalar has no members: none to omit, and none to keep.
        _ if keep => Ok(false),
        _ => {
            out.extend_from_slice(text.as_bytes());
            Ok(true)
        }
    }
}

fn members(text: &str, paths: &Trie, keep: bool, out: &mut Vec<u8>) -> Result<bool, NotAnEvent> {
    let members = Members::of(text)?;
    let mut empty = true;
    out.push(b'{');
    for (name, value) in &members {
        let before = out.len();
        if !empty {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, name).map_err(|_| NotAnEvent)?;
        out.push(b':');
        let stays = match paths.members.get(name.as_ref()) {
            Some(member) if !member.whole => project(value, member, keep, out)?,
            member if member.is_some() == keep => {
                out.extend_from_slice(value.get().as_bytes());
                true
            }
            _ => false,
        };
        if stays {
            empty = false;
        } else {
            out.truncate(before);
        }
    }
    out.push(b'}');
    Ok(!empty || (!keep && members.is_empty()))
}

fn items(text: &str, paths: &Trie, keep: bool, out: &mut Vec<u8>) -> Result<bool, NotAnEvent> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| NotAnEvent)?;
    let mut empty = true;
    out.push(b'[');
    for item in &items {
        let before = out.len();
        if !empty {
            out.push(b',');
        }
        if project(item, paths, keep, out)? {
            empty = false;
        } else {
            out.truncate(before);
        }
    }
    out.push(b']');
    Ok(!empty || (!keep && items.is_empty()))
}

/// The members of an object, in the order of the text.
type Borrowed<'a> = Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>;

struct Members;

impl Members {
    fn of(text: &str) -> Result<Borrowed<'_>, NotAnEvent> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.deserialize_map(Self).map_err(|_| NotAnEvent)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Borrowed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            members.push((name.0, value));
        }
        Ok(members)
    }
}
