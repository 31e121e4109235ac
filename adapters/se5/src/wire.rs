//! From a body to its records: an object or a list of them, as JSON or as a form.

use std::borrow::Cow;

use faceway_core::reader::MEMBERS_MAX;
use faceway_core::{
    Arrival, Element, Members, Raw, Reading, Reject, Settings, Unreadable, document, element,
    is_cut_off, mend, split,
};

use crate::form;
use crate::message::read_message;

/// A cycle of the history has at most 100 records.
const ELEMENTS_MAX: usize = 10_000;

/// What the messages of one arrival have in common.
pub(crate) struct Around<'s> {
    /// Who sent it: the box.
    pub(crate) peer: Option<String>,
    pub(crate) settings: &'s Settings,
}

/// Reads all records of an arrival.
pub(crate) fn read<'a>(
    arrival: &Arrival<'a>,
    settings: &Settings,
) -> Result<Vec<Element<'a>>, Reject> {
    let around = Around {
        peer: arrival.peer.map(|peer| peer.to_canonical().to_string()),
        settings,
    };
    let elements = match form::of(arrival)? {
        None => records(document(arrival.body)?, &around)?
            .into_iter()
            .map(|record| {
                let raw = record.text.as_bytes();
                record.element(raw)
            })
            .collect(),
        // The text of a form is not what came, so an element of it that cannot be read is kept as the whole form.
        Some(text) => of_form(&text, &around)?
            .into_iter()
            .map(|read| {
                read.map_err(|reason| Unreadable {
                    reason,
                    raw: arrival.body,
                })
            })
            .collect(),
    };
    Ok(elements)
}

/// What was read of a record, or why it cannot be.
type Read = Result<Reading<'static>, Cow<'static, str>>;

/// One record, with its text.
struct Record<'t> {
    text: &'t str,
    read: Read,
}

impl Record<'_> {
    fn element<'a>(self, raw: &'a [u8]) -> Element<'a> {
        self.read.map_err(|reason| Unreadable { reason, raw })
    }
}

fn records<'t>(text: &'t str, around: &Around<'_>) -> Result<Vec<Record<'t>>, Reject> {
    if text.trim_start().starts_with('[') {
        return list(text, around);
    }
    let members = Members::parse(text)?;
    let read = Ok(read_one(members, text, around).map_err(Reject::Unreadable)?);
    Ok(vec![Record { text, read }])
}

/// The records of a form. Its text is not the body, so nothing behind this adapter could mend it.
fn of_form(text: &str, around: &Around<'_>) -> Result<Vec<Read>, Reject> {
    let body = text.as_bytes();
    let strict = document(body).map_err(Reject::from);
    match strict.and_then(|text| records(text, around)) {
        Ok(records) => Ok(records.into_iter().map(|record| record.read).collect()),
        Err(Reject::Unreadable(reason)) => match split(body, ELEMENTS_MAX) {
            Some(parts) => Ok(parts.into_iter().map(|part| mended(part, around)).collect()),
            None => match mended(body, around) {
                Ok(reading) => Ok(vec![Ok(reading)]),
                Err(_) => Err(Reject::Unreadable(reason)),
            },
        },
        Err(reject) => Err(reject),
    }
}

fn mended(part: &[u8], around: &Around<'_>) -> Read {
    let Err(malformed) = element(part).map(drop) else {
        return read_text(part, around);
    };
    let mended = mend(part).ok_or_else(|| malformed.to_string())?;
    let mut reading = read_text(mended.json.as_bytes(), around)?;
    reading.facts.warnings.extend(mended.notes);
    Ok(reading)
}

fn read_text(part: &[u8], around: &Around<'_>) -> Read {
    let text = element(part).map_err(|malformed| malformed.to_string())?;
    let members = Members::parse(text).map_err(|malformed| malformed.to_string())?;
    read_one(members, text, around)
}

/// Whether the history comes as objects or as lists is not documented, so either is read.
fn list<'t>(text: &'t str, around: &Around<'_>) -> Result<Vec<Record<'t>>, Reject> {
    let items = Raw::parse_list(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let reason = format!("not JSON at line {line} column {column}, in a list").into();
        match is_cut_off(&error, text) {
            true => Reject::CutOff(reason),
            false => Reject::Unreadable(reason),
        }
    })?;
    if items.len() > ELEMENTS_MAX {
        let reason = format!("more than {ELEMENTS_MAX} records in one list");
        return Err(Reject::Unreadable(reason.into()));
    }
    let read = |item: Raw<'t>| Record {
        text: item.get(),
        read: match Members::of(item) {
            Some(members) => read_one(members, item.get(), around),
            None => Err("expected an object".into()),
        },
    };
    Ok(items.into_iter().map(read).collect())
}

fn read_one(members: Members<'_>, text: &str, around: &Around<'_>) -> Read {
    if members.is_empty() {
        return Err("an object without members".into());
    }
    if members.say_nothing(&[]) {
        return Err("an object whose members are all empty".into());
    }
    if members.len() > MEMBERS_MAX {
        return Err(format!("more than {MEMBERS_MAX} members in one object").into());
    }
    Ok(read_message(members, text, around))
}

#[cfg(test)]
mod tests {
    use faceway_core::{Adapter as _, Arrival, Settings};

    use crate::Se5;

    fn read(body: &str) -> Result<Vec<Result<(), String>>, String> {
        let arrival = Arrival {
            headers: &http::HeaderMap::new(),
            peer: None,
            body: body.as_bytes(),
        };
        let elements = Se5.read(&arrival, &Settings::default());
        let elements = elements.map_err(|reject| reject.to_string())?;
        let tell = |element: faceway_core::Element<'_>| {
            element.map(|_| ()).map_err(|unreadable| {
                let raw = std::str::from_utf8(unreadable.raw).unwrap();
                format!("{}: {raw}", unreadable.reason)
            })
        };
        Ok(elements.into_iter().map(tell).collect())
    }

    #[test]
    fn says_why_it_cannot_be_read() {
        let reason = |body| read(body).unwrap_err();
        assert_eq!(reason(""), "not JSON at line 1 column 1: empty");
        assert_eq!(reason("7"), "expected an object");
        assert_eq!(reason("{}"), "an object without members");
        for nothing in [
            r#"{"score":null}"#,
            r#"{"identity_id":" ","ext_data":{"device_ip":""}}"#,
        ] {
            assert_eq!(reason(nothing), "an object whose members are all empty");
        }
        assert_eq!(reason("[1,"), "not JSON at line 1 column 3, in a list");
        assert_eq!(
            reason("{'score':1}"),
            "not JSON at line 1 column 2: unexpected text"
        );
        let members: Vec<String> = (0..=1000).map(|n| format!("\"{n}\":0")).collect();
        assert_eq!(
            read(&format!("{{{}}}", members.join(","))).unwrap_err(),
            "more than 1000 members in one object"
        );
        let list = format!("[{}0]", "0,".repeat(10_000));
        assert_eq!(
            read(&list).unwrap_err(),
            "more than 10000 records in one list"
        );
    }

    #[test]
    fn an_unreadable_element_leaves_the_others() {
        assert_eq!(read("[]"), Ok(vec![]));
        assert_eq!(
            read(r#"[{"score":1}, 7 ,{},{"score":2}]"#),
            Ok(vec![
                Ok(()),
                Err("expected an object: 7".into()),
                Err("an object without members: {}".into()),
                Ok(())
            ])
        );
    }
}
