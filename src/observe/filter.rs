//! Which log lines are written: `FACEWAY_LOG`.

use anyhow::bail;
use tracing_subscriber::EnvFilter;

/// What is written when nothing is said. The spool on a cluster says itself what its client library would say again.
const USUAL: &str = "info,async_nats=warn";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const HELP: &str = "write off, error, warn, info, debug or trace, or parts of Faceway with a level each, such as \
                    warn,faceway=debug";

/// The filter of this text; a blank one, as compose makes of a variable that is not set, is as none.
///
/// # Errors
/// When a part of it is neither a level nor a part of the program: the library would take the word for the name of one,
/// and write nothing at all.
pub(super) fn filter(text: Option<&str>) -> anyhow::Result<EnvFilter> {
    let parts = text.unwrap_or_default().split(',').map(str::trim);
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Ok(EnvFilter::new(USUAL));
    }
    for part in &parts {
        check(part)?;
    }
    EnvFilter::try_new(parts.join(","))
        .map_err(|error| anyhow::anyhow!("FACEWAY_LOG: {error}; {HELP}"))
}

fn check(part: &str) -> anyhow::Result<()> {
    // Of spans and fields the library says what is wrong.
    if part.contains(['[', ']', '{', '}', '"', '/']) {
        return Ok(());
    }
    let is_level = |word: &str| {
        let number = word.parse().is_ok_and(|number: u8| number <= 5);
        number || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
    };
    match part.split_once('=') {
        // Whatever else speaks in this process may be asked for by its name.
        Some((_, level)) if is_level(level.trim()) => Ok(()),
        Some((_, level)) => bail!("FACEWAY_LOG: {level:?} is no level; {HELP}"),
        None if is_level(part)
            || part == "faceway"
            || part.starts_with("faceway_")
            || part.starts_with("faceway::") =>
        {
            Ok(())
        }
        None => bail!("FACEWAY_LOG: {part:?} is no level; {HELP}"),
    }
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn what_is_no_level_is_told_and_a_blank_is_nothing() {
        for blank in [None, Some(""), Some("  ")] {
            let usual = filter(blank).unwrap().to_string();
            assert!(
                usual.split(',').any(|part| part == "info"),
                "{blank:?}: {usual}"
            );
        }
        for good in [
            "debug",
            "WARN",
            "off",
            "3",
            "faceway",
            "faceway=debug",
            "warn,faceway::inbound=trace",
            "info, rumqttc=debug",
            "faceway[delivery]=debug",
        ] {
            assert!(filter(Some(good)).is_ok(), "{good}");
        }
        for (bad, named) in [
            ("Verbose", "\"Verbose\""),
            ("info,faceway=loud", "\"loud\""),
            ("debugg", "\"debugg\""),
            ("7", "\"7\""),
            ("inf", "\"inf\""),
        ] {
            let told = filter(Some(bad)).unwrap_err().to_string();
            assert!(
                told.contains(named) && told.contains("off, error, warn"),
                "{told}"
            );
        }
    }
}
