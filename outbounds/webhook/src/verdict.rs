//! What an answer means. The table is in the crate's README.

use std::time::{Duration, UNIX_EPOCH};

use faceway_core::{Code, Scope, Timestamp, Verdict};
use http::StatusCode;
use http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::Response;

/// A longer wait than this is nonsense, whatever asks for it.
const AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The verdict of an answer that came at `now`, by way of a proxy or not.
pub(crate) fn of(response: &Response, proxied: bool, now: Timestamp) -> Verdict {
    let status = response.status();
    let code = Code::status(status.as_u16());
    match meaning(status, proxied) {
        Meaning::Confirmed => Verdict::Delivered { code },
        Meaning::Refused => Verdict::Refused { code },
        Meaning::Hopeless => Verdict::Bury { code },
        Meaning::MayPass(scope) => Verdict::Retry {
            scope,
            code,
            after: retry_after(response.headers(), now),
        },
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Confirmed,
    MayPass(Scope),
    /// It concerns who asks or where, so perhaps every event.
    Refused,
    Hopeless,
}

fn meaning(status: StatusCode, proxied: bool) -> Meaning {
    match status.as_u16() {
        200..=299 => Meaning::Confirmed,
        // Overloaded, or a proxy before the endpoint answers because the endpoint does not.
        429 | 502 | 503 | 504 => Meaning::MayPass(Scope::Destination),
        // A redirect is not followed: where events go is for the operator to say. It concerns every event alike, so the
        // lane waits, and nothing is lost until the URL is put right.
        300..=399 => Meaning::MayPass(Scope::Destination),
        // The proxy wants a password: the event has not reached its destination.
        407 if proxied => Meaning::MayPass(Scope::Destination),
        // "I waited too long for your request", "too early": by their definition these may pass.
        408 | 425 => Meaning::MayPass(Scope::Message),
        // A token that is exchanged, a service that starts behind its ingress, a path that moved: what is said of the sender
        // or the address may hold of every event. So may "gone", "wrong method", "upgrade", and a proxy on the way that
        // is not configured here (407).
        401..=405 | 407 | 410 | 421 | 426 | 451 => Meaning::Refused,
        400..=499 => Meaning::Hopeless,
        _ => Meaning::MayPass(Scope::Message),
    }
}

/// `Retry-After` in either of its forms (RFC 9110, section 10.2.3). A date counts from the far side's own `Date`, where
/// it tells one, as its clock and ours may differ.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER)?;
    let after = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit still mean "long".
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let from = self::text(headers, DATE).and_then(date).unwrap_or(now);
        date(text)?.since(from)
    };
    Some(after.min(AFTER_MAX))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then_some(text)
}

fn date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text)
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let meaning = |status| meaning(StatusCode::from_u16(status).unwrap(), false);
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(meaning(status), Meaning::Confirmed, "{status}");
        }
        for status in [429, 502, 503, 504, 300, 301, 302, 304, 307, 308] {
            assert_eq!(
                meaning(status),
                Meaning::MayPass(Scope::Destination),
                "{status}"
            );
        }
        for status in [500, 501, 505, 507, 508, 520, 599, 408, 425, 600, 999] {
            assert_eq!(
                meaning(status),
                Meaning::MayPass(Scope::Message),
                "{status}"
            );
        }
        for status in [401, 402, 403, 404, 405, 407, 410, 421, 426, 451] {
            assert_eq!(meaning(status), Meaning::Refused, "{status}");
        }
        for status in [400, 406, 409, 411, 413, 415, 418, 422, 431, 499] {
            assert_eq!(meaning(status), Meaning::Hopeless, "{status}");
        }
    }

    #[test]
    fn a_proxy_that_wants_a_password_is_an_outage() {
        let status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        assert_eq!(meaning(status, true), Meaning::MayPass(Scope::Destination));
    }

    #[test]
    fn retry_after_in_both_forms() {
        let now: Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
        let after = |value: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            retry_after(&headers, now)
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(after("120", None), seconds(120));
        assert_eq!(after(" 7 ", None), seconds(7));
        assert_eq!(after("0", None), seconds(0));
        assert_eq!(after("99999999999999999999999", None), Some(AFTER_MAX));
        let late = "Sun, 22 Nov 2026 08:00:30 GMT";
        assert_eq!(after(late, None), seconds(30));
        assert_eq!(after("Sunday, 22-Nov-26 08:00:30 GMT", None), seconds(30));
        // Its clock is ten seconds behind ours: it still means forty seconds.
        assert_eq!(
            after(late, Some("Sun, 22 Nov 2026 07:59:50 GMT")),
            seconds(40)
        );
        assert_eq!(after("Sun, 22 Nov 2026 07:00:00 GMT", None), seconds(0));
        for nonsense in ["", "soon", "-5", "1.5", "Sun, 99 Nov 2026 08:00:30 GMT"] {
            assert_eq!(after(nonsense, None), None, "{nonsense}");
        }
    }
}
