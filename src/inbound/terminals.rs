//! Keeps the subscriptions of terminals: each is asked over its own API whether it posts to us, and told to.
//!
//! A site may have thousands of them, so few are asked at a time; those that do not answer wait in a queue of their own
//! and keep no other one waiting. A user that a terminal refuses is not tried again soon, or it would be locked out.

mod pace;
mod status;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Adapter, Clock, Duties, Duty, Subscribed, Subscription, Timestamp};
use faceway_rules::{TerminalPlan, Trust};
use faceway_tls::{Keys, Untrusted};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;

use self::pace::Pace;
pub(crate) use self::status::TerminalState;
use self::status::{Change, TerminalStatus};
use super::converse::{Api, Lost};
use crate::context::Context;
use crate::duty::{Left, OnDuty};

/// Terminals that are asked at a time, of those whose last dialogue came to its end or that were never asked.
const SOUND_MAX: usize = 12;
/// The same of those that failed: each of them may take its whole time.
const AILING_MAX: usize = 4;
/// For the whole dialogue with one.
const DIALOGUE_MAX: Duration = Duration::from_secs(30);

/// A terminal, and how it stands.
pub(crate) struct Terminal {
    inbound: String,
    /// Those that may ask it; all when empty.
    gateways: Vec<String>,
    url: String,
    trust: Trust,
    adapter: Arc<dyn Adapter>,
    subscription: Subscription,
    api: Api,
    status: TerminalStatus,
}

/// The tasks that keep all subscriptions, each with its terminal.
pub(crate) struct Terminals {
    tasks: Vec<(Arc<Terminal>, AbortOnDropHandle<()>)>,
    /// By inbound, and the gateways that may: whether its terminals are asked by this one.
    shifts: HashMap<(String, Vec<String>), Shift>,
    turns: Arc<Turns>,
}

impl Terminals {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            tasks: Vec::new(),
            shifts: HashMap::new(),
            turns: Arc::new(Turns {
                sound: Semaphore::new(SOUND_MAX),
                ailing: Semaphore::new(AILING_MAX),
            }),
        }
    }

    /// Keeps these from now on, and no others. Those that are kept already do not notice: a user that one of them has
    /// refused is not tried again for it.
    pub(crate) fn keep(
        &mut self,
        terminals: impl IntoIterator<Item = Arc<Terminal>>,
        context: &Context,
    ) {
        let mut before: HashMap<_, _> = std::mem::take(&mut self.tasks)
            .into_iter()
            .map(|(terminal, task)| (Arc::as_ptr(&terminal), (terminal, task)))
            .collect();
        let terminals: Vec<_> = terminals.into_iter().collect();
        // First: a gateway asks for a duty once at a time.
        let shifts: HashSet<_> = terminals.iter().map(|it| it.shift()).collect();
        self.shifts.retain(|shift, _| shifts.contains(shift));
        for terminal in terminals {
            let kept = before.remove(&Arc::as_ptr(&terminal));
            let kept = kept.unwrap_or_else(|| self.begin(terminal, context));
            self.tasks.push(kept);
        }
    }

    fn begin(
        &mut self,
        terminal: Arc<Terminal>,
        context: &Context,
    ) -> (Arc<Terminal>, AbortOnDropHandle<()>) {
        let shift = self.shifts.entry(terminal.shift());
        let shift = shift.or_insert_with_key(|(inbound, gateways)| {
            Shift::begin(inbound, gateways.clone(), &context.duties)
        });
        let is_here = shift.is_here.clone();
        let (turns, clock) = (Arc::clone(&self.turns), Arc::clone(&context.clock));
        let kept = Arc::clone(&terminal);
        let task = tokio::spawn(async move { kept.keep(&turns, &*clock, is_here).await });
        (terminal, AbortOnDropHandle::new(task))
    }
}

/// Keeps the duty of an inbound's terminals: one gateway of a site asks them.
struct Shift {
    is_here: watch::Receiver<bool>,
    _task: AbortOnDropHandle<()>,
}

impl Shift {
    fn begin(inbound: &str, gateways: Vec<String>, duties: &Arc<dyn Duties>) -> Self {
        let (told, is_here) = watch::channel(false);
        let (duty, duties) = (Duty::Terminals(inbound.into()), Arc::clone(duties));
        let task = tokio::spawn(async move {
            loop {
                let duty = OnDuty::take(&duties, duty.clone(), &gateways).await;
                told.send_replace(true);
                let left = tokio::select! {
                    biased;
                    () = duty.lost() => Left::Lost,
                    () = duty.wanted() => Left::HandedOver,
                };
                // A dialogue that has begun breaks off: another gateway begins it anew.
                told.send_replace(false);
                duty.end(left).await;
            }
        });
        Self {
            is_here,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

/// Who may be asked now.
struct Turns {
    sound: Semaphore,
    ailing: Semaphore,
}

impl Terminal {
    pub(crate) fn new(
        (inbound, gateways): (&str, &[String]),
        plan: &TerminalPlan,
        (adapter, subscription): (Arc<dyn Adapter>, Subscription),
        api: Api,
        now: Timestamp,
    ) -> Self {
        Self {
            inbound: inbound.to_owned(),
            gateways: gateways.to_vec(),
            url: plan.url.clone(),
            trust: plan.trust.clone(),
            adapter,
            subscription,
            api,
            status: TerminalStatus::new(now),
        }
    }

    fn shift(&self) -> (String, Vec<String>) {
        (self.inbound.clone(), self.gateways.clone())
    }

    /// Its own API.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How it stands, since when, and what is to be done.
    pub(crate) fn status(&self) -> (TerminalState, Timestamp, Option<String>) {
        self.status.get()
    }

    async fn keep(&self, turns: &Turns, clock: &dyn Clock, mut is_here: watch::Receiver<bool>) {
        loop {
            // Where the shift is over for good, so is this task in a moment.
            if is_here.wait_for(|is_here| *is_here).await.is_err() {
                return;
            }
            tokio::select! {
                () = self.ask_again_and_again(turns, clock) => {}
                _ = is_here.wait_for(|is_here| !is_here) => {
                    self.status.set(TerminalState::Unchecked, None, clock.now());
                }
            }
        }
    }

    async fn ask_again_and_again(&self, turns: &Turns, clock: &dyn Clock) {
        let mut pace = Pace::default();
        loop {
            let queue = if pace.is_sound() {
                &turns.sound
            } else {
                &turns.ailing
            };
            let turn = queue.acquire().await;
            let found = self.ask().await;
            drop(turn);
            let pause = pace.after(&found, rand::random());
            self.note(found, clock.now());
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(&self) -> Result<Subscribed, Lost> {
        let Some(mut dialogue) = self.adapter.subscribe(self.subscription.clone()) else {
            let text =
                "devices of this adapter cannot be told where to post to: leave `terminals` out";
            return Err(Lost::Refused(text.into()));
        };
        let led = tokio::time::timeout(DIALOGUE_MAX, self.api.converse(&mut *dialogue)).await;
        let late = |_| Lost::Unreachable("the device's API takes too long to answer".into());
        Ok(led.map_err(late)??.result)
    }

    /// Shows and logs how it stands; what has not changed is not logged again.
    fn note(&self, found: Result<Subscribed, Lost>, now: Timestamp) {
        let (inbound, terminal) = (&self.inbound, &self.url);
        let (state, message) = match &found {
            Ok(_) => (TerminalState::Subscribed, None),
            Err(lost) => {
                let (state, message) = self.wrong(lost);
                (state, Some(message))
            }
        };
        let change = self.status.set(state, message.clone(), now);
        match (found, message) {
            (Ok(Subscribed::Now), _) if change == Change::Nothing => tracing::warn!(
                inbound,
                terminal,
                "the terminal posted elsewhere again and was told to post here: another system sets its subscription too"
            ),
            (Ok(_), _) if change == Change::Nothing => {}
            (Ok(Subscribed::Already), _) => {
                tracing::info!(inbound, terminal, "the terminal posts here")
            }
            (Ok(Subscribed::Now), _) => tracing::info!(
                inbound,
                terminal,
                "subscription set: the terminal posted elsewhere or nowhere, and posts here now"
            ),
            (Ok(Subscribed::Untold), _) => tracing::info!(
                inbound,
                terminal,
                "subscription set: the terminal does not tell where it posts to, so it is told at every check"
            ),
            (Err(_), Some(message)) if change != Change::Nothing => {
                tracing::warn!(
                    inbound,
                    terminal,
                    "the terminal's subscription is not kept: {message}"
                );
            }
            (Err(_), _) => {}
        }
    }

    /// What is wrong, and what to do.
    fn wrong(&self, lost: &Lost) -> (TerminalState, String) {
        match lost {
            Lost::Unreachable(text) => (
                TerminalState::Unreachable,
                format!(
                    "{text}; it is tried again: check `url`, and that the terminal is on and can be reached from here"
                ),
            ),
            Lost::Untrusted(untrusted) => (TerminalState::Refused, self.distrust(untrusted)),
            Lost::Refused(text) | Lost::Denied(text) => (TerminalState::Refused, text.clone()),
        }
    }

    fn distrust(&self, untrusted: &Untrusted) -> String {
        let key = format!("fingerprint = \"{}\"", untrusted.fingerprint());
        let reason = untrusted.distrust.cause(Keys::TERMINAL);
        match &self.trust {
            Trust::System => format!(
                "its certificate is not trusted, so it was told nothing: {reason}. If the SHA-256 is the one of the \
                 terminal's own certificate, write `{key}` beside its `url`, or name the file of its authority by `ca`"
            ),
            Trust::Authorities(_) => format!(
                "its certificate is not trusted, so it was told nothing: {reason}. Put the certificate itself or its \
                 authority into the file that `ca` names, or, if the SHA-256 is the one of the terminal's own \
                 certificate, write `{key}` in place of `ca`"
            ),
            Trust::Fingerprint(_) => format!(
                "it shows another certificate than the one in `fingerprint`, so it was told nothing. If the terminal was \
                 given a new one, write `{key}`; if not, another device answers there"
            ),
        }
    }
}
