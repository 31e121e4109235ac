//! How a terminal is brought to post to us, over its own API (*Nebula Pass Series Web API Guide*, pages on login and on
//! "推送配置", push configuration).
//!
//! It logs in, reads the subscription, sets it where it is not ours, and reads it back once. The document's own sample of
//! a subscription that is read has `data: null`; where a terminal answers so, it cannot be told whether it is ours, and it
//! is set.

use std::borrow::Cow;

use faceway_core::{ApiAnswer, ApiRequest, Dialogue, Private, Step, Subscribed, Subscription};
use serde_json::{Value, json};

const LOGIN: &str = "/v1/auth/login";
const SUBSCRIBE: &str = "/v1/event/subscribe";

/// `event_dest` may have as many characters.
const ADDRESS_CHARS_MAX: usize = 1024;
/// A token that is longer is none: it goes into a header.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How long the terminal's token holds: the document's default, and far longer than this takes.
const TOKEN_MINUTES: u32 = 5;

/// Keeps one terminal's subscription.
pub(crate) struct Keeper {
    subscription: Subscription,
    at: At,
    /// `Bearer …`.
    authorization: Private<String>,
    /// Whether the terminal told where it posts to, before it was told otherwise.
    told: bool,
}

/// What has been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Login,
    Reading,
    Setting,
    ReadingBack,
}

/// Where a terminal posts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Posts {
    Here,
    Elsewhere,
    /// It does not tell.
    Untold,
}

/// An answer that is not success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// By the HTTP status, which has no answer of the API's with it.
    Status(u16),
    /// By the API's `code`.
    Code(i64),
    /// Success of something that is not this API.
    Stranger,
}

impl Keeper {
    pub(crate) fn new(subscription: Subscription) -> Self {
        Self {
            subscription,
            at: At::Login,
            authorization: Private::default(),
            told: true,
        }
    }

    fn login(&self) -> Step<Subscribed> {
        // Revealed to log in at the terminal that they are for.
        let body = json!({
            "username": self.subscription.username,
            "password": self.subscription.password.reveal(),
            "validTime": TOKEN_MINUTES,
        });
        Step::Ask(ApiRequest::post(LOGIN, body.to_string()))
    }

    fn read(&mut self, at: At) -> Step<Subscribed> {
        self.at = at;
        Step::Ask(ApiRequest::get(SUBSCRIBE).authorized(self.authorization.clone()))
    }

    fn set(&mut self) -> Step<Subscribed> {
        self.at = At::Setting;
        // Revealed to be told to the terminal that shall post there.
        let body = json!({ "event_dest": self.subscription.address.reveal(), "enabled": true });
        let request = ApiRequest::post(SUBSCRIBE, body.to_string());
        Step::Ask(request.authorized(self.authorization.clone()))
    }

    fn logged_in(&mut self, data: &Value) -> Step<Subscribed> {
        let token = data["token"].as_str().unwrap_or_default();
        let fits = |byte: u8| byte.is_ascii_graphic();
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(fits) {
            return Step::Failed(Cow::Borrowed(NO_TOKEN));
        }
        self.authorization = format!("Bearer {token}").into();
        self.read(At::Reading)
    }

    fn posts(&self, data: &Value) -> Posts {
        let Some(address) = data["event_dest"].as_str() else {
            return Posts::Untold;
        };
        let enabled = !matches!(data["enabled"], Value::Bool(false));
        if enabled && address == self.subscription.address.reveal() {
            Posts::Here
        } else {
            Posts::Elsewhere
        }
    }

    fn was_set(&self, posts: Posts) -> Step<Subscribed> {
        match posts {
            Posts::Elsewhere => Step::Failed(Cow::Borrowed(NOT_KEPT)),
            Posts::Here | Posts::Untold if self.told => Step::Done(Subscribed::Now),
            Posts::Here | Posts::Untold => Step::Done(Subscribed::Untold),
        }
    }
}

impl Dialogue<Subscribed> for Keeper {
    fn begin(&mut self) -> Step<Subscribed> {
        // Revealed to be counted.
        if self.subscription.address.reveal().chars().count() > ADDRESS_CHARS_MAX {
            return Step::Failed(Cow::Owned(format!(
                "the address that the terminal would be told has more than {ADDRESS_CHARS_MAX} characters, which is all \
                 that it takes: shorten `listen.public_url`, or the inbound's `path` or `token`"
            )));
        }
        self.login()
    }

    fn hear(&mut self, answer: &ApiAnswer<'_>) -> Step<Subscribed> {
        let data = match heard(answer) {
            Ok(data) => data,
            Err(refusal) if self.at == At::Login => return login_refused(refusal),
            Err(refusal) => return Step::Failed(refused(self.at, refusal)),
        };
        match self.at {
            At::Login => self.logged_in(&data),
            At::Reading => match self.posts(&data) {
                Posts::Here => Step::Done(Subscribed::Already),
                posts => {
                    self.told = posts == Posts::Elsewhere;
                    self.set()
                }
            },
            At::Setting => self.read(At::ReadingBack),
            At::ReadingBack => self.was_set(self.posts(&data)),
        }
    }
}

/// The member `data` of an answer that is success by its status and by its `code`.
fn heard(answer: &ApiAnswer<'_>) -> Result<Value, Refusal> {
    let is_success = (200..300).contains(&answer.status);
    let mut body: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    match body["code"].as_i64() {
        Some(200) if is_success => Ok(body["data"].take()),
        Some(code) if code != 200 => Err(Refusal::Code(code)),
        _ if is_success => Err(Refusal::Stranger),
        _ => Err(Refusal::Status(answer.status)),
    }
}

fn login_refused(refusal: Refusal) -> Step<Subscribed> {
    match refusal {
        Refusal::Code(1000) => Step::Denied(Cow::Borrowed(NO_ACCOUNT)),
        Refusal::Code(1001) => Step::Denied(Cow::Borrowed(WRONG_PASSWORD)),
        Refusal::Code(401 | 403) | Refusal::Status(401 | 403) => {
            Step::Denied(Cow::Borrowed(NOT_LET_IN))
        }
        Refusal::Code(code) if code != 404 && !is_trouble(code) => {
            Step::Denied(Cow::Owned(format!(
                "it refuses the login with code {}: see what that is in its list of errors (GET /v1/auth/errors), and \
                 check `username` and `password`",
                shown(code)
            )))
        }
        other => Step::Failed(refused(At::Login, other)),
    }
}

fn refused(at: At, refusal: Refusal) -> Cow<'static, str> {
    let (code, what) = match refusal {
        Refusal::Stranger => return Cow::Borrowed(NOT_THE_API),
        Refusal::Status(status) => (i64::from(status), "status"),
        Refusal::Code(code) => (code, "code"),
    };
    match code {
        300..400 => Cow::Borrowed(ELSEWHERE),
        401 | 403 => Cow::Borrowed(NO_RIGHT),
        404 => Cow::Borrowed(NOT_THERE),
        400 if at == At::Setting => Cow::Borrowed(ADDRESS_REFUSED),
        code if is_trouble(code) => Cow::Owned(format!(
            "it answers with {what} {}: it is in trouble of its own, or still starting; it is asked again",
            shown(code)
        )),
        code => Cow::Owned(format!(
            "it refuses {} with {what} {}: see what that is in its list of errors (GET /v1/auth/errors)",
            match at {
                At::Login => "the login",
                At::Setting => "the subscription",
                At::Reading | At::ReadingBack => "to tell its subscription",
            },
            shown(code)
        )),
    }
}

const fn is_trouble(code: i64) -> bool {
    500 <= code && code < 600
}

/// The document's codes have at most four digits; another number might be anything.
fn shown(code: i64) -> String {
    if (0..10_000).contains(&code) {
        code.to_string()
    } else {
        "of a kind that no document knows".into()
    }
}

const NO_ACCOUNT: &str = "it has no account of this name: put `username` right (often admin), or add the account on the terminal";
const WRONG_PASSWORD: &str = "it refuses the password: put right the secret that `password` names; Faceway waits some \
    minutes before it tries again, so that the account is not locked";
const NOT_LET_IN: &str = "it does not let this user in: put `username` and the secret that `password` names right; Faceway \
    waits some minutes before it tries again, so that the account is not locked";
const NO_RIGHT: &str = "it lets this user in, but not to its subscription: name an administrator of the terminal in `username`";
const NO_TOKEN: &str = "its login succeeds but gives no token: check that `url` is the terminal's own API, usually \
    https://<terminal>:8000";
const NOT_THE_API: &str =
    "what answers there is not a terminal's API: put `url` right, usually https://<terminal>:8000";
const ELSEWHERE: &str = "it sends us on to another address, which is not followed: put `url` right, usually https://<terminal>:8000";
const NOT_THERE: &str = "it does not know this request: its API works in stand-alone mode (单机模式) only, so switch the \
    terminal to that; or put `url` right, usually https://<terminal>:8000";
const ADDRESS_REFUSED: &str = "it does not accept the address that it shall post to: check `listen.public_url`, which must \
    be http:// or https:// with a name or address that the terminal knows";
const NOT_KEPT: &str = "it accepted the subscription, but reads back another one: look whether another system sets it too, \
    and whether the terminal is in stand-alone mode (单机模式)";

#[cfg(test)]
mod tests {
    use faceway_core::{ApiAnswer, ApiRequest, Dialogue as _, Step, Subscribed, Subscription};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{At, Keeper};

    const ADDRESS: &str = "http://gateway:8080/in/lobby?token=t0%2Fken";
    const PASSWORD: &str = "pass\"w0rd";
    const TOKEN: &str = r#"{"data":{"token":"eyJh.bGci.Oi"},"code":200,"msg":"OK"}"#;
    const OK_NULL: &str = r#"{"data":null,"code":200,"msg":"OK"}"#;

    fn keeper(address: &str) -> Keeper {
        Keeper::new(Subscription {
            username: "admin".into(),
            password: PASSWORD.to_owned().into(),
            address: address.to_owned().into(),
        })
    }

    fn holds(address: &str, enabled: bool) -> String {
        json!({ "data": { "event_dest": address, "enabled": enabled }, "code": 200, "msg": "OK" })
            .to_string()
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Ended {
        Done(Subscribed),
        Failed(String),
        Denied(String),
    }

    /// What is asked, and how it ends, of a terminal that answers like this.
    fn led(answers: &[(u16, &str)]) -> (Vec<ApiRequest>, Ended) {
        let mut keeper = keeper(ADDRESS);
        let mut step = keeper.begin();
        let (mut asked, mut answers) = (Vec::new(), answers.iter());
        loop {
            match step {
                Step::Done(result) => return (asked, Ended::Done(result)),
                Step::Failed(text) => return (asked, Ended::Failed(text.into_owned())),
                Step::Denied(text) => return (asked, Ended::Denied(text.into_owned())),
                Step::Ask(request) => asked.push(request),
            }
            let (status, body) = *answers.next().expect("an answer");
            let body = body.as_bytes();
            step = keeper.hear(&ApiAnswer { status, body });
        }
    }

    fn body(request: &ApiRequest) -> Value {
        serde_json::from_str(request.body.as_ref().unwrap().reveal()).unwrap()
    }

    fn words(asked: &[ApiRequest]) -> Vec<String> {
        let word = |request: &ApiRequest| format!("{} {}", request.method, request.path);
        asked.iter().map(word).collect()
    }

    const ALL: [&str; 4] = [
        "POST /v1/auth/login",
        "GET /v1/event/subscribe",
        "POST /v1/event/subscribe",
        "GET /v1/event/subscribe",
    ];

    #[test]
    fn asks_as_the_document_says() {
        let answers = [(200, TOKEN), (200, OK_NULL), (200, OK_NULL), (200, OK_NULL)];
        let (asked, ended) = led(&answers);
        assert_eq!(words(&asked), ALL);
        assert_eq!(ended, Ended::Done(Subscribed::Untold));
        let login = json!({ "username": "admin", "password": PASSWORD, "validTime": 5 });
        assert_eq!(body(&asked[0]), login);
        assert_eq!(asked[0].authorization, None);
        for request in &asked[1..] {
            let authorization = request.authorization.as_ref().unwrap();
            assert_eq!(authorization.reveal(), "Bearer eyJh.bGci.Oi");
        }
        let subscription = json!({ "event_dest": ADDRESS, "enabled": true });
        assert_eq!(body(&asked[2]), subscription);
    }

    #[test]
    fn a_subscription_that_is_ours_is_left_alone() {
        let (asked, ended) = led(&[(200, TOKEN), (200, &holds(ADDRESS, true))]);
        assert_eq!(words(&asked), ALL[..2]);
        assert_eq!(ended, Ended::Done(Subscribed::Already));
    }

    #[test]
    fn one_that_is_not_is_set_once_and_read_back() {
        let elsewhere = holds("http://10.0.0.9/Record", true);
        for before in [elsewhere, holds(ADDRESS, false), holds("", false)] {
            for after in [holds(ADDRESS, true), OK_NULL.to_owned()] {
                let answers = [(200, TOKEN), (200, &before), (200, OK_NULL), (200, &after)];
                let (asked, ended) = led(&answers);
                assert_eq!(words(&asked), ALL);
                assert_eq!(ended, Ended::Done(Subscribed::Now));
            }
        }
    }

    #[test]
    fn one_that_does_not_stay_is_told() {
        for after in [holds("http://10.0.0.9/Record", true), holds(ADDRESS, false)] {
            let answers = [(200, TOKEN), (200, OK_NULL), (200, OK_NULL), (200, &after)];
            let (_, ended) = led(&answers);
            assert!(matches!(ended, Ended::Failed(text) if text.contains("reads back another")));
        }
    }

    #[test]
    fn who_is_not_let_in_hears_which_key_to_put_right() {
        for (status, answer, part) in [
            (
                200,
                r#"{"code":1000,"msg":"account not exist","data":null}"#,
                "put `username` right",
            ),
            (
                200,
                r#"{"code":1001,"msg":"wrong password","data":null}"#,
                "that `password` names",
            ),
            (
                401,
                r#"{"code":1001,"msg":"wrong password","data":null}"#,
                "that `password` names",
            ),
            (401, "", "`username` and the secret"),
            (403, "<html>", "`username` and the secret"),
            (
                200,
                r#"{"code":401,"msg":"","data":null}"#,
                "`username` and the secret",
            ),
            (
                200,
                r#"{"code":1007,"msg":"secret words","data":null}"#,
                "code 1007",
            ),
            (
                200,
                r#"{"code":990011223344,"msg":"","data":null}"#,
                "no document knows",
            ),
        ] {
            let (asked, ended) = led(&[(status, answer)]);
            assert_eq!(asked.len(), 1);
            assert!(
                matches!(&ended, Ended::Denied(text) if text.contains(part)),
                "{ended:?}"
            );
        }
    }

    #[test]
    fn whatever_else_is_wrong_says_what_to_do() {
        let no_token = r#"{"code":200,"data":{}}"#;
        let bad_token = "{\"code\":200,\"data\":{\"token\":\"a\\r\\nb\"}}";
        for (answers, part) in [
            (&[(404, "")][..], "stand-alone mode"),
            (
                &[(200, r#"{"code":404,"msg":"","data":null}"#)],
                "stand-alone mode",
            ),
            (&[(200, "<html>")], "not a terminal's API"),
            (
                &[(200, r#"{"data":{"token":"t"}}"#)],
                "not a terminal's API",
            ),
            (&[(302, "")], "not followed"),
            (&[(503, "")], "it is asked again"),
            (
                &[(200, r#"{"code":500,"msg":"","data":null}"#)],
                "it is asked again",
            ),
            (&[(500, TOKEN)], "status 500"),
            (&[(418, "")], "status 418"),
            (&[(200, no_token)], "gives no token"),
            (&[(200, bad_token)], "gives no token"),
            (&[(200, TOKEN), (401, "")], "administrator"),
            (&[(200, TOKEN), (404, "")], "stand-alone mode"),
            (
                &[(200, TOKEN), (200, OK_NULL), (400, "")],
                "`listen.public_url`",
            ),
            (
                &[(200, TOKEN), (200, OK_NULL), (200, r#"{"code":2003}"#)],
                "the subscription with code 2003",
            ),
        ] {
            let (_, ended) = led(answers);
            assert!(
                matches!(&ended, Ended::Failed(text) if text.contains(part)),
                "{ended:?}"
            );
        }
    }

    #[test]
    fn an_address_that_is_too_long_is_not_sent() {
        let longest = format!("http://gateway/{}", "é".repeat(1024 - 15));
        assert!(matches!(keeper(&longest).begin(), Step::Ask(_)));
        let longer = longest + "x";
        assert!(
            matches!(keeper(&longer).begin(), Step::Failed(text) if text.contains("public_url"))
        );
    }

    /// Answers of the API's rough shape, with anything in it.
    fn answer() -> impl Strategy<Value = (u16, Vec<u8>)> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(json!(ADDRESS)),
            "CANARY.{0,12}".prop_map(Value::from),
        ];
        let data = prop_oneof![
            leaf.clone(),
            (leaf.clone(), leaf.clone(), leaf.clone()).prop_map(
                |(token, to, on)| json!({ "token": token, "event_dest": to, "enabled": on })
            ),
        ];
        let code = prop_oneof![4 => Just(json!(200)), 1 => leaf];
        let shaped = (code, data).prop_map(|(code, data)| {
            json!({ "code": code, "msg": "CANARY", "data": data })
                .to_string()
                .into_bytes()
        });
        let body = prop_oneof![9 => shaped, 1 => any::<Vec<u8>>()];
        (prop_oneof![4 => Just(200_u16), 1 => any::<u16>()], body)
    }

    proptest! {
        #[test]
        fn no_answer_leads_astray(answers in prop::collection::vec(answer(), 8)) {
            let mut keeper = keeper(ADDRESS);
            let mut step = keeper.begin();
            let mut answers = answers.iter();
            let ended = loop {
                match step {
                    Step::Ask(_) => {}
                    ended => break ended,
                }
                let (status, body) = answers.next().expect("it ends after four questions");
                step = keeper.hear(&ApiAnswer { status: *status, body });
            };
            prop_assert!(answers.len() >= 4, "it asks four times at the most");
            if let Step::Failed(text) | Step::Denied(text) = ended {
                for secret in ["CANARY", PASSWORD, "gateway:8080"] {
                    prop_assert!(!text.contains(secret), "{}", text);
                }
            } else {
                prop_assert!(keeper.at != At::Login);
            }
        }
    }
}
