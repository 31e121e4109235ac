//! Taking over a changed `routes.toml` while the gateway runs: as a whole, or not at all.
//!
//! The file is looked at when its directory changes, every few seconds in any case (in bind mounts and on network disks
//! nobody tells), on SIGHUP and when the admin API asks. A file that is wrong changes nothing; it is told once. In the same
//! rhythm the certificate of `listen.tls` is looked at.

mod aside;
mod certificate;
mod look;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Clock, Timestamp};
use faceway_rules::Routes;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{self, ConfigError, GatewayConfig, Loaded};
pub use crate::site::Changes;
use crate::site::Site;
pub(crate) use certificate::Certificate;
use certificate::Told;
use look::{Looker, Print};
use watch::Watch;

/// The file is looked at this often, whatever is told.
const POLL: Duration = Duration::from_secs(3);
/// After a change the directory must be quiet this long: an editor may write a file in pieces.
const QUIET: Duration = Duration::from_millis(300);
/// But nobody waits longer than this for quiet.
const QUIET_MAX: Duration = Duration::from_secs(3);
/// Who asks for a reload waits behind so many others at the most.
const ASKING_MAX: usize = 16;

/// Why a reading of a file was not taken over: everything that is wrong, as `faceway check` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

/// What came of a reload.
pub type Answer = Result<Changes, Refused>;

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
    asking: mpsc::Sender<oneshot::Sender<Answer>>,
    failed: tokio::sync::watch::Receiver<Option<Failed>>,
}

impl Reloader {
    /// Reads the file, and the certificate of `listen.tls`, now and takes them over, also when it has not changed: a secret that it names may have. `None` when
    /// the gateway stops.
    pub async fn reload(&self) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.asking.send(answer).await.ok()?;
        answered.await.ok()
    }

    /// The last reading, when it failed; of several in a row the last. `None` once a good one is in force.
    pub fn failed(&self) -> Option<Failed> {
        self.failed.borrow().clone()
    }
}

/// The file, and what is made of it.
pub(crate) struct Reload {
    pub(crate) path: PathBuf,
    pub(crate) config: GatewayConfig,
    pub(crate) site: Arc<Mutex<Site>>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Reload {
    /// Watches until what it gives is dropped. `routes` are in force, and were read from `path`.
    /// So is `certificate`.
    pub(crate) fn watch(
        self,
        routes: &Routes,
        certificate: Option<Certificate>,
    ) -> (Reloader, AbortOnDropHandle<()>) {
        let (asking, asked) = mpsc::channel(ASKING_MAX);
        let beside = look::beside(routes, &self.path);
        let (failed, told) = tokio::sync::watch::channel(None);
        let at_work = AtWork {
            looker: Looker::at(&self.path),
            // By its text: it may have changed since it was read.
            seen: Some(look::print_of(routes.text.as_bytes(), &beside)),
            beside,
            wrong: None,
            certificate,
            failed,
            reload: self,
        };
        at_work.reload.loaded();
        at_work.publish();
        let task = tokio::spawn(at_work.run(asked));
        let reloader = Reloader {
            asking,
            failed: told,
        };
        (reloader, AbortOnDropHandle::new(task))
    }

    fn loaded(&self) {
        metrics::gauge!("faceway_reload_timestamp_seconds").set(self.clock.now().as_seconds());
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

struct AtWork {
    reload: Reload,
    looker: Looker,
    /// Of what was last looked at.
    seen: Print,
    /// Files beside it that are read with it: its templates.
    beside: Vec<PathBuf>,
    /// Why the file is not in force as it is.
    wrong: Option<Failed>,
    certificate: Option<Certificate>,
    /// Both, for those who look.
    failed: tokio::sync::watch::Sender<Option<Failed>>,
}

impl AtWork {
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<Answer>>) {
        let mut watched = vec![self.reload.path.clone()];
        watched.extend(self.certificate.iter().flat_map(Certificate::files));
        let mut watch = Watch::of(&watched);
        let mut poll = tokio::time::interval(POLL);
        let mut quiet = Quiet::default();
        loop {
            tokio::select! {
                asking = asked.recv() => {
                    let Some(asking) = asking else { return };
                    let answer = self.read_all().await;
                    let _ = asking.send(answer);
                }
                () = watch.changed() => quiet.disturbed(Instant::now()),
                () = quiet.over() => {
                    quiet = Quiet::default();
                    self.look().await;
                }
                // What is found by chance may be half written: it is taken when it stays as it is.
                _ = poll.tick() => match self.is_new().await || self.is_certificate_new().await {
                    true => quiet.disturbed(Instant::now()),
                    false => self.tidy().await,
                },
            }
        }
    }

    async fn is_new(&self) -> bool {
        self.looker.print(&self.beside).await != self.seen
    }

    async fn is_certificate_new(&self) -> bool {
        match &self.certificate {
            Some(certificate) => certificate.is_new().await,
            None => false,
        }
    }

    /// What is done from time to time while nothing changes.
    async fn tidy(&mut self) {
        if let Some(certificate) = &mut self.certificate
            && certificate.is_overdue(Instant::now())
        {
            self.publish();
        }
        let mut site = self.reload.site.lock().await;
        site.write_down().await;
        site.forget_left().await;
    }

    /// Reads what is not as it was last seen. What comes of it is in the log.
    async fn look(&mut self) {
        if self.is_new().await {
            let _ = self.read_again().await;
        }
        if self.is_certificate_new().await {
            let _ = self.read_certificate(Told::Later).await;
        }
        self.publish();
    }

    /// Reads everything, whether or not it has changed.
    async fn read_all(&mut self) -> Answer {
        let routes = self.read_again().await;
        let certificate = self.read_certificate(Told::AtOnce).await;
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
                let note = match is_other {
                    true => "note: listen.tls was read again and is in force\n",
                    false => "",
                };
                Err(Refused(errors + note))
            }
            (Err(Refused(errors)), Err(Refused(why))) => Err(Refused(errors + &why)),
        }
    }

    /// Gives whether another certificate is in force now.
    async fn read_certificate(&mut self, told: Told) -> Result<bool, Refused> {
        match &mut self.certificate {
            Some(certificate) => {
                let at = self.reload.clock.now();
                certificate.read(told, Instant::now(), at).await
            }
            None => Ok(false),
        }
    }

    async fn read_again(&mut self) -> Answer {
        let answer = self.take_over().await;
        match &answer {
            Ok(changes) => {
                self.wrong = None;
                self.reload.loaded();
                tracing::info!(
                    added = changes.added.join(", "),
                    changed = changes.changed.join(", "),
                    removed = changes.removed.join(", "),
                    "routes.toml was read again and is in force"
                );
            }
            Err(Refused(errors)) => {
                self.wrong = Some(Failed {
                    at: self.reload.clock.now(),
                    text: errors.clone(),
                });
                tracing::error!(
                    "routes.toml is not taken over; what was in force stays:\n{errors}"
                );
            }
        }
        answer
    }

    /// Says to those who look whether everything on disk is in force.
    fn publish(&self) {
        let certificate = self.certificate.as_ref().and_then(Certificate::failed);
        let failed = match (self.wrong.clone(), certificate) {
            (Some(wrong), Some(certificate)) => Some(Failed {
                at: wrong.at.max(certificate.at),
                text: format!("{}\n{}", wrong.text.trim_end(), certificate.text),
            }),
            (wrong, certificate) => wrong.or(certificate),
        };
        metrics::gauge!("faceway_reload_successful").set(f64::from(u8::from(failed.is_none())));
        self.failed.send_replace(failed);
    }

    async fn take_over(&mut self) -> Answer {
        let found = self.looker.read(&self.beside).await;
        (self.seen, self.beside) = (found.print, found.beside);
        let routes = checked(found.loaded, &self.reload.config)?;
        let mut site = self.reload.site.lock().await;
        let told = |error: anyhow::Error| Refused(format!("error: {error:#}\n"));
        let prepared = site.prepare(routes).await.map_err(told)?;
        site.adopt(prepared).await.map_err(|error| {
            // That is not the file's fault: it is read again soon.
            self.seen = None;
            told(error)
        })
    }
}

/// Everything that `faceway check` does.
fn checked(
    loaded: Result<Loaded<Routes>, ConfigError>,
    config: &GatewayConfig,
) -> Result<Routes, Refused> {
    let loaded = loaded.map_err(|error| Refused(error.to_string()))?;
    let routes = loaded.value;
    let together = config::together(config, &routes);
    let together = together.map_err(|error| Refused(error.to_string()))?;
    for warnings in [&loaded.warnings, &together] {
        if !warnings.is_empty() {
            tracing::warn!("routes.toml hardly means what it says:\n{warnings}");
        }
    }
    let failures = routes.run_tests();
    if failures.is_empty() {
        return Ok(routes);
    }
    let told: Vec<_> = failures.iter().map(ToString::to_string).collect();
    Err(Refused(told.join("\n")))
}
