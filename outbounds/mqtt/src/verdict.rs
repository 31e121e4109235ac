//! What a broker's word means. The table is in the crate's README.

use faceway_core::{Code, Scope, Verdict};

use crate::packet::Reason;

/// The verdict of `PUBACK` (`confirmed` is its word) or of a refusing `PUBREC`: reason codes of MQTT 5, section 3.4.2.1.
pub(crate) fn of(reason: Reason, confirmed: &'static str) -> Verdict {
    match reason {
        Reason::Success => delivered(confirmed),
        // The broker has it. That no subscriber listens is no failure of the delivery, but worth a word.
        Reason::NoMatchingSubscribers => delivered("no-subscribers"),
        Reason::QuotaExceeded => outage("quota"),
        // Its count of identifiers is not ours; a new connection begins a new count.
        Reason::PacketIdentifierInUse => outage("packet-id"),
        Reason::UnspecifiedError => failed("unspecified"),
        Reason::ImplementationSpecificError => failed("implementation"),
        // An ACL may refuse this topic, or all of them.
        Reason::NotAuthorized => refused("not-authorized"),
        Reason::TopicNameInvalid => buried("topic"),
        Reason::PayloadFormatInvalid => buried("payload-format"),
    }
}

pub(crate) fn delivered(word: &'static str) -> Verdict {
    let code = Code::word(word);
    Verdict::Delivered { code }
}

/// Later messages fail too.
pub(crate) fn outage(word: &'static str) -> Verdict {
    retry(Scope::Destination, word)
}

/// The same, with the reason in words.
pub(crate) fn outage_because(word: &'static str, reason: Option<&str>) -> Verdict {
    let code = Code::word(word);
    Verdict::Retry {
        scope: Scope::Destination,
        code: match reason {
            Some(reason) => code.because(reason),
            None => code,
        },
        after: None,
    }
}

fn failed(word: &'static str) -> Verdict {
    retry(Scope::Message, word)
}

fn retry(scope: Scope, word: &'static str) -> Verdict {
    Verdict::Retry {
        scope,
        code: Code::word(word),
        after: None,
    }
}

pub(crate) fn refused(word: &'static str) -> Verdict {
    let code = Code::word(word);
    Verdict::Refused { code }
}

pub(crate) fn buried(word: &'static str) -> Verdict {
    let code = Code::word(word);
    Verdict::Bury { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_meaning() {
        let table = [
            (Reason::Success, delivered("puback")),
            (Reason::NoMatchingSubscribers, delivered("no-subscribers")),
            (Reason::QuotaExceeded, outage("quota")),
            (Reason::PacketIdentifierInUse, outage("packet-id")),
            (Reason::UnspecifiedError, failed("unspecified")),
            (
                Reason::ImplementationSpecificError,
                failed("implementation"),
            ),
            (Reason::NotAuthorized, refused("not-authorized")),
            (Reason::TopicNameInvalid, buried("topic")),
            (Reason::PayloadFormatInvalid, buried("payload-format")),
        ];
        for (reason, verdict) in table {
            assert_eq!(of(reason, "puback"), verdict, "{reason:?}");
        }
    }
}
