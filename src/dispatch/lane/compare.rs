//! What the lane does with events that were set aside (`judge/aside.rs`): it takes them back when nothing got through, and
//! says so when their burial stands.

use std::collections::HashMap;
use std::time::Duration;

use faceway_core::{AttemptResult, EventId, Lease, SpoolError};
use tokio::time::Instant;

use super::super::judge::{Aside, Beside};
use super::settle::log_events;
use super::{LaneWork, SPOOL_PAUSE};

/// How long the attempts took that led to burials which are not final.
pub(super) type Undecided = HashMap<EventId, Duration>;

impl LaneWork {
    /// Takes back what was set aside, when it is time to; `true` when the spool has something to lease again.
    pub(super) async fn take_back(&mut self) -> bool {
        // What is on its way may get through yet; and what was buried must be durable before it can be taken back.
        let is_at_rest = self.deliveries.is_empty() && self.burials.is_empty();
        if !is_at_rest || !self.judge.has_set_aside() {
            return false;
        }
        // What could not be read may be there all the same.
        let nothing_more = self.dry && !self.is_blind && self.hands.waiting() == 0;
        if nothing_more && self.judge.nothing_is_left(self.now(), rand::random()) {
            // A single one is told of when it has failed once more: at a quiet site it may be its own fault.
            if self.judge.tried() > 1 {
                self.log_outage();
            }
        }
        if !self.judge.must_take_back() {
            return false;
        }
        // They stand before all that is in hand of their devices.
        let waiting = self.hands.give_back_all();
        self.release(waiting);
        self.dry = false;
        match self.give_back(self.judge.set_aside()).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(outbound = self.parts.metrics.outbound(), %error, "cannot take burials back; trying again");
                self.dry = true;
                self.ask_at = Some(Instant::now() + SPOOL_PAUSE);
                false
            }
        }
    }

    async fn give_back(&mut self, asides: Vec<Aside>) -> Result<(), SpoolError> {
        let (spool, lane) = (&self.context.spool, self.parts.lane);
        let events = asides.iter().map(|aside| aside.id).collect();
        spool.take_back(lane, events).await?;
        self.judge.taken_back();
        for Aside { id, code, .. } in &asides {
            if let Some(took) = self.undecided.remove(id) {
                let result = AttemptResult::Retry;
                self.parts.metrics.attempt(result, code, took);
            }
        }
        Ok(())
    }

    /// The lane ends its work before anything got through: whoever works next begins with these.
    pub(super) async fn take_all_back(&mut self) {
        let asides = self.judge.set_aside().into_iter();
        // Where a later event of the device is on its way still, and may arrive, it would come behind that.
        let (stay, back): (Vec<_>, Vec<_>) =
            asides.partition(|aside| self.hands.is_away(aside.device));
        self.stand(&stay);
        if back.is_empty() {
            return;
        }
        if let Err(error) = self.give_back(back).await {
            tracing::error!(outbound = self.parts.metrics.outbound(), %error, "cannot take burials back: see faceway buried list");
        }
    }

    /// The destination took another event: these burials stand.
    pub(super) fn stand(&mut self, stands: &[Aside]) {
        for Aside { id, code, .. } in stands {
            let took = self.undecided.remove(id).unwrap_or_default();
            let result = AttemptResult::Buried;
            self.parts.metrics.attempt(result, code, took);
            let said = "given up: events are buried; see faceway buried list";
            log_events(&mut self.buried, &self.parts, [*id], code, said);
        }
    }

    /// What is at hand.
    pub(super) fn beside(&self) -> Beside {
        if self.hands.any(|lease| !self.judge.has_tried(lease)) {
            Beside::New
        } else if self.hands.any(|lease| !self.judge.is_tried_out(lease)) {
            Beside::Failed
        } else {
            Beside::Nothing
        }
    }

    /// What is compared with the few events that were refused, while the lane waits.
    pub(super) fn next_to_compare(&mut self) -> Option<Lease> {
        // Those that were tried leave only before one that was not: by themselves they would tell nothing new.
        if self.beside() != Beside::New {
            return None;
        }
        self.hands.next_by(|lease| Some(self.judge.turn(lease)))
    }
}
