//! When the files are read again while the gateway runs: `routes.toml` with its templates, and the certificate of
//! `listen.tls`.
//!
//! Files are looked at when their directories change, every few seconds in any case (bind mounts and network disks report no
//! change), on SIGHUP and when the admin API asks.
//!
//! **Invariants.** A file that is wrong changes nothing, and is reported once. Files are read on a thread of their own, as a
//! disk may hang. What is remembered as seen is never newer than what was read, so no change is missed.

mod aside;
mod certificate;
mod directories;
mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Clock, Log, Sha256, Timestamp};
use faceway_rules::Routes;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::desired::{self, Desired};
use super::{Changes, Topology};
use crate::config::GatewayConfig;
use crate::context::Context;
pub(crate) use certificate::Certificate;
use certificate::Report;
use directories::Directories;
use files::Reader;

/// The files are looked at this often, whatever the system reports.
const POLL: Duration = Duration::from_secs(3);
/// After a change the directory must be quiet this long: an editor may write a file in pieces.
const QUIET: Duration = Duration::from_millis(300);
/// But quiet is waited for no longer than this.
const QUIET_MAX: Duration = Duration::from_secs(3);
/// A request for a reload waits behind so many others at the most.
const ASKING_MAX: usize = 16;

/// Why a reading of a file was not taken over: everything that is wrong, as `faceway check` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// A reading that was not taken over: what was in force before still is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// When it was read.
    pub at: Timestamp,
    /// Everything that is wrong, as `faceway check` prints it.
    pub text: String,
}

/// Asks for a reload, and knows whether the last one failed.
#[derive(Clone, Debug)]
pub struct Reloader {
    asking: mpsc::Sender<oneshot::Sender<Result<Changes, Refused>>>,
    failed: tokio::sync::watch::Receiver<Option<Failed>>,
}

impl Reloader {
    /// Reads the file and the certificate of `listen.tls` now and applies them, also when the file has not changed: a secret
    /// that it names may have. `None` when the gateway stops.
    pub async fn reload(&self) -> Option<Result<Changes, Refused>> {
        let (answer, answered) = oneshot::channel();
        self.asking.send(answer).await.ok()?;
        answered.await.ok()
    }

    /// The last reading, when it failed; of several in a row the last. `None` once a good one is in force.
    pub fn failed(&self) -> Option<Failed> {
        self.failed.borrow().clone()
    }
}

/// When the directory will have been quiet for long enough after a change.
#[derive(Clone, Copy, Debug, Default)]
struct Quiet {
    /// When to look, and when at the latest.
    at: Option<(Instant, Instant)>,
}

impl Quiet {
    fn disturbed(&mut self, now: Instant) {
        let latest = self.at.map_or(now + QUIET_MAX, |(_, latest)| latest);
        self.at = Some(((now + QUIET).min(latest), latest));
    }

    async fn over(&self) {
        match self.at {
            Some((at, _)) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// Reads the files when they may have changed, and has the topology become what they ask for.
pub(crate) struct Watch {
    config: GatewayConfig,
    topology: Arc<Mutex<Topology>>,
    clock: Arc<dyn Clock>,
    reader: Reader,
    /// Of what was last read.
    seen: Option<Sha256>,
    /// Files beside it that are read with it: its templates.
    beside: Vec<PathBuf>,
    /// Why the file is not in force as it is.
    wrong: Option<Failed>,
    certificate: Option<Certificate>,
    /// Why this gateway cannot go by what another one has put in force.
    lacking: Option<Failed>,
    /// All of it, for the overview.
    failed: tokio::sync::watch::Sender<Option<Failed>>,
    log: Arc<dyn Log>,
    /// The text of the file, as it was last read.
    text: String,
}

impl Watch {
    /// Watches until what it gives is dropped. `topology` is what `routes` ask for, which were read from `file`;
    /// `certificate` is in force. Where the file was refused at the start, `routes` are those of before.
    pub(crate) fn start(
        (file, routes, refused): (&Path, &Routes, Option<Refused>),
        config: GatewayConfig,
        topology: Arc<Mutex<Topology>>,
        certificate: Option<Certificate>,
        context: &Context,
    ) -> (Reloader, AbortOnDropHandle<()>) {
        let clock = Arc::clone(&context.clock);
        let (asking, asked) = mpsc::channel(ASKING_MAX);
        let beside = files::beside(routes, file);
        let (failed, failures) = tokio::sync::watch::channel(None);
        // By its text: the file may have changed since it was read, and is read again then. One that was refused is read once
        // more, and reported as it would be while the gateway runs.
        let is_read = refused.is_none();
        let seen = is_read.then(|| files::fingerprint_of(routes.text.as_bytes(), &beside));
        let at = clock.now();
        let watch = Self {
            config,
            topology,
            clock,
            reader: Reader::at(file),
            seen,
            beside,
            wrong: refused.map(|Refused(text)| Failed { at, text }),
            certificate,
            lacking: None,
            failed,
            log: Arc::clone(&context.log),
            text: routes.text.clone(),
        };
        watch.loaded();
        watch.publish();
        let task = tokio::spawn(watch.run(asked));
        let reloader = Reloader {
            asking,
            failed: failures,
        };
        (reloader, AbortOnDropHandle::new(task))
    }

    fn loaded(&self) {
        metrics::gauge!("faceway_reload_timestamp_seconds").set(self.clock.now().as_seconds());
    }

    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<Result<Changes, Refused>>>) {
        let mut watched = vec![self.reader.path().to_owned()];
        watched.extend(self.certificate.iter().flat_map(Certificate::files));
        let mut directories = Directories::of(&watched);
        let mut poll = tokio::time::interval(POLL);
        let mut quiet = Quiet::default();
        let mut known = self.follow().await;
        loop {
            tokio::select! {
                newer = self.log.watch_rules(known) => match newer {
                    Ok(_) => known = self.follow().await,
                    Err(_) => tokio::time::sleep(POLL).await,
                },
                asking = asked.recv() => {
                    let Some(asking) = asking else { return };
                    let answer = self.read_all().await;
                    let _ = asking.send(answer);
                }
                () = directories.changed() => quiet.disturbed(Instant::now()),
                () = quiet.over() => {
                    quiet = Quiet::default();
                    self.look().await;
                }
                // What is found by chance may be half written: it is taken when it stays as it is.
                _ = poll.tick() => if self.is_new().await || self.is_certificate_new().await {
                    quiet.disturbed(Instant::now());
                } else {
                    self.tidy().await;
                    known = self.follow().await;
                },
            }
        }
    }

    async fn is_new(&self) -> bool {
        self.reader.fingerprint(&self.beside).await != self.seen
    }

    async fn is_certificate_new(&self) -> bool {
        match &self.certificate {
            Some(certificate) => certificate.is_new().await,
            None => false,
        }
    }

    /// Goes by what another gateway of the site has put in force; gives the version of the log that is known now.
    async fn follow(&mut self) -> u64 {
        let mut topology = self.topology.lock().await;
        let followed = topology.follow().await;
        let known = topology.rules_version();
        let is_shared = topology.is_shared();
        let differs = topology.text().is_some_and(|text| text != self.text);
        drop(topology);
        match followed {
            Ok(None) => {}
            Ok(Some(changes)) => {
                self.lacking = None;
                self.loaded();
                tracing::info!(
                    added = changes.added.join(", "),
                    changed = changes.changed.join(", "),
                    removed = changes.removed.join(", "),
                    "this gateway goes by what another one has put in force"
                );
                if differs {
                    tracing::warn!(
                        "routes.toml of this gateway is not the one that is in force at the site: put that one there too"
                    );
                }
            }
            Err(error) => {
                let text = format!("error: {error:#}\n");
                if self
                    .lacking
                    .as_ref()
                    .is_none_or(|before| before.text != text)
                {
                    tracing::error!("{error:#}");
                    self.lacking = Some(Failed {
                        at: self.clock.now(),
                        text,
                    });
                }
            }
        }
        if is_shared {
            metrics::gauge!("faceway_routes_differ").set(f64::from(u8::from(differs)));
        }
        self.publish();
        known
    }

    /// What is done from time to time while nothing changes.
    async fn tidy(&mut self) {
        if let Some(certificate) = &mut self.certificate
            && certificate.is_overdue(Instant::now())
        {
            self.publish();
        }
        let mut topology = self.topology.lock().await;
        topology.write_rules_down().await;
        topology.forget_finished().await;
    }

    /// Reads what is not as it was last seen. What comes of it is in the log.
    async fn look(&mut self) {
        if self.is_new().await {
            let _ = self.read_again().await;
        }
        if self.is_certificate_new().await {
            let _ = self.read_certificate(Report::Later).await;
        }
        self.publish();
    }

    /// Reads everything, whether or not it has changed.
    async fn read_all(&mut self) -> Result<Changes, Refused> {
        let routes = self.read_again().await;
        let certificate = self.read_certificate(Report::AtOnce).await;
        self.publish();
        match (routes, certificate) {
            (Ok(mut changes), Ok(is_other)) => {
                let changed = is_other.then(|| "listen.tls".to_owned());
                changes.changed.extend(changed);
                Ok(changes)
            }
            (Ok(_), Err(Refused(why))) => Err(Refused(format!(
                "{why}note: routes.toml was read again and is in force\n"
            ))),
            (Err(Refused(errors)), Ok(is_other)) => {
                let note = if is_other {
                    "note: listen.tls was read again and is in force\n"
                } else {
                    ""
                };
                Err(Refused(errors + note))
            }
            (Err(Refused(errors)), Err(Refused(why))) => Err(Refused(errors + &why)),
        }
    }

    /// Gives whether another certificate is in force now.
    async fn read_certificate(&mut self, report: Report) -> Result<bool, Refused> {
        match &mut self.certificate {
            Some(certificate) => {
                let at = self.clock.now();
                certificate.read(report, Instant::now(), at).await
            }
            None => Ok(false),
        }
    }

    async fn read_again(&mut self) -> Result<Changes, Refused> {
        let answer = self.reload().await;
        match &answer {
            Ok(changes) => {
                self.wrong = None;
                self.loaded();
                tracing::info!(
                    added = changes.added.join(", "),
                    changed = changes.changed.join(", "),
                    removed = changes.removed.join(", "),
                    "routes.toml was read again and is in force"
                );
            }
            Err(Refused(errors)) => {
                self.wrong = Some(Failed {
                    at: self.clock.now(),
                    text: errors.clone(),
                });
                tracing::error!(
                    "routes.toml is not taken over; what was in force stays:\n{errors}"
                );
            }
        }
        answer
    }

    /// Shows whether everything on disk is in force.
    fn publish(&self) {
        let certificate = self.certificate.as_ref().and_then(Certificate::failed);
        let all = [self.wrong.clone(), certificate, self.lacking.clone()];
        let failed = all.into_iter().flatten().reduce(|one, other| Failed {
            at: one.at.max(other.at),
            text: format!("{}\n{}", one.text.trim_end(), other.text),
        });
        metrics::gauge!("faceway_reload_successful").set(f64::from(u8::from(failed.is_none())));
        self.failed.send_replace(failed);
    }

    async fn reload(&mut self) -> Result<Changes, Refused> {
        let found = self.reader.read(&self.beside).await;
        // Before anything is applied: a file that is refused is not read again until it changes.
        (self.seen, self.beside) = (found.fingerprint, found.beside);
        let refused = |error: anyhow::Error| Refused(format!("error: {error:#}\n"));
        let routes = desired::checked(found.loaded, &self.config)?;
        self.text.clone_from(&routes.text);
        let desired = Desired::new(routes).map_err(refused)?;
        // Held from opening to the end of the apply: what was compared must still be at work when it is changed.
        let mut topology = self.topology.lock().await;
        let opened = topology.open(desired).await.map_err(refused)?;
        topology.apply(opened).await.map_err(|error| {
            // That is not the file's fault: it is read again soon.
            self.seen = None;
            refused(error)
        })
    }
}
