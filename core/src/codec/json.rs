//! Writes JSON as serde_json does, into memory: what an event is made of and no more. Names of members are our own words, which
//! need no escapes, and nearly every text is passed over eight bytes at a time.
//!
//! What it does not know it refuses; then serde_json writes the event.

use std::fmt::{Error, Write};

use serde::ser::{Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use crate::members::RAW;
use crate::word::{find, find_below};

/// Writes one value to the end of these bytes.
pub(crate) struct Json<'o> {
    out: &'o mut Vec<u8>,
    /// A text is JSON already.
    is_raw: bool,
}

impl<'o> Json<'o> {
    /// Writes to the end of `out`.
    pub(crate) const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, is_raw: false }
    }

    /// What is rare in an event is written by serde_json.
    fn write_by_serde_json<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(self.out, value).map_err(|_| Error)
    }
}

/// What is written of a list or an object so far.
pub(crate) struct Parts<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
    end: End,
}

/// What comes behind the last part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Brace,
    Bracket,
    /// Nothing: the one part is JSON already.
    Raw,
}

impl<'o> Parts<'o> {
    fn new(out: &'o mut Vec<u8>, begin: u8, end: End) -> Self {
        out.push(begin);
        Self {
            out,
            is_empty: true,
            end,
        }
    }

    fn comma(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.comma();
        value.serialize(Json::new(self.out))
    }

    fn close(self) -> Result<(), Error> {
        match self.end {
            End::Brace => self.out.push(b'}'),
            End::Bracket => self.out.push(b']'),
            End::Raw => {}
        }
        Ok(())
    }
}

impl<'o> Serializer for Json<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'o>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Parts<'o>;
    type SerializeStruct = Parts<'o>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(word);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.write_by_serde_json(&value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.write_by_serde_json(&value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.write_by_serde_json(&value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.write_by_serde_json(&value)
    }

    fn serialize_char(self, _: char) -> Result<(), Error> {
        Err(Error)
    }

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        if self.is_raw {
            self.out.extend_from_slice(text.as_bytes());
        } else if needs_escapes(text.as_bytes()) {
            return self.write_by_serde_json(text);
        } else {
            self.out.reserve(text.len() + 2);
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
        }
        Ok(())
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        let mut text = String::new();
        write!(text, "{value}")?;
        self.serialize_str(&text)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        Err(Error)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        word: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(word)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(Error)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'o>, Error> {
        Ok(Parts::new(self.out, b'[', End::Bracket))
    }

    fn serialize_tuple(self, _: usize) -> Result<Impossible<(), Error>, Error> {
        Err(Error)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Error>, Error> {
        Err(Error)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Error>, Error> {
        Err(Error)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'o>, Error> {
        Ok(Parts::new(self.out, b'{', End::Brace))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'o>, Error> {
        // serde_json keeps names with a `$` to itself: such an object is a number or JSON, and none of ours.
        match name.as_bytes() {
            [b'$', ..] if name == RAW => Ok(Parts {
                out: self.out,
                is_empty: true,
                end: End::Raw,
            }),
            [b'$', ..] => Err(Error),
            _ => self.serialize_map(None),
        }
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Error>, Error> {
        Err(Error)
    }
}

impl SerializeSeq for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Error> {
        self.comma();
        let begin = self.out.len();
        name.serialize(Json::new(self.out))?;
        // A name that is a number would need quotes, and none of ours is.
        let is_text = self.out.get(begin) == Some(&b'"');
        self.out.push(b':');
        is_text.then_some(()).ok_or(Error)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Json::new(self.out))
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeStruct for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        if self.end == End::Raw {
            return value.serialize(Json {
                out: self.out,
                is_raw: true,
            });
        }
        self.out.reserve(name.len() + 4);
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.serialize(Json::new(self.out))
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

/// Whether a text has signs that JSON writes otherwise: quotes, backslashes, and controls.
fn needs_escapes(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        if find_below(word, b' ') | find(word, b'"') | find(word, b'\\') != 0 {
            return true;
        }
    }
    for byte in rest {
        if matches!(byte, ..0x20 | b'"' | b'\\') {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::Json;
    use crate::{Members, Private, Raw, Rest, Sha256, codec};

    /// What an event's types do to a writer.
    #[derive(Debug, Serialize)]
    struct Types {
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<f64>,
        none: Option<bool>,
        list: Vec<Words>,
        lists: Vec<Vec<i64>>,
        #[serde(serialize_with = "codec::revealed_option")]
        private: Option<Private<String>>,
        #[serde(flatten)]
        others: std::collections::BTreeMap<String, bool>,
    }

    #[derive(Clone, Copy, Debug, Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Words {
        OneWord,
    }

    fn written<T: Serialize>(value: &T) -> Option<String> {
        let mut bytes = Vec::new();
        value.serialize(Json::new(&mut bytes)).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// Texts with more quotes, backslashes and controls than chance has, of lengths that fill words and that do not.
    fn text() -> impl Strategy<Value = String> {
        "[a-z]{0,20}[\\PC\"\\\\\\x00-\\x20\\x7f]{0,3}[a-z李é]{0,20}"
    }

    fn types() -> impl Strategy<Value = Types> {
        let others = prop::collection::btree_map(text(), any::<bool>(), 0..3);
        let lists = prop::collection::vec(prop::collection::vec(any::<i64>(), 0..3), 0..3);
        let numbers = (any::<Option<f64>>(), any::<Option<bool>>());
        (text(), numbers, lists, prop::option::of(text()), others).prop_map(
            |(text, (number, none), lists, private, others)| Types {
                text,
                number,
                none,
                list: vec![Words::OneWord; lists.len()],
                lists,
                private: private.map(Private::new),
                others,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn writes_what_serde_json_writes(types in types(), text in text()) {
            prop_assert_eq!(written(&types), serde_json::to_string(&types).ok());
            prop_assert_eq!(written(&text), serde_json::to_string(&text).ok());
        }
    }

    #[test]
    fn what_is_json_stays_as_it_is() {
        let sent = r#"{ "a" : [ 1.50, "\u674e" ] , "b":{"c":null}}"#;
        let mut members = Members::parse(sent).unwrap();
        let owned = serde_json::value::to_raw_value("\"").unwrap();
        members.put("\n", Rest::Owned(owned));
        members.put("d", Rest::Object(Members::parse(sent).unwrap()));
        let expected = r#"{"a":[ 1.50, "\u674e" ],"b":{"c":null},"\n":"\"","d":{"a":[ 1.50, "\u674e" ],"b":{"c":null}}}"#;
        assert_eq!(written(&members).unwrap(), expected);
        assert_eq!(serde_json::to_string(&members).unwrap(), expected);
        assert_eq!(written(&Raw::parse(sent).unwrap()).unwrap(), sent);
    }

    #[test]
    fn digests_and_words_are_texts() {
        let digest = Sha256::of(b"face");
        let both = [serde_json::to_string(&digest).ok(), written(&digest)];
        assert_eq!(both[0], both[1]);
        assert_eq!(written(&Words::OneWord).unwrap(), r#""one_word""#);
    }

    #[test]
    fn what_it_does_not_know_it_refuses() {
        let number: serde_json::Number = serde_json::from_str("1.50").unwrap();
        assert_eq!(written(&number), None);
        assert_eq!(written(&(1, 2)), None);
        let by_number = std::collections::BTreeMap::from([(1, 2)]);
        assert_eq!(written(&by_number), None);
    }
}
