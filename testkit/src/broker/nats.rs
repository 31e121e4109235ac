//! NATS servers with JetStream: a cluster of three, or one by itself.
//!
//! The program is `$FACEWAY_NATS_SERVER`, or what `tests/it/receivers/install` puts into `target/receivers`.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Nothing that is waited for here takes this long, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that cannot be awaited.
const LOOK: Duration = Duration::from_millis(25);
/// One look at a monitoring address.
const GLANCE: Duration = Duration::from_secs(2);

/// What the servers are to be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many there are: 3, or 1.
    pub servers: usize,
    /// Whether they sync what they acknowledge.
    pub sync: bool,
    /// Users of the account besides the one who needs no name: lines of the servers' configuration, such as
    /// `{ user: a, password: b, permissions: { … } }`.
    pub users: Vec<String>,
}

impl Options {
    /// Three servers that sync.
    pub fn cluster() -> Self {
        Self {
            servers: 3,
            sync: true,
            users: Vec::new(),
        }
    }

    /// One server that syncs.
    pub fn single() -> Self {
        Self {
            servers: 1,
            ..Self::cluster()
        }
    }
}

/// Name and password of the system account's user.
pub const SYSTEM_USER: (&str, &str) = ("system", "invented");

/// Servers. They are killed when the last handle is dropped.
pub struct Nats {
    directory: TempDir,
    options: Options,
    servers: Vec<Server>,
}

struct Server {
    name: String,
    client: u16,
    route: u16,
    monitor: u16,
    child: Mutex<Option<Child>>,
}

impl Nats {
    /// Starts them and waits until every one has caught up.
    ///
    /// # Panics
    /// When the program is not there or does not start.
    pub async fn start(options: Options) -> Self {
        // A port that was free may be another's a moment later.
        for attempt in 1.. {
            let nats = Self::new(options.clone());
            for server in 0..nats.servers.len() {
                nats.spawn(server);
            }
            if nats.are_up().await {
                return nats;
            }
            assert!(attempt < 5, "nats-server does not start: {}", nats.log(0));
        }
        unreachable!()
    }

    /// The cluster that tests of one binary share: the first one starts it, and the last one that holds it ends it.
    pub async fn shared() -> Arc<Self> {
        static SHARED: tokio::sync::Mutex<Weak<Nats>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(nats) = shared.upgrade() {
            return nats;
        }
        let nats = Arc::new(Self::start(Options::cluster()).await);
        *shared = Arc::downgrade(&nats);
        nats
    }

    fn new(options: Options) -> Self {
        let mut ports = free_ports(3 * options.servers).into_iter();
        let mut port = || ports.next().expect("enough ports");
        let server = |number: usize| Server {
            name: format!("nats-{}", number + 1),
            client: port(),
            route: port(),
            monitor: port(),
            child: Mutex::default(),
        };
        let servers = (0..options.servers).map(server).collect();
        let nats = Self {
            directory: TempDir::new().expect("a directory"),
            options,
            servers,
        };
        nats.configure();
        nats
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// The servers' names.
    pub fn names(&self) -> Vec<String> {
        self.servers
            .iter()
            .map(|server| server.name.clone())
            .collect()
    }

    /// Where clients connect.
    pub fn urls(&self) -> Vec<String> {
        let url = |server: &Server| format!("nats://127.0.0.1:{}", server.client);
        self.servers.iter().map(url).collect()
    }

    /// Monitoring addresses.
    pub fn monitors(&self) -> Vec<String> {
        let url = |server: &Server| format!("http://127.0.0.1:{}", server.monitor);
        self.servers.iter().map(url).collect()
    }

    /// As if that server's power had gone; it has gone when this returns.
    pub fn kill(&self, server: usize) {
        if let Some(mut child) = self.servers[server].lock().take() {
            end(&mut child);
        }
    }

    /// It answers nothing until [`Nats::thaw`]; its connections stay open. It is frozen when this returns.
    pub fn freeze(&self, server: usize) {
        if let Some(pid) = self.signal(server, Signal::STOP) {
            // The signal is only sent: a thread that runs goes on for a moment.
            let stopped = waitpid(Some(pid), WaitOptions::UNTRACED);
            stopped.expect("it is our child");
        }
    }

    /// It goes on where it was.
    pub fn thaw(&self, server: usize) {
        let _ = self.signal(server, Signal::CONT);
    }

    /// Starts a server again, on the same ports, after [`Nats::kill`]; nothing if it runs.
    pub fn run(&self, server: usize) {
        if self.servers[server].lock().is_none() {
            self.spawn(server);
        }
    }

    /// Waits until every server that runs has caught up.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn wait(&self) {
        assert!(self.are_up().await, "a server does not come back");
    }

    /// The servers' configuration changes from the next [`Nats::run`].
    pub fn set_sync(&mut self, sync: bool) {
        self.options.sync = sync;
        self.configure();
    }

    /// What a server has logged.
    pub fn log(&self, server: usize) -> String {
        std::fs::read_to_string(self.path(server, "log")).unwrap_or_default()
    }

    /// The body of a monitoring page such as `/varz`; `None` when the server does not answer with 200.
    pub async fn monitor(&self, server: usize, page: &str) -> Option<String> {
        let got = get(self.servers[server].monitor, page);
        timeout(GLANCE, got).await.ok()?
    }

    fn signal(&self, server: usize, signal: Signal) -> Option<Pid> {
        let child = self.servers[server].lock();
        let pid = i32::try_from(child.as_ref()?.id()).ok();
        let pid = pid.and_then(Pid::from_raw)?;
        kill_process(pid, signal).expect("it is ours");
        Some(pid)
    }

    fn spawn(&self, server: usize) {
        let child = Command::new(program())
            .args(["-c", &text(&self.path(server, "conf"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        *self.servers[server].lock() = Some(child);
    }

    /// Whether every server that runs says that it is healthy, before one of them ends.
    async fn are_up(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        for (number, server) in self.servers.iter().enumerate() {
            loop {
                match server.lock().as_mut().map(Child::try_wait) {
                    None => break,
                    Some(Ok(None)) => {}
                    Some(_) => return false,
                }
                if self.monitor(number, "/healthz").await.is_some() {
                    break;
                }
                if Instant::now() > deadline {
                    return false;
                }
                sleep(LOOK).await;
            }
        }
        true
    }

    fn configure(&self) {
        for number in 0..self.servers.len() {
            std::fs::create_dir_all(self.path(number, "data")).expect("a directory");
            std::fs::write(self.path(number, "conf"), self.configuration(number)).expect("a file");
        }
    }

    fn configuration(&self, number: usize) -> String {
        let server = &self.servers[number];
        let (user, password) = SYSTEM_USER;
        let mut text = String::new();
        let mut line = |line: &str| writeln!(text, "{line}").expect("a line");
        line(&format!("server_name: {}", server.name));
        line(&format!("listen: \"127.0.0.1:{}\"", server.client));
        line(&format!("http: \"127.0.0.1:{}\"", server.monitor));
        line(&format!("log_file: {:?}", self.path(number, "log")));
        line(&format!(
            "jetstream {{ store_dir: {:?}",
            self.path(number, "data")
        ));
        if self.options.sync {
            line("sync_interval: always");
        }
        line("max_file_store: 20GB, max_memory_store: 64MB }");
        if self.servers.len() > 1 {
            let routes = self.servers.iter();
            let routes: Vec<_> = routes
                .map(|server| format!("\"nats://127.0.0.1:{}\"", server.route))
                .collect();
            let (route, routes) = (server.route, routes.join(", "));
            line(&format!(
                "cluster {{ name: faceway, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}"
            ));
        }
        line("accounts {");
        line(&format!(
            "SYSTEM: {{ users: [ {{ user: {user}, password: {password} }} ] }}"
        ));
        let users = self.options.users.join(",\n");
        line(&format!(
            "SITE: {{ jetstream: enabled, users: [ {{ user: site, password: invented }}\n{users} ] }}"
        ));
        line("}\nsystem_account: SYSTEM\nno_auth_user: site");
        text
    }

    fn path(&self, server: usize, name: &str) -> PathBuf {
        let directory = self.directory.path();
        directory.join(&self.servers[server].name).join(name)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        for server in 0..self.servers.len() {
            self.kill(server);
        }
    }
}

impl Server {
    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Where nats-server is.
///
/// # Panics
/// When it is not installed.
pub fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("FACEWAY_NATS_SERVER") {
        return named.into();
    }
    let installed = "../target/receivers/nats/nats-server";
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(installed);
    assert!(
        installed.exists(),
        "nats-server is not there: set FACEWAY_NATS_SERVER, or run tests/it/receivers/install (./run-tests does it)"
    );
    installed
}

/// Several at a time, so that they differ.
fn free_ports(count: usize) -> Vec<u16> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind(local).expect("a free port"))
        .collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    listeners.iter().map(port).collect()
}

async fn get(port: u16, page: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    let request = format!("GET {page} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let is_ok = head.split(' ').nth(1) == Some("200");
    is_ok.then(|| body.to_owned())
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path that is text").to_owned()
}
