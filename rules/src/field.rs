//! The fields of the event that rules, placeholders and `omit` can name.

use std::collections::HashMap;
use std::sync::LazyLock;

use faceway_core::schema::{self, FieldKind, OPEN_PATHS};
use serde_json::Value;

use crate::suggest;

/// A field of the event, found by its path.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its path: `person.groups.id`.
    pub path: String,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it tells something about a person, so that its value is not shown.
    pub personal: bool,
    /// Whether it may have several values, because a list lies on its path.
    pub many: bool,
    /// One line about it.
    pub about: String,
    /// Whether it is itself a list.
    pub(crate) list: bool,
    /// Smallest and greatest value of a number.
    pub(crate) range: Option<(f64, f64)>,
    /// Where its value is: an attribute's own path means its `value`.
    pub(crate) segments: Vec<String>,
}

const ATTRIBUTES: &str = "object.attributes.";

static FIELDS: LazyLock<HashMap<String, Field>> = LazyLock::new(|| {
    let event = schema::event();
    let fields = schema::fields().into_iter();
    fields
        .map(|field| (field.path.clone(), Field::known(field, &event)))
        .collect()
});

impl Field {
    /// The field at `path`; `None` when the event has none.
    pub fn find(path: &str) -> Option<Self> {
        FIELDS.get(path).cloned().or_else(|| Self::open(path))
    }

    /// What could be meant by an unknown path.
    pub(crate) fn help(path: &str) -> String {
        let mut paths: Vec<_> = FIELDS.keys().map(String::as_str).collect();
        paths.sort_unstable();
        let near = suggest::nearest(path, paths.iter().copied()).or_else(|| by_last(path, &paths));
        match near {
            Some(near) => format!("did you mean `{near}`? `faceway schema event` prints all"),
            None => {
                let top = paths.into_iter().filter(|path| !path.contains('.'));
                let top: Vec<_> = top.collect();
                format!("fields begin with: {}", top.join(", "))
            }
        }
    }

    /// The members of an object.
    pub(crate) fn members(path: &str) -> Vec<&'static str> {
        let below = FIELDS.keys().filter_map(|known| {
            known
                .strip_prefix(path)?
                .strip_prefix('.')
                .filter(|rest| !rest.contains('.'))
        });
        let mut below: Vec<_> = below.collect();
        below.sort_unstable();
        below
    }

    /// Every field of the schema, by path.
    pub(crate) fn all() -> Vec<&'static Field> {
        let mut all: Vec<_> = FIELDS.values().collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    /// Whether any value of the field in `event` satisfies `test`. Absent: none does.
    pub(crate) fn any(&self, event: &Value, mut test: impl FnMut(&Value) -> bool) -> bool {
        any(event, &self.segments, &mut test)
    }

    /// The field's values in `event`: none when it is absent, several for a field of a list.
    pub(crate) fn values<'e>(&self, event: &'e Value) -> Vec<&'e Value> {
        let mut values = Vec::new();
        collect(event, &self.segments, &mut values);
        values
    }

    fn known(field: schema::Field, event: &Value) -> Self {
        let (property, list) = property(&field.path, event);
        let bound = |name: &str| property?.get(name)?.as_f64();
        let range = bound("minimum").zip(bound("maximum"));
        let open = OPEN_PATHS.contains(&field.path.as_str());
        Self {
            segments: segments(&field.path),
            kind: if open { FieldKind::Object } else { field.kind },
            personal: field.personal || open,
            many: field.many,
            about: field.about,
            list,
            range,
            path: field.path,
        }
    }

    /// A further name below an open path: a vendor's own.
    fn open(path: &str) -> Option<Self> {
        let open = OPEN_PATHS.iter().any(|open| {
            path.strip_prefix(open)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|rest| rest.split('.').all(|name| !name.is_empty()))
        });
        let (kind, range) = match path
            .strip_prefix(ATTRIBUTES)
            .map(|rest| rest.split_once('.'))
        {
            Some(Some((_, "confidence"))) => (FieldKind::Number, Some((0.0, 1.0))),
            None | Some(None | Some((_, "value"))) => (FieldKind::Any, None),
            Some(Some(_)) => return None,
        };
        open.then(|| Self {
            path: path.into(),
            kind,
            personal: true,
            many: path.starts_with("vendor."),
            about: "In the vendor's own words.".into(),
            list: false,
            range,
            segments: segments(path),
        })
    }
}

fn segments(path: &str) -> Vec<String> {
    let mut segments: Vec<_> = path.split('.').map(str::to_owned).collect();
    if path
        .strip_prefix(ATTRIBUTES)
        .is_some_and(|name| !name.contains('.'))
    {
        segments.push("value".into());
    }
    segments
}

/// The schema of a field's value, and whether the field is itself a list.
fn property<'e>(path: &str, event: &'e Value) -> (Option<&'e Value>, bool) {
    let mut at = Some(event);
    let mut list = false;
    for name in segments(path) {
        let property = at.and_then(|at| at.get("properties")?.get(&name));
        let items = property.and_then(|property| property.get("items"));
        list = items.is_some();
        at = items.or(property);
    }
    (at, list)
}

/// The one field whose last name is meant: `category` for `person.category`.
fn by_last<'a>(path: &str, paths: &[&'a str]) -> Option<&'a str> {
    let last = path.rsplit('.').next()?;
    let named = paths
        .iter()
        .filter(|known| known.rsplit('.').next() == Some(last));
    named.min_by_key(|known| known.len()).copied()
}

fn any(value: &Value, segments: &[String], test: &mut impl FnMut(&Value) -> bool) -> bool {
    match value {
        // What a vendor leaves as null says nothing.
        Value::Null => false,
        Value::Array(items) => items.iter().any(|item| any(item, segments, test)),
        _ => match segments.split_first() {
            None => test(value),
            Some((first, rest)) => value
                .get(first)
                .is_some_and(|member| any(member, rest, test)),
        },
    }
}

fn collect<'e>(value: &'e Value, segments: &[String], values: &mut Vec<&'e Value>) {
    match value {
        Value::Null => {}
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect(item, segments, values)),
        _ => match segments.split_first() {
            None => values.push(value),
            Some((first, rest)) => {
                if let Some(member) = value.get(first) {
                    collect(member, rest, values);
                }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let field = |path: &str| Field::find(path).unwrap_or_else(|| panic!("{path}"));
        assert!(field("person.groups").list);
        assert!(!field("person.groups.id").list);
        assert_eq!(field("match.score").range, Some((0.0, 1.0)));
        assert_eq!(
            field("object.attributes.mask").segments.last().unwrap(),
            "value"
        );
        assert_eq!(field("object.attributes.hat").kind, FieldKind::Any);
        assert_eq!(
            field("object.attributes.hat.confidence").kind,
            FieldKind::Number
        );
        assert_eq!(field("vendor.data.uuid").kind, FieldKind::Any);
        assert!(field("vendor.data.uuid").personal);
        for unknown in [
            "",
            "persn",
            "vendor.",
            "vendor..x",
            "object.attributes.hat.x",
            "person.x",
        ] {
            assert!(Field::find(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn help_finds_the_last_name() {
        assert!(Field::help("category").contains("`person.category`"));
        assert!(Field::help("person.categroy").contains("`person.category`"));
    }
}
