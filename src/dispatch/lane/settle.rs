//! What becomes of the events of a delivery that has ended.

use std::collections::BTreeSet;

use faceway_core::{
    Attempt, AttemptResult, Code, DeviceKey, EventId, Lease, Settled, Settlement, Timestamp,
    Verdict,
};
use tokio::time::Instant;

use super::super::deliveries::{Ended, Finished};
use super::super::judge::{Beside, Judgement, Outage};
use super::{LaneWork, Parts};
use crate::rhythm::Rhythm;

impl LaneWork {
    pub(super) fn ended(&mut self, ended: &Ended) {
        if ended.finished.broke_off {
            tracing::error!(
                outbound = self.parts.metrics.outbound(),
                "a delivery ended without a verdict"
            );
        }
        let (sent, unsent) = ended.leases.split_at(ended.finished.events);
        self.hands.put_back(unsent);
        self.judge.stayed(unsent);
        let now = self.now();
        let verdict = ended.finished.verdict.clone();
        // Asked only of what is rare.
        let beside = match verdict {
            Verdict::Delivered { .. } => Beside::Nothing,
            _ => self.beside(),
        };
        let judgement = (self.judge).judge(sent, verdict, beside, now, rand::random());
        let attempt = self.note(sent, &judgement, &ended.finished, now);
        self.remember(sent, &judgement);
        let is_buried = matches!(judgement.settled, Settled::Bury { .. });
        let buried = sent.first().filter(|_| is_buried).map(|lease| lease.device);
        self.apply(sent, judgement, &attempt);
        // Each once: a device that returned twice would have two messages on their way.
        let devices: BTreeSet<DeviceKey> = ended.leases.iter().map(|lease| lease.device).collect();
        for device in devices {
            if buried == Some(device) {
                self.burials.begin(device);
            } else {
                self.hands.returned(device);
            }
        }
    }

    /// Counts the attempt, for each event.
    fn note(
        &mut self,
        sent: &[Lease],
        judgement: &Judgement,
        finished: &Finished,
        now: Timestamp,
    ) -> Attempt {
        let code = finished.verdict.code().clone();
        let delivered = judgement.result == AttemptResult::Delivered;
        for lease in sent {
            if judgement.set_aside {
                // Counted when it is known what came of it.
                self.undecided.insert(lease.id, finished.took);
            } else {
                self.parts
                    .metrics
                    .attempt(judgement.result, &code, finished.took);
            }
            if delivered {
                self.parts.metrics.delivered(now.since(lease.received_at));
            }
        }
        if !delivered {
            self.parts.status.failed(&code, now);
        }
        Attempt {
            at: now,
            took: finished.took,
            result: judgement.result,
            code,
        }
    }

    /// Remembers who is to go alone.
    fn remember(&mut self, sent: &[Lease], judgement: &Judgement) {
        let apart = self.batching.apart();
        if judgement.take_apart {
            apart.refused(sent);
        } else if judgement.settled != Settled::Release {
            sent.iter().for_each(|lease| apart.settled(lease.seq));
        } else if sent.len() > 1 {
            apart.unanswered(sent);
        }
    }

    fn apply(&mut self, sent: &[Lease], judgement: Judgement, attempt: &Attempt) {
        let kept_waiting = matches!(judgement.settled, Settled::Park { .. } | Settled::Release);
        let routed = sent.iter().any(|lease| lease.routed);
        let waits = self.judge.outage().is_some();
        if kept_waiting || routed || judgement.outage_ended || waits {
            // Something can be leased now that could not before.
            self.dry = false;
        }
        let mut settlements = Vec::with_capacity(sent.len());
        for lease in sent {
            settlements.push(Settlement {
                seq: lease.seq,
                outcome: judgement.settled.clone(),
                attempt: Some(attempt.clone()),
            });
        }
        self.settle(settlements);
        if let (Settled::Bury { code }, false) = (&judgement.settled, judgement.set_aside) {
            self.log_buried(sent, code);
        }
        self.stand(&judgement.stands);
        // One that began in doubt, or of which a single event told, has shown itself when a probe fails.
        let shows = self.judge.outage().is_some_and(Outage::has_shown);
        if (judgement.outage_began || shows) && !self.outage_told {
            self.log_outage();
        }
        if judgement.blamed {
            self.log_blamed(sent, &attempt.code);
        }
        if waits {
            // The next probe is the first event again, until it has probed often enough.
            let all = self.hands.give_back_all();
            self.release(all);
        } else if kept_waiting {
            for lease in sent {
                let behind = self.hands.give_back(lease.device);
                self.release(behind);
            }
        }
        if judgement.outage_ended {
            // One that was in doubt was not told.
            if std::mem::take(&mut self.outage_told) {
                tracing::info!(
                    outbound = self.parts.metrics.outbound(),
                    "the destination is back"
                );
            }
            self.context.spool.wake(self.parts.lane);
        }
    }

    /// That events are given up, in a rhythm.
    fn log_buried(&mut self, sent: &[Lease], code: &Code) {
        let said = "given up: events are buried; see faceway buried list";
        let events = sent.iter().map(|lease| lease.id);
        log_events(&mut self.buried, &self.parts, events, code, said);
    }

    /// That one event breaks the connection for all, in a rhythm.
    fn log_blamed(&mut self, sent: &[Lease], code: &Code) {
        let said = "the connection ends whenever this event is sent: it is tried alone, and the others go on";
        let events = sent.iter().map(|lease| lease.id);
        log_events(&mut self.blamed, &self.parts, events, code, said);
    }

    pub(super) fn log_outage(&mut self) {
        self.outage_told = true;
        let outage = self.judge.outage();
        let code = outage.map(|outage| &outage.code);
        let said = if outage.is_some_and(Outage::refuses) {
            "the destination takes none of the events: the lane waits"
        } else {
            "the destination is down: the lane waits"
        };
        tracing::warn!(
            outbound = self.parts.metrics.outbound(),
            code = code.map(Code::as_str),
            reason = code.and_then(Code::reason),
            "{said}"
        );
    }

    pub(super) fn release(&mut self, seqs: Vec<u64>) {
        let release = |seq| Settlement {
            seq,
            outcome: Settled::Release,
            attempt: None,
        };
        self.settle(seqs.into_iter().map(release).collect());
    }

    pub(super) fn settle(&self, settlements: Vec<Settlement>) {
        if !settlements.is_empty() {
            self.context.spool.settle(self.parts.lane, settlements);
        }
    }
}

/// Says so of these events, when it is time to. The id is that of the last one: `faceway why` tells its story.
pub(super) fn log_events(
    rhythm: &mut Rhythm<Code>,
    parts: &Parts,
    events: impl IntoIterator<Item = EventId>,
    code: &Code,
    said: &str,
) {
    for id in events {
        if let Some(times) = rhythm.note(code.clone(), Instant::now()) {
            tracing::warn!(
                outbound = parts.metrics.outbound(),
                code = code.as_str(),
                times,
                event = %id,
                "{said}"
            );
        }
    }
}
