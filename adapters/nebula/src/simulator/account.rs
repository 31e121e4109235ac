//! A terminal's own API, as far as it is about who gets its records: log in, subscribe. A real one has TLS with a
//! certificate of its own, at port 8000.
//!
//! The token is a word without a meaning; a real one's is a JWT.

use std::collections::VecDeque;
use std::time::Duration;

use faceway_core::simulator::{Api, ApiCall, ApiReply};
use serde_json::{Value, json};

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
    /// With the time until which each is good.
    tokens: VecDeque<(String, Duration)>,
    subscription: Value,
}

impl Account {
    /// `to` is where pushes go at first.
    pub(super) fn new(username: String, password: String, to: Option<&str>) -> Self {
        Self {
            username,
            password,
            tokens: VecDeque::new(),
            subscription: match to {
                Some(to) => json!({ "event_dest": to, "enabled": true }),
                None => Value::Null,
            },
        }
    }

    fn login(&mut self, call: &ApiCall<'_>) -> ApiReply {
        let asked: Value = serde_json::from_slice(call.body).unwrap_or_default();
        let text = |name: &str| asked.get(name).and_then(Value::as_str);
        if text("username") != Some(&self.username) {
            return reply(UNKNOWN_USER, Value::Null);
        }
        if text("password") != Some(&self.password) {
            return reply(WRONG_PASSWORD, Value::Null);
        }
        let (least, usual, most) = VALID_MINUTES;
        let minutes = asked.get("validTime").and_then(Value::as_u64);
        let minutes = minutes.unwrap_or(usual).clamp(least, most);
        let token = format!("{:032x}", call.random);
        let end = call.now + Duration::from_secs(minutes * 60);
        self.tokens.push_back((token.clone(), end));
        if self.tokens.len() > TOKENS_MAX {
            self.tokens.pop_front();
        }
        reply(200, json!({ "token": token }))
    }

    fn knows(&self, call: &ApiCall<'_>) -> bool {
        let token = call
            .authorization
            .and_then(|told| told.strip_prefix("Bearer "));
        let Some(token) = token.map(str::trim) else {
            return false;
        };
        let mut tokens = self.tokens.iter();
        tokens.any(|(known, end)| known == token && *end > call.now)
    }

    fn subscribe(&mut self, call: &ApiCall<'_>) -> ApiReply {
        let asked: Value = serde_json::from_slice(call.body).unwrap_or_default();
        let address = asked.get("event_dest").and_then(Value::as_str);
        let enabled = asked.get("enabled").and_then(Value::as_bool);
        let (Some(address), Some(enabled)) = (address, enabled) else {
            return reply(400, Value::Null);
        };
        if !is_address(address) {
            return reply(400, Value::Null);
        }
        self.subscription = json!({ "event_dest": address, "enabled": enabled });
        ApiReply {
            to: Some(enabled.then(|| address.to_owned())),
            ..reply(200, Value::Null)
        }
    }
}

impl Api for Account {
    fn answer(&mut self, call: &ApiCall<'_>) -> ApiReply {
        match (call.path, call.method) {
            ("/v1/auth/login", "POST") => self.login(call),
            ("/v1/event/subscribe", "GET" | "POST") if !self.knows(call) => reply(401, Value::Null),
            ("/v1/event/subscribe", "GET") => reply(200, self.subscription.clone()),
            ("/v1/event/subscribe", "POST") => self.subscribe(call),
            _ => reply(404, Value::Null),
        }
    }
}

fn is_address(address: &str) -> bool {
    let uri: Result<http::Uri, _> = address.parse();
    address.chars().count() <= ADDRESS_CHARACTERS_MAX
        && uri.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
        })
}

fn reply(code: u16, data: Value) -> ApiReply {
    let text = match code {
        200 => "OK",
        UNKNOWN_USER => "account not exist",
        WRONG_PASSWORD => "wrong password",
        401 => "unauthorized",
        404 => "not found",
        _ => "bad request",
    };
    // Which status goes with a code above 999 is not documented.
    let status = if code < 1000 { code } else { 200 };
    let body = json!({ "code": code, "msg": text, "data": data });
    ApiReply::new(status, body.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faceway_core::simulator::{Api as _, ApiCall, ApiReply};
    use serde_json::Value;

    use super::Account;

    fn account() -> Account {
        Account::new("admin".into(), "secret".into(), None)
    }

    fn call<'a>(method: &'a str, path: &'a str, body: &'a str) -> ApiCall<'a> {
        ApiCall {
            method,
            path,
            authorization: None,
            body: body.as_bytes(),
            now: Duration::ZERO,
            random: 7,
        }
    }

    fn code(reply: &ApiReply) -> i64 {
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        body["code"].as_i64().unwrap()
    }

    #[test]
    fn a_token_is_good_for_a_time() {
        let mut account = account();
        let login = r#"{"username":"admin","password":"secret","validTime":1}"#;
        let login = account.answer(&call("POST", "/v1/auth/login", login));
        let body: Value = serde_json::from_str(&login.body).unwrap();
        let token = format!("Bearer {}", body["data"]["token"].as_str().unwrap());
        let mut asked = |seconds| {
            let asked = ApiCall {
                authorization: Some(&token),
                now: Duration::from_secs(seconds),
                ..call("GET", "/v1/event/subscribe", "")
            };
            account.answer(&asked).status
        };
        assert_eq!(asked(59), 200);
        assert_eq!(asked(60), 401);
    }

    #[test]
    fn only_an_address_by_http_is_subscribed() {
        let mut account = account();
        let login = r#"{"username":"admin","password":"secret"}"#;
        account.answer(&call("POST", "/v1/auth/login", login));
        let token = format!("Bearer {:032x}", 7);
        let mut subscribe = |address: &str, enabled| {
            let body = format!(r#"{{"event_dest":"{address}","enabled":{enabled}}}"#);
            account.answer(&ApiCall {
                authorization: Some(&token),
                ..call("POST", "/v1/event/subscribe", &body)
            })
        };
        let good = "http://127.0.0.1:8080/in/lobby?token=x";
        assert_eq!(subscribe(good, true).to, Some(Some(good.to_owned())));
        assert_eq!(subscribe(good, false).to, Some(None));
        for wrong in ["", "lobby", "ftp://h/", "http://"] {
            let reply = subscribe(wrong, true);
            assert_eq!((code(&reply), reply.to), (400, None), "{wrong}");
        }
    }

    #[test]
    fn who_is_not_known_changes_nothing() {
        let mut account = account();
        let wrong = [
            (call("POST", "/v1/auth/login", r#"{"username":"x"}"#), 1000),
            (
                call(
                    "POST",
                    "/v1/auth/login",
                    r#"{"username":"admin","password":"x"}"#,
                ),
                1001,
            ),
            (call("GET", "/v1/event/subscribe", ""), 401),
            (call("GET", "/v1/door", ""), 404),
        ];
        for (call, expected) in wrong {
            let reply = account.answer(&call);
            assert_eq!((code(&reply), &reply.to), (expected, &None), "{call:?}");
        }
    }
}
