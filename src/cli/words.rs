//! Words for numbers and times, as tables and summaries write them.

use std::time::Duration;

use faceway_core::Timestamp;

/// `1 event`, `1,204 events`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(count))
}

/// `1,204,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The greatest unit that fits: `0s`, `59s`, `3m`, `47h`, `2d`.
pub(crate) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// How long ago: `3m ago`.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(now.since(then)))
}

/// How long until: `in 4s`, `now` when it is over.
pub(crate) fn until(then: Timestamp, now: Timestamp) -> String {
    if then <= now {
        "now".into()
    } else {
        format!("in {}", span(then.since(now)))
    }
}

/// `812 B`, `14 KiB`, `1.5 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = count.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let unit = UNITS[unit];
    if tenths < 100 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths / 10)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faceway_core::Timestamp;

    use super::{ago, bytes, counted, grouped, span, until};

    #[test]
    fn spans_have_one_unit() {
        let of = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(of(0), "0s");
        assert_eq!(of(59), "59s");
        assert_eq!(of(60), "1m");
        assert_eq!(of(3_599), "59m");
        assert_eq!(of(172_799), "47h");
        assert_eq!(of(172_800), "2d");
    }

    #[test]
    fn ages_look_back_and_dues_look_forward() {
        let now = Timestamp::from_seconds(1_000_000).unwrap();
        assert_eq!(ago(now.plus_millis(-200_000), now), "3m ago");
        // A clock that was set back makes no negative ages.
        assert_eq!(ago(now.plus_millis(5_000), now), "0s ago");
        assert_eq!(until(now.plus_millis(4_000), now), "in 4s");
        assert_eq!(until(now, now), "now");
    }

    #[test]
    fn numbers_are_grouped_and_counted() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(counted(1, "event"), "1 event");
        assert_eq!(counted(0, "event"), "0 events");
    }

    #[test]
    fn bytes_have_a_unit_that_fits() {
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(20 * 1024), "20 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(bytes(5 << 50), "5120 TiB");
    }
}
