//! An event as one outbound sees it: pictures as it wants them, fields that it may not see taken out, in its format, with
//! its address and headers. One of the two places that open the fence around personal data.

mod labels;
mod pictures;

use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{Code, Lease, Message, Private, Scope, Spool, Verdict};
use faceway_rules::{Format, FormatError, OutboundPlan, Projection};

use crate::link::Links;
use labels::{Labelled, Labels};
use pictures::Pictures;

/// Renders events for one outbound.
pub(super) struct Renderer {
    labels: Labels,
    pictures: Pictures,
    projection: Projection,
    format: Format,
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
    pub(super) fn new(plan: &OutboundPlan, links: Arc<Links>, spool: Arc<dyn Spool>) -> Self {
        Self {
            labels: Labels::of(&plan.protocol),
            pictures: Pictures::new(plan, links, spool),
            projection: plan.common.projection.clone(),
            format: plan.common.format.clone(),
        }
    }

    /// Makes the message, or the verdict when that is not possible.
    pub(super) async fn render(&self, lease: &Lease) -> Result<Message, Verdict> {
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
        let written = self.format.write(&event)?;
        headers.extend(self.labels.attributes(written.attributes));
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
