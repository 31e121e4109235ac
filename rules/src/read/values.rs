//! A whole table at once, for the crates that declare its keys.

use faceway_core::outbound_kind::{At, Finding, Weight};
use faceway_core::{Key, Shape, TlsFiles, Value, Values};

use crate::diagnostic::Span;

use super::Table;

impl Table<'_> {
    /// The values of these keys of the table, each by its shape. What is wrong is reported, and so are unknown keys of
    /// tables within. Templates and headers are not read, as they are checked against the event.
    pub(crate) fn values(&self, keys: &[Key]) -> Values {
        let mut values = Values::default();
        for key in keys {
            if self.get(key.name).is_some() {
                values.add(key.name, self.value(key));
            }
        }
        values
    }

    fn value(&self, key: &Key) -> Option<Value> {
        let name = key.name;
        match key.shape {
            Shape::TextOrEmpty if self.get(name)?.text() == Some("") => {
                Some(Value::Text(String::new()))
            }
            Shape::Text | Shape::TextOrEmpty | Shape::Path => {
                self.text(name).map(|text| Value::Text(text.to_owned()))
            }
            Shape::Url(_) => self.url(name).map(Value::Text),
            Shape::UrlOrTable(schemes, keys) => self.url_or_table(name, schemes, keys),
            Shape::Bool => self.bool(name).map(Value::Bool),
            Shape::Whole { .. } | Shape::Numbers(_) => self.whole(name).map(Value::Whole),
            Shape::Duration { .. } => self.duration(name).map(Value::Duration),
            Shape::Bytes { .. } => self.bytes(name).map(Value::Bytes),
            Shape::Word(_) | Shape::WordSoFar { .. } => {
                self.word(name).map(|word| Value::Text(word.to_owned()))
            }
            Shape::Texts => {
                let texts = self.texts(name)?.into_iter();
                Some(Value::Texts(
                    texts.map(|(text, _)| text.to_owned()).collect(),
                ))
            }
            Shape::Words(_) => self.words(name).map(Value::Texts),
            Shape::Secret => self.secret(name).map(Value::Secret),
            Shape::Secrets => self.secrets(name).map(Value::Secrets),
            Shape::Tls => self.tls(name).map(Value::Tls),
            Shape::Table(keys) => self.within(name, keys),
            Shape::Template | Shape::Headers { .. } | Shape::Own(_) => None,
        }
    }

    fn within(&self, name: &'static str, keys: &[Key]) -> Option<Value> {
        let table = self.table(name)?;
        let values = table.values(keys);
        table.finish();
        Some(Value::Table(values))
    }

    fn url_or_table(&self, name: &'static str, schemes: &[&str], keys: &[Key]) -> Option<Value> {
        let node = self.get(name)?;
        if node.text().is_some() {
            return self.url(name).map(Value::Text);
        }
        if node.entries().is_some() {
            return self.within(name, keys);
        }
        let example = |key: &Key| match key.shape {
            Shape::Secret => format!("{} = {{ env = \"NAME\" }}", key.name),
            _ => format!("{} = \"…\"", key.name),
        };
        let examples: Vec<_> = keys.iter().map(example).collect();
        let help = format!(
            "write `{name} = \"{}://host:port\"`, or `{name} = {{ {} }}`",
            schemes.first().unwrap_or(&"http"),
            examples.join(", ")
        );
        let message = format!("`{name}` is neither a URL nor a table");
        self.reporter().error(node.span, message, help);
        None
    }

    /// The files of a `tls` ([`Shape::Tls`]).
    pub fn tls(&self, key: &'static str) -> Option<TlsFiles> {
        let table = self.table(key)?;
        let (ca, cert, key) = (table.path("ca"), table.path("cert"), table.path("key"));
        let halves = (table.get("cert").is_some(), table.get("key").is_some());
        if halves.0 != halves.1 {
            let message = "`cert` and `key` belong together";
            let missing = if halves.0 { "key" } else { "cert" };
            let help = format!("add `{missing}`");
            table.reporter().absent(table.span(), message, help);
        }
        table.finish();
        Some(TlsFiles {
            ca,
            client: cert.zip(key),
        })
    }

    /// Reports what the crate that declares the keys has found in their values.
    pub(crate) fn report(&self, found: Vec<Finding>) {
        let reporter = self.reporter();
        for finding in found {
            let span = self.place(&finding);
            match finding.weight {
                Weight::Error => reporter.error(span, finding.message, finding.help),
                Weight::Absent => reporter.absent(span, finding.message, finding.help),
                Weight::Warning => reporter.warning(span, finding.message, finding.help),
            }
        }
    }

    fn place(&self, finding: &Finding) -> Span {
        let mut at = (self.span(), self.entries());
        for name in &finding.path {
            let Some(entry) = at.1.iter().find(|entry| entry.key == *name) else {
                break;
            };
            at = (entry.node.span, entry.node.entries().unwrap_or_default());
        }
        let entry = |key: &str| at.1.iter().find(|entry| entry.key == key);
        let place = match finding.at {
            At::Value(key) => entry(key).map(|entry| entry.node.span),
            At::Key(key) => entry(key).map(|entry| entry.span),
            At::Table => None,
        };
        place.unwrap_or(at.0)
    }
}
