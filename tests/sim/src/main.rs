//! `cargo run --release -p faceway-sim -- --seeds 100000 [--from 1]`: plays seeds, and prints the trace of the first that
//! breaks a promise.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let Some(seeds) = number("--seeds") else {
        eprintln!("usage: faceway-sim --seeds N [--from FIRST]");
        return ExitCode::from(2);
    };
    let from = number("--from").unwrap_or(1);
    for seed in from..from.saturating_add(seeds) {
        if let Err(error) = faceway_sim::play(seed) {
            println!("{error:#}");
            return ExitCode::FAILURE;
        }
        if seed % 1000 == 0 {
            eprintln!("{} seeds held", seed - from + 1);
        }
    }
    println!("{seeds} seeds from {from} on: every promise held");
    ExitCode::SUCCESS
}
