//! `POST /api/v1/reload`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::Looking;
use super::problem::{Body, Problem};
use crate::api;
use crate::topology::Refused;

/// Reads `routes.toml` and the files of `listen.tls` now. One that is wrong changes nothing and answers 422, with everything
/// that is wrong, and what became of the other. The body
/// is `{}`: what a page of another origin could send without asking is not JSON.
pub(super) async fn reload(
    State(admin): Looking,
    Body(api::Reload {}): Body<api::Reload>,
) -> Result<Json<api::Reloaded>, Problem> {
    let stopping = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway stops");
    let no_file = || Problem::new(StatusCode::CONFLICT, "the routes were read from no file");
    let reloader = admin.reloader.as_ref().ok_or_else(no_file)?;
    match reloader.reload().await.ok_or_else(stopping)? {
        Ok(changes) => Ok(Json(api::Reloaded {
            added: changes.added,
            changed: changes.changed,
            removed: changes.removed,
        })),
        Err(Refused(errors)) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, errors)),
    }
}
