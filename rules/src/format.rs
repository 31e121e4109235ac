//! How an event is written for an outbound.

mod cloudevents;
mod json;
pub(crate) mod sample;
mod template;

use faceway_core::TraceContext;

pub use template::TemplateFile;

/// How an event is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The canonical event.
    #[default]
    Canonical,
    /// CloudEvents 1.0, structured: the event is the `data` of a JSON object.
    CloudEvents,
    /// CloudEvents 1.0, binary: the event is the body, its attributes go beside it.
    CloudEventsBinary,
    /// By a template.
    Template(TemplateFile),
}

/// An event, written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What is sent; `None` = the canonical event as it is.
    pub body: Option<Vec<u8>>,
    /// Its media type.
    pub content_type: &'static str,
    /// What goes beside it, as name and value: the attributes of CloudEvents without any prefix.
    pub attributes: Vec<(&'static str, String)>,
}

/// Why an event cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is not an event: only a defect of ours can do that.
    #[error("not the JSON of an event")]
    NotAnEvent,
    /// The template fails for it.
    #[error("the template fails for this event")]
    Template,
}

impl Format {
    /// The file that it is read from, as written in `routes.toml`.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Template(file) => Some(file.name()),
            Self::Canonical | Self::CloudEvents | Self::CloudEventsBinary => None,
        }
    }

    /// Writes an event that an outbound may see as it is here, and that belongs to this trace.
    ///
    /// # Errors
    /// When it is no event, or the template fails for it.
    pub fn write(
        &self,
        event: &[u8],
        trace: Option<&TraceContext>,
    ) -> Result<Written, FormatError> {
        match self {
            Self::Canonical => Ok(Written {
                body: None,
                content_type: JSON,
                attributes: Vec::new(),
            }),
            Self::CloudEvents => cloudevents::structured(event, trace),
            Self::CloudEventsBinary => cloudevents::binary(event, trace),
            Self::Template(template) => {
                let body = template
                    .render(event)
                    .map_err(|_| FormatError::Template)?
                    .into_bytes();
                Ok(Written {
                    body: Some(body),
                    content_type: template.content_type(),
                    attributes: Vec::new(),
                })
            }
        }
    }

    /// Media type of a JSON array of events in this format; `None` where several events cannot go together.
    pub const fn batch_content_type(&self) -> Option<&'static str> {
        match self {
            Self::Canonical => Some(JSON),
            // https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, section 4
            Self::CloudEvents => Some("application/cloudevents-batch+json"),
            Self::CloudEventsBinary | Self::Template(_) => None,
        }
    }

    /// What `routes.toml` calls it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::CloudEvents => "cloudevents",
            Self::CloudEventsBinary => "cloudevents-binary",
            Self::Template(_) => "template",
        }
    }
}

pub(crate) const JSON: &str = "application/json";
