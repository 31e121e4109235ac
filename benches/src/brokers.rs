//! Brokers as Debian packages them, with nothing set that costs or saves time.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::gateway::free_port;

/// Of the Debian package `rabbitmq-server`.
pub(crate) const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A broker with all that it starts; it ends with its handle.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    /// Each in a process group of its own: shells, and what they run.
    children: Vec<Child>,
    dir: TempDir,
}

impl Broker {
    fn new(dir: &Path) -> anyhow::Result<Self> {
        let dir = std::path::absolute(dir)?;
        Ok(Self {
            address: free_port()?,
            children: Vec::new(),
            dir: tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?,
        })
    }

    /// Mosquitto in memory, without limits of its own.
    pub(crate) fn mosquitto(dir: &Path) -> anyhow::Result<Self> {
        let mut broker = Self::new(dir)?;
        let conf = format!(
            "user root\nlistener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
             max_inflight_messages 0\nmax_queued_messages 0\nlog_type error\n",
            broker.address.port()
        );
        let path = broker.dir.path().join("mosquitto.conf");
        std::fs::write(&path, conf)?;
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(path);
        broker.run(&mut command)?;
        broker.wait()?;
        Ok(broker)
    }

    /// RabbitMQ with its usual settings.
    pub(crate) fn rabbitmq(dir: &Path) -> anyhow::Result<Self> {
        let mut broker = Self::new(dir)?;
        let path = broker.dir.path().to_owned();
        let (names, distribution) = (free_port()?.port().to_string(), free_port()?.port());
        let port = broker.address.port();
        std::fs::write(
            path.join("rabbitmq.conf"),
            format!("listeners.tcp.1 = 127.0.0.1:{port}\n"),
        )?;
        std::fs::write(path.join("plugins"), "[].")?;
        let mut epmd = Command::new("epmd");
        epmd.args(["-port", &names, "-address", "127.0.0.1"]);
        broker.run(&mut epmd)?;
        let mut command = Command::new(RABBITMQ);
        command
            .env("HOME", &path)
            .env("ERL_EPMD_PORT", names)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("bench{port}@localhost"))
            .env("RABBITMQ_MNESIA_BASE", path.join("data"))
            .env("RABBITMQ_LOG_BASE", path.join("log"))
            .env("RABBITMQ_CONFIG_FILE", path.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path.join("plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_DIST_PORT", distribution.to_string());
        broker.run(&mut command)?;
        broker.wait()?;
        Ok(broker)
    }

    fn run(&mut self, command: &mut Command) -> anyhow::Result<()> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.children
            .push(command.stderr(Stdio::null()).process_group(0).spawn()?);
        Ok(())
    }

    fn wait(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while std::net::TcpStream::connect(self.address).is_err() {
            let patience = begin.elapsed() < Duration::from_secs(90);
            ensure!(patience, "the broker did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
        }
    }
}
