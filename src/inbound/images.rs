//! `GET /images/<sha256>?exp=…&sig=…`: pictures, for who was given the link.

use bytes::Bytes;
use faceway_core::{Log, Sha256};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::receive::{plain, wrong_method};
use crate::link::{LinkError, Links, NO_PICTURE};

/// Shown where a person has no picture.
const NONE: &[u8] = include_bytes!("no-picture.png");

/// Serves a picture.
pub(super) async fn serve<B>(
    request: &Request<B>,
    links: &Links,
    log: &dyn Log,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return wrong_method("GET, HEAD", "GET pictures here\n");
    }
    if request.uri().path() == NO_PICTURE {
        return picture_response(Bytes::from_static(NONE));
    }
    let Some((sha256, expires, signature)) = parts(request.uri()) else {
        return plain(StatusCode::FORBIDDEN, "not a link to a picture\n");
    };
    match links.verify(sha256, expires, signature) {
        Err(LinkError::Forged) => {
            return plain(
                StatusCode::FORBIDDEN,
                "the link is not signed by this gateway\n",
            );
        }
        Err(LinkError::Expired) => return plain(StatusCode::GONE, "the link has expired\n"),
        Ok(()) => {}
    }
    match log.picture(sha256).await {
        Ok(Some(picture)) => picture_response(picture.into_revealed()),
        Ok(None) => plain(
            StatusCode::GONE,
            "the picture has left the spool; see spool.images in gateway.toml\n",
        ),
        Err(_) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the spool cannot be read now\n",
        ),
    }
}

fn parts(uri: &http::Uri) -> Option<(Sha256, &str, &str)> {
    let sha256 = uri.path().strip_prefix("/images/")?.parse().ok()?;
    let query = uri.query()?;
    let value = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    Some((sha256, value("exp")?, value("sig")?))
}

fn picture_response(bytes: Bytes) -> Response<Full<Bytes>> {
    let media_type = faceway_core::media_type(&bytes).unwrap_or("application/octet-stream");
    let mut response = Response::new(Full::new(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // What a device sent must never run in a browser.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("private, immutable, max-age=3600"),
    );
    response
}
