//! The binary: the words of the command line, what they ask for, an exit code.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let words = cli::Words::parse();
    let ended = cli::with_streams(|streams| cli::obey(words, streams));
    cli::exit_code(ended)
}
