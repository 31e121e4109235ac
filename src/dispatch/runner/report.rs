//! What a lane says in the log, in metrics, and in its status.

use std::time::Duration;

use faceway_core::{Code, EventId};
use faceway_lane::Fate;
use tokio::time::Instant;

use super::Runner;
use crate::throttle::Throttle;

/// While deliveries are in flight a lane shows how it stands so often.
const SHOW_PAUSE: Duration = Duration::from_millis(10);

impl Runner {
    /// Says what became of events, and of the destination.
    pub(super) fn report(&mut self) {
        for fate in self.lane.take_fates() {
            match fate {
                Fate::Attempt {
                    result, code, took, ..
                } => {
                    self.tools.metrics.attempt(result, &code, took);
                }
                Fate::Buried { seq, code } => {
                    let said = "given up: events are buried; see faceway buried list";
                    let event = self.failed.get(&seq);
                    log_event(&self.tools.name, &mut self.buried, event, &code, said);
                }
                Fate::Blamed { seq, code } => {
                    let said = "the connection ends whenever this event is sent: it is tried alone, and the others go on";
                    let event = self.failed.get(&seq);
                    log_event(&self.tools.name, &mut self.blamed, event, &code, said);
                }
                Fate::OutageBegan { code, refuses } => self.log_outage(&code, refuses),
                Fate::OutageEnded => {
                    tracing::info!(outbound = self.tools.name, "the destination is back");
                }
            }
        }
    }

    fn log_outage(&self, code: &Code, refuses: bool) {
        let said = if refuses {
            "the destination takes none of the events: the lane waits"
        } else {
            "the destination is down: the lane waits"
        };
        tracing::warn!(
            outbound = self.tools.name,
            code = code.as_str(),
            reason = code.reason(),
            "{said}"
        );
    }

    /// Events that have left the log, or are damaged, while they waited.
    pub(super) fn log_lost(&mut self, lost: &[u64]) {
        for seq in lost {
            if let Some(times) = self.lost.note((), Instant::now()) {
                tracing::error!(
                    outbound = self.tools.name,
                    seq,
                    times,
                    "an event that waits cannot be read any more: it is let go; see faceway spool check"
                );
            }
        }
    }

    /// Shows how the lane stands, unless it did a moment ago and will again in a moment: counting costs more than a delivery.
    pub(super) fn show_when_due(&mut self) {
        let (at, routed) = self.shown;
        let will_again = !self.deliveries.is_empty();
        let is_news = self.lane.routed_through() != routed;
        if is_news || !will_again || at.elapsed() >= SHOW_PAUSE {
            self.shown = (Instant::now(), self.lane.routed_through());
            self.show();
        }
    }

    /// Shows how the lane stands.
    pub(super) fn show(&mut self) {
        let view = self.lane.view();
        let wall = self.tools.clock.now();
        if self.tools.stop.is_cancelled() {
            self.tools.status.stopped(view, wall);
        } else {
            self.tools.status.show(view, self.tick(), wall);
        }
    }
}

/// Says so of an event, at a bearable rate. The id is that of the last one: `faceway why` prints its trace.
fn log_event(
    outbound: &str,
    throttle: &mut Throttle<Code>,
    event: Option<&EventId>,
    code: &Code,
    said: &str,
) {
    if let Some(times) = throttle.note(code.clone(), Instant::now()) {
        let event = event.map(tracing::field::display);
        tracing::warn!(outbound, code = code.as_str(), times, event, "{said}");
    }
}
