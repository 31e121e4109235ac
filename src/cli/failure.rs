//! How a command ends when it does not end well, named after whose move it is.

use std::io::ErrorKind;
use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was given cannot be used; the text says what to give instead.
    Input(String),
    /// The trouble is ours, or the machine's.
    Trouble(String),
    /// What was given cannot be used, and all of it has been told already.
    InputTold,
    /// The reader of our output is gone (`faceway … | head`). That is no trouble.
    NobodyReads,
}

/// How a command ends.
pub(crate) type Ended = Result<(), Failure>;

impl Failure {
    /// An input failure.
    pub(crate) fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }

    /// A trouble of ours.
    pub(crate) fn trouble(text: impl Into<String>) -> Self {
        Self::Trouble(text.into())
    }
}

impl From<std::io::Error> for Failure {
    /// Of writing results; an error of reading names its file.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Trouble(format!("cannot write the result: {error}")),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        std::io::Error::from(error).into()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Trouble(format!("{error:#}"))
    }
}

/// 0 fine, 1 our trouble, 2 your input. Tells what has not been told.
pub(crate) fn exit_code(ended: Ended) -> ExitCode {
    let (code, text) = match ended {
        Ok(()) | Err(Failure::NobodyReads) => (0, None),
        Err(Failure::Trouble(text)) => (1, Some(text)),
        Err(Failure::Input(text)) => (2, Some(text)),
        Err(Failure::InputTold) => (2, None),
    };
    if let Some(text) = text {
        use std::io::Write as _;
        // When standard error is closed too, the code alone has to tell.
        let mut talk = faceway::visible::standard(std::io::stderr());
        let _ = writeln!(talk, "error: {}", text.trim_end());
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::Failure;

    #[test]
    fn a_closed_pipe_is_no_trouble() {
        let failure = Failure::from(Error::from(ErrorKind::BrokenPipe));
        assert!(matches!(failure, Failure::NobodyReads));
        let failure = Failure::from(Error::from(ErrorKind::StorageFull));
        assert!(matches!(failure, Failure::Trouble(_)));
    }
}
