//! What is to be kept, and what waits for it to be durable.

use std::collections::{BTreeMap, BTreeSet};

use faceway_core::{Attempt, Burial, DeviceKey, LaneChange};

use super::{Fate, Lane};

/// Attempts that wait for a store that fails. The oldest give way: they are for traces only.
const ATTEMPTS_WAITING_MAX: usize = 65_536;
/// The same of what `once` has let pass: what gives way may pass again after a restart.
const PASSED_WAITING_MAX: usize = 65_536;

/// What changed since the last change was taken.
#[derive(Debug, Default)]
pub(super) struct Keep {
    pub(super) change: LaneChange,
    /// Of these events something else is known now.
    pub(super) held: BTreeSet<u64>,
    /// Given up, or waiting again.
    pub(super) burials: BTreeMap<u64, Option<Burial>>,
    /// What the gateway counts and says in its log.
    pub(super) fates: Vec<Fate>,
    is_touched: bool,
    /// A change is on its way to the store.
    is_committing: bool,
    /// It could not be kept.
    failed: Option<LaneChange>,
    /// Devices that wait for what is not taken yet, and for what is on its way.
    devices: Vec<DeviceKey>,
    committing: Vec<DeviceKey>,
}

impl Keep {
    pub(super) const fn touch(&mut self) {
        self.is_touched = true;
    }

    pub(super) fn attempt(&mut self, seq: u64, attempt: Attempt) {
        self.change.attempts.push((seq, attempt));
        let over = self
            .change
            .attempts
            .len()
            .saturating_sub(ATTEMPTS_WAITING_MAX);
        self.change.attempts.drain(..over);
    }

    pub(super) fn hold_device(&mut self, device: DeviceKey) {
        self.devices.push(device);
    }

    pub(super) const fn holds_devices(&self) -> bool {
        !self.devices.is_empty() || !self.committing.is_empty()
    }
}

impl Lane {
    /// What is to be committed; `None` when nothing changed, or a change is on its way. [`Lane::committed`] or
    /// [`Lane::not_committed`] follows.
    pub fn take_change(&mut self) -> Option<LaneChange> {
        let keep = &mut self.keep;
        let passed = keep.change.passed.len().saturating_sub(PASSED_WAITING_MAX);
        keep.change.passed.drain(..passed);
        if self.keep.is_committing || !self.has_changed() {
            return None;
        }
        let keep = &mut self.keep;
        let mut change = std::mem::take(&mut keep.change);
        change.routed_through = self.routed_through;
        change.waiting = self.ranges.take_changed();
        change.burials = std::mem::take(&mut keep.burials).into_iter().collect();
        let held = std::mem::take(&mut keep.held).into_iter();
        change.held = held
            .map(|seq| (seq, self.held.get(&seq).cloned()))
            .collect();
        if let Some(mut failed) = keep.failed.take() {
            failed.merge(change);
            change = failed;
        }
        keep.is_touched = false;
        keep.is_committing = true;
        keep.committing = std::mem::take(&mut keep.devices);
        Some(change)
    }

    fn has_changed(&self) -> bool {
        let keep = &self.keep;
        keep.is_touched
            || keep.failed.is_some()
            || self.ranges.has_changed()
            || !keep.held.is_empty()
            || !keep.burials.is_empty()
            || keep.change != LaneChange::default()
    }

    /// Whether something changed, and nothing but what is routed. After a crash the rules are asked about that again, so that
    /// it can be committed together with what becomes of the first events.
    pub fn has_only_routed(&self) -> bool {
        let keep = &self.keep;
        let LaneChange {
            dropped,
            undecided,
            replays,
            attempts,
            ..
        } = &keep.change;
        self.has_changed()
            && keep.failed.is_none()
            && keep.held.is_empty()
            && keep.burials.is_empty()
            && keep.devices.is_empty()
            && dropped.is_empty()
            && undecided.is_none()
            && replays.is_none()
            && attempts.is_empty()
    }

    /// The change is durable, and so many events are buried now.
    pub fn committed(&mut self, buried: u64) {
        self.keep.is_committing = false;
        let since = self.keep.burials.values().filter(|burial| burial.is_some());
        self.buried = buried + since.count() as u64;
        for device in std::mem::take(&mut self.keep.committing) {
            if !self.keep.devices.contains(&device) {
                self.queues.release_hold(device);
            }
        }
    }

    /// The change may not be durable: it is part of the next one.
    pub fn not_committed(&mut self, change: LaneChange) {
        self.keep.is_committing = false;
        self.keep.failed = Some(change);
        let committing = std::mem::take(&mut self.keep.committing);
        self.keep.devices.extend(committing);
    }

    /// What the gateway counts and says in its log, since the last call.
    pub fn take_fates(&mut self) -> Vec<Fate> {
        std::mem::take(&mut self.keep.fates)
    }
}
