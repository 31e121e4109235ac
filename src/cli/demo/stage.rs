//! What the demo is played on: a temporary directory with the two files, free ports, a source of every vendor that has a
//! simulator.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use faceway::config::{self, GatewayConfig};
use faceway::gateway::Gateway;
use faceway_core::simulator::{Chosen, Picture, Simulator};
use faceway_core::{Clock as _, SystemClock};
use faceway_rules::Routes;
use faceway_simulators::{Doors, Pace, Play, Target};
use reqwest::{Client, Url};
use tempfile::TempDir;

use super::screen;
use crate::cli::simulate::{ANSWER_MAX, simulators};
use crate::cli::words::span;
use crate::cli::{Ended, Failure, Streams, http};

/// A drawing of no real person.
const FACE: &[u8] = include_bytes!("face.jpg");
/// What stands in [`Demo::keys`](faceway_core::simulator::Demo) for an address.
const LISTEN: &str = "{listen}";
const API: &str = "{api}";

/// A source of one vendor. The addresses where it is dialled are taken before the gateway is told of them.
pub(super) struct Guest {
    adapter: &'static str,
    simulator: &'static dyn Simulator,
    websocket: Option<TcpListener>,
    api: Option<TcpListener>,
}

impl Guest {
    fn all() -> std::io::Result<Vec<Self>> {
        let simulators = simulators().into_iter();
        simulators
            .map(|(adapter, simulator)| Self::new(adapter, simulator))
            .collect()
    }

    fn new(adapter: &'static str, simulator: &'static dyn Simulator) -> std::io::Result<Self> {
        let keys = simulator.about().demo.keys;
        let open = |place| match keys.iter().any(|(_, value)| value.contains(place)) {
            true => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(Some),
            false => Ok(None),
        };
        Ok(Self {
            adapter,
            simulator,
            websocket: open(LISTEN)?,
            api: open(API)?,
        })
    }

    /// Its inbound in `routes.toml`.
    fn inbound(&self) -> std::io::Result<String> {
        let demo = &self.simulator.about().demo;
        let table = format!("[inbound.{}.{}]", self.adapter, demo.inbound);
        let mut text = format!("{table:<28}# {}\n", demo.comment);
        for (key, value) in demo.keys {
            let mut value = (*value).to_owned();
            for (place, door) in [(LISTEN, &self.websocket), (API, &self.api)] {
                if let Some(door) = door {
                    value = value.replace(place, &door.local_addr()?.to_string());
                }
            }
            text.push_str(&format!("{key} = \"{value}\"\n"));
        }
        Ok(text)
    }

    /// Sets it to work. Its inbound, at `url`, is the other end.
    fn start(self, url: Url, client: Client) -> Result<Play, Failure> {
        let about = self.simulator.about();
        let mut chosen = Chosen::defaults(about, rand::random());
        chosen.picture = Picture::Jpeg(FACE);
        for (name, value) in about.demo.chosen {
            chosen.set(name, *value);
        }
        let doors = Doors {
            websocket: self.websocket.map(asynchronous).transpose()?,
            api: self.api.map(asynchronous).transpose()?,
        };
        let target = about.demo.posts.then_some(Target {
            to: Some(url),
            client,
        });
        let source = self.simulator.source(&chosen).into();
        let pace = Pace::new(about.demo.rate, None);
        Ok(Play::start(source, doors, target, pace, SystemClock.now()))
    }
}

fn asynchronous(door: TcpListener) -> Result<tokio::net::TcpListener, Failure> {
    door.set_nonblocking(true).map_err(trouble)?;
    tokio::net::TcpListener::from_std(door).map_err(trouble)
}

fn trouble(error: std::io::Error) -> Failure {
    Failure::trouble(format!("cannot prepare the demo: {error}"))
}

/// Everything that has to be there before the gateway.
pub(super) struct Stage {
    dir: TempDir,
    pub(super) config: GatewayConfig,
    pub(super) routes: Routes,
    routes_text: String,
}

impl Stage {
    /// Writes both files for a receiver at `receiver`, and reads them as `faceway run` would.
    pub(super) fn build(receiver: SocketAddr) -> Result<(Self, Vec<Guest>), Failure> {
        let dir = tempfile::Builder::new()
            .prefix("faceway-demo-")
            .tempdir()
            .map_err(trouble)?;
        let gateway_text = gateway_text(dir.path(), free_port().map_err(trouble)?);
        let guests = Guest::all().map_err(trouble)?;
        let routes_text = routes_text(receiver, &guests).map_err(trouble)?;
        std::fs::write(dir.path().join(config::GATEWAY_FILE), &gateway_text).map_err(trouble)?;
        std::fs::write(dir.path().join(config::ROUTES_FILE), &routes_text).map_err(trouble)?;
        // Without the environment: the demo is the same everywhere.
        let (config, _) = config::gateway::parse(&gateway_text, config::GATEWAY_FILE, &[])
            .map_err(|errors| {
                Failure::trouble(format!("the demo's own file is wrong:\n{errors}"))
            })?;
        let routes = config::parse_routes(&routes_text, config::ROUTES_FILE).map_err(|errors| {
            Failure::trouble(format!("the demo's own file is wrong:\n{errors}"))
        })?;
        let stage = Self {
            dir,
            config,
            routes: routes.value,
            routes_text,
        };
        Ok((stage, guests))
    }

    /// Sets all sources to work. The inbounds in [`routes_text`] are their other ends.
    pub(super) fn sources(&self, guests: Vec<Guest>) -> Result<Vec<Play>, Failure> {
        let client = http::client(ANSWER_MAX)?;
        guests
            .into_iter()
            .map(|guest| {
                let url = self.inbound(guest.simulator.about().demo.inbound)?;
                guest.start(url, client.clone())
            })
            .collect()
    }

    fn inbound(&self, name: &str) -> Result<Url, Failure> {
        let url = format!("http://{}/in/{name}", self.config.listen.devices);
        url.parse()
            .map_err(|_| Failure::trouble("the demo's own address is no URL"))
    }

    /// Says what there is to see.
    pub(super) fn greet(
        &self,
        gateway: &Gateway,
        length: Option<Duration>,
        streams: &mut Streams<'_>,
    ) -> Ended {
        let out = &mut *streams.out;
        let dir = self.dir.path();
        writeln!(
            out,
            "Faceway, playing with itself. Everything is in {}, and gone afterwards.\n",
            dir.display()
        )?;
        writeln!(out, "{}:", dir.join(config::ROUTES_FILE).display())?;
        for line in self.routes_text.lines() {
            writeln!(out, "    {line}")?;
        }
        writeln!(
            out,
            "\nInvented sources push to    http://{}/in/…, or are dialled",
            gateway.devices()
        )?;
        writeln!(
            out,
            "Console and API are at      http://{}/",
            gateway.admin()
        )?;
        let end = length.map_or("Ctrl-C ends it".into(), |length| {
            format!("It ends after {}", span(length))
        });
        writeln!(out, "{end}.\n")?;
        screen::headline(streams)
    }
}

/// A port that was free a moment ago. Links to pictures hold the gateway's address, so it must be known beforehand.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn gateway_text(dir: &Path, port: u16) -> String {
    // A path as a TOML text: what JSON escapes, TOML escapes in the same way.
    let dir = serde_json::Value::from(dir.join("data").display().to_string());
    format!(
        "[listen]\n\
         devices = \"127.0.0.1:{port}\"\n\
         admin = \"127.0.0.1:0\"\n\
         public_url = \"http://127.0.0.1:{port}\"\n\n\
         [spool]\n\
         dir = {dir}\n\
         bytes_max = \"256MiB\"\n\
         free_min = \"16MiB\"\n"
    )
}

/// The inbounds are the other ends of [`Stage::sources`].
fn routes_text(receiver: SocketAddr, guests: &[Guest]) -> std::io::Result<String> {
    let inbounds: std::io::Result<Vec<String>> = guests.iter().map(Guest::inbound).collect();
    let inbounds = inbounds?.join("\n");
    Ok(format!(
        r#"{inbounds}
[outbound.webhook.erp]
url = "http://{receiver}/erp"
images = "url"
retry = {{ backoff_min = "500ms", backoff_max = "2s" }}

[outbound.webhook.guard]
url = "http://{receiver}/guard"

[[route]]
name = "everything to the ERP"
to = ["erp"]

[[route]]
name = "trouble to the guard"
when = {{ any = [{{ kind = "alarm" }}, {{ "person.category" = "blocklisted" }}] }}
to = ["guard"]
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::Stage;
    use crate::cli::simulate::simulators;

    #[test]
    fn the_demo_s_files_are_good() {
        let (stage, _) = Stage::build("127.0.0.1:9".parse().unwrap()).unwrap();
        assert_eq!(stage.routes.outbounds.len(), 2);
        assert!(stage.dir.path().join("routes.toml").exists());
        assert_ne!(stage.config.listen.devices.port(), 0);
        assert!(stage.config.spool.dir.starts_with(stage.dir.path()));
        let inbounds: Vec<&str> = (stage.routes.inbounds.iter())
            .map(|inbound| inbound.name.as_str())
            .collect();
        let guests = simulators().into_iter();
        let expected: Vec<&str> = guests
            .map(|(_, simulator)| simulator.about().demo.inbound)
            .collect();
        assert_eq!(inbounds, expected);
    }
}
