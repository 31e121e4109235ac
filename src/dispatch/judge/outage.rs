//! A destination that did not answer, or said that it cannot: it is down, unless one of the events did that.

use std::collections::HashSet;

use faceway_core::{Lease, Parked, Settled, Timestamp};

use super::{Code, Failed, Judge, Judgement, PROBES_OF_ONE_EVENT_MAX, Permit, released};

/// A destination that is down.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dispatch) struct Outage {
    /// Since when.
    pub(in crate::dispatch) since: Timestamp,
    /// When the next probe may leave.
    pub(in crate::dispatch) next_probe: Timestamp,
    /// What the last attempt said.
    pub(in crate::dispatch) code: Code,
    pub(super) cause: Cause,
    probes: u32,
    /// The event that probes, and how often it has.
    probing: Option<(u64, u32)>,
    /// Events of unproven devices under which it began; none when it is not in doubt.
    pub(super) doubted: Vec<u64>,
    /// What was on its way when it began: it tells nothing new.
    stragglers: HashSet<u64>,
}

impl Outage {
    /// How often this event has probed.
    fn tried(&self, seq: u64) -> u32 {
        self.probing
            .map_or(0, |(probing, tried)| if probing == seq { tried } else { 0 })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cause {
    /// The destination does not answer, or says that it cannot.
    Destination,
    /// Events of several devices failed, each as if alone.
    ManyAlone,
}

impl Judge {
    /// The destination did not answer, or says that it cannot: it is down, unless one of the events did that.
    pub(super) fn broke(
        &mut self,
        failed: Failed<'_>,
        events: &[Lease],
        suspected: Vec<u64>,
    ) -> Judgement {
        let seq = failed.lease.seq;
        let is_alone_suspected = events.len() == 1 && self.suspects.contains(&seq);
        match &mut self.outage {
            None if is_alone_suspected => self.blame(failed),
            // Others that it took along came back before it did.
            Some(outage)
                if is_alone_suspected
                    && outage.doubted == [seq]
                    && outage.stragglers.contains(&seq) =>
            {
                self.outage = None;
                Judgement {
                    outage_ended: true,
                    ..self.blame(failed)
                }
            }
            Some(outage) if outage.stragglers.contains(&seq) => {
                outage.stragglers.remove(&seq);
                released(false)
            }
            None if failed.after.is_none() && !suspected.is_empty() => {
                self.outage = Some(Outage {
                    since: failed.now,
                    next_probe: failed.now,
                    code: failed.code,
                    cause: Cause::Destination,
                    probes: 0,
                    probing: None,
                    doubted: suspected,
                    stragglers: self.doubt.away(),
                });
                released(false)
            }
            Some(_) | None => {
                let was_in_doubt = self.is_in_doubt();
                let is_proven = self.doubt.is_proven(failed.lease);
                let judgement = self.down(failed, Cause::Destination);
                match &mut self.outage {
                    // One that the destination knows does not get through either: it is down.
                    Some(outage) if is_proven => outage.doubted.clear(),
                    _ => {}
                }
                Judgement {
                    outage_began: judgement.outage_began || was_in_doubt && !self.is_in_doubt(),
                    ..judgement
                }
            }
        }
    }

    /// It is this event, and not the destination. What failed with it tells nothing.
    fn blame(&mut self, failed: Failed<'_>) -> Judgement {
        self.doubt.be_wary();
        let away = self.doubt.away();
        self.doubt.excuse(away);
        Judgement {
            blamed: true,
            ..self.park_or_bury(failed)
        }
    }

    pub(super) fn down(&mut self, failed: Failed<'_>, cause: Cause) -> Judgement {
        let seq = failed.lease.seq;
        let (since, probes, tried) = match &self.outage {
            None => (failed.now, 0, 0),
            // Attempts that were on their way when the outage began tell nothing new.
            Some(_) if matches!(self.permit(failed.now), Permit::Wait(_)) => {
                return released(false);
            }
            Some(outage) => (
                outage.since,
                outage.probes.saturating_add(1),
                outage.tried(seq) + 1,
            ),
        };
        let (began, doubted, stragglers) = match self.outage.take() {
            Some(outage) => (false, outage.doubted, outage.stragglers),
            None => (true, Vec::new(), self.doubt.away()),
        };
        let pause = self.pause(probes, failed.after, failed.chance);
        let weary = tried >= PROBES_OF_ONE_EVENT_MAX;
        // Another device's event has its turn before this one is due again, but no sooner than the destination asked for.
        let asked = failed.after.unwrap_or_default();
        let sooner = (pause / 2).max(asked.min(self.retry.backoff_max));
        let next_probe = failed.now.plus(if weary { sooner } else { pause });
        let probing = (!weary).then_some((seq, tried));
        self.outage = Some(Outage {
            since,
            next_probe,
            code: failed.code,
            cause,
            probes,
            probing,
            doubted,
            stragglers,
        });
        if !weary {
            return released(began);
        }
        self.suspect(seq);
        // Its device's events wait with it, so the next probe is another device's: one poisonous event cannot pass for
        // an outage.
        let settled = Settled::Park {
            until: failed.now.plus(pause),
            why: Parked::Probe,
        };
        Judgement {
            settled,
            ..released(began)
        }
    }
}
