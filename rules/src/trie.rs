//! A set of paths, as a tree of names.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Paths by their first name. A whole path ends where `whole` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trie {
    pub(crate) whole: bool,
    pub(crate) members: BTreeMap<String, Trie>,
}

impl Trie {
    pub(crate) fn add<'s>(&mut self, path: impl IntoIterator<Item = &'s str>) {
        let mut at = self;
        for name in path {
            at = at.members.entry(name.into()).or_default();
        }
        at.whole = true;
    }

    /// Whether one of the paths is this one, or a beginning of it.
    pub(crate) fn covers(&self, path: &[String]) -> bool {
        let mut at = self;
        for name in path {
            match at.members.get(name) {
                Some(below) if below.whole => return true,
                Some(below) => at = below,
                None => return false,
            }
        }
        false
    }
}

/// Parses only what the paths name: the rest of the event, above all what the vendor sent, is skipped unread.
impl<'de> DeserializeSeed<'de> for &Trie {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Pruned(self))
    }
}

struct Pruned<'t>(&'t Trie);

impl<'de> Visitor<'de> for Pruned<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            match self.0.members.get(name.0.as_ref()) {
                Some(member) if member.whole => {
                    kept.insert(name.0.into_owned(), map.next_value()?);
                }
                Some(member) => {
                    let value = map.next_value_seed(member)?;
                    kept.insert(name.0.into_owned(), value);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.0)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    // A scalar where only members are asked for: they are absent.
    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// A key of a JSON object, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
pub(crate) struct Name<'a>(#[serde(borrow)] pub(crate) std::borrow::Cow<'a, str>);
