//! The contract of duties: what one gateway at a time does for all gateways of a log.
//!
//! A lane is worked, a source dialled and a terminal looked after by one gateway at a time. An engine that one gateway has to
//! itself gives every duty at once and for ever: that is what the methods do that it does not write.

use std::sync::Arc;

use bytes::Bytes;

use crate::{BoxFuture, SpoolError, Timestamp};

/// What one gateway at a time does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// Works the lane of this outbound.
    Lane(Arc<str>),
    /// Dials the source of this inbound.
    Source(Arc<str>),
    /// Keeps the subscriptions of this inbound's terminals.
    Terminals(Arc<str>),
    /// Trims the log. The engine's own: no one else takes it.
    Janitor,
}

impl Duty {
    /// Its kind, in one word: for records, metrics and lists.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Lane(_) => "lane",
            Self::Source(_) => "source",
            Self::Terminals(_) => "terminals",
            Self::Janitor => "janitor",
        }
    }

    /// Which one of its kind; empty where there is one only.
    pub fn name(&self) -> &str {
        match self {
            Self::Lane(name) | Self::Source(name) | Self::Terminals(name) => name,
            Self::Janitor => "",
        }
    }

    /// The duty of this kind and name; `None` when no kind is called so.
    pub fn of(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "lane" => Some(Self::Lane(name.into())),
            "source" => Some(Self::Source(name.into())),
            "terminals" => Some(Self::Terminals(name.into())),
            "janitor" => Some(Self::Janitor),
            _ => None,
        }
    }
}

/// Gives duties to gateways. Every call can fail or wait, as a network may lie between.
pub trait Duties: Send + Sync + 'static {
    /// Waits until this gateway has the duty, for as long as it takes: while another one has it, and while that cannot be
    /// known. Dropping the future takes the wish back. A gateway asks for a duty once at a time.
    fn take(&self, duty: Duty) -> BoxFuture<'_, Box<dyn Held>> {
        let _ = duty;
        Box::pin(std::future::ready(Box::new(ForEver) as _))
    }

    /// This gateway's name; `None` where it has the log to itself.
    fn gateway(&self) -> Option<&str> {
        None
    }

    /// Who has which duty, by kind and name; only duties that a gateway has. At most a second old.
    fn owners(&self) -> BoxFuture<'_, Result<Vec<Owner>, SpoolError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Hands a question to the gateway that has this duty, and gives its answer. Both are texts of the gateway; the engine does
    /// not read them.
    fn ask(&self, duty: &Duty, question: Bytes) -> BoxFuture<'_, Result<Bytes, AskError>> {
        let _ = (duty, question);
        Box::pin(std::future::ready(Err(AskError::NoOwner)))
    }

    /// The next question that another gateway asks of this one. It never ends where none can come. One caller at a time.
    fn asked(&self) -> BoxFuture<'_, Question> {
        Box::pin(std::future::pending())
    }

    /// How this gateway stands to the others; `None` where it has the log to itself. Cheap: asked at every scrape.
    fn health(&self) -> Option<SiteHealth> {
        None
    }

    /// The gateways and servers of the site; `None` where one gateway has the log to itself.
    fn site(&self) -> BoxFuture<'_, Result<Option<Site>, SpoolError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// A duty that this gateway has. Dropped without [`Held::release`] it is given back all the same, somewhat later.
pub trait Held: Send + Sync {
    /// Resolves when another gateway is to have it: finish what is in flight, keep it, and [release](Held::release) it. At once
    /// where that is so already.
    fn wanted(&self) -> BoxFuture<'_, ()>;

    /// Resolves when it is gone, or this gateway cannot know: stop at once, as another one may be at work. At once where that is
    /// so already.
    fn lost(&self) -> BoxFuture<'_, ()>;

    /// Gives the duty back when its work has ended: another gateway may take it at once.
    fn release(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// A duty that never ends: the gateway has the log to itself.
pub struct ForEver;

impl Held for ForEver {
    fn wanted(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn lost(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Who has a duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Which duty.
    pub duty: Duty,
    /// Name of the gateway.
    pub gateway: String,
    /// Whether it is this gateway.
    pub is_here: bool,
    /// Since when, by the owner's clock.
    pub since: Timestamp,
}

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AskError {
    /// No other gateway has the duty.
    #[error("no other gateway has this duty now")]
    NoOwner,
    /// The owner did not answer: it may have done what it was asked, or not.
    #[error("the gateway that has this duty does not answer")]
    Silent,
    /// The cluster does not answer.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// A question of another gateway.
pub struct Question {
    /// The duty that it is about.
    pub duty: Duty,
    /// What the other gateway wrote.
    pub text: Bytes,
    /// Takes the answer to it.
    pub answer: Box<dyn FnOnce(Bytes) + Send>,
}

/// How a gateway stands to the others of its site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteHealth {
    /// Whether the cluster answers.
    pub is_connected: bool,
    /// Whether every server proves that it syncs what it acknowledges; `false` also where that is not asked.
    pub is_synced: bool,
    /// Gateways that live, as this one knows.
    pub members: usize,
    /// Whether this gateway trims the log: it alone tells what the site takes up.
    pub is_janitor: bool,
    /// How long the end of the log has not been known, in milliseconds.
    pub seen_lag_ms: u64,
}

/// The gateways and servers of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// What the servers have to prove, in one word: `synced` or `relaxed`.
    pub durability: &'static str,
    /// Gateways that live, by name.
    pub members: Vec<Member>,
    /// Servers, by name.
    pub servers: Vec<Server>,
    /// Streams.
    pub streams: Vec<StreamUse>,
}

/// A gateway of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub gateway: String,
    /// Whether it is this one.
    pub is_here: bool,
    /// Its release.
    pub version: String,
    /// When it started, by its own clock.
    pub since: Timestamp,
    /// Where links to pictures lead.
    pub public_url: String,
    /// [`crate::Mark::version`] of the rules that it knows.
    pub rules: u64,
}

/// A server of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its release.
    pub version: String,
    /// Whether it has proved that it syncs; `None` where it was not asked, or did not answer.
    pub is_synced: Option<bool>,
}

/// What a stream takes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamUse {
    /// Its name.
    pub name: String,
    /// Bytes in it, each counted once.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// The server that leads it; `None` while none does.
    pub leader: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::Duty;

    #[test]
    fn a_duty_is_found_by_its_kind_and_name() {
        for duty in [
            Duty::Lane("erp".into()),
            Duty::Source("yard".into()),
            Duty::Terminals("gate".into()),
            Duty::Janitor,
        ] {
            assert_eq!(Duty::of(duty.kind(), duty.name()), Some(duty));
        }
        assert_eq!(Duty::of("door", "x"), None);
    }
}
