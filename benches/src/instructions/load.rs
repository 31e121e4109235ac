//! Events in bursts, with quiet between them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::client::Client;
use crate::gateway::Gateway;
use crate::load::{Load, PATH, run};
use crate::push::Push;

/// Longer than a commit of a lane waits for company: else it would depend on the machine's load with what it is written.
const QUIET: Duration = Duration::from_millis(60);

/// Connections, each of a device, on which events come at the same time.
pub(super) struct Bursts {
    clients: Vec<(Client, Push)>,
    sent: u64,
}

impl Bursts {
    pub(super) async fn connect(devices: SocketAddr, together: usize) -> anyhow::Result<Self> {
        let mut clients = Vec::new();
        for device in 0..together {
            let client = Client::connect(devices).await.context("connecting")?;
            clients.push((client, Push::new(PATH, 1024, device)));
        }
        Ok(Self { clients, sent: 0 })
    }

    /// So many bursts, each once nothing is left to do of the one before.
    pub(super) async fn send(&mut self, gateway: &Gateway, bursts: usize) -> anyhow::Result<()> {
        for _ in 0..bursts {
            self.burst().await?;
            quiet(gateway, 1).await?;
        }
        Ok(())
    }

    async fn burst(&mut self) -> anyhow::Result<()> {
        let first = self.sent;
        self.sent += self.clients.len() as u64;
        let sending = self.clients.iter_mut().zip(first..);
        let sending = sending.map(|((client, push), number)| async move {
            let status = client.send(push.renew(0, number)).await?;
            ensure!(status == 200, "an event was answered with {status}");
            anyhow::Ok(())
        });
        for one in futures_util::future::join_all(sending).await {
            one?;
        }
        Ok(())
    }
}

/// Waits until the gateway has done nothing for so many times [`QUIET`].
pub(super) async fn quiet(gateway: &Gateway, times: u32) -> anyhow::Result<()> {
    let (mut ran, mut since) = (gateway.process.ran_ns()?, Instant::now());
    while since.elapsed() < QUIET * times {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = gateway.process.ran_ns()?;
        if now != ran {
            (ran, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// So many events of 64 devices, as fast as they go.
pub(super) async fn fill(devices: SocketAddr, events: u64) -> anyhow::Result<()> {
    let load = Load {
        address: devices,
        connections: 64,
        body_bytes: 1024,
        count: events,
        time: Duration::from_secs(3600),
        rate: 0.0,
        series: 0,
    };
    run(load).await?;
    Ok(())
}
