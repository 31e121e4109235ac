//! The gateway under callgrind, which counts the instructions that it executes.

mod functions;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use functions::Functions;

/// The counts of one process, which it writes into a directory.
pub(crate) struct Callgrind {
    dir: PathBuf,
    marks: u32,
}

impl Callgrind {
    /// Counts into files in `dir`, which exists.
    ///
    /// # Errors
    /// When valgrind is not installed.
    pub(crate) fn new(dir: &Path) -> anyhow::Result<Self> {
        let version = Command::new("valgrind").arg("--version").output();
        ensure!(
            version.is_ok_and(|output| output.status.success()),
            "valgrind is not installed: it is the Debian package `valgrind` (apt-get install valgrind)"
        );
        Ok(Self {
            dir: dir.to_owned(),
            marks: 0,
        })
    }

    /// The command that runs `binary` and counts.
    pub(crate) fn command(&self, binary: &Path) -> Command {
        let mut out = OsString::from("--callgrind-out-file=");
        out.push(self.dir.join("callgrind"));
        let mut command = Command::new("valgrind");
        command
            .arg("--tool=callgrind")
            .arg(out)
            // A thread that spins while another one has its turn would count for nothing.
            .arg("--fair-sched=yes")
            .arg(binary);
        command
    }

    /// Instructions of the process since the last call, or since its start. The file in `dir` that has them by function ends
    /// with the number of the call.
    pub(crate) fn take(&mut self, pid: u32) -> anyhow::Result<u64> {
        self.marks += 1;
        let control = Command::new("callgrind_control")
            .args(["--dump=taken", &pid.to_string()])
            .output()
            .context("callgrind_control, of the Debian package `valgrind`, cannot be started")?;
        let said = String::from_utf8_lossy(&control.stdout).into_owned();
        ensure!(
            control.status.success() && said.contains("OK"),
            "callgrind_control said: {said}"
        );
        let path = self.path();
        let text = read(&path)?;
        let total = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("totals: "));
        match total {
            Some(total) => Ok(total.trim().parse()?),
            None => bail!("{} has no line `totals:`", path.display()),
        }
    }

    /// Prints which functions cost most of what was taken last, for each of so many events.
    pub(crate) fn print_functions(&self, events: usize, functions: usize) -> anyhow::Result<()> {
        Functions::of(&read(&self.path())?).print(events, functions);
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.dir.join(format!("callgrind.{}", self.marks))
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
