//! A lane that a test works by hand: routing, acknowledging, parking and burying by the two contracts.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use faceway_core::{
    AppendError, Attempt, Burial, Claim, Code, CommitError, DeviceKey, Entry, HeldEvent, Hold,
    LaneChange, LaneStore as _, Log as _, NewEvent, OnceMark, Parked, ReadMax, Receipt, Replay,
    Start, Timestamp, waiting,
};
use faceway_spool_disk::DiskSpool;
use faceway_testkit::spool::{number, time};

use super::{batch, waiting_seqs};

/// How much of the log is read in one step.
const STEP: ReadMax = ReadMax {
    entries: 1000,
    bytes: 8 << 20,
};

/// Acknowledgements of one commit at the most.
const AT_ONCE: usize = 256;

/// Appends events as a batch of their own.
pub(crate) async fn append(
    spool: &DiskSpool,
    events: Vec<NewEvent>,
) -> Result<Vec<Receipt>, AppendError> {
    spool.append(batch(events)).await
}

/// Waits until the writer has written so many groups: with each of them it trims and tidies.
pub(crate) async fn pass_groups(spool: &DiskSpool, groups: usize) {
    for _ in 0..groups {
        spool.list().await.unwrap();
    }
}

/// A claimed lane, with what the test has done to it since the last commit. Every event is for its outbound.
#[derive(Debug)]
pub(crate) struct HandLane {
    pub(crate) claim: Claim,
    pub(crate) routed_through: u64,
    /// What waits, with its device.
    pub(crate) waiting: BTreeMap<u64, DeviceKey>,
    pub(crate) held: BTreeMap<u64, HeldEvent>,
    pub(crate) buried: u64,
    undecided: Vec<u64>,
    replays: Vec<Replay>,
    /// Ranges of the log in which something else waits now.
    touched: BTreeSet<u64>,
    /// The rest of what is to be committed; `held` by sequence number.
    change: LaneChange,
}

impl HandLane {
    /// Claims the lane; a new one begins with the oldest event.
    pub(crate) async fn claim(spool: &DiskSpool, name: &str) -> Self {
        Self::claim_from(spool, name, Start::Oldest).await
    }

    pub(crate) async fn claim_from(spool: &DiskSpool, name: &str, start: Start) -> Self {
        let (claim, state) = spool.claim(name, start).await.unwrap();
        let decode = |(range, bytes): &(u64, bytes::Bytes)| waiting::decode(*range, bytes).unwrap();
        assert!(waiting_seqs(&state).is_sorted(), "ranges ascend");
        Self {
            claim,
            routed_through: state.routed_through,
            waiting: state.waiting.iter().flat_map(decode).collect(),
            held: state.held.into_iter().collect(),
            buried: state.buried,
            undecided: state.undecided,
            replays: state.replays,
            touched: BTreeSet::new(),
            change: LaneChange::default(),
        }
    }

    /// Routes what is undecided, what is to be handed out once more, and the log up to its end: all of it waits.
    pub(crate) async fn route(&mut self, spool: &DiskSpool) {
        if !self.undecided.is_empty() {
            let undecided = std::mem::take(&mut self.undecided);
            let entries = spool.fetch(undecided).await.unwrap();
            self.wait(entries.into_iter().flatten());
            self.change.undecided = Some(Vec::new());
        }
        for mut job in std::mem::take(&mut self.replays) {
            while job.routed_through < job.through_seq {
                let read = spool.read(job.routed_through, job.through_seq, STEP);
                let stretch = read.await.unwrap();
                job.routed_through = stretch.through_seq;
                let span = job.since..job.until;
                let entries = stretch.entries.into_iter();
                self.wait(entries.filter(|entry| span.contains(&entry.received_at)));
            }
            self.change.replays = Some(Vec::new());
        }
        while self.routed_through < spool.tail().unwrap() {
            let read = spool.read(self.routed_through, u64::MAX, STEP);
            let stretch = read.await.unwrap();
            self.routed_through = stretch.through_seq;
            self.wait(stretch.entries);
        }
    }

    fn wait(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            self.waits_again(entry.seq, entry.device);
        }
    }

    fn waits_again(&mut self, seq: u64, device: DeviceKey) {
        self.waiting.insert(seq, device);
        self.touched.insert(waiting::range_of(seq));
    }

    /// What may leave now: not what is parked or suspended, nor what waits behind a parked event of its device.
    pub(crate) fn free(&self) -> Vec<u64> {
        let mut blocked = HashSet::new();
        let may_leave = |(seq, device): (&u64, &DeviceKey)| {
            let hold = self.held.get(seq).and_then(|held| held.hold.as_ref());
            if matches!(hold, Some(Hold::Parked { .. })) {
                blocked.insert(*device);
            }
            (hold.is_none() && !blocked.contains(device)).then_some(*seq)
        };
        self.waiting.iter().filter_map(may_leave).collect()
    }

    /// Routes, and gives up to `max` events that may leave, in their order. They wait until they are settled.
    pub(crate) async fn take(&mut self, spool: &DiskSpool, max: usize) -> Vec<Entry> {
        self.route(spool).await;
        let mut free = self.free();
        free.truncate(max);
        let entries = spool.fetch(free).await.unwrap();
        entries.into_iter().flatten().collect()
    }

    /// Routes, and acknowledges everything that may leave, each step durable. Gives the numbers of the events that the log
    /// has, in their order.
    pub(crate) async fn deliver(&mut self, spool: &DiskSpool) -> Vec<u64> {
        self.route(spool).await;
        let mut delivered = Vec::new();
        for seqs in self.free().chunks(AT_ONCE) {
            let entries = spool.fetch(seqs.to_vec()).await.unwrap();
            delivered.extend(entries.iter().flatten().map(|entry| number(entry.id)));
            for seq in seqs {
                self.acknowledge(*seq);
            }
            self.commit(spool).await.unwrap();
        }
        self.commit(spool).await.unwrap();
        delivered
    }

    /// The event is through.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        assert!(self.waiting.remove(&seq).is_some(), "{seq} does not wait");
        self.touched.insert(waiting::range_of(seq));
        self.hold(seq, None);
    }

    fn hold(&mut self, seq: u64, held: Option<HeldEvent>) {
        let was_known = match held.clone() {
            Some(held) => self.held.insert(seq, held).is_some(),
            None => self.held.remove(&seq).is_some(),
        };
        if was_known || held.is_some() {
            self.change.held.retain(|(known, _)| *known != seq);
            self.change.held.push((seq, held));
        }
    }

    /// It failed alone at `at`, and waits for `pause`.
    pub(crate) fn park(&mut self, seq: u64, at: Timestamp, pause: Duration) {
        let failures = 1 + self.held.get(&seq).map_or(0, |held| held.failures);
        let hold = Hold::Parked {
            pause,
            set_at: at,
            why: Parked::Alone,
        };
        let held = HeldEvent {
            failures,
            hold: Some(hold),
        };
        self.hold(seq, Some(held));
    }

    /// The rules are to be asked about it again.
    pub(crate) fn doubt(&mut self, seq: u64) {
        self.acknowledge(seq);
        self.undecided.push(seq);
        self.change.undecided = Some(self.undecided.clone());
    }

    /// It may leave again.
    pub(crate) fn release(&mut self, seq: u64) {
        if let Some(mut held) = self.held.get(&seq).cloned() {
            held.hold = None;
            self.hold(seq, Some(held));
        }
    }

    /// It is given up, with the code 422.
    pub(crate) fn bury(&mut self, seq: u64) {
        let failures = self.held.get(&seq).map_or(0, |held| held.failures);
        self.acknowledge(seq);
        let burial = Burial {
            at: time(50),
            code: Code::status(422),
            failures,
        };
        self.set_burial(seq, Some(burial));
    }

    /// A buried event waits again.
    pub(crate) fn revive(&mut self, seq: u64, device: DeviceKey) {
        self.set_burial(seq, None);
        self.waits_again(seq, device);
    }

    fn set_burial(&mut self, seq: u64, burial: Option<Burial>) {
        self.change.burials.retain(|(known, _)| *known != seq);
        self.change.burials.push((seq, burial));
    }

    /// A buried event is gone for good.
    pub(crate) fn drop_buried(&mut self, seq: u64) {
        self.change.dropped.push(seq);
    }

    /// Hands out once more what came in from `since` until before `until`, as far as the lane was asked about it. Gives how
    /// many events the log has of that time.
    pub(crate) async fn replay(
        &mut self,
        spool: &DiskSpool,
        since: Timestamp,
        until: Timestamp,
    ) -> u64 {
        let span = spool.span(since, until).await.unwrap();
        let job = Replay {
            number: self.replays.last().map_or(1, |job| job.number + 1),
            routed_through: span.first_seq.saturating_sub(1),
            through_seq: span.through_seq.min(self.routed_through),
            since,
            until,
        };
        if span.events > 0 {
            self.replays.push(job);
            self.change.replays = Some(self.replays.clone());
        }
        span.events
    }

    pub(crate) fn let_pass(&mut self, passed: OnceMark) {
        self.change.passed.push(passed);
    }

    pub(crate) fn note_attempt(&mut self, seq: u64, attempt: Attempt) {
        self.change.attempts.push((seq, attempt));
    }

    /// What has changed since the last commit.
    pub(crate) fn change(&self) -> LaneChange {
        let range = |range: &u64| {
            let seqs = range * waiting::RANGE..(range + 1) * waiting::RANGE;
            let events = self.waiting.range(seqs);
            let events: Vec<_> = events.map(|(seq, device)| (*seq, *device)).collect();
            let bytes = (!events.is_empty()).then(|| waiting::encode(*range, &events));
            (*range, bytes)
        };
        let mut change = LaneChange {
            routed_through: self.routed_through,
            waiting: self.touched.iter().map(range).collect(),
            ..self.change.clone()
        };
        change.held.sort_by_key(|(seq, _)| *seq);
        change.burials.sort_by_key(|(seq, _)| *seq);
        change
    }

    /// Commits what has changed; when that fails, the next commit says it again.
    pub(crate) async fn commit(&mut self, spool: &DiskSpool) -> Result<(), CommitError> {
        // With a request that cannot wait beside it: a commit alone waits 20 ms for company.
        let commit = spool.commit(&self.claim, self.change());
        let (committed, _) = tokio::join!(commit, spool.list());
        self.buried = committed?;
        self.touched.clear();
        self.change = LaneChange::default();
        Ok(())
    }
}
