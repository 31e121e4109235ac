//! A TCP proxy between a sender and a receiver that can make the network bad.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of bytes, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// They pass.
    Pass,
    /// They pass after a while.
    Delay(Duration),
    /// Nothing moves, and no side is told: a pulled cable.
    Stall,
    /// Every connection is reset, new ones at once.
    Cut,
}

/// Passes bytes between each client and one target. It is gone when dropped.
pub struct FaultProxy {
    address: SocketAddr,
    traffic: watch::Sender<Traffic>,
    /// Bytes that were taken while nothing moved.
    held: watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and dials `target` for each connection.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (traffic, watched) = watch::channel(Traffic::Pass);
        let held = watch::Sender::new(0);
        Self {
            address,
            traffic,
            task: tokio::spawn(accept(listener, target, watched, held.clone())),
            held,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for open and for new connections.
    pub fn set(&self, traffic: Traffic) {
        self.held.send_replace(0);
        self.traffic.send_replace(traffic);
    }

    /// Ends as soon as more than `bytes` have been held since [`Traffic::Stall`] was set.
    pub async fn wait_held(&self, bytes: usize) {
        let mut held = self.held.subscribe();
        let _ = held.wait_for(|held| *held > bytes).await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    traffic: watch::Receiver<Traffic>,
    held: watch::Sender<usize>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (traffic, held) = (traffic.clone(), held.clone());
        connections.spawn(async move {
            let _ = pass(stream, target, traffic, held).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(
    near: TcpStream,
    target: SocketAddr,
    mut traffic: watch::Receiver<Traffic>,
    held: watch::Sender<usize>,
) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        // Seen only when both are dropped at once, which is what a cut does; an orderly end shuts down first.
        stream.set_zero_linger()?;
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let (there, back) = (traffic.clone(), traffic.clone());
    let both = async {
        tokio::join!(
            pump(near_in, far_out, there, Some(held)),
            pump(far_in, near_out, back, None)
        )
    };
    tokio::select! {
        // An orderly end of both directions is waited out, or the reset would overtake the last bytes.
        _ = both => {}
        _ = traffic.wait_for(|traffic| *traffic == Traffic::Cut) => {}
    }
    Ok(())
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut traffic: watch::Receiver<Traffic>,
    held: Option<watch::Sender<usize>>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if let Some(held) = held
            .as_ref()
            .filter(|_| *traffic.borrow() == Traffic::Stall)
        {
            held.send_modify(|held| *held += read);
        }
        let moving = traffic.wait_for(|traffic| *traffic != Traffic::Stall).await;
        let pause = match moving.map(|traffic| *traffic) {
            Ok(Traffic::Delay(pause)) => pause,
            _ => Duration::ZERO,
        };
        tokio::time::sleep(pause).await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
