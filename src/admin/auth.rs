//! Who may use the API: with a token, a request that names it; without one, only programs on this machine, and no web page.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use faceway_core::Private;
use sha2::{Digest, Sha256};

use super::Admin;
use super::problem::Problem;

/// Lets a request through to the API, or says why not.
pub(super) async fn guard(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    let token = admin.token.as_ref();
    match token.and_then(|token| refused_without(token, &request)) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

/// Lets a request through to anything at the admin listener, or says why not.
pub(super) async fn guard_host(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    match admin.token {
        None if let Some(problem) = refused_for_host(&request) => problem.into_response(),
        _ => next.run(request).await,
    }
}

fn refused_without(token: &Private<String>, request: &Request) -> Option<Problem> {
    let named = crate::inbound::bearer(request.headers()).map(Sha256::digest);
    if named == Some(Sha256::digest(token.reveal())) {
        return None;
    }
    let text = "the admin token is needed: header Authorization: Bearer …, or FACEWAY_ADMIN_TOKEN for the commands";
    Some(Problem::new(StatusCode::UNAUTHORIZED, text))
}

/// Without a token the listener is bound to a loopback address. A web page in a browser on this machine could still
/// reach it under a name of its own (DNS rebinding), so the name must be a loopback one.
fn refused_for_host(request: &Request) -> Option<Problem> {
    let host = request
        .headers()
        .get(header::HOST)?
        .to_str()
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(
        host,
        |(name, port)| if port.ends_with(']') { host } else { name },
    );
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let loopback = name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if loopback {
        return None;
    }
    let text = "without an admin token the API is only for localhost; set listen.admin_token in gateway.toml";
    Some(Problem::new(StatusCode::FORBIDDEN, text))
}
