//! The suite of the spool contract: every engine passes it.
//!
//! ```ignore
//! #[tokio::test]
//! async fn keeps_the_contract() {
//!     let open: Box<Open> = Box::new(|dir| Box::pin(async move { Ok(Arc::new(open_it(dir).await?) as _) }));
//!     faceway_testkit::spool::all(&*open).await.unwrap();
//! }
//! ```
//!
//! Each function is one promise of `core/src/spool.rs`. Times are made up: the suite never waits for the clock.

pub mod keep;
pub mod lanes;
pub mod model;
pub mod order;
pub mod repairs;
pub mod watched;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use faceway_core::{
    Attempt, AttemptResult, Batch, BoxFuture, Code, DeviceKey, EventId, Lane, Lease, NewEvent,
    Parked, Private, Receipt, Repair, Settled, Settlement, Spool, Start, Timestamp,
};

pub use model::random_walk;
pub use watched::Watched;

/// Both sides of an engine.
pub trait Engine: Spool + Repair {}

impl<T: Spool + Repair> Engine for T {}

/// Opens an engine on a directory, again with what an earlier one has left there.
pub type Open =
    dyn Fn(PathBuf) -> BoxFuture<'static, anyhow::Result<Arc<dyn Engine>>> + Send + Sync;

/// Every promise, one after another.
///
/// # Errors
/// The first that does not hold, by name.
pub async fn all(open: &Open) -> anyhow::Result<()> {
    macro_rules! promises {
        ($($room:ident :: $name:ident),* $(,)?) => {
            $($room::$name(&mut Bench::new(open).await?).await.context(stringify!($name))?;)*
        };
    }
    promises! {
        keep::receipts_ascend,
        keep::empty_batches_are_fine,
        keep::duplicates_are_kept_once,
        keep::duplicates_at_the_same_time_are_kept_once,
        keep::another_content_of_a_record_is_a_conflict,
        keep::the_newest_of_a_record_is_known,
        keep::a_trace_context_comes_back_with_its_event,
        keep::unreadable_is_kept,
        keep::pictures_are_kept,
        keep::changes_are_told,
        keep::room_is_told,
        keep::newest_divides_earlier_from_later,
        keep::notes_are_kept,
        lanes::lanes_begin_where_they_are_told,
        lanes::leases_last_until_settled,
        lanes::lanes_are_independent,
        lanes::opening_again_gives_back,
        lanes::what_was_not_settled_comes_again,
        lanes::settlements_of_others_are_void,
        lanes::surveys_count,
        lanes::surveys_tell_where_the_rest_begins,
        lanes::what_passed_is_remembered,
        order::released_comes_first,
        order::parked_blocks_its_device_only,
        order::behind_follow_in_order,
        order::parked_again_sends_back,
        order::probes_count_nothing_and_wake,
        order::parked_survives,
        order::buried_lets_go_on,
        order::a_blocked_device_holds_up_nobody,
        repairs::buried_are_listed,
        repairs::buried_are_dropped,
        repairs::revived_come_again,
        repairs::what_is_taken_back_comes_first,
        repairs::replay_hands_out_once_more,
        repairs::stories_tell_everything,
        repairs::lanes_are_dropped,
    }
    for seed in 1..=4 {
        random_walk(open, seed, 400)
            .await
            .with_context(|| format!("random walk {seed}"))?;
    }
    Ok(())
}

/// An engine in a directory of its own, and short words for what tests do with it.
pub struct Bench<'a> {
    open: &'a Open,
    dir: tempfile::TempDir,
    spool: Option<Arc<dyn Engine>>,
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

/// The numbers of leased events.
pub fn numbers(leases: &[Lease]) -> Vec<u64> {
    leases.iter().map(|lease| number(lease.id)).collect()
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

/// Parked until `until` because it failed alone.
pub fn alone(until: Timestamp) -> Settled {
    Settled::Park {
        until,
        why: Parked::Alone,
    }
}

/// Buried.
pub fn bury(code: &'static str) -> Settled {
    Settled::Bury {
        code: Code::word(code),
    }
}

impl<'a> Bench<'a> {
    /// A new engine.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn new(open: &'a Open) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let spool = open(dir.path().join("spool")).await?;
        Ok(Self {
            open,
            dir,
            spool: Some(spool),
        })
    }

    /// The engine.
    ///
    /// # Errors
    /// When it did not open again.
    pub fn spool(&self) -> anyhow::Result<&Arc<dyn Engine>> {
        self.spool.as_ref().context("the engine is not open")
    }

    /// Closes it and opens it again.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn reopen(&mut self) -> anyhow::Result<()> {
        self.spool()?.close().await;
        self.spool = None;
        self.spool = Some((self.open)(self.dir.path().join("spool")).await?);
        Ok(())
    }

    /// Keeps events.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn append(&self, events: Vec<NewEvent>) -> anyhow::Result<Vec<Receipt>> {
        let batch = Batch {
            events,
            ..Batch::default()
        };
        Ok(self.spool()?.append(batch).await?)
    }

    /// Keeps event `n` of `device` for each pair, one after another.
    ///
    /// # Errors
    /// When one is refused or taken for a duplicate.
    pub async fn fill(&self, events: &[(u64, u64)]) -> anyhow::Result<()> {
        let events: Vec<NewEvent> = events
            .iter()
            .map(|(n, device)| event(*n, *device))
            .collect();
        let receipts = self.append(events).await?;
        ensure!(
            receipts
                .iter()
                .all(|receipt| matches!(receipt, Receipt::Appended(_))),
            "{receipts:?}"
        );
        Ok(())
    }

    /// Opens a lane that begins with the oldest event.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn lane(&self, name: &str) -> anyhow::Result<Lane> {
        Ok(self.spool()?.open_lane(name, Start::Oldest).await?)
    }

    /// Leases and checks that each event is what was kept.
    ///
    /// # Errors
    /// When the engine fails, or hands out something else or in another order.
    pub async fn lease(
        &self,
        lane: Lane,
        max: usize,
        now: Timestamp,
    ) -> anyhow::Result<Vec<Lease>> {
        let leases = self.spool()?.lease(lane, max, now).await?;
        ensure!(leases.len() <= max, "more than asked for");
        ensure!(
            leases.is_sorted_by_key(|lease| lease.seq),
            "not the lowest first"
        );
        for lease in &leases {
            let n = number(lease.id);
            // The suite wrote it and there is nothing personal in it.
            ensure!(
                lease.body.reveal()[..] == *body(n).as_bytes(),
                "event {n} has another body"
            );
            ensure!(lease.received_at == time(n), "event {n} has another time");
        }
        Ok(leases)
    }

    /// Leases and gives the numbers.
    ///
    /// # Errors
    /// As [`Bench::lease`].
    pub async fn take(&self, lane: Lane, max: usize, now: Timestamp) -> anyhow::Result<Vec<u64>> {
        Ok(numbers(&self.lease(lane, max, now).await?))
    }

    /// Settles one lease.
    ///
    /// # Errors
    /// When the engine is not open.
    pub fn settle(&self, lane: Lane, lease: &Lease, outcome: Settled) -> anyhow::Result<()> {
        self.tell(lane, lease, outcome, None)
    }

    /// Settles one lease after an attempt.
    ///
    /// # Errors
    /// When the engine is not open.
    pub fn tell(
        &self,
        lane: Lane,
        lease: &Lease,
        outcome: Settled,
        attempt: Option<Attempt>,
    ) -> anyhow::Result<()> {
        let settlement = Settlement {
            seq: lease.seq,
            outcome,
            attempt,
        };
        self.spool()?.settle(lane, vec![settlement]);
        Ok(())
    }

    /// Settles all of them as through.
    ///
    /// # Errors
    /// When the engine is not open.
    pub fn done(&self, lane: Lane, leases: &[Lease]) -> anyhow::Result<()> {
        leases
            .iter()
            .try_for_each(|lease| self.settle(lane, lease, Settled::Done))
    }
}
