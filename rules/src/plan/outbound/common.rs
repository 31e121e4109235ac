//! What every outbound has.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::plan::{Grammar, gateways};
use crate::projection::ProjectionError;
use crate::read::Table;
use crate::{Format, Projection, ReadFile};

use super::{Common, Images, Protocol, Retry, Since, batch, format};

pub(super) fn read(
    table: &Table<'_>,
    seen: Seen,
    protocol: &Protocol,
    grammar: &Grammar,
) -> Common {
    let concurrency_max = table.whole("concurrency_max").map(u32::try_from);
    Common {
        batch_max: batch::read(table, protocol, grammar),
        format: seen.format,
        images: seen.images,
        projection: seen.projection,
        concurrency_max: match concurrency_max {
            Some(Ok(most)) => most,
            _ => protocol.kind().concurrency,
        },
        since: match table.word("since") {
            Some("oldest") => Since::Oldest,
            _ => Since::Now,
        },
        retry: retry(table),
        timeout: table.duration("timeout").unwrap_or(Duration::from_secs(10)),
        gateways: gateways::read(table),
    }
}

/// An event as this outbound sees it.
pub(super) struct Seen {
    pub(super) projection: Projection,
    pub(super) format: Format,
    images: Images,
}

pub(super) fn seen(table: &Table<'_>, files: ReadFile<'_>) -> Seen {
    let projection = projection(table);
    let images = match table.word("images") {
        Some("url") => Images::Url,
        Some("inline") => Images::Inline,
        _ => Images::None,
    };
    Seen {
        format: format::read(table, &projection, images, files),
        projection,
        images,
    }
}

fn projection(table: &Table<'_>) -> Projection {
    let (omit, only) = (paths(table, "omit"), paths(table, "only"));
    match (omit, only) {
        (Some(_), Some(only)) => {
            let span = table.get("only").map_or(table.span(), |node| node.span);
            let message = "`omit` and `only` exclude each other";
            table.reporter().error(span, message, "keep one of them");
            Projection::only(only).unwrap_or_default()
        }
        (Some(omit), None) => Projection::omit(omit).unwrap_or_default(),
        (None, Some(only)) => Projection::only(only).unwrap_or_default(),
        (None, None) => Projection::default(),
    }
}

/// The paths of `omit` or `only` that are good.
fn paths<'d>(table: &Table<'d>, key: &'static str) -> Option<Vec<&'d str>> {
    let reporter = table.reporter();
    let texts = table.texts(key)?;
    if texts.is_empty() {
        let span = table.get(key)?.span;
        let message = format!("`{key}` names no field");
        reporter.error(span, message, "leave it out, or name some");
    }
    let good = |(path, span)| match Projection::check(path, key == "omit") {
        Ok(()) => Some(path),
        Err(ProjectionError::Unknown { path, help }) => {
            reporter.error(span, format!("the event has no field `{path}`"), help);
            None
        }
        Err(kept @ ProjectionError::Kept(_)) => {
            let help = "a receiver could neither read the event nor drop what it has seen";
            reporter.error(span, kept.to_string(), help);
            None
        }
    };
    Some(texts.into_iter().filter_map(good).collect())
}

fn retry(table: &Table<'_>) -> Retry {
    let default = Retry::default();
    let Some(table) = table.table("retry") else {
        return default;
    };
    let backoff_min = table.duration("backoff_min");
    let backoff_max = table.duration("backoff_max");
    let attempts = table.whole("attempts_max").map(u32::try_from);
    let retry = Retry {
        backoff_min: backoff_min.unwrap_or(default.backoff_min),
        backoff_max: backoff_max.unwrap_or(default.backoff_max),
        attempts_max: match attempts {
            Some(Ok(attempts)) => NonZeroU32::new(attempts),
            _ => default.attempts_max,
        },
        age_max: table.duration("age_max").filter(|age| !age.is_zero()),
    };
    if retry.backoff_min > retry.backoff_max {
        let key = if backoff_max.is_some() {
            "backoff_max"
        } else {
            "backoff_min"
        };
        let span = table.get(key).map_or(table.span(), |node| node.span);
        let message = "`backoff_min` is longer than `backoff_max`";
        table
            .reporter()
            .error(span, message, "1s and 5m when left out");
    }
    table.finish();
    retry
}
