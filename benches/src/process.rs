//! What `/proc` tells of a process, and the end of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

/// A child that ends with its handle.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, with its standard error in `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log)?;
        command.stdin(Stdio::null()).stderr(log);
        let named = command.get_program().to_owned();
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", named.display()))?;
        Ok(Self(child))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        let pid = i32::try_from(self.0.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("a child has a number")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let begin = std::time::Instant::now();
        while self.0.try_wait()?.is_none() {
            anyhow::ensure!(begin.elapsed() < patience, "it does not end when asked to");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Nanoseconds that all its threads have run so far, to tell whether it has done anything.
    pub(crate) fn ran_ns(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread may end between the two looks.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let ran = text.split(' ').next().context("an empty schedstat")?;
            sum += ran.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// User and system time so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        // Behind the name, which may hold anything but ends with the last parenthesis; proc_pid_stat(5) counts from 1.
        let (_, fields) = stat.rsplit_once(") ").context("no name")?;
        let fields: Vec<_> = fields.split(' ').collect();
        let ticks = |field: usize| -> anyhow::Result<u64> {
            Ok(fields.get(field - 3).context("too few fields")?.parse()?)
        };
        // A tick is 10 ms wherever Linux runs (USER_HZ).
        Ok(Duration::from_millis((ticks(14)? + ticks(15)?) * 10))
    }

    /// Bytes that it has given to the disk so far, or will have given when the kernel has written what it keeps for it.
    pub(crate) fn written(&self) -> anyhow::Result<u64> {
        let io = self.read("io")?;
        let mut lines = io.lines();
        let bytes = lines.find_map(|line| line.strip_prefix("write_bytes:"));
        Ok(bytes.context("no write_bytes")?.trim().parse()?)
    }

    /// Memory in MiB: now (`VmRSS`) and at most so far (`VmHWM`).
    pub(crate) fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let status = self.read("status")?;
        let field = |name: &str| -> anyhow::Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib: f64 = line
                .context("no such field")?
                .trim()
                .trim_end_matches(" kB")
                .parse()?;
            Ok(kib / 1024.0)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = PathBuf::from(format!("/proc/{}/{file}", self.0.id()));
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
