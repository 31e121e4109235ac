//! The way to a running gateway: where its admin API is, and what its answers mean for a command.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use faceway::api::Problem;
use faceway::config::GATEWAY_FILE;
use faceway_core::Private;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::files::GatewayFile;
use super::{Failure, http};

/// Repairs of a large spool take their time.
const ANSWER_MAX: Duration = Duration::from_secs(300);
const URL_VARIABLE: &str = "FACEWAY_ADMIN_URL";
const TOKEN_VARIABLE: &str = "FACEWAY_ADMIN_TOKEN";

/// How a command finds the running gateway.
#[derive(Args, Debug)]
pub(crate) struct AdminArgs {
    /// Where the gateway's admin API is; without it FACEWAY_ADMIN_URL, else listen.admin of the gateway's file. The
    /// token comes from FACEWAY_ADMIN_TOKEN
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    #[command(flatten)]
    file: GatewayFile,
}

/// What the environment says.
#[derive(Debug, Default)]
struct Environment {
    url: Option<String>,
    token: Option<String>,
}

/// The admin API of a gateway.
#[derive(Debug)]
pub(crate) struct Admin {
    base: Url,
    /// Who said that it is there.
    said_by: String,
    token: Option<Private<String>>,
    client: Client,
}

impl AdminArgs {
    /// Finds the gateway. Nothing is asked of it yet.
    pub(crate) fn find(&self) -> Result<Admin, Failure> {
        let variable = |name| {
            std::env::var(name)
                .ok()
                .filter(|text| !text.trim().is_empty())
        };
        self.find_in(Environment {
            url: variable(URL_VARIABLE),
            token: variable(TOKEN_VARIABLE),
        })
    }

    fn find_in(&self, environment: Environment) -> Result<Admin, Failure> {
        let (url, said_by) = match (&self.admin, environment.url) {
            (Some(url), _) => (url.clone(), "--admin".to_owned()),
            (None, Some(url)) => (url, URL_VARIABLE.to_owned()),
            (None, None) => self.of_the_file()?,
        };
        Ok(Admin {
            base: base(&url, &said_by)?,
            said_by,
            token: environment.token.map(Private::new),
            client: http::client(ANSWER_MAX)?,
        })
    }

    fn of_the_file(&self) -> Result<(String, String), Failure> {
        let name = self
            .file
            .gateway
            .as_ref()
            .map_or(GATEWAY_FILE.to_owned(), |path| path.display().to_string());
        let config = self.file.load().map_err(|error| {
            Failure::input(format!(
                "{error}\nOr say where the gateway is: --admin http://127.0.0.1:9464"
            ))
        })?;
        let address = reachable(config.value.listen.admin);
        Ok((
            format!("http://{address}"),
            format!("listen.admin of {name}"),
        ))
    }
}

/// Where to knock when a listener is bound to every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn base(url: &str, said_by: &str) -> Result<Url, Failure> {
    let wrong = |what: &str| {
        Failure::input(format!(
            "{said_by} {what}: write for example http://127.0.0.1:9464"
        ))
    };
    let base = Url::parse(url.trim()).map_err(|_| wrong("is no URL"))?;
    match base.scheme() {
        "http" if base.has_host() => Ok(base),
        // The admin listener has no TLS of its own; a URL without `http://` parses as a scheme of its host's name.
        _ => Err(wrong("must begin with http://")),
    }
}

impl Admin {
    /// `GET /api/v1/<path>`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(self.client.request(Method::GET, url)).await
    }

    /// A list of the API, newest first and page by page, until it has `max` entries or there are no more. `number` gives what
    /// the next page goes on from.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        max: usize,
        number: impl Fn(&T) -> u64,
    ) -> Result<Vec<T>, Failure> {
        let mut list: Vec<T> = Vec::new();
        while list.len() < max {
            let left = (max - list.len()).to_string();
            let before = list.last().map(|last| number(last).to_string());
            let mut query = [query, &[("max", left.as_str())]].concat();
            query.extend(before.as_deref().map(|before| ("before", before)));
            let page: Vec<T> = self.get(path, &query).await?;
            if page.is_empty() {
                break;
            }
            list.extend(page);
        }
        Ok(list)
    }

    /// `GET /metrics`, as text.
    pub(crate) async fn metrics(&self) -> Result<String, Failure> {
        let url = format!("{}/metrics", self.base.as_str().trim_end_matches('/'));
        let answer = self.answer(self.client.get(url)).await?;
        let read = answer.text().await;
        read.map_err(|error| self.no_answer_of_a_gateway(error))
    }

    /// Where it is: host and port, without what else the URL may hold.
    pub(crate) fn place(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        match self.base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// `POST /api/v1/<path>` with a JSON body.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let url = self.url(path)?;
        self.ask(self.client.request(Method::POST, url).json(body))
            .await
    }

    /// `DELETE /api/v1/<path>`, the path by its segments.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Failure> {
        let url = self.url_of(path)?;
        self.ask(self.client.request(Method::DELETE, url)).await
    }

    /// `POST /api/v1/<path>` with a JSON body, the path by its segments.
    pub(crate) async fn post_to<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let url = self.url_of(path)?;
        self.ask(self.client.request(Method::POST, url).json(body))
            .await
    }

    /// A path with names in it that came from outside.
    fn url_of(&self, path: &[&str]) -> Result<Url, Failure> {
        let mut url = self.url("")?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(url)
    }

    /// `GET /<page>`, where answers are plain text and no token is wanted. An answer other than success is our trouble.
    pub(crate) async fn page(&self, page: &str) -> Result<String, Failure> {
        let url = format!("{}/{page}", self.base.as_str().trim_end_matches('/'));
        let sent = self.client.get(url).send().await;
        let answer = sent.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        if status.is_success() {
            return Ok(text);
        }
        let text = text.trim_end();
        Err(Failure::trouble(format!(
            "{} answers {status}: {text}",
            self.base
        )))
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        let url = format!("{}/api/v1/{path}", self.base.as_str().trim_end_matches('/'));
        Url::parse(&url).map_err(|_| {
            Failure::input(format!("{} is no URL that paths can follow", self.said_by))
        })
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let read = self.answer(request).await?.json().await;
        read.map_err(|error| self.no_answer_of_a_gateway(error))
    }

    async fn answer(&self, mut request: RequestBuilder) -> Result<Response, Failure> {
        if let Some(token) = &self.token {
            // Revealed for the gateway that it belongs to.
            request = request.bearer_auth(token.reveal());
        }
        let answer = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        if !answer.status().is_success() {
            return Err(self.problem(answer).await);
        }
        Ok(answer)
    }

    fn no_answer_of_a_gateway(&self, error: reqwest::Error) -> Failure {
        Failure::trouble(format!(
            "{} gives no answer of a gateway: {}",
            self.base,
            http::cause(error)
        ))
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let (base, said_by) = (&self.base, &self.said_by);
        if error.is_timeout() && !error.is_connect() {
            return Failure::trouble(format!(
                "the gateway at {base} did not answer within {}s",
                ANSWER_MAX.as_secs()
            ));
        }
        Failure::trouble(format!(
            "no gateway answers at {base} (from {said_by}): {}\nIs it running? If it is elsewhere, say where: --admin \
             URL, or {URL_VARIABLE}=URL, or --gateway FILE",
            http::cause(error)
        ))
    }

    async fn problem(&self, answer: Response) -> Failure {
        let status = answer.status();
        if status == StatusCode::UNAUTHORIZED {
            let text = match self.token {
                None => format!("set {TOKEN_VARIABLE} to its admin token"),
                Some(_) => format!("it does not take the one in {TOKEN_VARIABLE}"),
            };
            return Failure::input(format!(
                "the gateway at {} wants its token: {text}",
                self.base
            ));
        }
        let text = match answer.json::<Problem>().await {
            Ok(problem) => problem.error,
            Err(_) => format!(
                "{} answers {status}; is it the admin address of a gateway?",
                self.base
            ),
        };
        if status.is_client_error() {
            Failure::Input(text)
        } else {
            Failure::Trouble(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, StatusCode, header};
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use faceway::api::{Count, Problem};

    use super::{AdminArgs, Environment, GatewayFile, reachable};
    use crate::cli::{Failure, block_on};

    fn args(admin: Option<&str>) -> AdminArgs {
        AdminArgs {
            admin: admin.map(str::to_owned),
            file: GatewayFile { gateway: None },
        }
    }

    fn environment(url: &str, token: Option<&str>) -> Environment {
        Environment {
            url: Some(url.to_owned()),
            token: token.map(str::to_owned),
        }
    }

    #[test]
    fn the_nearest_word_wins() {
        let found = args(Some("http://10.0.0.1:1"))
            .find_in(environment("http://10.0.0.2:2", None))
            .unwrap();
        assert_eq!(
            (found.base.as_str(), found.said_by.as_str()),
            ("http://10.0.0.1:1/", "--admin")
        );
        let found = args(None)
            .find_in(environment("http://10.0.0.2:2", None))
            .unwrap();
        assert_eq!(
            (found.base.as_str(), found.said_by.as_str()),
            ("http://10.0.0.2:2/", "FACEWAY_ADMIN_URL")
        );
    }

    #[test]
    fn the_file_is_asked_last() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gateway.toml");
        std::fs::write(&file, "[listen]\nadmin = \"127.0.0.1:7777\"\n").unwrap();
        let args = AdminArgs {
            admin: None,
            file: GatewayFile {
                gateway: Some(file),
            },
        };
        let found = args.find_in(Environment::default()).unwrap();
        assert_eq!(found.base.as_str(), "http://127.0.0.1:7777/");
        assert!(
            found.said_by.starts_with("listen.admin of "),
            "{}",
            found.said_by
        );
    }

    #[test]
    fn a_listener_on_every_address_is_asked_at_home() {
        let of = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(of("[::]:9464"), "[::1]:9464");
        assert_eq!(of("10.1.2.3:9464"), "10.1.2.3:9464");
    }

    #[test]
    fn what_is_no_address_is_told() {
        for wrong in ["localhost:9464", "https://gateway:9464", "9464", "http://"] {
            let failure = args(Some(wrong))
                .find_in(Environment::default())
                .unwrap_err();
            assert!(
                matches!(&failure, Failure::Input(text) if text.contains("--admin")),
                "{wrong}: {failure:?}"
            );
        }
    }

    #[test]
    fn nobody_there_is_our_trouble_and_says_where_it_looked() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let url = format!("http://127.0.0.1:{port}");
        let admin = args(None).find_in(environment(&url, None)).unwrap();
        let failure = block_on(admin.get::<Count>("lanes", &[])).unwrap_err();
        let Failure::Trouble(text) = failure else {
            panic!("{failure:?}")
        };
        for part in [url.as_str(), "FACEWAY_ADMIN_URL", "--admin", "refused"] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }

    /// An API that wants a token, and knows one outbound.
    async fn api() -> String {
        async fn replay(headers: HeaderMap) -> Result<Json<Count>, (StatusCode, Json<Problem>)> {
            if headers
                .get(header::AUTHORIZATION)
                .is_some_and(|value| value == "Bearer right")
            {
                return Ok(Json(Count { count: 3 }));
            }
            Err((
                StatusCode::UNAUTHORIZED,
                Json(Problem { error: "no".into() }),
            ))
        }
        let missing = async || {
            (
                StatusCode::NOT_FOUND,
                Json(Problem {
                    error: "there is no outbound erq".into(),
                }),
            )
        };
        let broken = async || (StatusCode::BAD_GATEWAY, "<html>");
        let router = Router::new()
            .route("/api/v1/replay", post(replay))
            .route("/api/v1/missing", get(missing))
            .route("/api/v1/broken", get(broken));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[test]
    fn tokens_are_shown_and_missed() {
        block_on(async {
            let url = api().await;
            let ask = async |token: Option<&str>| {
                let admin = args(None).find_in(environment(&url, token)).unwrap();
                admin.post::<Count>("replay", &serde_json::json!({})).await
            };
            assert_eq!(ask(Some("right")).await.unwrap().count, 3);
            for token in [None, Some("wrong")] {
                let failure = ask(token).await.unwrap_err();
                let Failure::Input(text) = failure else {
                    panic!("{failure:?}")
                };
                assert!(
                    text.contains("FACEWAY_ADMIN_TOKEN") && !text.contains("wrong"),
                    "{text}"
                );
            }
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn an_answer_says_whose_move_it_is() {
        block_on(async {
            let url = api().await;
            let admin = args(Some(&url)).find_in(Environment::default()).unwrap();
            let missing = admin.get::<Count>("missing", &[("to", "erq")]).await.unwrap_err();
            assert!(matches!(missing, Failure::Input(text) if text == "there is no outbound erq"));
            let broken = admin.get::<Count>("broken", &[]).await.unwrap_err();
            assert!(matches!(broken, Failure::Trouble(text) if text.contains("502") && !text.contains("html")));
            Ok(())
        })
        .unwrap();
    }
}
