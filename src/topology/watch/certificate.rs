//! The certificate of `listen.tls`, which is renewed every few weeks while devices stay connected. Another one is in force for
//! the handshakes after it; connections that are there go on. Certificate and key are two files, which are replaced one after
//! the other.
//!
//! **Invariant:** until the two belong together, and when what is new cannot be used, the old pair stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Sha256, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::aside::{Aside, PATIENCE};
use super::{Failed, Refused};
use crate::config::gateway::ServerTls;
use crate::config::tls::Pair;
use crate::inbound::Certificates;

/// Two files that do not belong together are a mistake when they have stayed so for this long.
const HALF_MAX: Duration = Duration::from_secs(10);

/// When a pair that cannot be used is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// A reload was asked for, and the answer says it.
    AtOnce,
    /// It was found by chance, and may only be half written.
    Later,
}

/// The pair in force, and what lies on disk.
pub(crate) struct Certificate {
    tls: ServerTls,
    in_force: watch::Sender<Arc<rustls::ServerConfig>>,
    /// What the pair in force is known by.
    taken: Sha256,
    /// What was last read; `None` where it could not be.
    seen: Option<Sha256>,
    bad: Option<Bad>,
    aside: Aside,
}

/// A pair that cannot be used.
struct Bad {
    since: Instant,
    failed: Failed,
    reported: bool,
}

impl Certificate {
    /// Reads the pair, which a listener takes from what comes second.
    pub(crate) fn open(tls: &ServerTls) -> anyhow::Result<(Self, Certificates)> {
        let pair = Pair::read(tls)?;
        let taken = Sha256(pair.fingerprint());
        let (in_force, certificates) = watch::channel(pair.config()?);
        let certificate = Self {
            tls: tls.clone(),
            in_force,
            taken,
            seen: Some(taken),
            bad: None,
            aside: Aside::default(),
        };
        Ok((certificate, certificates))
    }

    /// The files.
    pub(super) fn files(&self) -> [PathBuf; 2] {
        [self.tls.cert.clone(), self.tls.key.clone()]
    }

    /// Whether the files are others than those that were last read.
    pub(super) async fn is_new(&self) -> bool {
        let tls = self.tls.clone();
        let fingerprint = move || Pair::read(&tls).map(|pair| Sha256(pair.fingerprint()));
        let found = self.aside.run(fingerprint).await;
        // A disk that hangs says nothing of its files.
        found.is_some_and(|found| found.ok() != self.seen)
    }

    /// Reads the files, and takes them over where they can be used. Gives whether another pair is in force now.
    pub(super) async fn read(
        &mut self,
        report: Report,
        now: Instant,
        at: Timestamp,
    ) -> Result<bool, Refused> {
        let tls = self.tls.clone();
        let read = move || Pair::read(&tls).map(|pair| (Sha256(pair.fingerprint()), pair.config()));
        let found = self.aside.run(read).await.unwrap_or_else(|| {
            let seconds = PATIENCE.as_secs();
            Err(anyhow::anyhow!(
                "its files cannot be read within {seconds}s"
            ))
        });
        let config = match found {
            Ok((fingerprint, config)) => {
                self.seen = Some(fingerprint);
                config.map(|config| (fingerprint, config))
            }
            Err(error) => {
                self.seen = None;
                Err(error)
            }
        };
        match config {
            Ok((fingerprint, config)) => Ok(self.take(fingerprint, config)),
            Err(error) => Err(self.keep(&error, report, now, at)),
        }
    }

    fn take(&mut self, fingerprint: Sha256, config: Arc<rustls::ServerConfig>) -> bool {
        let was_reported = self.bad.take().is_some_and(|bad| bad.reported);
        if fingerprint == self.taken {
            if was_reported {
                tracing::info!("the files of listen.tls are again those that are in force");
            }
            return false;
        }
        self.taken = fingerprint;
        self.in_force.send_replace(config);
        tracing::info!(
            "listen.tls was read again: new handshakes get the certificate that is now in {}",
            self.tls.cert.display()
        );
        true
    }

    fn keep(
        &mut self,
        error: &anyhow::Error,
        report: Report,
        now: Instant,
        at: Timestamp,
    ) -> Refused {
        let text = format!(
            "error: listen.tls is not taken over, and the certificate that was in force stays: {error:#}\n"
        );
        let failed = Failed {
            at,
            text: text.clone(),
        };
        // While one half after the other comes, the time runs from the first.
        let before = self.bad.take();
        let since = before.as_ref().map_or(now, |bad| bad.since);
        let is_known = before.as_ref().is_some_and(|bad| bad.reported);
        let is_same = before.is_some_and(|bad| bad.failed.text == text);
        self.bad = Some(Bad {
            since,
            failed,
            reported: is_known && is_same,
        });
        if report == Report::AtOnce || (is_known && !is_same) {
            self.report();
        } else {
            tracing::debug!("{}", text.trim_end());
        }
        Refused(text)
    }

    /// Reports a pair that has not come right in time; gives whether it did so.
    pub(super) fn is_overdue(&mut self, now: Instant) -> bool {
        let waits = |bad: &Bad| !bad.reported && now.duration_since(bad.since) >= HALF_MAX;
        let overdue = self.bad.as_ref().is_some_and(waits);
        if overdue {
            self.report();
        }
        overdue
    }

    fn report(&mut self) {
        if let Some(bad) = &mut self.bad {
            bad.reported = true;
            let text = bad.failed.text.trim_start_matches("error: ").trim_end();
            tracing::error!("{text}");
        }
    }

    /// Why the files are not in force, once that has been reported.
    pub(super) fn failed(&self) -> Option<Failed> {
        let bad = self.bad.as_ref().filter(|bad| bad.reported)?;
        Some(bad.failed.clone())
    }
}

#[cfg(test)]
mod tests {
    use faceway_testkit::receiver::{Authority, Issued};

    use super::*;

    struct Files {
        dir: tempfile::TempDir,
        authority: Authority,
    }

    impl Files {
        fn new() -> Self {
            Self {
                dir: tempfile::tempdir().unwrap(),
                authority: Authority::new(),
            }
        }

        fn issue(&self) -> Issued {
            self.authority.issue("localhost")
        }

        fn write(&self, cert: Option<&Issued>, key: Option<&Issued>) {
            let tls = self.tls();
            if let Some(issued) = cert {
                std::fs::write(tls.cert, &issued.certificate).unwrap();
            }
            if let Some(issued) = key {
                std::fs::write(tls.key, &issued.key).unwrap();
            }
        }

        fn tls(&self) -> ServerTls {
            ServerTls {
                cert: self.dir.path().join("cert.pem"),
                key: self.dir.path().join("key.pem"),
            }
        }
    }

    fn at() -> Timestamp {
        Timestamp::from_millis(0).unwrap()
    }

    /// One half after the other, as `cp` twice does it: at no moment is it a mistake, unless it stays so.
    #[tokio::test]
    async fn half_a_pair_is_waited_for_and_reported_when_it_stays() {
        let files = Files::new();
        let (old, new) = (files.issue(), files.issue());
        files.write(Some(&old), Some(&old));
        let (mut certificate, in_force) = Certificate::open(&files.tls()).unwrap();
        let first = Arc::clone(&in_force.borrow());
        assert!(!certificate.is_new().await);
        let now = Instant::now();

        files.write(Some(&new), None);
        assert!(certificate.is_new().await);
        let refused = certificate
            .read(Report::Later, now, at())
            .await
            .unwrap_err();
        assert!(refused.0.contains("do not belong together"), "{refused:?}");
        assert!(Arc::ptr_eq(&first, &in_force.borrow()));
        assert!(!certificate.is_new().await, "it is looked at once");
        assert!(!certificate.is_overdue(now + HALF_MAX / 2));
        assert_eq!(certificate.failed(), None);
        files.write(None, Some(&new));
        assert!(certificate.is_new().await);
        assert_eq!(certificate.read(Report::Later, now, at()).await, Ok(true));
        assert!(!Arc::ptr_eq(&first, &in_force.borrow()));

        files.write(None, Some(&old));
        let refused = certificate.read(Report::Later, now, at()).await;
        assert!(refused.is_err());
        assert!(certificate.is_overdue(now + HALF_MAX));
        assert!(certificate.failed().is_some());
        assert!(!certificate.is_overdue(now + HALF_MAX * 2), "once");
        // Another mistake in its place is one at once, and at no moment none.
        std::fs::write(files.tls().key, "no key").unwrap();
        let refused = certificate
            .read(Report::Later, now, at())
            .await
            .unwrap_err();
        assert_eq!(certificate.failed().unwrap().text, refused.0);
        // Back to what is in force: no other pair, and nothing is wrong any more.
        files.write(None, Some(&new));
        assert_eq!(certificate.read(Report::Later, now, at()).await, Ok(false));
        assert_eq!(certificate.failed(), None);
    }

    #[tokio::test]
    async fn files_that_are_gone_leave_the_pair_in_force() {
        let files = Files::new();
        let (old, new) = (files.issue(), files.issue());
        files.write(Some(&old), Some(&old));
        let (mut certificate, in_force) = Certificate::open(&files.tls()).unwrap();
        let first = Arc::clone(&in_force.borrow());
        let now = Instant::now();
        std::fs::remove_file(files.tls().cert).unwrap();
        assert!(certificate.is_new().await);
        let refused = certificate
            .read(Report::AtOnce, now, at())
            .await
            .unwrap_err();
        assert!(
            refused.0.contains("cert.pem (listen.tls.cert)"),
            "{refused:?}"
        );
        assert!(certificate.failed().is_some());
        assert!(!certificate.is_new().await);
        files.write(Some(&new), Some(&new));
        assert!(certificate.is_new().await);
        assert!(Arc::ptr_eq(&first, &in_force.borrow()));
        assert_eq!(certificate.read(Report::Later, now, at()).await, Ok(true));
        // A disk that hangs changes nothing.
        certificate.aside.hang(true);
        assert!(!certificate.is_new().await);
        let refused = certificate
            .read(Report::AtOnce, now, at())
            .await
            .unwrap_err();
        assert!(refused.0.contains("cannot be read within"), "{refused:?}");
    }
}
