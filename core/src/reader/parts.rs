//! What a message is made of: objects, lists of groups, pictures.

use super::{MEMBERS_MAX, Reader};
use crate::lenient::{self, is_told, without_credentials};
use crate::{Group, Image, ImageRole, Members, Picture, Raw, Rest};

impl<'a> Reader<'a> {
    /// A picture, decoded, or a link in its place. Its text goes, whatever it is: no picture stays under `vendor`.
    pub fn picture(&mut self, name: &str, role: ImageRole) -> Option<(Image<'a>, Option<Picture>)> {
        let raw = self.told(name)?;
        self.members.drop(name);
        match lenient::picture(raw) {
            Ok(picture) => picture.map(|picture| (Image::kept(role, &picture), Some(picture))),
            Err(error) => match lenient::link(raw) {
                Some(url) => {
                    self.warn(name, "a link where a picture is documented");
                    Some((Image::linked(role, url), None))
                }
                None => {
                    self.warn(name, format_args!("no picture, {error}"));
                    None
                }
            },
        }
    }

    /// An object, taken out; what is left of it is given back. One that is not an object, or has too many members, stays.
    pub fn object(&mut self, name: &str, at: &'static str) -> Option<Self> {
        if let Some(members) = self.members.take_object(name, MEMBERS_MAX) {
            return Some(Self::new(members, at));
        }
        // What is told and no such object stays, with a warning.
        self.read(name, |_| None)
    }

    /// Puts what is left of an object back under its name, and takes over its warnings.
    pub fn give_back(&mut self, name: &'static str, left: Self) {
        for warning in left.warnings {
            self.note(warning);
        }
        if !left.members.is_empty() {
            self.members.put(name, Rest::Object(left.members));
        }
    }

    /// `id` and `name` of this object.
    pub fn id_and_name(&mut self) -> Group<'a> {
        Group {
            id: self.identifier("id"),
            name: self.text("name"),
        }
    }

    /// A list of ids, or of objects with ids. It stays as well when it says more than ids and names.
    pub fn groups(&mut self, name: &str) -> Vec<Group<'a>> {
        let Some(items) = self.read(name, items) else {
            return Vec::new();
        };
        let mut whole = true;
        let mut groups = Vec::with_capacity(items.len());
        for item in items.into_iter().filter(|item| item.get() != "null") {
            let group = match members(item) {
                Some(members) => {
                    let mut item = Self::new(members, "");
                    let group = item.id_and_name();
                    whole &= item.members.is_empty();
                    group
                }
                None => Group {
                    id: lenient::identifier(item)
                        .filter(is_told)
                        .map(without_credentials),
                    name: None,
                },
            };
            if group == Group::default() {
                whole = false;
            } else {
                groups.push(group);
            }
        }
        if whole {
            self.members.drop(name);
        }
        groups
    }
}

/// The items of a list that is not too long.
pub fn items(raw: Raw<'_>) -> Option<Vec<Raw<'_>>> {
    raw.items().filter(|items| items.len() <= MEMBERS_MAX)
}

/// The members of an object that has not too many.
pub fn members(raw: Raw<'_>) -> Option<Members<'_>> {
    Members::of(raw).filter(|members| members.len() <= MEMBERS_MAX)
}
