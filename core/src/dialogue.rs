//! What is said to a device over its own HTTP API, as a pure state machine: the gateway sends what it asks, and hands in
//! what is answered.

use std::borrow::Cow;

use crate::Private;

/// A conversation that ends with a `T`. It begins once, and is then told each answer; it never waits and never asks for
/// the time. A device that cannot be reached ends it: that is told by who leads it.
pub trait Dialogue<T>: Send {
    /// The first step.
    fn begin(&mut self) -> Step<T>;

    /// The next step, after an answer to what was asked.
    fn hear(&mut self, answer: &ApiAnswer<'_>) -> Step<T>;
}

/// What comes next.
#[derive(Debug)]
pub enum Step<T> {
    /// Ask this.
    Ask(ApiRequest),
    /// It is over, with this result.
    Done(T),
    /// It is over, in vain: what is wrong and what to do, in words, without any value of an answer.
    Failed(Cow<'static, str>),
}

/// A request to a device's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRequest {
    /// `GET`, `POST` …
    pub method: http::Method,
    /// Path, from the root of the API's address.
    pub path: &'static str,
    /// The `Authorization` header, whole.
    pub authorization: Option<Private<String>>,
    /// JSON.
    pub body: Option<Private<String>>,
}

impl ApiRequest {
    /// A `GET` of `path`.
    pub const fn get(path: &'static str) -> Self {
        Self::new(http::Method::GET, path)
    }

    /// A `POST` of JSON to `path`.
    pub fn post(path: &'static str, body: impl Into<Private<String>>) -> Self {
        Self {
            body: Some(body.into()),
            ..Self::new(http::Method::POST, path)
        }
    }

    /// The same with this `Authorization` header.
    #[must_use]
    pub fn authorized(self, authorization: Private<String>) -> Self {
        Self {
            authorization: Some(authorization),
            ..self
        }
    }

    const fn new(method: http::Method, path: &'static str) -> Self {
        Self {
            method,
            path,
            authorization: None,
            body: None,
        }
    }
}

/// What a device answered.
#[derive(Clone, Copy, Debug)]
pub struct ApiAnswer<'a> {
    /// HTTP status.
    pub status: u16,
    /// Body, cut off at nothing: an answer that is too large ends the dialogue.
    pub body: &'a [u8],
}

/// A dialogue that is over before it began.
#[derive(Debug)]
pub struct Said<T>(Option<T>);

impl<T> Said<T> {
    /// Ends with `result`, and asks nothing.
    pub const fn at_once(result: T) -> Self {
        Self(Some(result))
    }
}

impl<T: Send> Dialogue<T> for Said<T> {
    fn begin(&mut self) -> Step<T> {
        match self.0.take() {
            Some(result) => Step::Done(result),
            None => Step::Failed(Cow::Borrowed("it was over before it began")),
        }
    }

    fn hear(&mut self, _: &ApiAnswer<'_>) -> Step<T> {
        self.begin()
    }
}
