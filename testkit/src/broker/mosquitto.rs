//! Mosquitto, and a subscriber of it that is none of our code.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::receiver::{Authority, Issued};

/// Nothing that is waited for here takes this long, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that cannot be awaited.
const LOOK: Duration = Duration::from_millis(10);

/// What a broker is to be like. The default lets every client in and keeps nothing over a restart.
#[derive(Default)]
pub struct Options {
    /// Whether sessions and messages outlive an orderly stop.
    pub persistence: bool,
    /// Its limit of a packet, which MQTT 5 tells to clients.
    pub packet_bytes_max: Option<u32>,
    /// Whether it keeps no retained messages.
    pub no_retain: bool,
    /// Names and passwords; when there are any, no other client is let in.
    pub users: Vec<(String, String)>,
    /// Lines of an access control list.
    pub access: Option<String>,
    /// TLS with this certificate.
    pub tls: Option<Issued>,
    /// Only clients with a certificate of this authority are let in.
    pub clients: Option<Authority>,
}

/// A broker. It is killed when dropped.
pub struct Mosquitto {
    directory: TempDir,
    options: Options,
    child: Option<Child>,
    /// Of the listener that the options are for.
    port: u16,
    /// Of a plain one that lets every client in: what a test wants to see does not depend on what it tests.
    open_port: u16,
}

impl Mosquitto {
    /// Starts one and waits until it accepts.
    ///
    /// # Panics
    /// When Mosquitto is not installed or does not start.
    pub async fn start(options: Options) -> Self {
        let mut broker = Self {
            directory: TempDir::new().expect("a directory"),
            options,
            child: None,
            port: 0,
            open_port: 0,
        };
        // A port that was free may be another process's a moment later.
        for attempt in 1.. {
            (broker.port, broker.open_port) = free_ports();
            broker.configure().await;
            if broker.is_up().await {
                break;
            }
            assert!(attempt < 5, "mosquitto does not start: {}", broker.log());
        }
        broker
    }

    /// Where the listener is that the options are for.
    pub fn address(&self) -> SocketAddr {
        local(self.port)
    }

    /// Where a plain listener lets every client in.
    pub fn open_address(&self) -> SocketAddr {
        local(self.open_port)
    }

    /// An orderly stop.
    pub async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, Signal::TERM);
            let ended = timeout(PATIENCE, child.wait()).await;
            ended.expect("it ends").expect("a status");
        }
    }

    /// Another access list than that of the options counts from the next [`Mosquitto::run`].
    pub async fn allow(&mut self, access: &str) {
        self.options.access = Some(access.to_owned());
        self.configure().await;
    }

    /// As if the power had gone.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("it is ours");
        }
    }

    /// It answers no client until [`Mosquitto::thaw`]; its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on where it was.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Runs again, on the same ports, after [`Mosquitto::stop`] or [`Mosquitto::kill`]; nothing if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(&mut self) {
        if self.child.is_none() {
            assert!(self.is_up().await, "no restart: {}", self.log());
        }
    }

    /// Publishes at the plain listener, to be kept if `retain`: an empty payload then takes back what was kept.
    ///
    /// # Panics
    /// When the broker does not take it.
    pub async fn publish(&self, topic: &str, payload: &str, retain: bool) {
        let mut command = publisher(self.open_port, topic, payload);
        if retain {
            command.arg("-r");
        }
        let status = timeout(PATIENCE, command.status()).await;
        let published = status.is_ok_and(|status| status.is_ok_and(|status| status.success()));
        assert!(published, "the broker takes it");
    }

    /// What it has written into its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn signal(&self, what: Signal) {
        if let Some(child) = &self.child {
            signal(child, what);
        }
    }

    async fn is_up(&mut self) -> bool {
        let mut child = Command::new(program("mosquitto"))
            .args(["-c", &self.path("mosquitto.conf")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("mosquitto is installed (./run-tests does it)");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
            let plain = TcpStream::connect(self.open_address()).await;
            if plain.is_ok() && TcpStream::connect(self.address()).await.is_ok() {
                self.child = Some(child);
                return true;
            }
            sleep(LOOK).await;
        }
        false
    }

    async fn configure(&self) {
        let options = &self.options;
        let mut text = String::new();
        let mut line = |key: &str, value: &str| writeln!(text, "{key} {value}").expect("a line");
        // It would otherwise change to a user who may not read the directory.
        line("user", "root");
        line("per_listener_settings", "true");
        line("log_dest", &format!("file {}", self.path("log")));
        line("log_type", "all");
        line("set_tcp_nodelay", "true");
        line("max_inflight_messages", "0");
        line("max_queued_messages", "0");
        line(
            "persistence",
            if options.persistence { "true" } else { "false" },
        );
        line("persistence_location", &self.path(""));
        if let Some(max) = options.packet_bytes_max {
            line("max_packet_size", &max.to_string());
        }
        if options.no_retain {
            line("retain_available", "false");
        }
        line("listener", &format!("{} 127.0.0.1", self.open_port));
        line("allow_anonymous", "true");
        line("listener", &format!("{} 127.0.0.1", self.port));
        let anonymous = options.users.is_empty();
        line("allow_anonymous", if anonymous { "true" } else { "false" });
        if !anonymous {
            line("password_file", &self.passwords().await);
        }
        if let Some(access) = &options.access {
            line("acl_file", &self.write("access", access));
        }
        if let Some(issued) = &options.tls {
            line("certfile", &self.write("certificate", &issued.certificate));
            line("keyfile", &self.write("key", &issued.key));
        }
        if let Some(clients) = &options.clients {
            line("cafile", &self.write("clients", &clients.pem()));
            line("require_certificate", "true");
        }
        self.write("mosquitto.conf", &text);
    }

    async fn passwords(&self) -> String {
        let path = self.write("passwords", "");
        for (name, password) in &self.options.users {
            let status = Command::new(program("mosquitto_passwd"))
                .args(["-b", &path, name, password])
                .stderr(Stdio::null())
                .status()
                .await;
            assert!(status.is_ok_and(|status| status.success()), "a password");
        }
        path
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn path(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        path.to_str().expect("a path that is text").to_owned()
    }
}

/// What a subscriber got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// Where.
    pub topic: String,
    /// Whether the broker had kept it for later subscribers.
    pub retained: bool,
    /// What.
    pub payload: String,
}

/// `mosquitto_sub` on everything. It comes back by itself when the broker does.
pub struct Subscriber {
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    more: Arc<Notify>,
    markers: Mutex<u64>,
    _child: Child,
    task: JoinHandle<()>,
}

/// Where markers go.
const MARKER: &str = "testkit/marker";

impl Subscriber {
    /// Subscribes to everything at `broker` with this QoS, and waits until it is subscribed.
    ///
    /// # Panics
    /// When the clients of Mosquitto are not installed.
    pub async fn start(broker: &Mosquitto, qos: u8) -> Self {
        let mut child = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &broker.open_port.to_string()])
            .args(["-t", "#", "-q", &qos.to_string(), "-F", "%t\\t%r\\t%p"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("mosquitto_sub is installed (./run-tests does it)");
        let output = child.stdout.take().expect("it is piped");
        let (got, more) = (Arc::<Mutex<Vec<Got>>>::default(), Arc::<Notify>::default());
        let (seen, tell) = (Arc::clone(&got), Arc::clone(&more));
        let task = tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut parts = line.splitn(3, '\t').map(str::to_owned);
                if let (Some(topic), Some(retained), Some(payload)) =
                    (parts.next(), parts.next(), parts.next())
                {
                    let retained = retained == "1";
                    seen.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(Got {
                            topic,
                            retained,
                            payload,
                        });
                    tell.notify_waiters();
                }
            }
        });
        let subscriber = Self {
            port: broker.open_port,
            got,
            more,
            markers: Mutex::new(0),
            _child: child,
            task,
        };
        subscriber.catch_up().await;
        subscriber
    }

    /// Everything so far, in the order in which it came.
    pub fn got(&self) -> Vec<Got> {
        let mut got = self.locked().clone();
        got.retain(|got| got.topic != MARKER);
        got
    }

    /// Forgets what it got.
    pub fn forget(&self) {
        self.locked().clear();
    }

    /// Waits until it is subscribed and has everything that the broker had before this call: a broker hands on in order,
    /// so it is asked to hand on a marker.
    pub async fn catch_up(&self) {
        let marker = {
            let mut markers = self.markers.lock().unwrap_or_else(PoisonError::into_inner);
            *markers += 1;
            format!("marker {markers}")
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(
                Instant::now() < deadline,
                "the subscriber does not get what is published"
            );
            publish(self.port, MARKER, &marker).await;
            let came = self.until(|got| got.iter().any(|got| got.payload == marker));
            if timeout(Duration::from_millis(200), came).await.is_ok() {
                return;
            }
        }
    }

    /// Waits until what it got is as wanted.
    pub async fn until(&self, wanted: impl Fn(&[Got]) -> bool) {
        let waited = timeout(PATIENCE, async {
            loop {
                let more = self.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if wanted(&self.locked()) {
                    return;
                }
                more.await;
            }
        });
        waited.await.expect("what is waited for comes");
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Got>> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Publishes by `mosquitto_pub`. Whether the broker took it is not told.
async fn publish(port: u16, topic: &str, payload: &str) {
    let status = publisher(port, topic, payload).status();
    let _ = timeout(PATIENCE, status).await;
}

fn publisher(port: u16, topic: &str, payload: &str) -> Command {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1"]);
    command.args(["-t", topic, "-m", payload]);
    command.stderr(Stdio::null()).kill_on_drop(true);
    command
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn free_ports() -> (u16, u16) {
    let bound = || TcpListener::bind(local(0)).expect("a free port");
    let (one, two) = (bound(), bound());
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    (port(&one), port(&two))
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Debian keeps daemons where only root's `PATH` looks.
fn program(name: &str) -> String {
    let there = format!("/usr/sbin/{name}");
    match Path::new(&there).exists() {
        true => there,
        false => name.to_owned(),
    }
}
