//! Invented events of every kind, with everything that an event can have and with as little as it may have.

use faceway_core::schema;
use serde_json::{Map, Value};

/// Text that every format must escape.
const TEXT: &str = "O\"Neil \\ <b> & 'ü'\n";
const TIME: &str = "2026-11-22T08:00:00.000Z";

/// Invented events.
pub(crate) struct Samples {
    /// With everything.
    full: Value,
    /// The paths of what may be absent, parents first.
    optional: Vec<Vec<String>>,
}

/// One of them.
pub(crate) struct Sample {
    /// What it is, for errors: "an event of kind `alarm` without `person.name`".
    pub(crate) about: String,
    /// The event.
    pub(crate) event: Value,
}

impl Samples {
    pub(crate) fn new() -> Self {
        let mut optional = Vec::new();
        let full = build(&schema::event(), &mut Vec::new(), &mut optional);
        Self { full, optional }
    }

    /// The kinds of events.
    pub(crate) fn kinds() -> Vec<String> {
        let kind = crate::Field::find("kind").map(|field| field.kind);
        match kind {
            Some(schema::FieldKind::Word(words)) => words,
            _ => Vec::new(),
        }
    }

    /// With everything, of this kind.
    pub(crate) fn full(&self, kind: &str) -> Sample {
        let mut event = self.full.clone();
        event["kind"] = kind.into();
        let about = format!("an event of kind `{kind}`");
        Sample { about, event }
    }

    /// With nothing that may be absent, of this kind.
    pub(crate) fn least(&self, kind: &str) -> Sample {
        let Sample { mut event, about } = self.full(kind);
        for path in self.optional.iter().filter(|path| path.len() == 1) {
            remove(&mut event, path);
        }
        let about = format!("{about} that tells nothing else");
        Sample { about, event }
    }

    /// With everything but one field each, as far as they are in one of these groups (or one of these themselves).
    pub(crate) fn lacking<'s>(
        &'s self,
        kind: &'s str,
        groups: &'s [String],
    ) -> impl Iterator<Item = Sample> + 's {
        let asked = |path: &&Vec<String>| path.first().is_some_and(|first| groups.contains(first));
        self.optional.iter().filter(asked).map(move |path| {
            let Sample { mut event, about } = self.full(kind);
            remove(&mut event, path);
            let about = format!("{about} without `{}`", path.join("."));
            Sample { about, event }
        })
    }
}

fn build(schema: &Value, path: &mut Vec<String>, optional: &mut Vec<Vec<String>>) -> Value {
    if let Some(items) = schema.get("items") {
        return Value::Array(vec![build(items, path, optional)]);
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return scalar(schema);
    };
    let required = schema.get("required").and_then(Value::as_array);
    let mut object = Map::new();
    for (name, property) in properties {
        path.push(name.clone());
        if !required.is_some_and(|required| required.iter().any(|known| known == name.as_str())) {
            optional.push(path.clone());
        }
        object.insert(name.clone(), build(property, path, optional));
        path.pop();
    }
    Value::Object(object)
}

fn scalar(schema: &Value) -> Value {
    let first = |words: &Value| words.get(0).cloned();
    let word = schema
        .get("const")
        .cloned()
        .or_else(|| schema.get("enum").and_then(first))
        .or_else(|| schema.get("oneOf")?.get(0)?.get("const").cloned());
    if let Some(word) = word {
        return word;
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string")
            if schema
                .get("format")
                .is_some_and(|format| format == "date-time") =>
        {
            TIME.into()
        }
        Some("string") => TEXT.into(),
        Some("number" | "integer") => 1.into(),
        Some("boolean") => true.into(),
        // What the vendor sent.
        _ => Value::Object(Map::new()),
    }
}

fn remove(value: &mut Value, path: &[String]) {
    match (value, path) {
        (Value::Array(items), _) => items.iter_mut().for_each(|item| remove(item, path)),
        (Value::Object(members), [last]) => {
            members.remove(last);
        }
        (Value::Object(members), [first, rest @ ..]) => {
            if let Some(member) = members.get_mut(first) {
                remove(member, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn samples_are_events() {
        let samples = Samples::new();
        let full = samples.full("alarm").event;
        assert_eq!(full["kind"], "alarm");
        assert!(full["match"]["candidates"][0]["person"]["name"].is_string());
        assert!(full["object"]["attributes"]["mask"]["value"].is_string());
        let least = samples.least("alarm").event;
        let names: Vec<_> = least.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 6, "{names:?}");
        let groups = ["person".to_owned()];
        let lacking: Vec<_> = samples.lacking("alarm", &groups).collect();
        assert!(
            lacking
                .iter()
                .any(|sample| sample.about.ends_with("`person.groups.id`")
                    && sample.event["person"]["groups"][0].get("id").is_none()
                    && sample.event["person"]["groups"][0].get("name").is_some())
        );
        assert!(
            lacking
                .iter()
                .all(|sample| sample.about.contains("`person"))
        );
    }
}
