//! `faceway completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Ended, Streams, Words};

/// Completions for a shell.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  faceway completions bash > /etc/bash_completion.d/faceway
  faceway completions zsh > ~/.zfunc/_faceway")]
pub(crate) struct Completions {
    /// Which
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        // `generate` gives up loudly when it cannot write; memory can always be written.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Words::command(), "faceway", &mut script);
        streams.out.write_all(&script)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::Completions;
    use crate::cli::streams::Buffers;

    #[test]
    fn every_command_is_completed() {
        let (ended, out, _) = Buffers::run("", |streams| {
            Completions { shell: Shell::Bash }.run(streams)
        });
        ended.unwrap();
        for command in ["simulate", "quarantine", "explain"] {
            assert!(out.contains(command));
        }
    }
}
