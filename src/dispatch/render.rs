//! An event as one outbound sees it: pictures as it wants them, fields that it may not see taken out. One of the two
//! places that open the fence around personal data.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use faceway_core::{Code, Lease, Members, Message, Private, Rest, Scope, Sha256, Spool, Verdict};
use faceway_rules::{Images, Projection};
use serde_json::value::RawValue;

use crate::link::Links;

/// Renders events for one outbound.
pub(super) struct Renderer {
    pub(super) images: Images,
    pub(super) projection: Projection,
    pub(super) links: Arc<Links>,
    pub(super) spool: Arc<dyn Spool>,
}

/// Why an event cannot be rendered.
enum RenderError {
    /// The spool could not give a picture now.
    Picture,
    /// The stored event is no JSON object: only a defect of ours can do that.
    Event,
}

impl Renderer {
    /// Makes the message, or the verdict when that is not possible.
    pub(super) async fn render(&self, lease: &Lease) -> Result<Message, Verdict> {
        let body = self.body(lease).await.map_err(|error| match error {
            RenderError::Picture => Verdict::Retry {
                scope: Scope::Message,
                code: Code::word("picture"),
                after: None,
            },
            RenderError::Event => Verdict::Bury {
                code: Code::word("unreadable"),
            },
        })?;
        Ok(Message {
            id: lease.id,
            kind: kind(lease).ok_or(Verdict::Bury {
                code: Code::word("unreadable"),
            })?,
            device: lease.device,
            received_at: lease.received_at,
            address: Private::default(),
            headers: Vec::new(),
            content_type: "application/json",
            body: Private::new(body),
        })
    }

    /// As stored where nothing is to change, else with only the changed members written anew.
    async fn body(&self, lease: &Lease) -> Result<Bytes, RenderError> {
        let stored = lease.body.reveal();
        let body = match self.images {
            Images::None => stored.clone(),
            Images::Url | Images::Inline => self.with_pictures(stored).await?,
        };
        if self.projection.is_all() {
            return Ok(body);
        }
        self.projection
            .apply(&body)
            .map(Bytes::from)
            .map_err(|_| RenderError::Event)
    }

    async fn with_pictures(&self, stored: &Bytes) -> Result<Bytes, RenderError> {
        let text = std::str::from_utf8(stored).map_err(|_| RenderError::Event)?;
        let mut event = Members::parse(text).map_err(|_| RenderError::Event)?;
        let Some(images) = event.peek("images") else {
            return Ok(stored.clone());
        };
        let images: Vec<&RawValue> =
            serde_json::from_str(images.get()).map_err(|_| RenderError::Event)?;
        let mut linked = Vec::with_capacity(images.len());
        for image in images {
            linked.push(self.with_url(image).await?);
        }
        event.drop("images");
        event.put("images", Rest::Owned(raw(&linked)?));
        serde_json::to_vec(&event)
            .map(Bytes::from)
            .map_err(|_| RenderError::Event)
    }

    /// An entry of `images` with a way to its picture. A vendor's own link stays what it is.
    async fn with_url<'a>(&self, image: &'a RawValue) -> Result<Members<'a>, RenderError> {
        let mut image = Members::of(image).ok_or(RenderError::Event)?;
        let Some(sha256) = image
            .peek("sha256")
            .and_then(text)
            .and_then(|text| text.parse().ok())
        else {
            return Ok(image);
        };
        let media_type = image.peek("media_type").and_then(text);
        let url = match self.images {
            Images::Inline => self.inline(sha256, media_type.as_deref()).await?,
            Images::None | Images::Url => Some(self.links.sign(sha256)),
        };
        if let Some(url) = url {
            image.put("url", Rest::Owned(raw(&url)?));
        }
        Ok(image)
    }

    /// A `data:` URL; none when the picture has left the spool by its age.
    async fn inline(
        &self,
        sha256: Sha256,
        media_type: Option<&str>,
    ) -> Result<Option<String>, RenderError> {
        let picture = self
            .spool
            .picture(sha256)
            .await
            .map_err(|_| RenderError::Picture)?;
        let media_type = media_type.unwrap_or("application/octet-stream");
        Ok(picture.map(|bytes| {
            format!(
                "data:{media_type};base64,{}",
                STANDARD.encode(bytes.reveal())
            )
        }))
    }
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>, RenderError> {
    serde_json::value::to_raw_value(value).map_err(|_| RenderError::Event)
}

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str(value.get()).ok()
}

/// The event's `kind`, which rules and receivers know.
fn kind(lease: &Lease) -> Option<Cow<'static, str>> {
    #[derive(serde::Deserialize)]
    struct Tag {
        kind: String,
    }
    serde_json::from_slice::<Tag>(lease.body.reveal())
        .ok()
        .map(|tag| Cow::Owned(tag.kind))
}
