//! SenseNebula Pass terminals, as the command line asks for them.

use std::net::SocketAddr;

use clap::Args;
use faceway_adapter_nebula::simulate::{Picture, Simulation};
use faceway_core::{Clock as _, SystemClock};
use reqwest::Url;
use tokio::sync::watch;

use super::account::Account;
use super::{ANSWER_MAX, Common, Play, Site, play, target, way};
use crate::cli::{Failure, Streams, http};

/// How many terminals there are unless told otherwise. One has one API.
const TERMINALS: u64 = 3;

/// SenseNebula Pass terminals, API 1.3.0, which post to --to, or to where they are told at --listen.
///
/// Recognitions of invented people and now and then an alarm, one after another for each terminal. As real ones do, a
/// terminal keeps a record that is not answered with HTTP 200 and code 200 (up to 50,000 of them), and sends it again before
/// later ones.
///
/// With --listen there is one terminal, and its API (here without TLS): POST /v1/auth/login, GET and POST
/// /v1/event/subscribe. Without --to nothing is pushed before somebody subscribes; records are kept meanwhile.
#[derive(Args, Debug)]
#[command(group = way(), after_help = "\
Example:
  faceway simulate nebula --to http://127.0.0.1:8080/in/lobby --rate 50 --count 1000 --images 40000
  faceway simulate nebula --listen 127.0.0.1:8000 --username admin --password admin123")]
pub(super) struct Nebula {
    /// Where to: the inbound's address, with ?token=… where it wants one
    #[arg(long, value_name = "URL", value_parser = target)]
    to: Option<Url>,
    /// Serve the terminal's API there; port 0 takes a free one
    #[arg(long, value_name = "ADDR", conflicts_with = "terminals")]
    listen: Option<SocketAddr>,
    /// Who may log in at the API
    #[arg(long, value_name = "NAME", default_value = "admin")]
    username: String,
    /// The password of the simulation's account
    #[arg(long, value_name = "TEXT", default_value = "admin123")]
    password: String,
    #[command(flatten)]
    common: Common,
    /// How many terminals [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    terminals: Option<u64>,
    /// Send every Nth record twice, as a terminal does whose answer got lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    twice: Option<u64>,
}

impl Nebula {
    pub(super) async fn start(&self, streams: &mut Streams<'_>) -> Result<Play, Failure> {
        let terminals = match self.listen {
            Some(_) => 1,
            None => self.terminals.unwrap_or(TERMINALS),
        };
        let picture = (self.common.picture_bytes()).map_or(Picture::None, Picture::Bytes);
        let to = watch::Sender::new(self.to.clone());
        if let Some(address) = self.listen {
            let listener = play::bind(address, "API", "http", streams).await?;
            let (username, password) = (self.username.clone(), self.password.clone());
            Account::new(username, password, to.clone()).serve(listener);
        }
        let site = Site {
            simulation: Simulation::new(self.common.seed(), terminals, picture),
            terminals,
            to,
            pace: self.common.pace(),
            twice: self.twice,
            began_at: SystemClock.now(),
            client: http::client(ANSWER_MAX)?,
        };
        Ok(site.start())
    }
}
