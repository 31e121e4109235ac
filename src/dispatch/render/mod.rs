//! An event as one outbound sees it: pictures as it wants them, fields that it may not see taken out, in its format, with
//! its address and headers. One of the two places that open the fence around personal data.

mod batch;
mod labels;
mod pictures;

use bytes::Bytes;
use faceway_core::{Code, Lease, Message, Private, Scope, Verdict};
use faceway_rules::{Format, FormatError, OutboundPlan, Projection};

use crate::context::Context;
use batch::Array;
pub(super) use batch::BATCH_BYTES_MAX;
use labels::{Labelled, Labels};
use pictures::Pictures;

/// Renders events for one outbound.
pub(super) struct Renderer {
    labels: Labels,
    pictures: Pictures,
    projection: Projection,
    format: Format,
    /// Media type of an array of events, where this outbound takes several in one message.
    array: Option<&'static str>,
}

/// What became of events that are to leave together.
pub(super) struct Rendered {
    /// The message, or the verdict of the first event when none can be made of it.
    pub(super) message: Result<Message, Verdict>,
    /// So many events, from the first, are in it or have that verdict.
    pub(super) events: usize,
}

/// Why an event cannot be rendered.
#[derive(Debug, PartialEq, Eq)]
enum RenderError {
    /// The spool could not give a picture now.
    Picture,
    /// The stored event is no JSON object: only a defect of ours can do that.
    Event,
    /// The template fails for it.
    Template,
    /// Its address is longer than the protocol can carry.
    Address,
}

impl Renderer {
    pub(super) fn new(plan: &OutboundPlan, context: &Context) -> Self {
        Self {
            labels: Labels::of(&plan.protocol),
            pictures: Pictures::new(plan, context),
            projection: plan.common.projection.clone(),
            array: match plan.common.batch_max {
                0 | 1 => None,
                _ => plan.common.format.batch_content_type(),
            },
            format: plan.common.format.clone(),
        }
    }

    /// Makes one message of as many of the events as go into it, at least of the first. `leases` is not empty, and has
    /// one event only where the outbound takes one in a message.
    pub(super) async fn render(&self, leases: &[Lease]) -> Rendered {
        let rendered = |message, events| Rendered { message, events };
        let Some(content_type) = self.array else {
            return match leases.first() {
                Some(lease) => rendered(self.one(lease).await, 1),
                None => rendered(Err(bury("unreadable")), 0),
            };
        };
        let mut array = Array::new(content_type);
        for lease in leases {
            let taken = match self.one(lease).await {
                Ok(message) => array.take(message),
                Err(verdict) if array.is_empty() => return rendered(Err(verdict), 1),
                Err(_) => false,
            };
            if !taken {
                // It is the first of the next message, and so has a verdict of its own.
                break;
            }
        }
        let events = array.len();
        let message = array.into_message();
        rendered(message.ok_or_else(|| bury("unreadable")), events)
    }

    /// Makes the message of one event, or the verdict when that is not possible.
    async fn one(&self, lease: &Lease) -> Result<Message, Verdict> {
        self.message(lease).await.map_err(|error| match error {
            RenderError::Picture => Verdict::Retry {
                scope: Scope::Message,
                code: Code::word("picture"),
                after: None,
            },
            RenderError::Event => bury("unreadable"),
            RenderError::Template => bury("template"),
            RenderError::Address => bury("address"),
        })
    }

    async fn message(&self, lease: &Lease) -> Result<Message, RenderError> {
        let stored = lease.body.reveal();
        let Labelled {
            kind,
            address,
            mut headers,
        } = self.labels.label(stored)?;
        let event = self.event(stored).await?;
        let trace = lease.trace_context.as_ref();
        let written = self.format.write(&event, trace)?;
        headers.extend(self.labels.attributes(written.attributes));
        self.labels.add_trace(&mut headers, trace);
        let body = written.body.map_or(event, Bytes::from);
        Ok(Message {
            id: lease.id,
            kind: kind.into(),
            device: lease.device,
            received_at: lease.received_at,
            address,
            headers,
            content_type: written.content_type,
            body: Private::new(body),
        })
    }

    /// The canonical event as this outbound may see it: as stored where nothing is to change, else with only the changed
    /// members written anew.
    async fn event(&self, stored: &Bytes) -> Result<Bytes, RenderError> {
        let body = self.pictures.put(stored, &self.projection).await?;
        projected(&self.projection, body)
    }
}

fn projected(projection: &Projection, body: Bytes) -> Result<Bytes, RenderError> {
    if projection.is_all() {
        return Ok(body);
    }
    let applied = projection.apply(&body).map_err(|_| RenderError::Event)?;
    Ok(applied.into())
}

const fn bury(word: &'static str) -> Verdict {
    Verdict::Bury {
        code: Code::word(word),
    }
}

impl From<FormatError> for RenderError {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::NotAnEvent => Self::Event,
            FormatError::Template => Self::Template,
        }
    }
}
