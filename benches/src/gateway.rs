//! The gateway and its companions as processes.

use std::io::BufRead as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::client::get;
use crate::process::Process;

/// Under callgrind a start takes fifty times as long as without.
const READY_MAX: Duration = Duration::from_secs(120);

/// A running `faceway run` with a directory of its own.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) devices: SocketAddr,
    admin: SocketAddr,
    /// Gone with it, if it was made for it.
    _dir: Option<TempDir>,
}

impl Gateway {
    /// Starts it with one inbound and, behind it, an outbound of these lines; ready when this ends.
    pub(crate) async fn start(binary: &Path, dir: &Path, outbound: &str) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?;
        let mut gateway = Self::start_in(binary, dir.path(), &routes_toml(outbound)).await?;
        gateway._dir = Some(dir);
        Ok(gateway)
    }

    /// Starts it in a directory that stays, with what is there from the last time and this `routes.toml`.
    pub(crate) async fn start_in(
        binary: &Path,
        dir: &Path,
        routes_toml: &str,
    ) -> anyhow::Result<Self> {
        Self::start_by(Command::new(binary), dir, routes_toml).await
    }

    /// The same by a command, to which the gateway's arguments are added.
    pub(crate) async fn start_by(
        mut command: Command,
        dir: &Path,
        routes_toml: &str,
    ) -> anyhow::Result<Self> {
        let gateway = dir.join("gateway.toml");
        let routes = dir.join("routes.toml");
        std::fs::write(&gateway, gateway_toml(&dir.join("data")))?;
        std::fs::write(&routes, routes_toml)?;
        command
            .arg("run")
            .arg("--gateway")
            .arg(gateway)
            .arg("--routes")
            .arg(routes);
        command
            // It says where it listens. With ports that were free a moment ago another process could be there instead.
            .env("FACEWAY_LOG", "info")
            // RabbitMQ lets this user in from this machine.
            .env("FACEWAY_BENCH_PASSWORD", "guest")
            .stdout(Stdio::null());
        let log = dir.join("log");
        let mut process = Process::start(&mut command, &log)?;
        let (devices, admin) = wait_ready(&mut process, &log).await?;
        Ok(Self {
            process,
            devices,
            admin,
            _dir: None,
        })
    }

    /// Its lanes, as the API gives them. Under valgrind it is the only way to ask: `/metrics` looks at the process's auxiliary
    /// vector, and valgrind's leads nowhere.
    pub(crate) async fn lanes(&self) -> anyhow::Result<String> {
        let (status, text) = get(self.admin, "/api/v1/lanes").await?;
        ensure!(status == 200, "/api/v1/lanes answered {status}");
        Ok(text)
    }

    pub(crate) async fn metrics(&self) -> anyhow::Result<Metrics> {
        let (status, text) = get(self.admin, "/metrics").await?;
        ensure!(status == 200, "/metrics answered {status}");
        Ok(Metrics(text))
    }
}

fn gateway_toml(data: &Path) -> String {
    format!(
        "[listen]\ndevices = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n\
         [spool]\ndir = {data:?}\nbytes_max = \"40GiB\"\nfree_min = \"64MiB\"\n\n\
         [limits]\nheader_timeout = \"10m\"\n"
    )
}

fn routes_toml(outbound: &str) -> String {
    let mut routes = String::from("[inbound.nebula.bench]\n");
    if !outbound.is_empty() {
        routes += &format!(
            "\n[outbound.webhook.sink]\n{outbound}\n\n[[route]]\nname = \"everything\"\nto = [\"sink\"]\n"
        );
    }
    routes
}

/// Waits until it takes events; gives where it listens, for devices and for the admin.
async fn wait_ready(process: &mut Process, log: &Path) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let begin = Instant::now();
    while begin.elapsed() < READY_MAX {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if let Some(status) = process.child().try_wait()? {
            bail!("the gateway ended with {status}:\n{text}");
        }
        if let (Some(devices), Some(admin)) = (address(&text, "devices="), address(&text, "admin="))
            && get(admin, "/readyz")
                .await
                .is_ok_and(|(status, _)| status == 200)
        {
            return Ok((devices, admin));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("the gateway was not ready within {} s", READY_MAX.as_secs());
}

/// The address behind this word in the log.
fn address(log: &str, word: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(word)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// One of this program's own servers, as a process.
pub(crate) struct Companion {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    _dir: TempDir,
}

impl Companion {
    /// The bare server.
    pub(crate) fn limit(dir: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?;
        let file = dir.path().join("bodies");
        Self::start(dir, &["limit", "--file", &file.to_string_lossy()])
    }

    /// A receiver.
    pub(crate) fn sink(dir: &Path, listen: SocketAddr) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?;
        Self::start(dir, &["sink", "--listen", &listen.to_string()])
    }

    fn start(dir: TempDir, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdout(Stdio::piped());
        let mut process = Process::start(&mut command, &dir.path().join("log"))?;
        let stdout = process
            .child()
            .stdout
            .take()
            .context("no standard output")?;
        let mut line = String::new();
        std::io::BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .trim()
            .parse()
            .context("it did not say where it listens")?;
        Ok(Self {
            process,
            address,
            _dir: dir,
        })
    }
}

/// A page of `/metrics`.
pub(crate) struct Metrics(String);

impl Metrics {
    /// The sum of all series that begin so.
    pub(crate) fn sum(&self, begin: &str) -> f64 {
        let values = self.0.lines().filter(|line| line.starts_with(begin));
        values
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// The cumulated buckets of a histogram of one outbound: upper bound in seconds, count.
    pub(crate) fn buckets(&self, name: &str, outbound: &str) -> Vec<(f64, f64)> {
        let begin = format!("{name}_bucket{{");
        let of = format!("outbound=\"{outbound}\"");
        let lines = self.0.lines();
        let lines = lines.filter(|line| line.starts_with(&begin) && line.contains(&of));
        lines
            .filter_map(|line| {
                let (series, count) = line.rsplit_once(' ')?;
                let bound = series.split("le=\"").nth(1)?.split('"').next()?;
                let bound = bound.replace("+Inf", "inf").parse().ok()?;
                Some((bound, count.parse().ok()?))
            })
            .collect()
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The gateway's binary: as given, or built beside this program.
pub(crate) fn binary(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let dir = own.parent().context("a program without a directory")?;
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args([
            "build",
            "--profile",
            "dist",
            "--locked",
            "--package",
            "faceway",
            "--bin",
            "faceway",
        ]);
        ensure!(build.status()?.success(), "the gateway could not be built");
    }
    // Whatever this program is built for, it measures the gateway as it is shipped.
    let shipped = dir.join("../dist/faceway");
    ensure!(
        shipped.exists(),
        "there is no target/dist/faceway; name one with --faceway"
    );
    Ok(shipped)
}
