//! What could not be read: look at it, read it again after an upgrade, drop it.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faceway_core::{Private, QuarantinedBody};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::{Body, Path, Problem, Query};
use super::{Admin, LISTED_MAX, Looking, Page};
use crate::api;

/// `GET /api/v1/quarantine`.
pub(super) async fn list(
    State(admin): Looking,
    Query(page): Query<Page>,
) -> Result<Json<Vec<api::Quarantined>>, Problem> {
    let entries = admin.history.quarantine(page.part()).await?;
    Ok(Json(entries.into_iter().map(shown).collect()))
}

/// `GET /api/v1/quarantine/{number}`: with the body.
pub(super) async fn show(
    State(admin): Looking,
    Path(number): Path<u64>,
) -> Result<Json<api::Quarantined>, Problem> {
    let found = admin.history.quarantined(number).await?;
    let QuarantinedBody { entry, body } =
        found.ok_or_else(|| Problem::not_found("there is no such entry in quarantine"))?;
    let mut entry = shown(entry);
    // An operator who may use the admin API may see what came in: only so can he find out what is wrong with it.
    match std::str::from_utf8(body.reveal()) {
        Ok(text) => entry.text = Some(text.to_owned()),
        Err(_) => entry.base64 = Some(STANDARD.encode(body.reveal())),
    }
    Ok(Json(entry))
}

/// `POST /api/v1/quarantine/drop`.
pub(super) async fn drop_some(
    State(admin): Looking,
    Body(choice): Body<api::QuarantineChoice>,
) -> Result<Json<api::Count>, Problem> {
    let count = admin.history.drop_quarantined(chosen(choice)?).await?;
    tracing::warn!(count, "entries in quarantine are dropped for good");
    Ok(Json(api::Count { count }))
}

/// `POST /api/v1/quarantine/retry`: reads each once more by its inbound as it is now configured. What can be read is
/// kept as an event with the time at which it first came in, and leaves quarantine.
pub(super) async fn retry(
    State(admin): Looking,
    Body(choice): Body<api::QuarantineChoice>,
) -> Result<Json<api::Reread>, Problem> {
    let numbers = match chosen(choice)? {
        Some(numbers) => numbers,
        None => newest_numbers(&admin).await?,
    };
    let mut reread = api::Reread {
        read: 0,
        stored: 0,
        duplicates: 0,
        unreadable: Vec::new(),
    };
    // Oldest first, so that order per device is the order in which they came in.
    let mut numbers = numbers;
    numbers.sort_unstable();
    for number in numbers {
        match read_again(&admin, number).await? {
            Ok(kept) => {
                admin.history.drop_quarantined(Some(vec![number])).await?;
                reread.read += 1;
                reread.stored += kept.stored as u64;
                reread.duplicates += kept.duplicates as u64;
            }
            Err(reason) => reread
                .unreadable
                .push(api::StillUnreadable { number, reason }),
        }
    }
    Ok(Json(reread))
}

/// Numbers of the newest entries, as many as one request may touch.
async fn newest_numbers(admin: &Admin) -> Result<Vec<u64>, Problem> {
    let mut numbers: Vec<u64> = Vec::new();
    while numbers.len() < LISTED_MAX {
        let page = faceway_core::Page {
            before: numbers.last().copied(),
            max: LISTED_MAX - numbers.len(),
        };
        let entries = admin.history.quarantine(page).await?;
        if entries.is_empty() {
            break;
        }
        numbers.extend(entries.iter().map(|entry| entry.number));
    }
    Ok(numbers)
}

async fn read_again(
    admin: &Admin,
    number: u64,
) -> Result<Result<crate::inbound::Kept, String>, Problem> {
    let Some(QuarantinedBody { entry, body }) = admin.history.quarantined(number).await? else {
        return Ok(Err("there is no such entry in quarantine".into()));
    };
    let snapshot = admin.look();
    let Some(endpoint) = snapshot.endpoints.named(&entry.inbound) else {
        return Ok(Err(format!(
            "its inbound {} is no longer in routes.toml",
            entry.inbound
        )));
    };
    let headers = headers(&entry.headers);
    let inbound = &endpoint.inbound;
    let kept = inbound
        .ingest_again(&headers, body.reveal(), entry.received_at)
        .await;
    Ok(match kept {
        Ok(kept) if kept.outcome != faceway_core::Outcome::Kept => {
            Err("the spool cannot keep it now".into())
        }
        kept => kept,
    })
}

fn headers(kept: &Private<String>) -> HeaderMap {
    let texts: std::collections::BTreeMap<String, String> =
        serde_json::from_str(kept.reveal()).unwrap_or_default();
    let headers = texts.into_iter().filter_map(|(name, value)| {
        Some((
            HeaderName::try_from(name).ok()?,
            HeaderValue::try_from(value).ok()?,
        ))
    });
    headers.collect()
}

fn chosen(choice: api::QuarantineChoice) -> Result<Option<Vec<u64>>, Problem> {
    match (choice.numbers, choice.all) {
        (Some(numbers), false) => Ok(Some(numbers)),
        (None, true) => Ok(None),
        _ => Err(Problem::bad(
            "say which: either \"numbers\": [1] or \"all\": true",
        )),
    }
}

fn shown(entry: faceway_core::Quarantined) -> api::Quarantined {
    api::Quarantined {
        number: entry.number,
        inbound: entry.inbound,
        received_at: entry.received_at,
        reason: entry.reason,
        bytes: entry.bytes,
        text: None,
        base64: None,
    }
}
