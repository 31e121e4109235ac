//! `faceway man`: the manual pages, made from the same words as `--help`. For packages, so it is hidden.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use super::{Ended, Failure, Streams, Words};

/// Write the manual pages into a directory: faceway.1, and one for each command.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Where to; it must exist
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, _: &mut Streams<'_>) -> Ended {
        clap_mangen::generate_to(Words::command(), &self.dir).map_err(|error| {
            let dir = self.dir.display();
            Failure::input(format!("cannot write manual pages into {dir}: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::Man;
    use crate::cli::Failure;
    use crate::cli::streams::Buffers;

    #[test]
    fn there_is_a_page_for_every_command() {
        let dir = tempfile::tempdir().unwrap();
        let man = Man {
            dir: dir.path().to_owned(),
        };
        let (ended, _, _) = Buffers::run("", |streams| man.run(streams));
        ended.unwrap();
        for page in ["faceway", "faceway-run", "faceway-buried-revive"] {
            let text = std::fs::read_to_string(dir.path().join(format!("{page}.1"))).unwrap();
            assert!(text.contains(".SH NAME"), "{page}");
        }
        assert!(!dir.path().join("faceway-man.1").exists());
    }

    #[test]
    fn a_missing_directory_is_told() {
        let man = Man {
            dir: PathBuf::from("no/such/directory"),
        };
        let (ended, _, _) = Buffers::run("", |streams| man.run(streams));
        assert!(matches!(ended, Err(Failure::Input(text)) if text.contains("no/such")));
    }
}
