//! The requests of devices: to which inbound, from whom, and what is answered.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use faceway_core::{Answer, Outcome};
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::watch;

use super::admission::{Admission, Denied};
use super::body::{self, BodyError, BodyLimits};
use super::{Endpoint, Endpoints, Inbound, RequestBody, TurnedAway, images, path};
use crate::context::Context;

/// How long a device is asked to wait when its record cannot be kept.
const RETRY_AFTER_SECONDS: &str = "5";

/// Takes the requests of devices.
pub struct Receiver {
    /// Where they push to now.
    endpoints: watch::Receiver<Arc<Endpoints>>,
    context: Context,
    turned_away: TurnedAway,
}

impl Receiver {
    /// Finds inbounds among `endpoints`, as these are when a request comes.
    pub(crate) fn new(endpoints: watch::Receiver<Arc<Endpoints>>, context: Context) -> Self {
        Self {
            endpoints,
            context,
            turned_away: TurnedAway::default(),
        }
    }

    /// Answers one request.
    pub async fn answer(
        &self,
        peer: IpAddr,
        request: Request<RequestBody>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = path::normal(request.uri().path());
        // Cloned, not held: an apply that publishes other endpoints would wait for every request on its way.
        let endpoint = self.endpoints.borrow().at(&path).cloned();
        let response = match endpoint {
            Some(endpoint) => {
                let Endpoint {
                    inbound, admission, ..
                } = &*endpoint;
                self.receive(inbound, admission, peer, request).await
            }
            None if request.uri().path().starts_with("/images/") => {
                images::serve(&request, &self.context.links, &*self.context.spool).await
            }
            None => {
                self.turned_away.nowhere(request.uri().path(), peer);
                plain(
                    StatusCode::NOT_FOUND,
                    "no inbound has this path; see the paths in routes.toml\n",
                )
            }
        };
        Ok(response)
    }

    async fn receive(
        &self,
        inbound: &Inbound,
        admission: &Admission,
        peer: IpAddr,
        request: Request<RequestBody>,
    ) -> Response<Full<Bytes>> {
        match admission.check(peer, request.uri(), request.headers()) {
            Ok(()) => {}
            Err(denied) => {
                inbound.turned_away();
                let (status, why) = match denied {
                    Denied::Page => (403, "a web page sent it, and no `token` is set"),
                    Denied::Address => (403, "this address may not push here (`allow`)"),
                    Denied::Token => (401, "its token is missing or wrong"),
                };
                self.turned_away.at(inbound.name(), peer, status, why);
                return denied_response(denied);
            }
        }
        if request.method() != Method::POST {
            let why = "records are posted, and this is another method";
            self.turned_away.at(inbound.name(), peer, 405, why);
            return wrong_method("POST", "POST records here\n");
        }
        let (head, body) = request.into_parts();
        let limits = BodyLimits {
            bytes_max: self.context.limits.body_bytes_max,
            timeout: self.context.limits.body_timeout,
        };
        let mut came = BytesMut::new();
        match body::read(&head.headers, body, limits, &self.context.memory, &mut came).await {
            Ok(body) => {
                let kept = inbound.keep(&head.headers, Some(peer), &body.bytes).await;
                let mut response = response_of(inbound, &kept.outcome);
                if let Outcome::Refused(why) = kept.outcome {
                    if kept.cut_off {
                        // Behind it stands its rest, which is no request.
                        close(&mut response);
                    }
                    if let Some(status) = kept.status {
                        response = not_understood(status, &why);
                    }
                    let status = response.status().as_u16();
                    self.turned_away.at(inbound.name(), peer, status, why);
                }
                response
            }
            Err(BodyError::NoMemory) => response_of(inbound, &inbound.busy().outcome),
            Err(error) => {
                let (status, why) = why_no_body(error);
                self.turned_away
                    .at(inbound.name(), peer, status.as_u16(), why);
                if came.is_empty() || error == BodyError::TooLarge {
                    inbound.turned_away();
                } else if inbound.keep_piece(&head.headers, &came, why).await.outcome
                    == Outcome::Busy
                {
                    return response_of(inbound, &Outcome::Busy);
                }
                body_response(error)
            }
        }
    }
}

/// The vendor's own answer as an HTTP response.
fn response_of(inbound: &Inbound, outcome: &Outcome) -> Response<Full<Bytes>> {
    let Answer {
        status,
        content_type,
        body,
    } = inbound.adapter().answer(outcome);
    let body = match body {
        std::borrow::Cow::Borrowed(body) => Bytes::from_static(body),
        std::borrow::Cow::Owned(body) => Bytes::from(body),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(content_type) = content_type {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if *outcome == Outcome::Busy {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    response
}

/// Of a body that no adapter was asked about: packed in a way that is not known, or too large when unpacked.
fn not_understood(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    let mut response = plain(status, "");
    *response.body_mut() = Full::new(Bytes::from(format!("{why}\n")));
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        response
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
    }
    response
}

fn denied_response(denied: Denied) -> Response<Full<Bytes>> {
    match denied {
        Denied::Page => plain(
            StatusCode::FORBIDDEN,
            "web pages may not push here; set `token` on the inbound in routes.toml\n",
        ),
        Denied::Address => plain(
            StatusCode::FORBIDDEN,
            "this address may not push here; see `allow` in routes.toml\n",
        ),
        Denied::Token => {
            let mut response = plain(
                StatusCode::UNAUTHORIZED,
                "a token is needed: ?token=… in the address, or the header Authorization: Bearer …\n",
            );
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
    }
}

fn why_no_body(error: BodyError) -> (StatusCode, &'static str) {
    match error {
        BodyError::NoLength => (
            StatusCode::LENGTH_REQUIRED,
            "nothing says where its body ends: send Content-Length, or Transfer-Encoding: chunked",
        ),
        BodyError::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "its body is larger than limits.body_bytes_max of gateway.toml",
        ),
        BodyError::TooSlow => (
            StatusCode::REQUEST_TIMEOUT,
            "its body did not come in time (limits.body_timeout of gateway.toml)",
        ),
        BodyError::NoMemory | BodyError::Broken => (
            StatusCode::BAD_REQUEST,
            "its body broke off before the length that was announced",
        ),
    }
}

fn body_response(error: BodyError) -> Response<Full<Bytes>> {
    let (status, why) = why_no_body(error);
    let mut response = plain(status, why);
    // What is left of the body is not worth reading.
    close(&mut response);
    response
}

/// Ends the connection behind this answer.
fn close(response: &mut Response<Full<Bytes>>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
}

/// 405 with the methods that are allowed.
pub(super) fn wrong_method(allowed: &'static str, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, text);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A short answer for people.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
