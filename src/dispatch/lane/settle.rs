//! What becomes of the events of a delivery that has ended.

use std::collections::BTreeSet;

use faceway_core::{
    Attempt, AttemptResult, Code, DeviceKey, Lease, Settled, Settlement, Timestamp, Verdict,
};
use tokio::time::Instant;

use super::super::deliveries::{Ended, Finished};
use super::super::judge::Judgement;
use super::{LaneWork, Tools};
use crate::rhythm::Rhythm;

impl LaneWork {
    pub(super) fn ended(&mut self, ended: &Ended) {
        if ended.finished.broke_off {
            tracing::error!(
                outbound = self.tools.metrics.outbound(),
                "a delivery ended without a verdict"
            );
        }
        let (sent, unsent) = ended.leases.split_at(ended.finished.events);
        self.hands.put_back(unsent);
        self.judge.stayed(unsent);
        let now = self.now();
        let verdict = ended.finished.verdict.clone();
        let judgement = self.judge.judge(sent, verdict, now, rand::random());
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
        let code = code_of(&finished.verdict);
        let delivered = judgement.result == AttemptResult::Delivered;
        for lease in sent {
            self.tools
                .metrics
                .attempt(judgement.result, &code, finished.took);
            if delivered {
                self.tools.metrics.delivered(now.since(lease.received_at));
            }
        }
        if !delivered {
            self.tools.status.failed(&code, now);
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
        if kept_waiting || routed || judgement.outage_ended {
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
        if let Settled::Bury { code } = &judgement.settled {
            self.log_buried(sent, code);
        }
        if judgement.outage_began && !self.outage_told {
            self.log_outage();
        }
        if judgement.blamed {
            self.log_blamed(sent, &attempt.code);
        }
        if self.judge.outage().is_some() {
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
                    outbound = self.tools.metrics.outbound(),
                    "the destination is back"
                );
            }
            self.tools.spool.wake(self.tools.lane);
        }
    }

    /// That events are given up, in a rhythm.
    fn log_buried(&mut self, sent: &[Lease], code: &Code) {
        let said = "given up: events are buried; see faceway buried list";
        log_events(&mut self.buried, &self.tools, sent, code, said);
    }

    /// That one event breaks the connection for all, in a rhythm.
    fn log_blamed(&mut self, sent: &[Lease], code: &Code) {
        let said = "the connection ends whenever this event is sent: it is tried alone, and the others go on";
        log_events(&mut self.blamed, &self.tools, sent, code, said);
    }

    fn log_outage(&mut self) {
        self.outage_told = true;
        let code = self.judge.outage().map(|outage| &outage.code);
        tracing::warn!(
            outbound = self.tools.metrics.outbound(),
            code = code.map(Code::as_str),
            reason = code.and_then(Code::reason),
            "the destination is down: the lane waits"
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
            self.tools.spool.settle(self.tools.lane, settlements);
        }
    }
}

/// Says so of these events, when it is time to. The id is that of the last one: `faceway why` tells its story.
fn log_events(rhythm: &mut Rhythm<Code>, tools: &Tools, sent: &[Lease], code: &Code, said: &str) {
    for lease in sent {
        if let Some(times) = rhythm.note(code.clone(), Instant::now()) {
            tracing::warn!(
                outbound = tools.metrics.outbound(),
                code = code.as_str(),
                times,
                event = %lease.id,
                "{said}"
            );
        }
    }
}

fn code_of(verdict: &Verdict) -> Code {
    match verdict {
        Verdict::Delivered { code } | Verdict::Retry { code, .. } | Verdict::Bury { code } => {
            code.clone()
        }
    }
}
