//! The admin listener: metrics, health, the API, the console, the documents.

mod ages;
mod auth;
mod cluster;
mod console;
mod docs;
mod events;
mod exposition;
mod inbounds;
mod lanes;
mod openapi;
mod present;
mod problem;
mod quarantine;
mod reload;
mod scrape;
mod terminals;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use faceway_core::{History, Private, Timestamp};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

pub(crate) use ages::Ages;

use crate::context::Context;
use crate::topology::rules_history::ActiveRules;
use crate::topology::{Reloader, Snapshot, Topology};
use problem::Problem;

/// What the admin listener looks at and repairs.
pub struct Admin {
    pub(crate) context: Context,
    /// What is looked at. No other room gets it.
    pub(crate) history: Arc<dyn History>,
    /// What is at work; asked only to change it.
    pub(crate) topology: Arc<Mutex<Topology>>,
    /// What is at work, to be looked at.
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    /// `None` where the routes were read from no file.
    pub(crate) reloader: Option<Reloader>,
    pub(crate) rules: ActiveRules,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) token: Option<Private<String>>,
    pub(crate) started_at: Timestamp,
    /// How long events have waited at least.
    pub(crate) ages: Ages,
}

/// Entries that a list gives when it is not asked for a number.
const LISTED: usize = 100;
/// Entries that a list gives at the most.
const LISTED_MAX: usize = 10_000;

impl Admin {
    /// What is at work now.
    fn look(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }
}

/// Changes the topology, to the end also when the client goes away: half done it would leave on disk what nothing here
/// knows of.
async fn change_topology<T, Changed>(
    admin: &Admin,
    change: impl FnOnce(OwnedMutexGuard<Topology>) -> Changed,
) -> Result<T, Problem>
where
    T: Send + 'static,
    Changed: Future<Output = Result<T, Problem>> + Send + 'static,
{
    let topology = Arc::clone(&admin.topology).lock_owned().await;
    let ended = tokio::spawn(change(topology)).await;
    ended.unwrap_or_else(|_| Err(Problem::trouble(&anyhow::anyhow!("it broke off"))))
}

type Looking = axum::extract::State<Arc<Admin>>;

/// What the admin listener serves.
pub fn router(admin: Arc<Admin>) -> Router {
    let api = Router::new()
        .route("/overview", get(lanes::overview))
        .route("/lanes", get(lanes::list))
        .route("/lanes/{name}", axum::routing::delete(lanes::forget))
        .route("/lanes/{name}/probe", post(lanes::probe))
        .route("/cluster", get(cluster::show))
        .route("/inbounds", get(inbounds::list))
        .route("/buried", get(events::buried))
        .route("/buried/{id}", get(events::buried_one))
        .route("/buried/revive", post(events::revive))
        .route("/buried/drop", post(events::drop_buried))
        .route("/replay", post(events::replay))
        .route("/events/{id}/why", get(events::why))
        .route("/reload", post(reload::reload))
        .route("/quarantine", get(quarantine::list))
        .route("/quarantine/{number}", get(quarantine::show))
        .route("/quarantine/retry", post(quarantine::retry))
        .route("/quarantine/drop", post(quarantine::drop_some))
        // Before the layer, so that this too needs the token.
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&admin),
            auth::guard,
        ));
    Router::new()
        .route("/", get(console::page))
        .route("/docs", get(docs::overview))
        .route("/docs/", get(docs::overview))
        .route("/docs/{*name}", get(docs::document))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(scrape::ready))
        .route("/metrics", get(scrape::metrics))
        .route("/api/v1/openapi.json", get(openapi::document))
        .nest("/api/v1", api)
        .method_not_allowed_fallback(wrong_method)
        .fallback(async || {
            Problem::not_found(
                "no such page; the API is described by /api/v1/openapi.json, all else at /docs",
            )
        })
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&admin),
            auth::guard_host,
        ))
        .layer(axum::middleware::map_response(harden))
        .with_state(admin)
}

/// Keeps other pages from showing the console in a frame, where they could steal clicks on *revive* and *drop*. A browser
/// takes an answer for the type that it names.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The console is one page with its style and script in it, and asks the API.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

async fn wrong_method() -> Problem {
    let text = "another method is needed; the API is described by /api/v1/openapi.json";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, text)
}

/// `?max=`, `?before=` and `?to=` of a list.
#[derive(serde::Deserialize)]
struct Page {
    max: Option<usize>,
    before: Option<u64>,
    to: Option<String>,
}

impl Page {
    fn part(&self) -> faceway_core::Page {
        faceway_core::Page {
            before: self.before,
            max: self.max.unwrap_or(LISTED).min(LISTED_MAX),
        }
    }
}
