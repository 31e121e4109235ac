//! The suite of the contracts of log and lane store, as a lane needs them: every engine passes it.
//!
//! ```ignore
//! #[tokio::test]
//! async fn keeps_the_contract_of_lanes() {
//!     let open: Box<OpenStore> = Box::new(|dir| Box::pin(async move { Ok(Arc::new(open_it(dir).await?) as _) }));
//!     faceway_testkit::lanes::all(&*open).await.unwrap();
//! }
//! ```
//!
//! Each function is one promise of `core/src/lane_store.rs` or `core/src/log.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use faceway_core::{
    Attempt, AttemptResult, Batch, BoxFuture, Burial, Claim, Code, CommitError, DeviceKey,
    HeldEvent, Hold, LaneChange, LaneState, LaneStore, Log, Parked, Passed, ReadMax, Replay, Start,
    waiting,
};

use crate::spool::{event, id, time};

/// A log with lanes.
pub trait LaneEngine: Log + LaneStore {}

impl<T: Log + LaneStore> LaneEngine for T {}

/// Opens an engine on a directory, again with what an earlier one has left there.
pub type OpenStore =
    dyn Fn(PathBuf) -> BoxFuture<'static, anyhow::Result<Arc<dyn LaneEngine>>> + Send + Sync;

/// Every promise, one after another.
///
/// # Errors
/// The first that does not hold, by name.
pub async fn all(open: &OpenStore) -> anyhow::Result<()> {
    macro_rules! promises {
        ($($name:ident),* $(,)?) => {
            $($name(&mut Store::new(open).await?).await.context(stringify!($name))?;)*
        };
    }
    promises! {
        entries_are_read_in_their_order,
        reading_keeps_its_limits,
        entries_are_fetched,
        the_tail_moves,
        spans_are_found,
        lanes_begin_where_they_are_told,
        changes_are_kept,
        a_change_committed_twice_does_no_harm,
        the_next_claim_fences,
        a_deleted_lane_fences,
        looking_claims_nothing,
        burials_keep_their_event,
        a_revived_event_is_there_again,
        a_dropped_burial_is_gone,
        lanes_are_independent,
    }
    Ok(())
}

/// An engine in a directory of its own.
pub struct Store<'a> {
    open: &'a OpenStore,
    dir: tempfile::TempDir,
    engine: Option<Arc<dyn LaneEngine>>,
}

impl<'a> Store<'a> {
    async fn new(open: &'a OpenStore) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let engine = Some(open(dir.path().to_owned()).await?);
        Ok(Self { open, dir, engine })
    }

    fn engine(&self) -> anyhow::Result<&Arc<dyn LaneEngine>> {
        self.engine.as_ref().context("it is open")
    }

    async fn reopen(&mut self) -> anyhow::Result<()> {
        if let Some(engine) = self.engine.take() {
            engine.close().await;
        }
        self.engine = Some((self.open)(self.dir.path().to_owned()).await?);
        Ok(())
    }

    /// Appends events with these numbers, all of another device; gives their sequence numbers.
    async fn append(&self, numbers: impl IntoIterator<Item = u64>) -> anyhow::Result<Vec<u64>> {
        let events = numbers.into_iter().map(|n| event(n, n % 3)).collect();
        let batch = Batch {
            events,
            ..Batch::default()
        };
        let receipts = self.engine()?.append(batch).await?;
        let seqs = receipts
            .iter()
            .map(|receipt| receipt.seq().context("it is new"));
        seqs.collect()
    }

    async fn claim(&self, name: &str) -> anyhow::Result<(Claim, LaneState)> {
        Ok(self.engine()?.claim(name, Start::Oldest).await?)
    }

    async fn look(&self, name: &str) -> anyhow::Result<LaneState> {
        self.engine()?
            .look(name)
            .await?
            .context("there is such a lane")
    }
}

const MANY: ReadMax = ReadMax {
    entries: 1000,
    bytes: 1 << 20,
};

/// A change in which these events wait.
fn waits(through: u64, seqs: &[u64]) -> LaneChange {
    let mut ranges: std::collections::BTreeMap<u64, Vec<(u64, DeviceKey)>> = Default::default();
    for seq in seqs {
        let range = ranges.entry(waiting::range_of(*seq)).or_default();
        range.push((*seq, DeviceKey(seq % 3)));
    }
    let encode = |(range, events): (u64, Vec<_>)| (range, Some(waiting::encode(range, &events)));
    LaneChange {
        routed_through: through,
        waiting: ranges.into_iter().map(encode).collect(),
        ..LaneChange::default()
    }
}

fn burial(code: u16) -> Burial {
    Burial {
        at: time(50),
        code: Code::status(code),
        failures: 2,
    }
}

/// Each entry once, ascending, and what was appended comes back.
pub async fn entries_are_read_in_their_order(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=20).await?;
    store.reopen().await?;
    let stretch = store.engine()?.read(0, u64::MAX, MANY).await?;
    ensure!(
        stretch
            .entries
            .iter()
            .map(|entry| entry.seq)
            .eq(seqs.iter().copied())
    );
    ensure!(stretch.through_seq >= seqs[19], "{}", stretch.through_seq);
    for (n, entry) in (1..).zip(&stretch.entries) {
        let appended = event(n, n % 3);
        ensure!(entry.id == id(n) && entry.device == appended.device);
        ensure!(entry.received_at == appended.received_at);
        ensure!(entry.body.reveal() == appended.body.reveal());
    }
    let rest = store.engine()?.read(seqs[4], seqs[9], MANY).await?;
    ensure!(
        rest.entries
            .iter()
            .map(|entry| entry.seq)
            .eq(seqs[5..10].iter().copied())
    );
    ensure!(rest.through_seq == seqs[9]);
    Ok(())
}

/// Pieces make the whole, whatever the limits are.
pub async fn reading_keeps_its_limits(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=20).await?;
    for max in [
        ReadMax {
            entries: 3,
            bytes: 1 << 20,
        },
        ReadMax {
            entries: 100,
            bytes: 1,
        },
    ] {
        let (mut after, mut read) = (0, Vec::new());
        while after < seqs[19] {
            let stretch = store.engine()?.read(after, u64::MAX, max).await?;
            ensure!(stretch.through_seq > after, "it does not go on");
            ensure!(stretch.entries.len() <= max.entries);
            read.extend(stretch.entries.iter().map(|entry| entry.seq));
            after = stretch.through_seq;
        }
        ensure!(read == seqs, "{read:?}");
    }
    Ok(())
}

/// In the order in which they are asked for.
pub async fn entries_are_fetched(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=5).await?;
    let asked = vec![seqs[3], seqs[4] + 1000, seqs[0]];
    let fetched = store.engine()?.fetch(asked).await?;
    let ids: Vec<_> = fetched
        .iter()
        .map(|entry| entry.as_ref().map(|entry| entry.id))
        .collect();
    ensure!(ids == [Some(id(4)), None, Some(id(1))]);
    Ok(())
}

/// The tail is the last entry, and whoever watches it hears of every move.
pub async fn the_tail_moves(store: &mut Store<'_>) -> anyhow::Result<()> {
    let engine = Arc::clone(store.engine()?);
    ensure!(engine.tail() == 0);
    let watch = engine.watch_tail(0);
    let seqs = store.append(1..=3).await?;
    let tail = watch.await;
    ensure!(tail == seqs[2] && engine.tail() == tail);
    ensure!(
        engine.watch_tail(seqs[1]).await == tail,
        "it resolves at once"
    );
    store.reopen().await?;
    ensure!(store.engine()?.tail() >= tail);
    Ok(())
}

/// Also where a clock was set back.
pub async fn spans_are_found(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append([1, 2, 9, 3, 4, 5]).await?;
    let span = store.engine()?.span(time(3), time(5)).await?;
    ensure!(
        span.first_seq <= seqs[3] && span.through_seq >= seqs[4],
        "{span:?}"
    );
    ensure!(span.events == 2, "{span:?}");
    let none = store.engine()?.span(time(100), time(200)).await?;
    ensure!(none.events == 0, "{none:?}");
    Ok(())
}

/// `Now` behind all that is there, `Oldest` before it; a lane that is there goes on where it was.
pub async fn lanes_begin_where_they_are_told(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=3).await?;
    let engine = Arc::clone(store.engine()?);
    let (_, now) = engine.claim("now", Start::Now).await?;
    ensure!(now.routed_through >= seqs[2]);
    let (_, oldest) = engine.claim("oldest", Start::Oldest).await?;
    ensure!(oldest.routed_through < seqs[0]);
    store.append(4..=6).await?;
    let (_, again) = engine.claim("now", Start::Now).await?;
    ensure!(
        again.routed_through == now.routed_through,
        "it goes on where it was"
    );
    let mut names = engine.list().await?;
    names.sort();
    ensure!(names == ["now", "oldest"]);
    Ok(())
}

/// All of a change, over a restart.
pub async fn changes_are_kept(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=20).await?;
    let (claim, _) = store.claim("erp").await?;
    let hold = Hold::Parked {
        pause: Duration::from_secs(90),
        set_at: time(7),
        why: Parked::Probe,
    };
    let parked = HeldEvent {
        failures: 3,
        hold: Some(hold),
    };
    let suspended = HeldEvent {
        failures: 0,
        hold: Some(Hold::Suspended {
            code: Code::status(401),
        }),
    };
    let failed = HeldEvent {
        failures: 1,
        hold: None,
    };
    let held = vec![
        (seqs[0], Some(parked.clone())),
        (seqs[3], Some(suspended.clone())),
        (seqs[5], Some(failed)),
    ];
    let replay = Replay {
        number: 4,
        routed_through: seqs[1],
        through_seq: seqs[9],
        since: time(1),
        until: time(9),
    };
    let passed = Passed {
        route: "r".into(),
        key: [7; 16],
        id: id(2),
        received_at: time(2),
        until: time(99),
    };
    let attempt = Attempt {
        at: time(8),
        took: Duration::from_millis(5),
        result: AttemptResult::Retry,
        code: Code::word("timeout"),
    };
    let change = LaneChange {
        held,
        undecided: Some(vec![seqs[2]]),
        replays: Some(vec![replay]),
        passed: vec![passed.clone()],
        attempts: vec![(seqs[0], attempt)],
        ..waits(seqs[9], &[seqs[0], seqs[3], seqs[5]])
    };
    let mut kept = LaneState::default();
    kept.apply(change.clone());
    store.engine()?.commit(&claim, change).await?;
    store.reopen().await?;
    ensure!(
        store.look("erp").await? == kept,
        "{:?}",
        store.look("erp").await?
    );
    let (claim, state) = store.claim("erp").await?;
    ensure!(state == kept);
    let later = LaneChange {
        held: vec![(seqs[0], None), (seqs[3], Some(parked))],
        undecided: Some(Vec::new()),
        replays: Some(Vec::new()),
        ..waits(seqs[19], &[seqs[3]])
    };
    kept.apply(later.clone());
    store.engine()?.commit(&claim, later).await?;
    store.reopen().await?;
    ensure!(
        store.look("erp").await? == kept,
        "{:?}",
        store.look("erp").await?
    );
    let (claim, _) = store.claim("erp").await?;
    let empty = LaneChange {
        routed_through: seqs[19],
        waiting: vec![(waiting::range_of(seqs[3]), None)],
        held: vec![(seqs[3], None), (seqs[5], None)],
        ..LaneChange::default()
    };
    store.engine()?.commit(&claim, empty).await?;
    let state = store.look("erp").await?;
    ensure!(
        state.waiting.is_empty() && state.held.is_empty(),
        "{state:?}"
    );
    Ok(())
}

/// As after an answer that was lost.
pub async fn a_change_committed_twice_does_no_harm(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=3).await?;
    let (claim, _) = store.claim("erp").await?;
    let mut change = waits(seqs[2], &[seqs[1]]);
    change.burials = vec![(seqs[0], Some(burial(404)))];
    for _ in 0..2 {
        let buried = store.engine()?.commit(&claim, change.clone()).await?;
        ensure!(buried == 1, "{buried}");
    }
    ensure!(store.look("erp").await?.buried == 1);
    Ok(())
}

/// Whoever held the lane before cannot change it any more.
pub async fn the_next_claim_fences(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=3).await?;
    let (first, _) = store.claim("erp").await?;
    store.engine()?.commit(&first, waits(seqs[0], &[])).await?;
    let (second, _) = store.claim("erp").await?;
    ensure!(second.epoch > first.epoch);
    let fenced = store.engine()?.commit(&first, waits(seqs[2], &[])).await;
    ensure!(fenced == Err(CommitError::Fenced), "{fenced:?}");
    ensure!(store.look("erp").await?.routed_through == seqs[0]);
    store.engine()?.commit(&second, waits(seqs[1], &[])).await?;
    store.reopen().await?;
    let (third, state) = store.claim("erp").await?;
    ensure!(third.epoch > second.epoch, "also over a restart");
    ensure!(state.routed_through == seqs[1]);
    Ok(())
}

/// And its name may be used again, by a lane that begins anew.
pub async fn a_deleted_lane_fences(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=3).await?;
    let (claim, _) = store.claim("erp").await?;
    let mut change = waits(seqs[2], &[seqs[1]]);
    change.burials = vec![(seqs[0], Some(burial(404)))];
    store.engine()?.commit(&claim, change.clone()).await?;
    ensure!(store.engine()?.delete("erp").await?);
    ensure!(!store.engine()?.delete("erp").await?);
    ensure!(store.engine()?.look("erp").await?.is_none());
    let fenced = store.engine()?.commit(&claim, change).await;
    ensure!(fenced == Err(CommitError::Fenced), "{fenced:?}");
    store.reopen().await?;
    let (again, state) = store.claim("erp").await?;
    ensure!(state.waiting.is_empty() && state.buried == 0, "{state:?}");
    ensure!(again.epoch > claim.epoch);
    Ok(())
}

/// Looking at a lane changes nothing for its owner.
pub async fn looking_claims_nothing(store: &mut Store<'_>) -> anyhow::Result<()> {
    ensure!(store.engine()?.look("erp").await?.is_none());
    let (claim, state) = store.claim("erp").await?;
    ensure!(store.look("erp").await? == state);
    store.engine()?.commit(&claim, waits(7, &[])).await?;
    ensure!(store.look("erp").await?.routed_through == 7);
    Ok(())
}

/// They are counted, over a restart.
pub async fn burials_keep_their_event(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=3).await?;
    let (claim, _) = store.claim("erp").await?;
    let change = LaneChange {
        burials: vec![(seqs[0], Some(burial(404))), (seqs[1], Some(burial(410)))],
        ..waits(seqs[2], &[])
    };
    ensure!(store.engine()?.commit(&claim, change).await? == 2);
    store.reopen().await?;
    ensure!(store.look("erp").await?.buried == 2);
    Ok(())
}

/// It waits again, and can be fetched.
pub async fn a_revived_event_is_there_again(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=3).await?;
    let (claim, _) = store.claim("erp").await?;
    let change = LaneChange {
        burials: vec![(seqs[0], Some(burial(404)))],
        ..waits(seqs[2], &[])
    };
    store.engine()?.commit(&claim, change).await?;
    let change = LaneChange {
        burials: vec![(seqs[0], None)],
        ..waits(seqs[2], &[seqs[0]])
    };
    ensure!(store.engine()?.commit(&claim, change).await? == 0);
    store.reopen().await?;
    let state = store.look("erp").await?;
    ensure!(state.buried == 0 && state.waiting.len() == 1, "{state:?}");
    let fetched = store.engine()?.fetch(vec![seqs[0]]).await?;
    let Some(entry) = &fetched[0] else {
        bail!("it is gone");
    };
    ensure!(entry.id == id(1) && entry.body.reveal() == event(1, 1).body.reveal());
    Ok(())
}

/// For good.
pub async fn a_dropped_burial_is_gone(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=3).await?;
    let (claim, _) = store.claim("erp").await?;
    let change = LaneChange {
        burials: vec![(seqs[0], Some(burial(404))), (seqs[1], Some(burial(404)))],
        ..waits(seqs[2], &[])
    };
    store.engine()?.commit(&claim, change).await?;
    let change = LaneChange {
        dropped: vec![seqs[0]],
        ..waits(seqs[2], &[])
    };
    ensure!(store.engine()?.commit(&claim, change).await? == 1);
    store.reopen().await?;
    ensure!(store.look("erp").await?.buried == 1);
    Ok(())
}

/// What one holds does not concern another.
pub async fn lanes_are_independent(store: &mut Store<'_>) -> anyhow::Result<()> {
    let seqs = store.append(1..=3).await?;
    let (erp, _) = store.claim("erp").await?;
    let (bus, _) = store.claim("bus").await?;
    store
        .engine()?
        .commit(&erp, waits(seqs[2], &[seqs[0]]))
        .await?;
    store.engine()?.commit(&bus, waits(seqs[1], &[])).await?;
    ensure!(store.look("erp").await?.waiting.len() == 1);
    ensure!(store.look("bus").await?.waiting.is_empty());
    ensure!(store.engine()?.delete("bus").await?);
    let waits_on: Option<Bytes> = store
        .look("erp")
        .await?
        .waiting
        .pop()
        .map(|(_, bytes)| bytes);
    ensure!(waits_on.is_some());
    Ok(())
}
