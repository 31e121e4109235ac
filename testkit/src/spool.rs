//! The suite of the contracts of the spool: every engine passes it, and the parts of it are samples for other tests.
//!
//! ```ignore
//! #[tokio::test]
//! async fn keeps_the_contracts() {
//!     let open: Box<Open<dyn Engine>> = Box::new(|dir| Box::pin(async move { Ok(Arc::new(open_it(dir).await?) as _) }));
//!     faceway_testkit::spool::all(&*open).await.unwrap();
//! }
//! ```
//!
//! Each function of [`log`], [`lanes`] and [`history`] is one promise of `core/src/log.rs`, `core/src/lane_store.rs` or
//! `core/src/history.rs`. Times are made up: the suite never waits for the clock.

pub mod history;
pub mod lanes;
pub mod log;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use faceway_core::{
    Attempt, AttemptResult, Batch, BoxFuture, Claim, Code, DeviceKey, EventId, History, LaneState,
    LaneStore, Log, NewEvent, NewUnreadable, Private, ReadMax, Receipt, Start, Timestamp,
    TraceContext,
};

/// A log with lanes.
pub trait LaneEngine: Log + LaneStore {}

impl<T: Log + LaneStore + ?Sized> LaneEngine for T {}

/// A whole engine.
pub trait Engine: LaneEngine + History {}

impl<T: LaneEngine + History> Engine for T {}

/// Opens an engine on a directory, again with what an earlier one has left there.
pub type Open<E> = dyn Fn(PathBuf) -> BoxFuture<'static, anyhow::Result<Arc<E>>> + Send + Sync;

/// Every promise, one after another.
///
/// # Errors
/// The first that does not hold, by name.
pub async fn all<E: Engine + ?Sized>(open: &Open<E>) -> anyhow::Result<()> {
    log::all(open).await?;
    lanes::all(open).await?;
    history::all(open).await
}

macro_rules! promises {
    ($open:ident: $($name:ident),* $(,)?) => {
        $($name(&mut $crate::spool::Bench::new($open).await?).await.context(stringify!($name))?;)*
    };
}
pub(crate) use promises;

/// An engine in a directory of its own, and short words for what tests do with it.
pub struct Bench<'a, E: ?Sized> {
    open: &'a Open<E>,
    dir: tempfile::TempDir,
    engine: Option<Arc<E>>,
}

/// More than any promise appends.
const MANY: ReadMax = ReadMax {
    entries: 1000,
    bytes: 1 << 20,
};

impl<'a, E: LaneEngine + ?Sized> Bench<'a, E> {
    async fn new(open: &'a Open<E>) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let engine = Some(open(dir.path().join("spool")).await?);
        Ok(Self { open, dir, engine })
    }

    fn engine(&self) -> anyhow::Result<&Arc<E>> {
        self.engine.as_ref().context("the engine is not open")
    }

    /// Closes it and opens it again.
    async fn reopen(&mut self) -> anyhow::Result<()> {
        if let Some(engine) = self.engine.take() {
            engine.close().await;
        }
        self.engine = Some((self.open)(self.dir.path().join("spool")).await?);
        Ok(())
    }

    /// Appends the events with these numbers, of three devices in turn; gives their sequence numbers.
    async fn append(&self, numbers: impl IntoIterator<Item = u64>) -> anyhow::Result<Vec<u64>> {
        let events = numbers.into_iter().map(|n| event(n, n % 3)).collect();
        let receipts = self.append_events(events).await?;
        let seqs = receipts
            .iter()
            .map(|receipt| receipt.seq().context("it is new"));
        seqs.collect()
    }

    async fn append_events(&self, events: Vec<NewEvent>) -> anyhow::Result<Vec<Receipt>> {
        let batch = Batch {
            events,
            ..Batch::default()
        };
        Ok(self.engine()?.append(batch).await?)
    }

    async fn claim(&self, name: &str) -> anyhow::Result<(Claim, LaneState)> {
        Ok(self.engine()?.claim(name, Start::Oldest).await?)
    }

    /// Events 1 to 3 are in the log, and the lane of erp is claimed; gives their sequence numbers and the claim.
    async fn three_for_erp(&self) -> anyhow::Result<(Vec<u64>, Claim)> {
        let seqs = self.append(1..=3).await?;
        let (claim, _) = self.claim("erp").await?;
        Ok((seqs, claim))
    }

    async fn look(&self, name: &str) -> anyhow::Result<LaneState> {
        self.engine()?
            .look(name)
            .await?
            .context("there is such a lane")
    }
}

/// The moment of the made-up clock at which event 0 came in; event `n` came `n` seconds later.
const START: i64 = 1_790_000_000_000;

/// When event `n` came in.
pub fn time(n: u64) -> Timestamp {
    let start = Timestamp::from_millis(START).unwrap_or_else(|_| unreachable!());
    start.plus_millis(n.cast_signed() * 1000)
}

/// The event with this number, of this device.
pub fn event(n: u64, device: u64) -> NewEvent {
    NewEvent {
        id: id(n),
        device: DeviceKey(device),
        received_at: time(n),
        images: Vec::new(),
        trace_context: None,
        body: Private::new(body(n).into()),
    }
}

/// The same, with the context of a trace.
pub fn traced(n: u64, device: u64) -> NewEvent {
    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\nvendor=1";
    NewEvent {
        trace_context: TraceContext::stored(context),
        ..event(n, device)
    }
}

/// A body that could not be read.
pub fn unreadable(inbound: &str, body: impl Into<Bytes>) -> NewUnreadable {
    NewUnreadable {
        inbound: inbound.to_owned(),
        received_at: time(0),
        reason: "not JSON".into(),
        headers: Private::new("{}".into()),
        body: Private::new(body.into()),
    }
}

/// The id of event `n`.
pub fn id(n: u64) -> EventId {
    EventId::from_bytes((u128::from(n) << 64 | 0x5eed).to_be_bytes())
}

/// The id of event `n` when it is sent with another content.
pub fn another_id(n: u64, content: u8) -> EventId {
    EventId::from_bytes((u128::from(n) << 64 | u128::from(content) << 24 | 0x5eed).to_be_bytes())
}

/// What event `n` says.
pub fn body(n: u64) -> String {
    format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(100))
}

/// The number of an event.
pub fn number(id: EventId) -> u64 {
    (u128::from_be_bytes(*id.as_bytes()) >> 64) as u64
}

/// An attempt that ended at `at`.
pub fn attempt(at: Timestamp, result: AttemptResult, code: &'static str) -> Attempt {
    Attempt {
        at,
        took: std::time::Duration::from_millis(7),
        result,
        code: Code::word(code),
    }
}
