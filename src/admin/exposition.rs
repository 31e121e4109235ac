//! The two forms of a scrape: Prometheus' own text, and OpenMetrics where it is asked for.

use axum::http::{HeaderMap, header};

/// In which form metrics are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposition {
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    Text,
    /// <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
    OpenMetrics,
}

/// The units that our metrics have, which are the ends of their names.
const UNITS: [&str; 2] = ["seconds", "bytes"];

impl Exposition {
    /// What a scraper wants most. OpenMetrics only for those who name it.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT).iter();
        let ranges = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(Range::of);
        let (mut open, mut text) = (0.0, 0.0);
        for range in ranges {
            match range.kind.as_str() {
                "application/openmetrics-text" if range.is_version("1.0.0") => {
                    open = f32::max(open, range.weight);
                }
                "text/plain" | "text/*" | "*/*" => text = f32::max(text, range.weight),
                _ => {}
            }
        }
        match open > 0.0 && open >= text {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Prometheus' text in this form. Bounds of buckets are the same texts in both, or they would be other series for the one who
    /// changes from one to the other.
    pub(super) fn write(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 16);
        for line in text.lines() {
            let comment = line.strip_prefix("# ");
            let comment = comment.and_then(|rest| rest.split_once(' '));
            match (self, comment) {
                (Self::OpenMetrics, Some((word, rest))) => comment_line(word, rest, &mut out),
                (Self::OpenMetrics, None) if line.is_empty() => {}
                _ => {
                    push_with_bound(line, &mut out);
                    out.push('\n');
                }
            }
        }
        if self == Self::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }
}

/// A family has the name of its counter without `_total`, a unit where its name ends with one, and quotes are escaped.
fn comment_line(word: &str, rest: &str, out: &mut String) {
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let family = name.strip_suffix("_total").unwrap_or(name);
    let line = match word {
        "HELP" => format!("# HELP {family} {}\n", rest.replace('"', "\\\"")),
        _ => format!("# {word} {family} {rest}\n"),
    };
    out.push_str(&line);
    let unit = UNITS
        .iter()
        .find(|unit| family.rsplit('_').next() == Some(**unit));
    if let ("TYPE", Some(unit)) = (word, unit) {
        out.push_str(&format!("# UNIT {family} {unit}\n"));
    }
}

/// A bound that is a whole number is written with its fraction: `le="1.0"`.
fn push_with_bound(line: &str, out: &mut String) {
    const BOUND: &str = "le=\"";
    let bound = line.find(BOUND).map(|at| line.split_at(at + BOUND.len()));
    let whole = bound.and_then(|(before, rest)| {
        let (bound, after) = rest.split_once('"')?;
        let digits = bound.bytes().all(|byte| byte.is_ascii_digit());
        (digits && before.contains("_bucket{")).then_some((before, bound, after))
    });
    match whole {
        Some((before, bound, after)) => {
            out.extend([before, bound, ".0\"", after]);
        }
        None => out.push_str(line),
    }
}

/// One of the media types of `Accept`.
struct Range {
    /// In small letters.
    kind: String,
    version: Option<String>,
    weight: f32,
}

impl Range {
    fn of(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self {
            kind: parts.next()?.to_ascii_lowercase(),
            version: None,
            weight: 1.0,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.weight = value.trim().parse().ok()?,
                "version" => range.version = Some(value.trim().trim_matches('"').to_owned()),
                _ => {}
            }
        }
        Some(range)
    }

    fn is_version(&self, version: &str) -> bool {
        self.version.as_ref().is_none_or(|asked| asked == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        for (accept, expected) in [
            ("", Exposition::Text),
            ("*/*", Exposition::Text),
            (
                "text/html,application/xhtml+xml,*/*;q=0.8",
                Exposition::Text,
            ),
            // Prometheus 2.42, and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Exposition::OpenMetrics,
            ),
            (
                "text/plain;version=0.0.4, application/openmetrics-text;q=0.9",
                Exposition::Text,
            ),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\"",
                Exposition::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=0.0.1",
                Exposition::Text,
            ),
            ("application/openmetrics-text;q=0", Exposition::Text),
            ("application/openmetrics-text;q=x", Exposition::Text),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Exposition::asked(&headers), expected, "{accept}");
        }
    }

    const TEXT: &str = "\
# HELP a_total How \"many\".
# TYPE a_total counter
a_total{le=\"1\"} 3

# HELP b_seconds_total How long.
# TYPE b_seconds_total counter
b_seconds_total 3

# TYPE c_seconds histogram
c_seconds_bucket{x=\"y\",le=\"0.5\"} 1
c_seconds_bucket{x=\"y\",le=\"30\"} 1
c_seconds_bucket{x=\"y\",le=\"+Inf\"} 1
c_seconds_sum{x=\"y\"} 0.25
c_seconds_count{x=\"y\"} 1
";

    #[test]
    fn families_have_their_units_and_an_end() {
        let written = Exposition::OpenMetrics.write(TEXT);
        let expected = "\
# HELP a How \\\"many\\\".
# TYPE a counter
a_total{le=\"1\"} 3
# HELP b_seconds How long.
# TYPE b_seconds counter
# UNIT b_seconds seconds
b_seconds_total 3
# TYPE c_seconds histogram
# UNIT c_seconds seconds
c_seconds_bucket{x=\"y\",le=\"0.5\"} 1
c_seconds_bucket{x=\"y\",le=\"30.0\"} 1
c_seconds_bucket{x=\"y\",le=\"+Inf\"} 1
c_seconds_sum{x=\"y\"} 0.25
c_seconds_count{x=\"y\"} 1
# EOF
";
        assert_eq!(written, expected);
        let text = TEXT.replace("le=\"30\"", "le=\"30.0\"");
        assert_eq!(Exposition::Text.write(TEXT), text);
    }
}
