//! What a service manager is told: ready, reloading, stopping, alive. The protocol is `sd_notify(3)` of systemd: datagrams to
//! the socket that NOTIFY_SOCKET names. Without that variable all of it is silence.
//!
//! Written here because the crates that speak it connect to paths only, and managers also hand out abstract addresses.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A manager that does not read must not hold up the gateway.
const SEND_MAX: Duration = Duration::from_secs(1);

/// The service manager, where there is one.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    /// It ends and restarts a gateway from which it has heard nothing for so long.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that started this process, as the environment tells. One that cannot be reached is told to the log.
    pub fn from_environment() -> Self {
        let text = |name| std::env::var(name).ok();
        let Some(address) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
        else {
            return Self::default();
        };
        match connect(&address) {
            Ok(socket) => Self {
                socket: Some(socket),
                watchdog: watchdog(
                    text("WATCHDOG_USEC").as_deref(),
                    text("WATCHDOG_PID").as_deref(),
                    std::process::id(),
                ),
            },
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything: NOTIFY_SOCKET");
                Self::default()
            }
        }
    }

    /// The gateway takes records. Also said when a reload is over, however it ended.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// A reload has begun. The moment lets the manager match it with its own request (`Type=notify-reload`).
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The gateway drains. This is a sign of life too: the manager may still be counting.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining: no new records\nWATCHDOG=1");
    }

    /// Gives signs of life twice as often as the manager wants them, each only when `alive` says so. One that never
    /// answers gives none, which is the point. Never resolves.
    pub async fn watch(&self, mut alive: impl AsyncFnMut() -> bool) {
        let Some(every) = self.watchdog.map(|most| most / 2) else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(every);
        // After a long silence one sign is as good as several.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if alive().await {
                self.tell("WATCHDOG=1");
            } else {
                tracing::error!("no sign of life for the service manager: the spool is failing");
            }
        }
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            tracing::warn!(%error, "the service manager was not told");
        }
    }
}

/// An address that begins with `@` is abstract: a name without a file.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(address)?,
        _ => return Err(io::Error::from(io::ErrorKind::Unsupported)),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_MAX))?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// How often signs of life are wanted, when they are wanted of this process.
fn watchdog(micros: Option<&str>, of: Option<&str>, us: u32) -> Option<Duration> {
    if of.is_some_and(|of| of.parse() != Ok(us)) {
        return None;
    }
    let micros = micros?.parse().ok().filter(|micros| *micros >= 2)?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    use super::{Manager, connect, watchdog};

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn abstract_addresses_are_reached_as_well_as_paths() {
        let name = format!("faceway-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstract_one = UnixDatagram::bind_addr(&address).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let one_with_a_path = UnixDatagram::bind(&path).unwrap();
        let both = [
            (OsString::from(format!("@{name}")), abstract_one),
            (path.into_os_string(), one_with_a_path),
        ];
        for (address, socket) in both {
            let manager = Manager {
                socket: Some(connect(&address).unwrap()),
                watchdog: None,
            };
            manager.ready("running");
            assert_eq!(heard(&socket), "READY=1\nSTATUS=running");
        }
    }

    #[test]
    fn a_reload_names_its_moment() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let manager = Manager {
            socket: Some(ours),
            watchdog: None,
        };
        manager.reloading();
        let heard = heard(&theirs);
        let moment = heard.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(moment.parse::<u64>().unwrap() > 0);
    }

    #[test]
    fn other_addresses_are_refused() {
        for address in ["notify", "vsock:2:1234"] {
            assert!(connect(address.as_ref()).is_err());
        }
    }

    #[test]
    fn signs_of_life_are_given_when_they_are_wanted_of_us() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(Some("1000000"), Some("17"), 17), second);
        assert_eq!(watchdog(Some("1000000"), None, 17), second);
        assert_eq!(watchdog(Some("1000000"), Some("18"), 17), None);
        assert_eq!(watchdog(None, Some("17"), 17), None);
        assert_eq!(watchdog(Some("0"), None, 17), None);
        assert_eq!(watchdog(Some("soon"), None, 17), None);
    }

    #[tokio::test]
    async fn nothing_is_said_while_the_gateway_is_not_alive() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let manager = Manager {
            socket: Some(ours),
            watchdog: Some(Duration::from_millis(4)),
        };
        let mut asked = 0;
        let enough = tokio::sync::Notify::new();
        let watching = manager.watch(async || {
            asked += 1;
            if asked == 4 {
                enough.notify_one();
                std::future::pending::<()>().await;
            }
            asked == 2
        });
        tokio::select! {
            () = watching => {}
            () = enough.notified() => {}
        }
        assert_eq!(heard(&theirs), "WATCHDOG=1");
        assert!(theirs.recv(&mut [0; 9]).is_err(), "that was the only one");
    }
}
