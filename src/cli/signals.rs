//! What ends a command that runs on: SIGTERM and SIGINT (Ctrl-C).

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Both signals, heard from the moment this is made.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on; neither ends the process by itself any more.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let hear = |kind| {
            let heard = signal(kind);
            heard.map_err(|error| Failure::trouble(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
        })
    }

    /// Resolves when a signal wants the command to end.
    pub(crate) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
