//! A request as a source makes it.

use bytes::Bytes;
use reqwest::{Client, StatusCode, Url};

use crate::cli::http;

/// An answer is a few words.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Posts JSON; gives the answer, or in words why there is none.
pub(super) async fn post(
    client: &Client,
    to: &Url,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<(StatusCode, Bytes), String> {
    let mut request = client
        .post(to.clone())
        .header("content-type", "application/json")
        .body(body.into());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.map_err(word)?;
    let status = answer.status();
    match answer.bytes().await {
        Ok(body) if body.len() <= ANSWER_BYTES_MAX => Ok((status, body)),
        Ok(_) => Err("an endless answer".into()),
        Err(error) => Err(word(error)),
    }
}

/// How a status is told that is not the wanted one.
pub(super) fn refused(status: StatusCode) -> String {
    format!("HTTP {}", status.as_u16())
}

fn word(error: reqwest::Error) -> String {
    if error.is_timeout() {
        "no answer in time".into()
    } else {
        http::cause(error)
    }
}
