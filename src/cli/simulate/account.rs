//! A terminal's own API, as far as it is about who gets its records: log in, subscribe. Plain HTTP; a real one has TLS
//! with a certificate of its own, at port 8000.
//!
//! The token is a word without a meaning; a real one's is a JWT.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

/// Of an address, in characters (documented).
const ADDRESS_CHARACTERS_MAX: usize = 1024;
/// Tokens that are good at a time; a further one is the end of the oldest.
const TOKENS_MAX: usize = 100;
/// How long a token is good, in minutes: least, without a word, most (documented).
const VALID_MINUTES: (u64, u64, u64) = (1, 5, 1440);
/// Codes of answers (documented). 400 is inferred.
const UNKNOWN_USER: u16 = 1000;
const WRONG_PASSWORD: u16 = 1001;

/// Who may log in, and what was subscribed.
pub(super) struct Account {
    username: String,
    password: String,
    tokens: Mutex<VecDeque<(String, Instant)>>,
    subscription: Mutex<Value>,
    to: watch::Sender<Option<Url>>,
}

/// As every answer is, with the code in its status where HTTP knows it.
type Answer = (StatusCode, Json<Value>);

impl Account {
    /// `to` is told where pushes go.
    pub(super) fn new(username: String, password: String, to: watch::Sender<Option<Url>>) -> Self {
        let subscription = match &*to.borrow() {
            Some(to) => json!({ "event_dest": to.as_str(), "enabled": true }),
            None => Value::Null,
        };
        Self {
            username,
            password,
            tokens: Mutex::default(),
            subscription: Mutex::new(subscription),
            to,
        }
    }

    /// Serves it until the process ends.
    pub(super) fn serve(self, listener: TcpListener) {
        let router = Router::new()
            .route("/v1/auth/login", post(login))
            .route("/v1/event/subscribe", get(subscribed).post(subscribe))
            .fallback(async || answer(404, Value::Null))
            .with_state(Arc::new(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    /// A new token.
    fn token(&self, minutes: u64) -> String {
        let token = format!("{:032x}", rand::random::<u128>());
        let end = Instant::now() + Duration::from_secs(minutes * 60);
        let mut tokens = lock(&self.tokens);
        tokens.push_back((token.clone(), end));
        if tokens.len() > TOKENS_MAX {
            tokens.pop_front();
        }
        token
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let told = headers.get("authorization");
        let told = told.and_then(|told| told.to_str().ok()?.strip_prefix("Bearer "));
        let now = Instant::now();
        let tokens = lock(&self.tokens);
        told.is_some_and(|told| {
            (tokens.iter()).any(|(token, end)| token == told.trim() && *end > now)
        })
    }
}

async fn login(State(account): State<Arc<Account>>, body: Bytes) -> Answer {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| asked.get(name).and_then(Value::as_str);
    if text("username") != Some(&account.username) {
        return answer(UNKNOWN_USER, Value::Null);
    }
    if text("password") != Some(&account.password) {
        return answer(WRONG_PASSWORD, Value::Null);
    }
    let (least, usual, most) = VALID_MINUTES;
    let minutes = asked.get("validTime").and_then(Value::as_u64);
    let token = account.token(minutes.unwrap_or(usual).clamp(least, most));
    answer(200, json!({ "token": token }))
}

async fn subscribed(State(account): State<Arc<Account>>, headers: HeaderMap) -> Answer {
    match account.knows(&headers) {
        true => answer(200, lock(&account.subscription).clone()),
        false => answer(401, Value::Null),
    }
}

async fn subscribe(State(account): State<Arc<Account>>, headers: HeaderMap, body: Bytes) -> Answer {
    if !account.knows(&headers) {
        return answer(401, Value::Null);
    }
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let address = asked.get("event_dest").and_then(Value::as_str);
    let enabled = asked.get("enabled").and_then(Value::as_bool);
    let (Some(address), Some(enabled)) = (address, enabled) else {
        return answer(400, Value::Null);
    };
    let to = Url::parse(address).ok();
    let to = to.filter(|to| matches!(to.scheme(), "http" | "https"));
    if to.is_none() || address.chars().count() > ADDRESS_CHARACTERS_MAX {
        return answer(400, Value::Null);
    }
    *lock(&account.subscription) = json!({ "event_dest": address, "enabled": enabled });
    account.to.send_replace(to.filter(|_| enabled));
    answer(200, Value::Null)
}

fn answer(code: u16, data: Value) -> Answer {
    let text = match code {
        200 => "OK",
        UNKNOWN_USER => "account not exist",
        WRONG_PASSWORD => "wrong password",
        401 => "unauthorized",
        404 => "not found",
        _ => "bad request",
    };
    // Which status goes with a code above 999 is not documented.
    let status = StatusCode::from_u16(code).ok().filter(|_| code < 1000);
    let body = json!({ "code": code, "msg": text, "data": data });
    (status.unwrap_or(StatusCode::OK), Json(body))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
