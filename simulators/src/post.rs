//! A request as a source makes it.

use std::error::Error as _;

use bytes::Bytes;
use faceway_core::simulator::Request;
use reqwest::{Client, StatusCode, Url};

/// An answer is a few words.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Posts JSON; gives the answer, or in words why there is none.
pub(crate) async fn post(
    client: &Client,
    to: &Url,
    request: &Request,
) -> Result<(StatusCode, Bytes), String> {
    let mut post = client
        .post(to.clone())
        .header("content-type", "application/json")
        .body(request.body.clone());
    for (name, value) in &request.headers {
        post = post.header(*name, value);
    }
    let answer = post.send().await.map_err(word)?;
    let status = answer.status();
    match answer.bytes().await {
        Ok(body) if body.len() <= ANSWER_BYTES_MAX => Ok((status, body)),
        Ok(_) => Err("an endless answer".into()),
        Err(error) => Err(word(error)),
    }
}

/// The innermost cause, which says it shortest (`Connection refused`).
fn word(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
