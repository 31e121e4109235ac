//! Instructions that the gateway executes for an event, counted by callgrind: they hardly depend on what else the machine
//! does, so that a budget for them can be kept in the repository.

mod budget;
mod load;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::brokers::{Broker, RABBITMQ};
use crate::callgrind::Callgrind;
use crate::gateway::{Companion, Gateway};
use budget::Budget;
use load::{Bursts, quiet};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The gateway's binary, not stripped; built (profile `release`) and used from this workspace if not given
    #[arg(long)]
    faceway: Option<PathBuf>,
    /// Where to keep files
    #[arg(long, default_value = "target", value_parser = crate::directory)]
    dir: PathBuf,
    /// Only these ways
    #[arg(long, value_enum, value_delimiter = ',')]
    ways: Vec<Way>,
    /// Count each so often: to see how well the counts repeat
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// What callgrind wrote goes into this directory and stays, and the functions that cost most are printed
    #[arg(long)]
    keep: Option<PathBuf>,
    /// How many functions to print of each count
    #[arg(long, default_value_t = 40, requires = "keep")]
    functions: usize,
    /// Only how a history drains, which waited in the log when its outbound came
    #[arg(long)]
    drain: bool,
}

/// The way that an event takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    Intake,
    Webhook,
    Mqtt,
    Amqp,
}

impl Way {
    const ALL: [Self; 4] = [Self::Intake, Self::Webhook, Self::Mqtt, Self::Amqp];

    const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Webhook => "webhook",
            Self::Mqtt => "mqtt",
            Self::Amqp => "amqp",
        }
    }
}

/// How the events come that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    /// So many at a time.
    Together(usize),
    /// All of them wait in the log when their outbound comes.
    Drain,
}

impl Coming {
    /// One at a time, as many as the outbound's window holds, and a history.
    const ALL: [Self; 3] = [Self::Together(1), Self::Together(32), Self::Drain];

    fn is_over(self, count: u64, allowed: u64) -> bool {
        budget::is_over(count, allowed, budget::margin_percent(self == Self::Drain))
    }
}

impl std::fmt::Display for Coming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Together(events) => events.fmt(f),
            Self::Drain => f.write_str("drain"),
        }
    }
}

/// Events before those that are counted: connections, caches and threads come to life.
const WARM: usize = 320;
/// Events that are counted, by how many come together: an event alone costs the same every time.
const fn counted(together: usize) -> usize {
    if together == 1 { 80 } else { 960 }
}
/// What is over the budget is counted so often.
const COUNTS_MAX: u32 = 3;
/// Events of the two histories: the difference is free of what a start costs. The longer one is several times what a lane holds
/// of what it has routed, so that most of it is read again when it leaves.
const HISTORIES: [u64; 2] = [2_000, 12_000];
/// How long to look at what the gateway does without events.
const IDLE: Duration = Duration::from_secs(3);

/// The far side, until it is dropped.
enum Far {
    Nothing,
    Sink(Companion),
    Broker(Broker),
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let binary = match &options.faceway {
        Some(path) => path.clone(),
        None => build()?,
    };
    let mut budget = Budget::read()?;
    let mut over = Vec::new();
    println!("| way     | events together | instructions/event | budget | of the budget |");
    println!("|---------|----------------:|-------------------:|-------:|--------------:|");
    let ways = Way::ALL.into_iter();
    for way in ways.filter(|way| options.ways.is_empty() || options.ways.contains(way)) {
        if way == Way::Amqp && !Path::new(RABBITMQ).exists() {
            println!(
                "| amqp    |                 | not counted: the Debian package `rabbitmq-server` is missing | | |"
            );
            continue;
        }
        for coming in Coming::ALL {
            let is_drain = coming == Coming::Drain;
            if is_drain && way == Way::Intake || options.drain && !is_drain {
                continue;
            }
            let allowed = budget.of(way.name(), &coming.to_string());
            let (lowest, highest) =
                count_repeatedly(options, &binary, (way, coming), allowed).await?;
            budget.note(way.name(), &coming.to_string(), highest);
            if allowed.is_some_and(|allowed| coming.is_over(lowest, allowed)) {
                over.push(format!("{} {coming}", way.name()));
            }
        }
    }
    if std::env::var_os("FACEWAY_BLESS").is_some() {
        return budget.write();
    }
    if !over.is_empty() {
        bail!(
            "over the budget by more than it may be ({} %, a drain {} %): {}. Find out what costs (--keep DIR), or say in the commit why it is worth \
             that and write the budget anew (FACEWAY_BLESS=1)",
            budget::margin_percent(false),
            budget::margin_percent(true),
            over.join(", ")
        );
    }
    Ok(())
}

/// Counts, and once or twice more what is over the budget: a busy machine only ever adds to a count, as it tears apart what
/// would have been committed together. Gives the lowest count and the highest.
async fn count_repeatedly(
    options: &Options,
    binary: &Path,
    (way, coming): (Way, Coming),
    allowed: Option<u64>,
) -> anyhow::Result<(u64, u64)> {
    let (mut lowest, mut highest) = (u64::MAX, 0);
    for time in 0..options.repeat.max(COUNTS_MAX) {
        let is_over = allowed.is_some_and(|allowed| coming.is_over(lowest, allowed));
        if time >= options.repeat && !is_over {
            break;
        }
        let count = match coming {
            Coming::Together(events) => count_bursts(options, binary, way, events).await?,
            Coming::Drain => count_drain(options, binary, way).await?,
        };
        print(way, coming, count, allowed);
        (lowest, highest) = (lowest.min(count), highest.max(count));
    }
    Ok((lowest, highest))
}

fn print(way: Way, coming: Coming, count: u64, allowed: Option<u64>) {
    let (budget, part) = match allowed {
        Some(allowed) => (
            allowed.to_string(),
            format!("{:.1} %", count as f64 * 100.0 / allowed as f64),
        ),
        None => ("none".to_owned(), String::new()),
    };
    println!(
        "| {:7} | {:>15} | {count:18} | {budget:>6} | {part:>13} |",
        way.name(),
        coming.to_string()
    );
}

/// Builds the gateway with the profile that is built quickest and has names of functions.
fn build() -> anyhow::Result<PathBuf> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--release", "--locked"]);
    build.args(["--package", "faceway", "--bin", "faceway"]);
    ensure!(build.status()?.success(), "the gateway could not be built");
    let own = std::env::current_exe()?;
    let dir = own.parent().context("a program without a directory")?;
    Ok(dir.join("../release/faceway"))
}

/// A gateway under callgrind, and all that belongs to it.
struct Counted {
    gateway: Gateway,
    callgrind: Callgrind,
    _far: Far,
    _dir: TempDir,
}

impl Counted {
    /// Starts it on what is in `dir`.
    async fn start(
        options: &Options,
        binary: &Path,
        dir: TempDir,
        (way, name): (Way, &str),
    ) -> anyhow::Result<Self> {
        let far = match way {
            Way::Intake => Far::Nothing,
            Way::Webhook => Far::Sink(Companion::sink(&options.dir, ([127, 0, 0, 1], 0).into())?),
            Way::Mqtt => Far::Broker(Broker::mosquitto(&options.dir)?),
            Way::Amqp => Far::Broker(Broker::rabbitmq(&options.dir)?),
        };
        let counts = match &options.keep {
            Some(keep) => std::path::absolute(keep)?.join(format!("{}-{name}", way.name())),
            None => dir.path().join("counts"),
        };
        std::fs::create_dir_all(&counts)?;
        let callgrind = Callgrind::new(&counts)?;
        let mut command = callgrind.command(binary);
        // Not as many as this machine has processors.
        command.env("TOKIO_WORKER_THREADS", "2");
        let gateway = Gateway::start_by(command, dir.path(), &routes(way, &far)).await?;
        Ok(Self {
            gateway,
            callgrind,
            _far: far,
            _dir: dir,
        })
    }

    /// Instructions since the last call.
    fn take(&mut self) -> anyhow::Result<u64> {
        self.callgrind.take(self.gateway.process.id())
    }

    /// Fails unless everything was delivered.
    async fn is_through(&self) -> anyhow::Result<()> {
        let lanes = self.gateway.lanes().await?;
        let has = |part| lanes.contains(part);
        let is_through = !has("backlog") || has("\"backlog\":0,") && has("\"buried\":0");
        ensure!(is_through, "not everything was delivered: {lanes}");
        Ok(())
    }
}

/// Instructions for an event when so many come together, without those that the gateway executes when none come.
async fn count_bursts(
    options: &Options,
    binary: &Path,
    way: Way,
    together: usize,
) -> anyhow::Result<u64> {
    let dir = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&options.dir)?;
    let name = together.to_string();
    let mut counted_one = Counted::start(options, binary, dir, (way, &name)).await?;
    let mut bursts = Bursts::connect(counted_one.gateway.devices, together).await?;
    bursts
        .send(&counted_one.gateway, WARM.div_ceil(together).min(40))
        .await?;
    counted_one.take()?;
    let began = Instant::now();
    tokio::time::sleep(IDLE).await;
    let idle = counted_one.take()? as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    let events = counted(together);
    bursts.send(&counted_one.gateway, events / together).await?;
    let taken = counted_one.take()? as f64 - idle * began.elapsed().as_secs_f64();
    counted_one.is_through().await?;
    if options.keep.is_some() {
        counted_one
            .callgrind
            .print_functions(events, options.functions)?;
    }
    Ok((taken / events as f64) as u64)
}

/// Instructions for an event of a history: it is kept by a gateway without outbounds, and drains into one that comes then.
async fn count_drain(options: &Options, binary: &Path, way: Way) -> anyhow::Result<u64> {
    let mut taken = [0; 2];
    for (taken, events) in taken.iter_mut().zip(HISTORIES) {
        let dir = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&options.dir)?;
        let gateway = Gateway::start_in(binary, dir.path(), INBOUND).await?;
        load::fill(gateway.devices, events).await?;
        drop(gateway);
        let name = format!("drain-{events}");
        let mut counted = Counted::start(options, binary, dir, (way, &name)).await?;
        quiet(&counted.gateway, 10).await?;
        *taken = counted.take()?;
        counted.is_through().await?;
        if options.keep.is_some() {
            let events = usize::try_from(events)?;
            counted
                .callgrind
                .print_functions(events, options.functions)?;
        }
    }
    Ok(taken[1].saturating_sub(taken[0]) / (HISTORIES[1] - HISTORIES[0]))
}

const INBOUND: &str = "[inbound.nebula.bench]\n";

fn routes(way: Way, far: &Far) -> String {
    let address = match far {
        Far::Nothing => return INBOUND.to_owned(),
        Far::Sink(sink) => sink.address,
        Far::Broker(broker) => broker.address,
    };
    let outbound = crate::outbound::table(way.name(), "far", address);
    format!(
        "{INBOUND}\n{outbound}\nsince = \"oldest\"\nconcurrency_max = 32\n\n\
         [[route]]\nname = \"everything\"\nto = [\"far\"]\n"
    )
}
