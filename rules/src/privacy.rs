//! Which personal field reaches which outbound, by what the file says. No event is asked.

use serde::Serialize;

use crate::{Field, Format, Images, OutboundPlan};

/// What an outbound can learn of persons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Privacy {
    /// Its name.
    pub outbound: String,
    /// Its protocol.
    pub protocol: &'static str,
    /// The fields that reach it, in the order of their paths.
    pub fields: Vec<Reaching>,
}

/// A field that reaches an outbound when an event has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reaching {
    /// Its path. `images` stands for the pictures, `object.attributes` for those in the vendor's own words.
    pub field: String,
    /// Where it is: `body`, `topic`, `routing key`, `header x-name`. Of pictures: `inside`, `link`, `vendor's link`.
    pub by: Vec<String>,
}

/// The row of the pictures.
const IMAGES: &str = "images";

impl OutboundPlan {
    /// What this outbound can learn of persons.
    pub fn privacy(&self) -> Privacy {
        let reaching = |field: String| {
            let by = self.ways(&field);
            (!by.is_empty()).then_some(Reaching { field, by })
        };
        Privacy {
            outbound: self.name.clone(),
            protocol: self.protocol.name(),
            fields: Privacy::rows().into_iter().filter_map(reaching).collect(),
        }
    }

    fn ways(&self, path: &str) -> Vec<String> {
        let hidden = |path| {
            let field = Field::find(path);
            field.is_none_or(|field| self.common.projection.hides(&field))
        };
        let written = match &self.common.format {
            Format::Template(template) => names(&template.fields(), path),
            Format::Canonical | Format::CloudEvents | Format::CloudEventsBinary => true,
        };
        if path == IMAGES {
            let url = written && !hidden("images.url");
            return Vec::from_iter(url.then(|| self.pictures().to_owned()));
        }
        let body = written && !hidden(path);
        let mut ways = Vec::from_iter(body.then(|| "body".to_owned()));
        let asks = |field: &Field| field.path == path;
        let address = self.protocol.address().zip(self.protocol.kind().address);
        if let Some((_, declared)) = address.filter(|(address, _)| address.fields().any(asks)) {
            ways.push(declared.called.to_owned());
        }
        let headers = self.protocol.headers().into_iter();
        let headers = headers.filter(|(_, template)| template.fields().any(asks));
        ways.extend(headers.map(|(name, _)| format!("header {name}")));
        ways
    }

    const fn pictures(&self) -> &'static str {
        match self.common.images {
            Images::None => "vendor's link",
            Images::Url => "link",
            Images::Inline => "inside",
        }
    }
}

impl Privacy {
    /// Every row that there can be: the personal fields of the schema, and the pictures.
    pub fn rows() -> Vec<String> {
        let fields = Field::all().into_iter();
        let personal = fields.filter(|field| field.personal && !is_part_of_attribute(&field.path));
        let mut rows: Vec<_> = personal.map(|field| field.path.clone()).collect();
        rows.push(IMAGES.to_owned());
        rows.sort();
        rows
    }

    /// How a field reaches this outbound; nothing when it does not.
    pub fn by(&self, field: &str) -> &[String] {
        let found = self.fields.iter().find(|reaching| reaching.field == field);
        found.map_or(&[], |reaching| reaching.by.as_slice())
    }
}

/// An attribute's row stands for its value and its confidence.
fn is_part_of_attribute(path: &str) -> bool {
    let attribute = path.strip_prefix("object.attributes.");
    attribute.is_some_and(|attribute| attribute.contains('.'))
}

/// Whether a template that names these can write the field: it names the field, the group that it is in, or a part of it.
fn names(named: &[String], path: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    // The rest of the attributes has a row of its own, which a known one does not touch.
    let group = path == "object.attributes";
    named.iter().any(|name| {
        name == "event"
            || name.starts_with("event.")
            || within(path, name)
            || (!group && within(name, path))
    })
}
