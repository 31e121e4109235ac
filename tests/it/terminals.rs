//! Terminals whose subscription is kept, with their API played on loopback over HTTP and HTTPS.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_testkit::receiver::{Authority, Issued};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Device, Gateway, PATIENCE, Site, recognition, text};

const PASSWORD: &str = "Pa55w0rd-Geranium";
const TOKEN: &str = "T0ken/ü & Hortensia%";
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJTZW5zZVRpbWUifQ.Ranunculus";
const LOGIN: &str = "POST /v1/auth/login";
const READ: &str = "GET /v1/event/subscribe";
const SET: &str = "POST /v1/event/subscribe";

/// A terminal's own API on a free port. It is gone when dropped.
struct Terminal {
    address: SocketAddr,
    is_tls: bool,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    inner: Mutex<Inner>,
    changes: watch::Sender<()>,
}

#[derive(Clone)]
struct Inner {
    /// What was asked, in order.
    asked: Vec<String>,
    connections: usize,
    subscription: Value,
    /// Whether it tells its subscription, as the document's sample does not.
    tells: bool,
    hangs: bool,
}

impl State {
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock().unwrap());
        self.changes.send_modify(|()| ());
    }

    fn answer(&self, asked: &str, authorization: Option<String>, body: &Value) -> (u16, Value) {
        if asked == LOGIN {
            return match (body["username"].as_str(), body["password"].as_str()) {
                (Some("admin"), Some(PASSWORD)) => (200, json!({ "token": JWT })),
                (Some("admin"), _) => (1001, Value::Null),
                _ => (1000, Value::Null),
            };
        }
        if authorization.as_deref() != Some(&format!("Bearer {JWT}")) {
            return (401, Value::Null);
        }
        let inner = self.inner.lock().unwrap().clone();
        match asked {
            READ if inner.tells => (200, inner.subscription),
            READ => (200, Value::Null),
            SET => {
                self.change(|inner| inner.subscription = body.clone());
                (200, Value::Null)
            }
            _ => (404, Value::Null),
        }
    }

    async fn hear(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let asked = format!("{} {}", request.method(), request.uri().path());
        let authorization = request.headers().get("authorization");
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.change(|inner| inner.asked.push(asked.clone()));
        if self.inner.lock().unwrap().hangs {
            std::future::pending::<()>().await;
        }
        let (code, data) = self.answer(&asked, authorization, &body);
        let answer = json!({ "code": code, "msg": "Chrysanthemum", "data": data });
        Response::new(answer.to_string().into())
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.hear(request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn accept(stream: TcpStream, tls: Option<TlsAcceptor>, state: Arc<State>) {
    state.change(|inner| inner.connections += 1);
    match tls {
        None => serve(stream, state).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, state).await;
            }
        }
    }
}

impl Terminal {
    /// Plain HTTP; holds this subscription, and does not tell it if it is null.
    fn start(subscription: Value) -> Self {
        Self::listen(bound(), None, subscription)
    }

    /// HTTPS with this certificate.
    fn start_tls(issued: &Issued) -> Self {
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate(issued)], key)
        .unwrap();
        Self::listen(bound(), Some(Arc::new(config).into()), Value::Null)
    }

    fn listen(socket: TcpSocket, tls: Option<TlsAcceptor>, subscription: Value) -> Self {
        let state = Arc::new(State {
            inner: Mutex::new(Inner {
                asked: Vec::new(),
                connections: 0,
                tells: !subscription.is_null(),
                subscription,
                hangs: false,
            }),
            changes: watch::Sender::new(()),
        });
        let (address, is_tls) = (socket.local_addr().unwrap(), tls.is_some());
        let listener = socket.listen(64).unwrap();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(accept(stream, tls.clone(), Arc::clone(&shared)));
            }
        });
        Self {
            address,
            is_tls,
            state,
            task,
        }
    }

    /// Takes requests and never answers.
    fn hang(self) -> Self {
        self.state.change(|inner| inner.hangs = true);
        self
    }

    fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// As one of the `terminals`, with further keys.
    fn written(&self, more: &str) -> String {
        written(&self.url(), more)
    }

    fn asked(&self) -> Vec<String> {
        self.state.inner.lock().unwrap().asked.clone()
    }

    fn connections(&self) -> usize {
        self.state.inner.lock().unwrap().connections
    }

    fn subscription(&self) -> Value {
        self.state.inner.lock().unwrap().subscription.clone()
    }

    async fn wait_until(&self, holds: impl Fn(&Inner) -> bool) {
        let mut changes = self.state.changes.subscribe();
        let waiting = changes.wait_for(|()| holds(&self.state.inner.lock().unwrap()));
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "still waiting; asked: {:?}", self.asked());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn bound() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    socket
}

fn certificate(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

fn fingerprint(issued: &Issued) -> String {
    let digest = Sha256::digest(certificate(issued));
    let digits: Vec<_> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    digits.join(":")
}

fn written(url: &str, more: &str) -> String {
    format!(
        "{{ url = \"{url}\", username = \"admin\", password = {{ env = \"PASSWORD\" }}{more} }}"
    )
}

/// A site whose inbound `lobby` wants a token and has these terminals.
fn site(terminals: &[String]) -> Site {
    let routes = format!(
        "[inbound.nebula.lobby]\ntoken = {{ env = \"TOKEN\" }}\nterminals = [\n{}\n]\n",
        terminals.join(",\n")
    );
    Site::new(&routes)
        .set("PASSWORD", PASSWORD)
        .set("TOKEN", TOKEN)
        .set("FACEWAY_LISTEN__PUBLIC_URL", "http://gateway.example:8080/")
}

const ADDRESS: &str =
    "http://gateway.example:8080/in/lobby?token=T0ken%2F%C3%BC%20%26%20Hortensia%25";

/// The terminals of the inbound, as the API shows them.
async fn shown(gateway: &Gateway) -> Vec<Value> {
    let (_, body) = gateway.get("/api/v1/inbounds").await;
    let inbounds: Value = serde_json::from_str(&body).unwrap();
    inbounds[0]["terminals"].as_array().unwrap().clone()
}

async fn shown_at(gateway: &Gateway, url: &str) -> Value {
    let shown = shown(gateway).await;
    shown.into_iter().find(|one| one["url"] == url).unwrap()
}

/// Waits until so many terminals are in this state.
async fn wait_for(gateway: &Gateway, state: &str, count: usize) {
    let series = format!("faceway_terminals{{inbound=\"lobby\",state=\"{state}\"}}");
    gateway
        .wait_for_metric(&series, |value| value == count as f64)
        .await;
}

/// Waits until this stands in the log as often as that, and gives the log.
async fn wait_for_log(log: &Mutex<String>, part: &str, count: usize) -> String {
    let read = || log.lock().unwrap().clone();
    let waiting = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while read().matches(part).count() < count {
            ticks.tick().await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, waiting).await;
    let log = read();
    assert_eq!(log.matches(part).count(), count, "{part}:\n{log}");
    log
}

#[tokio::test]
async fn terminals_are_told_where_to_post_to_and_only_when_they_must_be() {
    let ours = json!({ "event_dest": ADDRESS, "enabled": true });
    let untold = Terminal::start(Value::Null);
    let elsewhere =
        Terminal::start(json!({ "event_dest": "http://10.0.0.9/Record", "enabled": true }));
    let disabled = Terminal::start(json!({ "event_dest": ADDRESS, "enabled": false }));
    let already = Terminal::start(ours.clone());
    let all = [&untold, &elsewhere, &disabled, &already];
    let gateway = site(&all.map(|one| one.written(""))).start().await;
    wait_for(&gateway, "subscribed", 4).await;
    for told in [&untold, &elsewhere, &disabled] {
        assert_eq!(told.asked(), [LOGIN, READ, SET, READ]);
        assert_eq!(told.subscription(), ours);
    }
    assert_eq!(already.asked(), [LOGIN, READ]);
    for state in ["refused", "unreachable", "unchecked"] {
        wait_for(&gateway, state, 0).await;
    }
    let (_, overview) = gateway.get("/api/v1/overview").await;
    let overview: Value = serde_json::from_str(&overview).unwrap();
    let inbound = &overview["inbounds"][0];
    assert_eq!(inbound["terminal_states"], json!({ "subscribed": 4 }));
    assert_eq!(inbound["terminals"][0]["state"], "subscribed");
    let log = wait_for_log(&gateway.log_handle(), "subscription set", 3).await;
    assert_eq!(
        log.matches("posted elsewhere or nowhere").count(),
        2,
        "{log}"
    );

    // What a terminal was told lets it in.
    let told = untold.subscription()["event_dest"]
        .as_str()
        .unwrap()
        .to_owned();
    let target = told.strip_prefix("http://gateway.example:8080").unwrap();
    let mut device = Device::connect(gateway.devices).await;
    let body = recognition("PSC1", "u-1");
    let answer = device.send("POST", target, &[], &body).await.unwrap();
    assert!(answer.is_success(), "{answer:?}");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_tried_again_at_once() {
    let wrong = Terminal::start(Value::Null);
    // Its port is taken, but nothing listens there yet.
    let starting = bound();
    let url = format!("http://{}", starting.local_addr().unwrap());
    let site = site(&[
        wrong.written("").replace("PASSWORD", "WRONG"),
        wrong
            .written("")
            .replace("admin", "stranger")
            .replace("127.0.0.1", "localhost"),
        written(&url, ""),
    ])
    .set("WRONG", "Pa55w0rd-Wisteria");
    let gateway = site.start().await;
    wait_for(&gateway, "refused", 2).await;
    wait_for(&gateway, "unreachable", 1).await;
    let message = |one: &Value| one["message"].as_str().unwrap().to_owned();
    let shown = shown(&gateway).await;
    let texts = shown.iter().map(message).collect::<Vec<_>>().join("\n");
    for part in [
        "that `password` names",
        "put `username` right",
        "check `url`",
    ] {
        assert!(texts.contains(part), "{part} is missing in:\n{texts}");
    }

    // The one that was off is asked again, and again, until it is there; the others are not.
    let started = Terminal::listen(starting, None, Value::Null);
    wait_for(&gateway, "subscribed", 1).await;
    assert_eq!(started.asked(), [LOGIN, READ, SET, READ]);
    assert_eq!(wrong.asked(), [LOGIN, LOGIN], "one try for each of the two");
    let shown = shown_at(&gateway, &url).await;
    assert_eq!(shown["state"], "subscribed");
    assert_eq!(shown.get("message"), None);
    // Each is told once.
    wait_for_log(&gateway.log_handle(), "is not kept", 3).await;
    assert!(gateway.stop().await.success());
}

#[tokio::test]
async fn certificates_of_their_own_are_trusted_by_file_or_fingerprint() {
    let authority = Authority::new();
    let issued: Vec<_> = (0..3).map(|_| authority.issue("127.0.0.1")).collect();
    // It calls itself by a name by which no client calls it.
    let own = Authority::new().issue("terminal.local");
    let (by_authority, itself) = (Terminal::start_tls(&issued[0]), Terminal::start_tls(&own));
    let by_fingerprint = Terminal::start_tls(&issued[1]);
    let (unknown, wrong) = (Terminal::start_tls(&issued[2]), Terminal::start_tls(&own));
    let other = Terminal::start_tls(&own);
    let print = |issued: &Issued| format!(", fingerprint = \"{}\"", fingerprint(issued));
    let site = site(&[
        by_authority.written(", ca = \"authority.pem\""),
        itself.written(", ca = \"own.pem\""),
        by_fingerprint.written(&print(&issued[1])),
        unknown.written(""),
        wrong.written(&print(&issued[0])),
        other.written(", ca = \"authority.pem\""),
    ]);
    std::fs::write(site.path().join("authority.pem"), authority.pem()).unwrap();
    std::fs::write(site.path().join("own.pem"), &own.certificate).unwrap();
    let gateway = site.start().await;
    wait_for(&gateway, "subscribed", 3).await;
    wait_for(&gateway, "refused", 3).await;
    for trusted in [&by_authority, &itself, &by_fingerprint] {
        assert_eq!(trusted.asked().len(), 4);
    }
    for (distrusted, issued, remedy) in [
        (&unknown, &issued[2], "beside its `url`"),
        (&wrong, &own, "another device answers there"),
        (&other, &own, "in place of `ca`"),
    ] {
        assert!(distrusted.connections() > 0);
        assert_eq!(distrusted.asked(), [""; 0], "it was told nothing");
        let shown = shown_at(&gateway, &distrusted.url()).await;
        let message = shown["message"].as_str().unwrap();
        let pasted = format!("fingerprint = \"{}\"", fingerprint(issued));
        assert!(
            message.contains(&pasted) && message.contains(remedy),
            "{message}"
        );
    }
}

#[tokio::test]
async fn terminals_that_hang_keep_neither_others_nor_the_end_waiting() {
    let hanging: Vec<_> = (0..3)
        .map(|_| Terminal::start(Value::Null).hang())
        .collect();
    let good: Vec<_> = (0..20).map(|_| Terminal::start(Value::Null)).collect();
    let all: Vec<_> = hanging
        .iter()
        .chain(&good)
        .map(|one| one.written(""))
        .collect();
    let gateway = site(&all).start().await;
    for one in &hanging {
        one.wait_until(|inner| !inner.asked.is_empty()).await;
    }
    for one in &good {
        one.wait_until(|inner| inner.asked.len() == 4).await;
    }
    let log = gateway.log_handle();
    assert!(gateway.stop().await.success());
    let log = wait_for_log(&log, "stopped; what is not delivered", 1).await;
    // They are given up after ten seconds each, and everything else was done long before.
    assert!(
        !log.contains("is not kept"),
        "something waited for them:\n{log}"
    );
}

#[tokio::test]
async fn where_terminals_find_the_gateway_must_be_written() {
    let terminal = written("https://10.1.0.20:8000", "");
    for command in ["check", "run"] {
        let missing = site(std::slice::from_ref(&terminal)).unset("FACEWAY_LISTEN__PUBLIC_URL");
        let output = missing.run(&[command]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        for part in [
            "inbound.nebula.lobby",
            "routes.toml:3:1",
            "public_url = \"http://<address",
            "[listen]",
        ] {
            assert!(told.contains(part), "{part} is missing in:\n{told}");
        }
        let long = format!("http://gateway.example/{}", "x".repeat(1024));
        let long = site(std::slice::from_ref(&terminal)).set("FACEWAY_LISTEN__PUBLIC_URL", &long);
        let output = long.run(&[command]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("more than 1024 characters"), "{told}");
    }
    let fine = site(&[terminal]).run(&["check"]).await;
    assert!(fine.status.success(), "{}", text(&fine.stderr));
}

#[tokio::test]
async fn nothing_secret_comes_out() {
    let issued = Authority::new().issue("localhost");
    let (good, tls) = (Terminal::start(Value::Null), Terminal::start_tls(&issued));
    let untrusted = Terminal::start_tls(&issued);
    let off = written(&Terminal::start(Value::Null).url(), "");
    let terminals = [
        good.written(""),
        tls.written(&format!(", fingerprint = \"{}\"", fingerprint(&issued))),
        good.written("")
            .replace("PASSWORD", "WRONG")
            .replace("127.0.0.1", "localhost"),
        untrusted.written(""),
        off,
    ];
    let site = site(&terminals)
        .set("WRONG", "Pa55w0rd-Wisteria")
        .set("FACEWAY_LOG", "trace");
    let gateway = site.start().await;
    wait_for(&gateway, "subscribed", 2).await;
    wait_for(&gateway, "refused", 2).await;
    wait_for(&gateway, "unreachable", 1).await;
    let mut told = String::new();
    for path in ["/metrics", "/api/v1/overview", "/api/v1/inbounds", "/"] {
        told += &gateway.get(path).await.1;
    }
    told += &gateway.output();
    let log = gateway.log();
    assert!(log.lines().count() > 20, "there is something to search");
    let secrets = [
        "Geranium",
        "Wisteria",
        "Hortensia",
        "Ranunculus",
        "Chrysanthemum",
        "?token=",
    ];
    for secret in secrets {
        let mut lines = log.lines().chain(told.lines());
        assert_eq!(
            lines.find(|line| line.contains(secret)),
            None,
            "{secret} came out"
        );
    }
}
