//! How fast the gateway is, beside what the machine can do. `README.md` has the commands and says how to read the result.
#![expect(clippy::print_stdout, reason = "the result is for standard output")]

mod backlog;
mod bare;
mod brokers;
mod callgrind;
mod client;
mod delivery;
mod gateway;
mod instructions;
mod intake;
mod limit;
mod load;
mod outbound;
mod peer;
mod process;
mod push;
mod scale;
mod server;
mod start;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::outbound::Protocol;

#[derive(Parser)]
#[command(about = "How fast the gateway is, beside what the machine can do")]
struct Command {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Durable intake, in rounds that alternate with a bare server
    Intake(intake::Options),
    /// Memory with a backlog
    Backlog(backlog::Options),
    /// The time of a start with much in the spool
    Start(start::Options),
    /// What many routes and outbounds cost beside few
    Scale(scale::Options),
    /// Delivery to a fast local receiver
    Delivery(delivery::Options),
    /// The webhook outbound beside reqwest alone
    Webhook(outbound::Options),
    /// The MQTT outbound beside rumqttc alone, with Mosquitto
    Mqtt(outbound::Options),
    /// The AMQP outbound beside lapin alone, with RabbitMQ
    Amqp(outbound::Options),
    /// Instructions an event, counted by callgrind, beside what the repository allows
    Instructions(instructions::Options),
    /// The bare server, as a process of its own
    #[command(hide = true)]
    Limit(limit::Options),
    /// A receiver, as a process of its own
    #[command(hide = true)]
    Sink(server::Options),
}

/// What all modes share.
#[derive(Args, Clone)]
struct Common {
    /// The gateway's binary; built and used from this workspace if not given
    #[arg(long)]
    faceway: Option<PathBuf>,
    /// Where to keep files; on a real disk
    #[arg(long, default_value = "target", value_parser = directory)]
    dir: PathBuf,
    /// Connections of the load generator
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

/// A directory that is there, as a path that means the same to every process.
fn directory(text: &str) -> Result<PathBuf, String> {
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err(format!(
            "{} is no directory: make it first, or name one that is there",
            path.display()
        ))
    }
}

fn main() -> anyhow::Result<()> {
    // One thread: the generator is to leave the machine to the server.
    let generator = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match Command::parse().mode {
        Mode::Intake(options) => generator.block_on(intake::run(&options)),
        Mode::Backlog(options) => generator.block_on(backlog::run(&options)),
        Mode::Start(options) => generator.block_on(start::run(&options)),
        Mode::Scale(options) => generator.block_on(scale::run(&options)),
        Mode::Delivery(options) => generator.block_on(delivery::run(&options)),
        Mode::Webhook(options) => outbound::run(&options, Protocol::Webhook),
        Mode::Mqtt(options) => outbound::run(&options, Protocol::Mqtt),
        Mode::Amqp(options) => outbound::run(&options, Protocol::Amqp),
        Mode::Instructions(options) => generator.block_on(instructions::run(&options)),
        Mode::Limit(options) => limit::run(&options),
        Mode::Sink(options) => server::sink(&options),
    }
}
