//! A site in a temporary directory, the real gateway as its own process on free ports, and a device that pushes to it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_adapter_nebula::Nebula;
use faceway_core::{Adapter as _, Arrival, EventId, Settings};
use faceway_testkit::receiver::{Received, Receiver};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) const FACEWAY: &str = env!("CARGO_BIN_EXE_faceway");

/// A site: its files, and where its spool is.
pub(crate) struct Site {
    dir: Arc<TempDir>,
    spool: PathBuf,
    environment: BTreeMap<String, String>,
    ulimit: Option<&'static str>,
    reads_output: bool,
}

/// A gateway at work.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) devices: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<String>>,
    output: Arc<Mutex<String>>,
    /// The site's files stay as long as its gateway.
    _dir: Arc<TempDir>,
}

impl Site {
    /// A site with this `routes.toml`.
    pub(crate) fn new(routes: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("routes.toml"), routes).unwrap();
        let spool = dir.path().join("data");
        Self {
            dir: Arc::new(dir),
            spool,
            environment: BTreeMap::new(),
            ulimit: None,
            reads_output: true,
        }
        .set("FACEWAY_LISTEN__DEVICES", "127.0.0.1:0")
        .set("FACEWAY_LISTEN__ADMIN", "127.0.0.1:0")
        .set("FACEWAY_SPOOL__FREE_MIN", "1MiB")
    }

    /// With a variable in the gateway's environment.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Without a variable.
    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// With these limits of open files, as the shell's `ulimit` takes them.
    pub(crate) fn ulimit(mut self, limits: &'static str) -> Self {
        self.ulimit = Some(limits);
        self
    }

    /// With a standard output that is open and not read.
    pub(crate) fn output_unread(mut self) -> Self {
        self.reads_output = false;
        self
    }

    /// With its spool elsewhere.
    pub(crate) fn spool_in(mut self, path: &Path) -> Self {
        self.spool = path.to_owned();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self) -> Command {
        let mut command = match self.ulimit {
            None => Command::new(FACEWAY),
            Some(limits) => {
                let mut shell = Command::new("/bin/sh");
                let script = format!("ulimit {limits} && exec \"$0\" \"$@\"");
                shell.args(["-c", &script, FACEWAY]);
                shell
            }
        };
        command
            .current_dir(self.dir.path())
            .env_clear()
            .envs(&self.environment)
            .kill_on_drop(true);
        command
            .env("FACEWAY_SPOOL__DIR", &self.spool)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command at this site to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        tokio::time::timeout(PATIENCE, self.command().args(arguments).output())
            .await
            .expect("it ends")
            .unwrap()
    }

    /// Runs a command against a running gateway; gives what it prints, which must be a success.
    pub(crate) async fn ask(&self, gateway: &Gateway, arguments: &[&str]) -> String {
        let output = self.run_against(gateway, arguments).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out
    }

    /// Runs a command against a running gateway that must fail by its user's fault; gives what it says.
    pub(crate) async fn refuse(&self, gateway: &Gateway, arguments: &[&str]) -> String {
        let output = self.run_against(gateway, arguments).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {out}{err}");
        err
    }

    pub(crate) async fn run_against(&self, gateway: &Gateway, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command
            .args(arguments)
            .env("FACEWAY_ADMIN_URL", format!("http://{}", gateway.admin));
        tokio::time::timeout(PATIENCE, command.output())
            .await
            .expect("it ends")
            .unwrap()
    }

    /// Starts the gateway and waits until it listens.
    pub(crate) async fn start(&self) -> Gateway {
        let mut command = self.command();
        command
            .args(["run", "--log-format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let output = Arc::new(Mutex::new(String::new()));
        if self.reads_output {
            let stdout = child.stdout.take().unwrap();
            tokio::spawn(copy_lines(stdout, Arc::clone(&output), None));
        }
        let (listening, told) = tokio::sync::oneshot::channel();
        tokio::spawn(copy_lines(
            child.stderr.take().unwrap(),
            Arc::clone(&log),
            Some(listening),
        ));
        let told = tokio::time::timeout(PATIENCE, told)
            .await
            .expect("it starts");
        let Ok((devices, admin)) = told else {
            panic!("the gateway did not start:\n{}", log.lock().unwrap());
        };
        Gateway {
            child,
            devices,
            admin,
            log,
            output,
            _dir: Arc::clone(&self.dir),
        }
    }
}

type Addresses = (SocketAddr, SocketAddr);

async fn copy_lines(
    from: impl tokio::io::AsyncRead + Unpin,
    to: Arc<Mutex<String>>,
    mut listening: Option<tokio::sync::oneshot::Sender<Addresses>>,
) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if listening.is_some()
            && let Some(addresses) = addresses(&line)
            && let Some(listening) = listening.take()
        {
            let _ = listening.send(addresses);
        }
        let mut to = to.lock().unwrap();
        to.push_str(&line);
        to.push('\n');
    }
}

fn addresses(line: &str) -> Option<Addresses> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line[name].as_str()?.parse().ok();
    Some((address("devices")?, address("admin")?))
}

impl Gateway {
    /// Everything that it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The same, to be read when it is gone.
    pub(crate) fn log_handle(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.log)
    }

    /// Everything that it has printed on standard output.
    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// A power cut for the process.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// SIGTERM; waits for the end.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it drains and ends")
            .unwrap()
    }

    /// `GET` at the admin listener.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut device = Device::connect(self.admin).await;
        let answer = device
            .send("GET", path, &[], b"")
            .await
            .expect("the admin listener answers");
        (answer.status, text(&answer.body))
    }

    /// The value of a metric's series, as written: `faceway_parked{outbound="erp"}`.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let (_, metrics) = self.get("/metrics").await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until an outbound's lane has nothing left to deliver.
    pub(crate) async fn delivered_all(&self, outbound: &str) {
        let backlog = format!("faceway_lane_backlog{{outbound=\"{outbound}\"}}");
        self.wait_for_metric(&backlog, |count| count == 0.0).await;
    }

    /// Waits until so many events are buried. An event leaves the backlog a moment before its burial is on the disk.
    pub(crate) async fn buried(&self, outbound: &str, count: u32) {
        let buried = format!("faceway_buried{{outbound=\"{outbound}\"}}");
        self.wait_for_metric(&buried, |now| now == f64::from(count))
            .await;
    }

    /// Waits until a series has a value that `holds`.
    pub(crate) async fn wait_for_metric(&self, series: &str, holds: impl Fn(f64) -> bool) {
        let waiting = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while !holds(self.metric(series).await) {
                ticks.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!(
                "{series} never held; it is {}\n{}",
                self.metric(series).await,
                self.log()
            );
        }
    }
}

/// What a device hears.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The member `code` of a terminal's answer.
    pub(crate) fn code(&self) -> i64 {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_i64().unwrap_or(-1)
    }

    /// Whether a terminal takes it for success.
    pub(crate) fn is_success(&self) -> bool {
        self.status == 200 && self.code() == 200
    }
}

/// A device: one connection that stays open.
pub(crate) struct Device {
    stream: BufReader<TcpStream>,
}

impl Device {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    pub(crate) async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Posts a record to `/in/lobby`.
    pub(crate) async fn push(&mut self, body: &[u8]) -> std::io::Result<Answer> {
        self.send("POST", "/in/lobby", &[], body).await
    }

    /// Sends a request and waits for the answer. An error means that the connection is gone.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.write(&bytes).await?;
        self.answer().await
    }

    /// Sends bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes).await
    }

    /// Reads an answer.
    pub(crate) async fn answer(&mut self) -> std::io::Result<Answer> {
        tokio::time::timeout(PATIENCE, self.read_answer())
            .await
            .map_err(std::io::Error::other)?
    }

    async fn read_answer(&mut self) -> std::io::Result<Answer> {
        let mut line = String::new();
        let gone = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(gone());
        }
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(gone)?;
        let mut headers = HashMap::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(gone());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let body = if headers
            .get("transfer-encoding")
            .is_some_and(|coding| coding == "chunked")
        {
            self.read_chunks().await?
        } else {
            let length = headers
                .get("content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await?;
            body
        };
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    async fn read_chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk).await?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }
}

/// A recognition of API 1.3.0 of an invented person.
pub(crate) fn recognition(device: &str, uuid: &str) -> Vec<u8> {
    recognition_with(device, uuid, " ")
}

/// The same with a picture.
pub(crate) fn recognition_with(device: &str, uuid: &str, picture: &str) -> Vec<u8> {
    serde_json::json!({ "type": 0, "data": {
        "deviceSN": device, "recognitionType": 1, "entry_mode": 1, "abnormal_type": 0, "uuid": uuid,
        "recognizeScore": 0.93, "mask": 0, "mode": 3, "rgb_image": picture, "bodyTemperature": 0.0,
        "pass": true, "timestamp": 1_764_000_000,
        "user": {
            "name": "Wanda Probst", "ic_number": "7700123", "id_number": "", "job_number": "4711", "pin": "",
            "user_id": "5", "remark": "", "guest_time_start": 0, "guest_time_end": 0, "type": 1,
            "groups": [{ "id": "3", "name": "Night shift" }],
        },
    } })
    .to_string()
    .into_bytes()
}

/// The id under which a record of `/in/lobby` is delivered.
pub(crate) fn event_id(body: &[u8]) -> EventId {
    let arrival = Arrival {
        headers: &http::HeaderMap::new(),
        peer: None,
        body,
    };
    let read = Nebula.read(&arrival, &Settings::default()).unwrap();
    let reading = read.into_iter().next().unwrap().unwrap();
    reading.key.id("lobby", reading.facts.occurred_at.unwrap())
}

/// The vendor's record id in a delivered event.
pub(crate) fn vendor_id(body: &[u8]) -> String {
    let event: Value = serde_json::from_slice(body).unwrap();
    event["vendor_id"].as_str().unwrap_or_default().to_owned()
}

/// The vendor's record ids of what arrived, in order.
pub(crate) fn vendor_ids(received: &[Received]) -> Vec<String> {
    received.iter().map(|one| vendor_id(&one.body)).collect()
}

/// The device in a delivered event.
pub(crate) fn device_id(body: &[u8]) -> String {
    let event: Value = serde_json::from_slice(body).unwrap();
    event["device"]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A `routes.toml` with one inbound and one webhook that gets everything; `more` are further keys of the webhook.
pub(crate) fn routes_to(url: &str, more: &str) -> String {
    format!(
        "[inbound.nebula.lobby]\n\n[outbound.webhook.erp]\nurl = \"{url}\"\nretry.backoff_min = \"100ms\"\n{more}\n\n\
         [[route]]\nname = \"everything\"\nto = [\"erp\"]\n"
    )
}

/// A webhook that is tried again soon.
pub(crate) fn webhook(name: &str, receiver: &Receiver) -> String {
    let url = receiver.url();
    format!(
        "[outbound.webhook.{name}]\nurl = \"{url}\"\nretry = {{ backoff_min = \"50ms\", backoff_max = \"200ms\" }}\n"
    )
}

/// A route that takes everything.
pub(crate) fn route(name: &str, to: &[&str]) -> String {
    format!("[[route]]\nname = \"{name}\"\nto = {to:?}\n")
}

/// Where [`Device::push`] pushes to.
pub(crate) const LOBBY: &str = "[inbound.nebula.lobby]\n";

/// Asks for a reload, and gives what is answered.
pub(crate) async fn reload(gateway: &Gateway) -> (u16, Value) {
    let mut admin = Device::connect(gateway.admin).await;
    let json = [("content-type", "application/json")];
    let answer = admin
        .send("POST", "/api/v1/reload", &json, b"{}")
        .await
        .unwrap();
    (
        answer.status,
        serde_json::from_slice(&answer.body).unwrap_or_default(),
    )
}

/// Puts another `routes.toml` in place of the one that is there, as editors do.
pub(crate) fn replace(site: &Site, text: &str) {
    let new = site.path().join("routes.new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, site.path().join("routes.toml")).unwrap();
}

/// Waits until the log says something.
pub(crate) async fn wait_for_log(gateway: &Gateway, part: &str) {
    let waiting = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while !gateway.log().contains(part) {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{part:?} is not in {}", gateway.log());
}

/// Something that is mounted as long as this lives.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// A directory, seen at another place as well. `None` where this user may not mount, which may not be in CI.
    pub(crate) fn over(directory: &Path, at: &Path) -> Option<Self> {
        Self::mount(&[Path::new("--bind"), directory], at)
    }

    /// The file system in a file.
    pub(crate) fn image(image: &Path, at: &Path) -> Option<Self> {
        Self::mount(&[Path::new("-o"), Path::new("loop"), image], at)
    }

    fn mount(what: &[&Path], at: &Path) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        let output = mount.args(what).arg(at).output();
        if output.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI this user must be able to mount"
        );
        println!("skipped: this user may not mount");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut umount = std::process::Command::new("umount");
        let _ = umount.arg("-l").arg(&self.0).output();
    }
}
