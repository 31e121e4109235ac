//! What the demo is played on: a temporary directory with the two files, free ports, a source of every vendor.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use faceway::config::{self, GatewayConfig};
use faceway::gateway::Gateway;
use faceway_adapter_findface::simulate as findface;
use faceway_adapter_nebula::simulate as nebula;
use faceway_adapter_omni::simulate as omni;
use faceway_adapter_se5::{connect, simulate as se5};
use faceway_core::{Clock as _, SystemClock};
use faceway_rules::Routes;
use reqwest::{Client, Url};
use tempfile::TempDir;
use tokio::sync::watch;

use super::screen;
use crate::cli::simulate::{
    ANSWER_MAX, Cameras, FindfacePlatform, OMNI_PICTURES, OmniPlatform, Pace, Play, Site, Ways,
};
use crate::cli::words::span;
use crate::cli::{Ended, Failure, Streams, http};

/// Records a second, of each source.
const NEBULA_RATE: f64 = 1.3;
const FINDFACE_RATE: f64 = 0.7;
const OMNI_RATE: f64 = 0.5;
const SE5_RATE: f64 = 0.6;
/// Terminals and cameras of each source.
const DEVICES: u64 = 2;
/// Every so many records are sent twice, as by a terminal that missed its answer.
const TWICE: u64 = 8;
/// A drawing of nobody.
const FACE: &[u8] = include_bytes!("face.jpg");

/// Where sources are dialled. Their ports are taken before the gateway is told of them.
pub(super) struct Doors {
    omni: TcpListener,
    se5: TcpListener,
    se5_api: TcpListener,
}

impl Doors {
    fn open() -> std::io::Result<Self> {
        let open = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        Ok(Self {
            omni: open()?,
            se5: open()?,
            se5_api: open()?,
        })
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
    pub(super) fn build(receiver: SocketAddr) -> Result<(Self, Doors), Failure> {
        let dir = tempfile::Builder::new()
            .prefix("faceway-demo-")
            .tempdir()
            .map_err(trouble)?;
        let gateway_text = gateway_text(dir.path(), free_port().map_err(trouble)?);
        let doors = Doors::open().map_err(trouble)?;
        let routes_text = routes_text(receiver, &doors).map_err(trouble)?;
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
        Ok((stage, doors))
    }

    /// Sets a source of every vendor to work. The inbounds in [`routes_text`] are their other ends.
    pub(super) fn sources(&self, doors: Doors) -> Result<Vec<Play>, Failure> {
        let client = http::client(ANSWER_MAX)?;
        let omni = Ways {
            listener: Some(asynchronous(doors.omni)?),
            to: None,
        };
        let se5 = Ways {
            listener: Some(asynchronous(doors.se5)?),
            to: Some((self.inbound("hall")?, client.clone())),
        };
        let cameras = self.se5();
        cameras.serve_api(asynchronous(doors.se5_api)?);
        Ok(vec![
            self.terminals(client.clone())?.start(),
            self.findface(client)?.start(),
            self.omni().start(omni),
            cameras.start(se5),
        ])
    }

    fn inbound(&self, name: &str) -> Result<Url, Failure> {
        let url = format!("http://{}/in/{name}", self.config.listen.devices);
        url.parse()
            .map_err(|_| Failure::trouble("the demo's own address is no URL"))
    }

    fn terminals(&self, client: Client) -> Result<Site, Failure> {
        let picture = nebula::Picture::Jpeg(FACE);
        Ok(Site {
            simulation: nebula::Simulation::new(rand::random(), DEVICES, picture),
            terminals: DEVICES,
            to: watch::Sender::new(Some(self.inbound("lobby")?)),
            pace: Pace::new(NEBULA_RATE, None),
            twice: Some(TWICE),
            began_at: SystemClock.now(),
            client,
        })
    }

    fn findface(&self, client: Client) -> Result<FindfacePlatform, Failure> {
        Ok(FindfacePlatform {
            simulation: findface::Simulation::new(rand::random(), DEVICES, 1).verbose(),
            to: self.inbound("city")?,
            batch: 1,
            attempts: 0,
            pace: Pace::new(FINDFACE_RATE, None),
            began_at: SystemClock.now(),
            client,
        })
    }

    fn omni(&self) -> OmniPlatform {
        OmniPlatform {
            simulation: omni::Simulation::new(rand::random(), DEVICES, OMNI_PICTURES),
            pace: Pace::new(OMNI_RATE, None),
            began_at: SystemClock.now(),
        }
    }

    fn se5(&self) -> Cameras {
        let protocol = connect::Protocol::V1;
        let picture = se5::Picture::Jpeg(FACE);
        Cameras {
            simulation: se5::Simulation::new(rand::random(), protocol, DEVICES, picture),
            protocol,
            pace: Pace::new(SE5_RATE, None),
            began_at: SystemClock.now(),
        }
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
fn routes_text(receiver: SocketAddr, doors: &Doors) -> std::io::Result<String> {
    let (omni, se5, se5_api) = (
        doors.omni.local_addr()?,
        doors.se5.local_addr()?,
        doors.se5_api.local_addr()?,
    );
    Ok(format!(
        r#"[inbound.nebula.lobby]      # SenseNebula terminals, which push

[inbound.findface.city]     # a FindFace platform, which pushes

[inbound.omni.mall]         # an OMNI Platform, whose websocket is dialled
url = "ws://{omni}/event-service/ws?endpoint_id=demo"

[inbound.se5.hall]          # a Sophon SE5 box: dialled, and it pushes its history too
url = "ws://{se5}"
api_url = "http://{se5_api}"
path = "/in/hall"

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
        assert_eq!(inbounds, ["lobby", "city", "mall", "hall"]);
    }
}
