//! A device's API, served over plain HTTP.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse as _, Response};
use faceway_core::simulator::{Api, ApiCall, ApiReply, Source};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::lock;

/// Serves it until the process ends. What it is told about where to post goes to `to`.
pub(crate) fn serve(source: &dyn Source, listener: TcpListener, to: watch::Sender<Option<Url>>) {
    let first = to.borrow().as_ref().map(Url::to_string);
    let Some(api) = source.api(first.as_deref()) else {
        return;
    };
    let served = Arc::new(Served {
        api: Mutex::new(api),
        since: Instant::now(),
        to,
    });
    let answer = async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        served.answer(&method, &uri, &headers, &body)
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
}

struct Served {
    api: Mutex<Box<dyn Api>>,
    since: Instant,
    to: watch::Sender<Option<Url>>,
}

impl Served {
    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
        let authorization = headers.get(header::AUTHORIZATION);
        let call = ApiCall {
            method: method.as_str(),
            path: uri.path(),
            authorization: authorization.and_then(|told| told.to_str().ok()),
            body,
            now: self.since.elapsed(),
            random: rand::random(),
        };
        let ApiReply { status, body, to } = lock(&self.api).answer(&call);
        if let Some(to) = to {
            self.to.send_replace(to.and_then(|to| to.parse().ok()));
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        if body.is_empty() {
            return status.into_response();
        }
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
