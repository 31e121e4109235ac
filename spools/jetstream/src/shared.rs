//! What the parts of an open engine share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_core::{AppendError, Capacity, Clock, Server, SpoolError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::client::{Client, Failure};
use crate::duties::{Duties, Timing};
use crate::lanes::OwnedLanes;
use crate::lock;
use crate::log::known::Known;
use crate::log::pieces::Recent;
use crate::log::quarantine::Quarantine;
use crate::members::Members;
use crate::settings::JetStreamSettings;

/// Between two log lines about the same trouble.
const QUIET: Duration = Duration::from_secs(10);

/// Numbers that are older than this say nothing of now.
const STALE: Duration = Duration::from_secs(5);

pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) settings: JetStreamSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) known: Mutex<Known>,
    pub(crate) tail: watch::Sender<Tail>,
    /// The newest version of the rules at or below the tail.
    pub(crate) rules: watch::Sender<u64>,
    pub(crate) members: Members,
    pub(crate) duties: Duties,
    /// Servers, as the last proof found them.
    pub(crate) servers: Mutex<Vec<Server>>,
    pub(crate) recent: Recent,
    pub(crate) quarantine: Quarantine,
    pub(crate) lanes: OwnedLanes,
    pub(crate) gauge: Gauge,
    /// Work that goes on behind an answer: [`faceway_core::Log::close`] waits for it.
    pub(crate) tasks: TaskTracker,
    throttle: Mutex<HashMap<&'static str, Instant>>,
    /// When the stream of events was made: another one has other numbers.
    pub(crate) created: String,
}

/// How far the log is known here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    /// Everything up to this number is in the table of ids.
    pub(crate) seen: u64,
    /// At this moment the log had nothing behind `seen`.
    pub(crate) fresh_at: Instant,
}

/// Numbers for the operator.
#[derive(Default)]
pub(crate) struct Gauge {
    pub(crate) bytes: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) quarantine_bytes: AtomicU64,
    /// When these were counted.
    pub(crate) counted_at: Mutex<Option<Instant>>,
    pub(crate) damaged: AtomicU64,
    pub(crate) damaged_pictures: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// Whether the servers refused a message for want of space since the last look.
    pub(crate) is_full: AtomicBool,
    /// Whether the last proof failed.
    pub(crate) is_unproved: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        client: Client,
        settings: JetStreamSettings,
        clock: Arc<dyn Clock>,
        known: Known,
        seen: u64,
        created: String,
        (tasks, timing): (TaskTracker, Timing),
    ) -> Self {
        Self {
            recent: Recent::new(settings.images),
            quarantine: Quarantine::default(),
            lanes: OwnedLanes::default(),
            tail: watch::Sender::new(Tail {
                seen,
                fresh_at: Instant::now(),
            }),
            rules: watch::Sender::new(0),
            members: Members::default(),
            duties: Duties::new(timing),
            servers: Mutex::default(),
            gauge: Gauge::default(),
            throttle: Mutex::default(),
            known: Mutex::new(known),
            client,
            settings,
            clock,
            tasks,
            created,
        }
    }

    /// The last number that is known here.
    pub(crate) fn seen(&self) -> u64 {
        self.tail.borrow().seen
    }

    /// Whether every id of the log is known here, but for those that the servers recognise.
    pub(crate) fn is_live(&self) -> bool {
        let lag = self.tail.borrow().fresh_at.elapsed();
        lag <= self.settings.dedup_window / 2
    }

    /// Whether an append would be taken.
    pub(crate) fn accepting(&self) -> Result<(), AppendError> {
        let used = self.gauge.bytes.load(Ordering::Relaxed);
        if !self.is_live() {
            Err(AppendError::Failing)
        } else if used > self.settings.bytes_max || self.gauge.is_full.load(Ordering::Relaxed) {
            Err(AppendError::Full)
        } else {
            Ok(())
        }
    }

    /// How much is used, as it was last counted.
    pub(crate) fn capacity(&self) -> Result<Capacity, SpoolError> {
        let counted_at = *lock(&self.gauge.counted_at);
        if counted_at.is_none_or(|at| at.elapsed() > STALE) {
            return Err(SpoolError(
                "how much is used is not known: the cluster does not answer".into(),
            ));
        }
        let read = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
        let gauge = &self.gauge;
        let bytes = read(&gauge.bytes);
        Ok(Capacity {
            bytes,
            free: self.settings.bytes_max.saturating_sub(bytes),
            quarantined: read(&gauge.quarantined),
            quarantine_bytes: read(&gauge.quarantine_bytes),
            damaged: read(&gauge.damaged),
            failures: read(&gauge.failures),
            degraded: None,
            damaged_pictures: read(&gauge.damaged_pictures),
            accepting: self.accepting(),
        })
    }

    /// What a failed append means for the caller; the log says why.
    pub(crate) fn refusal(&self, failure: &Failure) -> AppendError {
        self.gauge.failures.fetch_add(1, Ordering::Relaxed);
        if let Failure::Full(_) = failure {
            self.gauge.is_full.store(true, Ordering::Relaxed);
            return AppendError::Full;
        }
        self.warn("append", || {
            format!("the spool cannot keep events: {failure}")
        });
        AppendError::Failing
    }

    /// Logs what recurs at a bearable rate.
    pub(crate) fn warn(&self, topic: &'static str, text: impl FnOnce() -> String) {
        let mut throttle = lock(&self.throttle);
        let is_due = throttle.get(topic).is_none_or(|at| at.elapsed() >= QUIET);
        if is_due {
            throttle.insert(topic, Instant::now());
            drop(throttle);
            tracing::warn!("{}", text());
        }
    }

    pub(crate) fn count_damaged(&self, seq: u64, reason: &str) {
        self.gauge.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            "event {seq} is damaged at every server that was asked ({reason}): lanes go on behind it"
        );
    }
}

impl From<Failure> for SpoolError {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}
