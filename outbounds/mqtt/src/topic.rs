//! Which topics can be published to.

use faceway_core::is_unsendable;

use crate::settings::is_text;

/// Whether a message may go there: MQTT 5, section 4.7 (and 3.1.1, the same). A topic is not empty, has at most 65,535
/// bytes, no zero character and no wildcard. One that begins with `$` is for the broker to decide: some take it.
pub(crate) fn is_publishable(topic: &str) -> bool {
    !topic.is_empty()
        && is_text(topic)
        && !topic.contains(['#', '+'])
        && !topic.contains(is_unsendable)
}

#[cfg(test)]
mod tests {
    use super::is_publishable;

    #[test]
    fn topics() {
        let (longest, too_long) = ("x".repeat(65_535), "x".repeat(65_536));
        for fine in [
            "a",
            "/",
            "faceway/lobby/SN 1/recognition",
            "王/五",
            &longest,
        ] {
            assert!(is_publishable(fine), "{} bytes", fine.len());
        }
        for bad in [
            "",
            "a/#",
            "a/+/b",
            "a+",
            "a\0b",
            "a\u{1}",
            "a\u{FFFE}",
            &too_long,
        ] {
            assert!(!is_publishable(bad), "{} bytes", bad.len());
        }
    }
}
