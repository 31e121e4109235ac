//! Pictures in an event: as signed links, or inside it as far as its payload may grow.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use faceway_core::{Log, Members, Raw, Rest, Sha256};
use faceway_rules::{Field, Images, OutboundPlan, Projection};
use serde_json::value::RawValue;

use super::{RenderError, projected};
use crate::context::Context;
use crate::link::Links;

/// What an envelope and the members of a picture's entry take beside the picture, in bytes.
const MARGIN_BYTES: u64 = 1024;

/// Puts pictures into the events of one outbound.
pub(super) struct Pictures {
    images: Images,
    /// What a payload may have; a picture that would make it larger is sent as a link.
    bytes_max: Option<u64>,
    links: Arc<Links>,
    log: Arc<dyn Log>,
    outbound: String,
    told: AtomicBool,
}

impl Pictures {
    pub(super) fn new(plan: &OutboundPlan, context: &Context) -> Self {
        let hidden = Field::find("images.url");
        let hidden = hidden.is_some_and(|url| plan.common.projection.hides(&url));
        Self {
            // A picture that the receiver does not see is not read.
            images: if hidden {
                Images::None
            } else {
                plan.common.images
            },
            bytes_max: plan.protocol.payload_bytes_max(),
            links: Arc::clone(&context.links),
            log: Arc::clone(&context.log),
            outbound: plan.name.clone(),
            told: AtomicBool::new(false),
        }
    }

    /// The event with a way to each of its pictures. `projection` is not applied, but counts for what there is room for.
    pub(super) async fn put(
        &self,
        stored: &Bytes,
        projection: &Projection,
    ) -> Result<Bytes, RenderError> {
        if self.images == Images::None {
            return Ok(stored.clone());
        }
        let room = match (self.images, self.bytes_max) {
            (Images::Inline, Some(most)) => {
                let bare = projected(projection, stored.clone())?.len() as u64;
                most.saturating_sub(bare + MARGIN_BYTES)
            }
            _ => u64::MAX,
        };
        self.with_pictures(stored, room).await
    }

    async fn with_pictures(&self, stored: &Bytes, mut room: u64) -> Result<Bytes, RenderError> {
        let text = std::str::from_utf8(stored).map_err(|_| RenderError::Event)?;
        let mut event = Members::parse(text).map_err(|_| RenderError::Event)?;
        let Some(images) = event.peek("images") else {
            return Ok(stored.clone());
        };
        let images: Vec<&RawValue> =
            serde_json::from_str(images.get()).map_err(|_| RenderError::Event)?;
        let mut linked = Vec::with_capacity(images.len());
        for image in images {
            linked.push(self.with_url(image, &mut room).await?);
        }
        event.drop("images");
        event.put("images", Rest::Owned(raw(&linked)?));
        serde_json::to_vec(&event)
            .map(Bytes::from)
            .map_err(|_| RenderError::Event)
    }

    /// An entry of `images` with a way to its picture. A vendor's own link stays what it is.
    async fn with_url<'a>(
        &self,
        image: &'a RawValue,
        room: &mut u64,
    ) -> Result<Members<'a>, RenderError> {
        let mut image = Members::of(image).ok_or(RenderError::Event)?;
        let Some(sha256) = image
            .peek("sha256")
            .and_then(text)
            .and_then(|text| text.parse().ok())
        else {
            return Ok(image);
        };
        let media_type = image.peek("media_type").and_then(text);
        let bytes = image
            .peek("bytes")
            .and_then(|bytes| bytes.get().parse().ok());
        let url = match self.images {
            Images::Inline if bytes.is_some_and(|bytes| inlined(bytes) > *room) => {
                Some(self.link_instead(sha256))
            }
            Images::Inline => self.inline(sha256, media_type.as_deref(), room).await?,
            Images::None | Images::Url => Some(self.links.sign(sha256)),
        };
        if let Some(url) = url {
            image.put("url", Rest::Owned(raw(&url)?));
        }
        Ok(image)
    }

    /// A `data:` URL, or a link when there is no room for it; none when the picture has left the spool by its age.
    async fn inline(
        &self,
        sha256: Sha256,
        media_type: Option<&str>,
        room: &mut u64,
    ) -> Result<Option<String>, RenderError> {
        let picture = self.log.picture(sha256).await;
        let Some(bytes) = picture.map_err(|_| RenderError::Picture)? else {
            return Ok(None);
        };
        let size = inlined(bytes.size() as u64);
        let Some(left) = room.checked_sub(size) else {
            return Ok(Some(self.link_instead(sha256)));
        };
        *room = left;
        let media_type = media_type.unwrap_or("application/octet-stream");
        let encoded = STANDARD.encode(bytes.reveal());
        Ok(Some(format!("data:{media_type};base64,{encoded}")))
    }

    fn link_instead(&self, sha256: Sha256) -> String {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                outbound = self.outbound,
                "a picture does not fit into payload_bytes_max and is sent as a link, as will be others; this is told once"
            );
        }
        self.links.sign(sha256)
    }
}

/// What so many bytes take as base64, with the words before it.
const fn inlined(bytes: u64) -> u64 {
    bytes.div_ceil(3).saturating_mul(4).saturating_add(64)
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>, RenderError> {
    serde_json::value::to_raw_value(value).map_err(|_| RenderError::Event)
}

fn text(value: Raw<'_>) -> Option<Cow<'_, str>> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use faceway_core::{Batch, DeviceKey, NewEvent, Picture, Private, RecordKey, Timestamp};
    use faceway_rules::parse;
    use faceway_testkit::clock::TestClock;
    use faceway_testkit::memory::{MemoryDisk, MemorySpool};
    use serde_json::Value;

    use super::*;

    /// Bytes of the pictures, in the order of the event.
    const SIZES: [usize; 3] = [600, 40_000, 900];

    async fn log() -> (Arc<MemorySpool>, Bytes) {
        let pictures: Vec<_> = SIZES
            .iter()
            .map(|size| {
                let bytes = Bytes::from(vec![7; *size]);
                Picture {
                    sha256: Sha256::of(&bytes),
                    media_type: None,
                    bytes: Private::new(bytes),
                }
            })
            .collect();
        let images: Vec<_> = pictures
            .iter()
            .map(|picture| serde_json::json!({ "role": "face", "sha256": picture.sha256.to_string() }))
            .collect();
        let event = serde_json::json!({ "kind": "alarm", "images": images, "vendor": { "x": "y".repeat(9000) } });
        let body = Bytes::from(event.to_string());
        let new = NewEvent {
            id: RecordKey::weak(&["1"]).id("a", faceway_core::Timestamp::from_seconds(0).unwrap()),
            device: DeviceKey::new("a", "b"),
            received_at: Timestamp::from_seconds(1).unwrap(),
            images: pictures.iter().map(|picture| picture.sha256).collect(),
            trace_context: None,
            body: Private::new(body.clone()),
        };
        let batch = Batch {
            events: vec![new],
            pictures,
            ..Batch::default()
        };
        let log = MemoryDisk::default().open();
        log.append(batch).await.unwrap();
        (log, body)
    }

    /// How each picture is sent: `data`, `http`, or not at all.
    async fn sent(outbound: &str) -> Vec<String> {
        let (log, body) = log().await;
        let plan = parse(outbound, "routes.toml", &crate::config::grammar()).unwrap();
        let plan = &plan.outbounds[0];
        let clock = Arc::new(TestClock::default());
        let context = Context::for_tests(&log, clock);
        let pictures = Pictures::new(plan, &context);
        let put = pictures.put(&body, &plan.common.projection).await;
        let put = put.unwrap_or_else(|_| panic!("not put"));
        let event: Value = serde_json::from_slice(&put).unwrap();
        let images = event["images"].as_array().unwrap().iter();
        let scheme = |image: &Value| {
            let url = image["url"].as_str().unwrap_or("none");
            url.split(':').next().unwrap().to_owned()
        };
        images.map(scheme).collect()
    }

    #[tokio::test]
    async fn a_picture_without_room_becomes_a_link() {
        let outbound = |more: &str| {
            let text = format!(
                "[outbound.amqp.a]\nurl = \"amqp://b\"\nexchange = \"e\"\nimages = \"inline\"\n{more}"
            );
            async move { sent(&text).await }
        };
        assert_eq!(outbound("").await, ["data", "data", "data"]);
        let small = "payload_bytes_max = \"16KiB\"";
        assert_eq!(outbound(small).await, ["data", "http", "data"]);
        // What the outbound may not see leaves its room to pictures.
        let tight = "payload_bytes_max = \"5KiB\"";
        assert_eq!(outbound(tight).await, ["http", "http", "http"]);
        let omitted = format!("{tight}\nomit = [\"vendor\"]");
        assert_eq!(outbound(&omitted).await, ["data", "http", "data"]);
    }

    #[tokio::test]
    async fn pictures_that_nobody_sees_are_not_read() {
        let webhook = "[outbound.webhook.a]\nurl = \"http://b\"\nimages = \"inline\"\n";
        assert_eq!(sent(webhook).await, ["data", "data", "data"]);
        let hidden = format!("{webhook}omit = [\"images.url\"]");
        assert_eq!(sent(&hidden).await, ["none", "none", "none"]);
    }
}
