//! What a request to the servers comes to when it does not succeed.

use serde::Deserialize;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// No answer, or one that an election gives too. What was written may be there all the same.
    #[error("the cluster does not answer: {0}")]
    Unavailable(String),
    /// The servers have no space left.
    #[error("the servers' storage is full: {0}")]
    Full(String),
    /// A write that names the number before it came too late, or the servers could not tell.
    #[error("another write was first")]
    Moved,
    /// A write of the same id is on its way, and not yet committed.
    #[error("a write of the same id is on its way")]
    InProcess,
    /// An atomic batch has an id that is known, so nothing of it was kept.
    #[error("a batch has an id that is known")]
    KnownInBatch,
    /// There is no such message.
    #[error("there is no such message")]
    NotFound,
    /// Something else.
    #[error("the servers refuse it: {text} ({code})")]
    Refused {
        /// The servers' number of the error.
        code: u64,
        /// Their words.
        text: String,
    },
}

impl Failure {
    pub(crate) fn unavailable(reason: impl std::fmt::Display) -> Self {
        Self::Unavailable(reason.to_string())
    }
}

/// An error as JetStream's API writes it.
#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let text = error.description;
        match error.err_code {
            // Trap: "subject full" and "stream full" have one number, and the disk that is full has it too. Only the words
            // tell them apart.
            10077
                if ["maximum bytes", "no space", "insufficient"]
                    .iter()
                    .any(|it| text.contains(it)) =>
            {
                Self::Full(text)
            }
            10023 | 10047 => Self::Full(text),
            // Trap: a compare-and-set fails at times without a cause. The caller reads at the leader what is there.
            10071 | 10164 => Self::Moved,
            // Trap: an id that is "in process" is not kept yet, so this is no success.
            10158 => Self::InProcess,
            10201 => Self::KnownInBatch,
            10037 => Self::NotFound,
            // Trap: this is also what an election looks like. Streams are made at the start only.
            10059 => Self::Unavailable(text),
            code if error.code == 503 => Self::Unavailable(format!("{text} ({code})")),
            code => Self::Refused { code, text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: u64, err_code: u64, description: &str) -> Failure {
        let description = description.to_owned();
        Failure::from(ApiError {
            code,
            err_code,
            description,
        })
    }

    #[test]
    fn one_number_is_told_apart_by_its_words() {
        let full = failure(503, 10077, "maximum bytes exceeded");
        assert!(matches!(full, Failure::Full(_)), "{full:?}");
        let full = failure(503, 10077, "write x: no space left on device");
        assert!(matches!(full, Failure::Full(_)), "{full:?}");
        let other = failure(503, 10077, "maximum messages per subject exceeded");
        assert!(matches!(other, Failure::Unavailable(_)), "{other:?}");
    }

    #[test]
    fn an_election_is_no_refusal() {
        for (code, err_code) in [(404, 10059), (503, 10008), (503, 10118)] {
            let failure = failure(code, err_code, "stream not found");
            assert!(matches!(failure, Failure::Unavailable(_)), "{failure:?}");
        }
        assert!(matches!(failure(400, 10058, "x"), Failure::Refused { .. }));
    }

    #[test]
    fn what_is_in_process_is_no_success() {
        assert_eq!(failure(400, 10158, "x"), Failure::InProcess);
        assert_eq!(failure(400, 10201, "x"), Failure::KnownInBatch);
        assert_eq!(failure(400, 10071, "x"), Failure::Moved);
        assert_eq!(failure(400, 10164, "x"), Failure::Moved);
    }
}
