//! The limit: what this machine can keep durably over HTTP, with nothing else done.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::server;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The file to append to
    #[arg(long)]
    file: PathBuf,
    #[command(flatten)]
    server: server::Options,
}

/// A body and who waits for it to be durable.
type Append = (Bytes, oneshot::Sender<()>);

/// Bodies that one `fdatasync` is for at most.
const GROUP_MAX: usize = 1024;
/// Bodies below this are copied together; above it a system call for each costs less than the copy.
const COPY_MAX: usize = 16 * 1024;

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let file = File::create(&options.file)?;
    let (appends, taken) = channel();
    std::thread::spawn(move || write(file, &taken));
    server::serve(&options.server, move |_, body| keep(appends.clone(), body))
}

/// Answers as a terminal expects it.
async fn keep(appends: Sender<Append>, body: Bytes) -> String {
    let (done, durable) = oneshot::channel();
    let kept = appends.send((body, done)).is_ok() && durable.await.is_ok();
    let code = if kept { 200 } else { 500 };
    format!(r#"{{"code":{code},"msg":"success","message":"success","data":{{}}}}"#)
}

/// Takes whatever waits as one group, writes it, syncs once, answers.
fn write(mut file: File, taken: &Receiver<Append>) -> Option<()> {
    let mut together = Vec::new();
    loop {
        let first = taken.recv().ok()?;
        let group: Vec<_> = std::iter::once(first)
            .chain(taken.try_iter().take(GROUP_MAX - 1))
            .collect();
        together.clear();
        for (body, _) in &group {
            if body.len() < COPY_MAX {
                together.extend_from_slice(body);
            } else {
                file.write_all(body).ok()?;
            }
        }
        file.write_all(&together).ok()?;
        file.sync_data().ok()?;
        for (_, done) in group {
            let _ = done.send(());
        }
    }
}
