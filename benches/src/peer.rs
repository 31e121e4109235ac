//! Another program in the gateway's place, so that both are measured in the same rounds.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::gateway::free_port;
use crate::process::Process;

const READY_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// A peer with a directory of its own, which goes with it.
pub(crate) struct Peer {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    _dir: TempDir,
}

impl Peer {
    /// Runs the command by the shell, which tells it by `BENCH_LISTEN` where to listen, by `BENCH_SINK` the URL to forward to, and
    /// by `BENCH_DIR` where to keep files; ready once it accepts a connection.
    ///
    /// # Errors
    /// When it ends before, or does not listen within a minute.
    pub(crate) async fn start(
        command: &str,
        dir: &Path,
        sink: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?;
        let address = free_port()?;
        let mut shell = Command::new("sh");
        // The shell gives its place to the program: else the shell would be measured, and ended.
        shell.arg("-c").arg(format!("exec {command}"));
        shell
            .current_dir(dir.path())
            .env("BENCH_LISTEN", address.to_string())
            .env("BENCH_DIR", dir.path())
            .stdout(Stdio::null());
        if let Some(sink) = sink {
            shell.env("BENCH_SINK", format!("http://{sink}/"));
        }
        let log = dir.path().join("bench-log");
        let mut process = Process::start(&mut shell, &log)?;
        let begin = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let told = || std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = process.child().try_wait()? {
                bail!("the peer ended with {status}:\n{}", told());
            }
            if begin.elapsed() > READY_MAX {
                bail!(
                    "the peer does not listen at {address} (BENCH_LISTEN):\n{}",
                    told()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Self {
            process,
            address,
            _dir: dir,
        })
    }
}

/// The name of the program in a command, for tables.
pub(crate) fn name(command: &str) -> anyhow::Result<String> {
    let program = command
        .split_whitespace()
        .next()
        .context("an empty --peer")?;
    let file = Path::new(program).file_name().unwrap_or_default();
    Ok(file.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_peer_is_named_by_its_program() {
        assert_eq!(
            name("/opt/vector/bin/vector -c $BENCH_DIR/x").unwrap(),
            "vector"
        );
        assert!(name(" ").is_err());
    }
}
