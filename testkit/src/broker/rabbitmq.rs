//! RabbitMQ, as Debian packages it (`rabbitmq-server`), and a consumer of another language (`python3-pika`).

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use crate::receiver::Issued;

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
/// Debian's own, which has the packages of Debian.
const PYTHON: &str = "/usr/bin/python3";
const PIKA: &str = include_str!("rabbitmq.py");
/// It takes three seconds on an idle machine.
const START_MAX: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);

/// What a test may want otherwise.
#[derive(Default)]
pub struct Options {
    /// The largest message that it takes.
    pub message_bytes_max: Option<usize>,
    /// TLS beside plain TCP: the server's certificate, and the authority (PEM) whose clients alone are let in.
    pub tls: Option<(Issued, String)>,
    /// Its plugin for MQTT: every client is `guest`, and topics are routing keys of `amq.topic`, with `.` for `/`.
    pub mqtt: bool,
}

/// A broker with the user `guest`. It is gone when dropped, also when the test panics.
pub struct RabbitMq {
    directory: TempDir,
    port: u16,
    tls_port: u16,
    /// Only with the plugin.
    mqtt_port: Option<u16>,
    distribution_port: u16,
    names_port: u16,
    /// Erlang's name server. Ours alone, or the broker would leave one behind.
    names: Child,
    /// In a process group of its own: a shell and what it runs.
    server: Mutex<Option<Child>>,
}

impl RabbitMq {
    /// Starts one, and waits until it takes connections.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// The same with options.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start_with(options: Options) -> Self {
        assert!(
            Path::new(SERVER).exists(),
            "install rabbitmq-server; ./run-tests does"
        );
        let directory = tempfile::tempdir().expect("a directory");
        let [port, tls_port, mqtt_port, distribution_port, names_port] = free_ports();
        let mqtt_port = options.mqtt.then_some(mqtt_port);
        write_files(directory.path(), [port, tls_port], mqtt_port, &options);
        let names = Command::new("epmd")
            .args(["-port", &names_port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("epmd comes with Erlang");
        let broker = Self {
            directory,
            port,
            tls_port,
            mqtt_port,
            distribution_port,
            names_port,
            names,
            server: Mutex::new(None),
        };
        // Before it answers, Erlang would start another, which no test ends.
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(("127.0.0.1", names_port)).is_err() {
            assert!(Instant::now() < deadline, "epmd did not start");
            tokio::time::sleep(POLL).await;
        }
        broker.run().await;
        broker
    }

    /// Where it listens, without TLS.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Where it listens with TLS, if it does.
    pub fn tls_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.tls_port))
    }

    /// Where its plugin for MQTT listens.
    ///
    /// # Panics
    /// Without the plugin.
    pub fn mqtt_address(&self) -> SocketAddr {
        let port = self.mqtt_port.expect("an option");
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn is_up(&self) -> bool {
        let listens = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
        greets(self.address()) && self.mqtt_port.is_none_or(listens)
    }

    /// Starts it again where it was, with what it had on its disk.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(&self) {
        let output = fs::File::create(self.directory.path().join("output")).expect("a file");
        let child = self
            .environment(Command::new(SERVER))
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("a file"))
            .stdout(output)
            .process_group(0)
            .spawn()
            .expect("the server starts");
        *self.server() = Some(child);
        let deadline = Instant::now() + START_MAX;
        while !self.is_up() {
            let ended = self
                .server()
                .as_mut()
                .is_none_or(|child| child.try_wait().ok().flatten().is_some());
            assert!(
                !ended && Instant::now() < deadline,
                "RabbitMQ did not start: {}",
                self.output()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops it in order.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn stop(&self) {
        self.control(&["stop"]).await;
        let deadline = Instant::now() + START_MAX;
        loop {
            let stopped = self
                .server()
                .as_mut()
                .is_none_or(|child| child.try_wait().ok().flatten().is_some());
            if stopped {
                break;
            }
            assert!(Instant::now() < deadline, "RabbitMQ did not stop");
            tokio::time::sleep(POLL).await;
        }
        self.kill();
    }

    /// Kills it with no chance to write anything down.
    pub fn kill(&self) {
        if let Some(mut child) = self.server().take() {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
        }
    }

    /// Runs `rabbitmqctl` and gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub async fn control(&self, arguments: &[&str]) -> String {
        let mut command = self.environment(Command::new(CONTROL));
        command.arg("-q").args(arguments);
        output(command).await
    }

    /// Its memory alarm goes off, or ends. While it is on, publishing connections are blocked.
    pub async fn set_memory_alarm(&self, is_on: bool) {
        let watermark = if is_on { "0.000001" } else { "0.6" };
        self.control(&["set_vm_memory_high_watermark", watermark])
            .await;
    }

    /// Creates what is named, durable: `exchange` with `type`, `queue` with `arguments`, bound with `bind`.
    pub async fn declare(&self, what: &Value) {
        self.pika("declare", &what.to_string()).await;
    }

    /// Takes every message off `queue` with another library: `message_id`, `type`, `headers`, `body` … by name.
    pub async fn drain(&self, queue: &str) -> Vec<Value> {
        let lines = self.pika("drain", queue).await;
        let lines = lines.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    async fn pika(&self, command: &str, argument: &str) -> String {
        let mut python = Command::new(PYTHON);
        python.args(["-c", PIKA, &self.port.to_string(), command, argument]);
        output(python).await
    }

    fn environment(&self, mut command: Command) -> Command {
        let path = self.directory.path();
        let bytes =
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none";
        command
            .env("HOME", path)
            .env("ERL_EPMD_PORT", self.names_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env(
                "RABBITMQ_NODENAME",
                format!("faceway{}@localhost", self.port),
            )
            .env("RABBITMQ_MNESIA_BASE", path.join("data"))
            .env("RABBITMQ_LOG_BASE", path.join("log"))
            .env("RABBITMQ_CONFIG_FILE", path.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path.join("plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", bytes);
        command
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.server
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What it has logged so far, for who wonders why a test fails.
    pub fn log(&self) -> String {
        let entries = fs::read_dir(self.directory.path().join("log"))
            .into_iter()
            .flatten();
        let texts = entries
            .flatten()
            .map(|entry| fs::read_to_string(entry.path()).unwrap_or_default());
        texts.collect()
    }

    fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill();
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}

fn write_files(path: &Path, ports: [u16; 2], mqtt_port: Option<u16>, options: &Options) {
    let [port, tls_port] = ports;
    let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("a file");
    let mut conf = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         disk_free_limit.absolute = 10MB\n\
         raft.wal_max_size_bytes = 64000000\n"
    );
    let mut set = |key: &str, value: &str| writeln!(conf, "{key} = {value}").expect("a string");
    if let Some(bytes_max) = options.message_bytes_max {
        set("max_message_size", &bytes_max.to_string());
    }
    if let Some((issued, clients)) = &options.tls {
        set("listeners.ssl.1", &format!("127.0.0.1:{tls_port}"));
        let files = [
            ("cacertfile", clients),
            ("certfile", &issued.certificate),
            ("keyfile", &issued.key),
        ];
        for (name, pem) in files {
            write(name, pem);
            set(
                &format!("ssl_options.{name}"),
                &path.join(name).display().to_string(),
            );
        }
        set("ssl_options.verify", "verify_peer");
        set("ssl_options.fail_if_no_peer_cert", "true");
    }
    if let Some(port) = mqtt_port {
        set("mqtt.listeners.tcp.1", &format!("127.0.0.1:{port}"));
    }
    write("rabbitmq.conf", &conf);
    write(
        "plugins",
        if mqtt_port.is_some() {
            "[rabbitmq_mqtt]."
        } else {
            "[]."
        },
    );
    write(".erlang.cookie", "FACEWAYTESTS");
    let private = fs::Permissions::from_mode(0o400);
    fs::set_permissions(path.join(".erlang.cookie"), private).expect("a file of ours");
}

/// Ports without a listener. Below those that the system hands out by itself, as they must stay free over restarts.
fn free_ports() -> [u16; 5] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() % 16_000).unwrap_or_default();
    let mut candidates =
        std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000);
    [(); 5].map(|()| {
        candidates
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .expect("a free port")
    })
}

/// Whether it answers the first bytes of AMQP 0-9-1 with some of its own.
fn greets(address: SocketAddr) -> bool {
    let greeting = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        stream.read_exact(&mut [0; 8])
    };
    greeting().is_ok()
}

async fn output(command: Command) -> String {
    let mut command = tokio::process::Command::from(command);
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let output = output.expect("the program is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
