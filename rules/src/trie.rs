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

impl Trie {
    /// Parses of an event what the paths name. Their first names stand in it once each, as the gateway writes events: behind
    /// the last of them nothing is looked at, above all not what the vendor sent.
    pub(crate) fn read(&self, event: &[u8]) -> Result<Value, serde_json::Error> {
        let mut kept = Map::new();
        if self.members.is_empty() {
            return Ok(Value::Object(kept));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(event);
        let top = Top {
            trie: self,
            kept: &mut kept,
        };
        let read = deserializer.deserialize_map(top);
        // Reading has broken off where all was found.
        if kept.len() < self.members.len() {
            read?;
            deserializer.end()?;
        }
        Ok(Value::Object(kept))
    }

    /// Takes the value of this name, if a path begins with it.
    fn take<'de, A: MapAccess<'de>>(
        &self,
        name: Name<'de>,
        map: &mut A,
        kept: &mut Map<String, Value>,
    ) -> Result<(), A::Error> {
        match self.members.get(name.0.as_ref()) {
            Some(member) if member.whole => {
                let value = map.next_value()?;
                kept.insert(name.0.into_owned(), value);
            }
            Some(member) => {
                let value = map.next_value_seed(member)?;
                kept.insert(name.0.into_owned(), value);
            }
            None => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The event itself.
struct Top<'t> {
    trie: &'t Trie,
    kept: &'t mut Map<String, Value>,
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'de>>()? {
            self.trie.take(name, &mut map, self.kept)?;
            if self.kept.len() == self.trie.members.len() {
                // No error, but the only way to leave the rest unread.
                return Err(serde::de::Error::custom("all is there"));
            }
        }
        Ok(())
    }
}

/// Parses only what the paths name: the rest is skipped unread.
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
            self.0.take(name, &mut map, &mut kept)?;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Trie;

    #[test]
    fn reading_ends_where_all_was_found() {
        let mut trie = Trie::default();
        assert_eq!(trie.read(b"").unwrap(), json!({}), "nothing is asked");
        trie.add(["kind"]);
        trie.add(["device", "id"]);
        let view = json!({ "kind": "alarm", "device": { "id": "7" } });
        let event = br#"{"id":"x","kind":"alarm","device":{"name":"Door","id":"7"},"person":{"#;
        assert_eq!(trie.read(event).unwrap(), view);
        let event = br#"{"device":{"id":"7"},"vendor":[1,{}],"kind":"alarm"}"#;
        assert_eq!(trie.read(event).unwrap(), view);
        let event = br#"{"kind":"alarm","vendor":{"device":{"id":"8"}}}"#;
        assert_eq!(trie.read(event).unwrap(), json!({ "kind": "alarm" }));
        for broken in ["", "[]", "{", "{\"kind\":", "{\"kind\":\"alarm\",", "{} {}"] {
            assert!(trie.read(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
