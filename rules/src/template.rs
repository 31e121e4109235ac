//! Placeholders: `faceway/{inbound}/{device.id}/{kind}`.

use faceway_core::schema::FieldKind;
use serde_json::Value;

use crate::Field;

/// A text with fields of the event in it. Two of the same text are equal.
#[derive(Clone, Debug, Default)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Field(Field),
}

/// What is wrong with a template, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// First byte of the text that it is about.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// Whether a placeholder was meant, and not a brace as a character.
    pub(crate) meant: bool,
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Template {
    /// Reads a text with placeholders.
    ///
    /// # Errors
    /// A brace without its other half; a field that the event does not have, or that has no one value.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(brace) = text[at..].find(['{', '}']) {
            let open = at + brace;
            let close = text[open..].find('}').map(|close| open + close);
            let (Some(close), true) = (close, text[open..].starts_with('{')) else {
                return Err(half(text, open));
            };
            parts.push(Part::Text(text[at..open].into()));
            parts.push(Part::Field(placeholder(text, open + 1, close)?));
            at = close + 1;
        }
        parts.push(Part::Text(text[at..].into()));
        Ok(Self {
            text: text.into(),
            parts,
        })
    }

    /// Whether there is a placeholder in it.
    pub fn has_fields(&self) -> bool {
        self.fields().next().is_some()
    }

    /// The fields that it names.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field),
            Part::Text(_) => None,
        })
    }

    /// What it says for every event.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Field(_) => None,
        })
    }

    /// The text for an event. An absent field becomes `-`; a character of a field for which `escape` is true, because it
    /// has a meaning where the text is used, becomes `_`, as do control characters and what is no character.
    pub fn render(&self, event: &Value, escape: impl Fn(char) -> bool) -> String {
        self.fill(event, |out, text| {
            out.extend(text.chars().map(|char| match char {
                char if faceway_core::is_unsendable(char) || escape(char) => '_',
                char => char,
            }));
        })
    }

    /// The text for an event; `put` writes what a field has into it. An absent field becomes `-`.
    pub fn fill(&self, event: &Value, put: impl Fn(&mut String, &str)) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(field) => match text_of(field, event) {
                    None => out.push('-'),
                    Some(text) => put(&mut out, &text),
                },
            }
        }
        out
    }
}

/// A brace without its other half. Beside the name of a field it was meant for a placeholder.
fn half(text: &str, brace: usize) -> TemplateError {
    let (before, after) = (&text[..brace], &text[brace + 1..]);
    let path = match text[brace..].starts_with('{') {
        true => after.split(|char| !in_path(char)).next(),
        false => before.rsplit(|char| !in_path(char)).next(),
    };
    let path = path.filter(|path| is_field(path));
    TemplateError {
        start: brace,
        end: brace + 1,
        message: "a brace without its other half".into(),
        help: format!(
            "write a placeholder like `{{{}}}`",
            path.unwrap_or("device.id")
        ),
        meant: path.is_some(),
    }
}

fn in_path(char: char) -> bool {
    char.is_ascii_alphanumeric() || "._".contains(char)
}

/// Whether a path is that of a field, or nearly.
fn is_field(path: &str) -> bool {
    let group = path.split_once('.').map(|(group, _)| group);
    Field::find(path).is_some() || group.is_some_and(|group| Field::find(group).is_some())
}

fn placeholder(text: &str, start: usize, end: usize) -> Result<Field, TemplateError> {
    let path = &text[start..end];
    let error = |message: String, help: String| TemplateError {
        start,
        end,
        message,
        help,
        meant: (!path.is_empty() && path.chars().all(in_path))
            // `{device.id, {kind}`: the first is not closed.
            || path.split(|char| !in_path(char)).next().is_some_and(is_field),
    };
    let Some(field) = Field::find(path) else {
        let message = format!("the event has no field `{path}`");
        return Err(error(message, Field::help(path)));
    };
    if field.kind == FieldKind::Object {
        let members = Field::members(path).join(", ");
        let message = format!("`{path}` is a group of fields");
        return Err(error(message, format!("name one of its fields: {members}")));
    }
    if field.many && !path.starts_with("vendor.") {
        let message = format!("`{path}` may have several values");
        return Err(error(message, "name a field that has one".into()));
    }
    Ok(field)
}

fn text_of(field: &Field, event: &Value) -> Option<String> {
    let text = match field.values(event).as_slice() {
        [Value::String(text)] => text.clone(),
        [Value::Number(number)] => number.to_string(),
        [Value::Bool(bool)] => bool.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Template;

    #[test]
    fn absent_fields_and_meaningful_characters() {
        let event = json!({
            "kind": "recognition", "device": { "id": "a/b+c#d" }, "match": { "score": 0.5 },
            "vendor": { "n": 5, "list": [1, 2] }, "object": { "attributes": { "mask": { "value": "worn" } } },
        });
        let render = |text: &str| {
            let template = Template::parse(text).unwrap();
            template.render(&event, |char| "/+#".contains(char))
        };
        assert_eq!(render("x/{device.id}/{kind}"), "x/a_b_c_d/recognition");
        assert_eq!(render("{person.id}"), "-");
        assert_eq!(render("{match.score} {vendor.n} {vendor.list}"), "0.5 5 -");
        assert_eq!(render("{object.attributes.mask}"), "worn");
        assert_eq!(render("plain"), "plain");
    }

    #[test]
    fn wrong_placeholders_are_named() {
        for (text, start, message) in [
            ("a{device.ip}", 2, "the event has no field `device.ip`"),
            ("a{device}", 2, "`device` is a group of fields"),
            (
                "{person.groups.id}",
                1,
                "`person.groups.id` may have several values",
            ),
            ("a}b", 1, "a brace without its other half"),
            ("a{b", 1, "a brace without its other half"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert_eq!((error.start, error.message.as_str()), (start, message));
        }
    }
}
