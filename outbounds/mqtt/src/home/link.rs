//! One connection: what is announced goes out on it, and what the broker keeps and Home Assistant says comes in.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use faceway_core::DeviceKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::dial::{Connection, Stream};
use crate::failure;
use crate::packet::{
    INCOMING_BYTES_MAX, Incoming, Malformed, Protocol, Publication, Publish, Reason,
};
use crate::plan::Plan;

use super::configuration::CONFIGURATIONS;
use super::{Order, Phase, Shared};

/// Where Home Assistant says `online` when it has started.
const BIRTH: &str = "homeassistant/status";
/// How long the broker may take to say what it has.
const READ_MAX: Duration = Duration::from_secs(2);
/// Announcements that are published and not confirmed.
const WINDOW: usize = 16;
/// Of the subscription, which is the first that is sent.
const SUBSCRIPTION: u16 = 1;

/// How a connection ended.
pub(super) enum End {
    /// We said goodbye.
    Stopped,
    /// The broker says that it does not take announcements.
    Refused(&'static str),
    /// It broke.
    Lost {
        word: &'static str,
        /// Before the broker had said anything to our subscription.
        subscribing: bool,
        /// It has confirmed something.
        useful: bool,
    },
}

/// A connection in use.
pub(super) struct Link<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    protocol: &'static dyn Protocol,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    input: BytesMut,
    /// So much of the input belongs to a message that is too large for anything of ours.
    skip: usize,
    output: BytesMut,
    unflushed: bool,
    waiting: HashMap<u16, Waiting>,
    last_id: u16,
    packet_bytes_max: Option<u32>,
    /// To be announced again, the next one last.
    again: Vec<DeviceKey>,
    reading: Option<Reading>,
    useful: bool,
    keep_alive: Duration,
    ping_at: Instant,
    pinged: bool,
}

/// The broker is asked what it keeps of ours: everything that it keeps comes before the answer to a ping that follows.
struct Reading {
    until: Instant,
    subscribed: bool,
}

struct Waiting {
    sent: Instant,
    /// No event waits where a device is announced again.
    done: Option<oneshot::Sender<bool>>,
}

impl<'a> Link<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        shared: &'a Shared,
        connection: Connection,
        subscribes: bool,
    ) -> Self {
        let now = Instant::now();
        let (reader, writer) = split(connection.stream);
        let keep_alive = connection.welcome.keep_alive.unwrap_or(plan.keep_alive);
        let keep_alive = keep_alive.max(Duration::from_secs(1));
        shared.devices().forget();
        Self {
            plan,
            shared,
            protocol: connection.protocol,
            reader,
            writer,
            input: connection.input,
            skip: 0,
            output: BytesMut::new(),
            unflushed: false,
            waiting: HashMap::new(),
            last_id: SUBSCRIPTION,
            packet_bytes_max: connection.welcome.packet_bytes_max,
            again: Vec::new(),
            reading: subscribes.then(|| Reading {
                until: now + READ_MAX,
                subscribed: false,
            }),
            useful: false,
            keep_alive,
            ping_at: now + keep_alive,
            pinged: false,
        }
    }

    /// Until it breaks or `stop` is true. Who waits for an announcement is told.
    pub(super) async fn run(
        mut self,
        orders: &mut mpsc::Receiver<Order>,
        stop: &mut watch::Receiver<bool>,
    ) -> End {
        let end = match self.begin() {
            Ok(()) => self.serve(orders, stop).await,
            Err(end) => end,
        };
        if matches!(end, End::Stopped) && self.protocol.goodbye(&mut self.output).is_ok() {
            let _ = push(&mut self.writer, &mut self.output).await;
        }
        end
    }

    fn begin(&mut self) -> Result<(), End> {
        if self.reading.is_none() {
            self.is_ready();
            return Ok(());
        }
        let filters = [CONFIGURATIONS, BIRTH];
        self.protocol
            .subscribe(SUBSCRIPTION, &filters, &mut self.output)
            .map_err(|_| lost("malformed"))?;
        self.ping()
    }

    fn is_ready(&mut self) {
        self.reading = None;
        self.shared.phase.send_replace(Phase::Ready);
    }

    async fn serve(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        stop: &mut watch::Receiver<bool>,
    ) -> End {
        loop {
            if let Err(end) = self.listen() {
                return end;
            }
            self.announce_again();
            let (tick, room) = (self.next_tick(), self.waiting.len() < WINDOW);
            self.input.reserve(4 * 1024);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return End::Stopped,
                read = self.reader.read_buf(&mut self.input) => match read {
                    Ok(1..) => {}
                    Ok(0) => return self.broken("closed"),
                    Err(error) => return self.broken(failure::word(&error)),
                },
                written = push(&mut self.writer, &mut self.output), if self.unflushed => {
                    match written {
                        Ok(()) => self.unflushed = false,
                        Err(error) => return self.broken(failure::word(&error)),
                    }
                }
                () = sleep_until(tick) => {
                    if let Err(end) = self.tick() {
                        return end;
                    }
                }
                Some(order) = orders.recv(), if room => {
                    self.publish(order.publication, Some(order.done));
                }
            }
        }
    }

    fn broken(&self, word: &'static str) -> End {
        let reading = self.reading.as_ref();
        let subscribing = reading.is_some_and(|reading| !reading.subscribed);
        End::Lost {
            word,
            subscribing,
            useful: self.useful,
        }
    }

    fn publish(&mut self, publication: Publication, done: Option<oneshot::Sender<bool>>) {
        let qos = self.plan.qos;
        let id = if qos == 0 { 0 } else { self.free_id() };
        let publish = Publish {
            publication,
            qos,
            id,
            bytes_max: self.packet_bytes_max,
        };
        let written = self.protocol.publish(publish, &mut self.output);
        match (written, qos, done) {
            (Err(_), _, Some(done)) => drop(done.send(false)),
            (Err(_), _, None) => {}
            (Ok(()), 0, done) => {
                self.unflushed = true;
                // Nothing will be said of it.
                let _ = done.map(|done| done.send(true));
            }
            (Ok(()), _, done) => {
                self.unflushed = true;
                let sent = Instant::now();
                self.waiting.insert(id, Waiting { sent, done });
            }
        }
    }

    /// One that no message on its way has, and not the subscription's.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(SUBSCRIPTION + 1);
            if !self.waiting.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// As the window has room, so that a new device does not wait behind all the old ones.
    fn announce_again(&mut self) {
        while self.waiting.len() < WINDOW / 2 && self.reading.is_none() {
            let Some(key) = self.again.pop() else {
                return;
            };
            let publication = self.shared.devices().again(key);
            if let Some(publication) = publication {
                self.publish(publication, None);
            }
        }
    }

    fn next_tick(&self) -> Instant {
        let read = self.reading.as_ref().map(|reading| reading.until);
        let late = self
            .waiting
            .values()
            .map(|one| one.sent + self.plan.timeout);
        read.into_iter()
            .chain(late)
            .fold(self.ping_at, Instant::min)
    }

    fn tick(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let late = |one: &Waiting| now >= one.sent + self.plan.timeout;
        if self.waiting.values().any(late) || (self.pinged && now >= self.ping_at) {
            return Err(self.broken("timeout"));
        }
        if self
            .reading
            .as_ref()
            .is_some_and(|reading| now >= reading.until)
        {
            // What the broker has stays unknown: devices are announced once more.
            self.is_ready();
        }
        match now >= self.ping_at {
            true => self.ping(),
            false => Ok(()),
        }
    }

    fn ping(&mut self) -> Result<(), End> {
        self.protocol
            .ping(&mut self.output)
            .map_err(|_| lost("malformed"))?;
        self.unflushed = true;
        self.pinged = true;
        self.ping_at = Instant::now() + self.plan.timeout;
        Ok(())
    }

    /// Takes in everything that the broker has said.
    fn listen(&mut self) -> Result<(), End> {
        loop {
            let skipped = self.skip.min(self.input.len());
            self.input.advance(skipped);
            self.skip -= skipped;
            if self.skip == 0 {
                self.skip = oversized(&self.input);
            }
            if self.skip > 0 {
                match self.input.is_empty() {
                    true => return Ok(()),
                    false => continue,
                }
            }
            let read = self.protocol.read(&mut self.input);
            match read.map_err(|Malformed| lost("malformed"))? {
                None => return Ok(()),
                Some(incoming) => self.hear(incoming)?,
            }
        }
    }

    fn hear(&mut self, incoming: Incoming) -> Result<(), End> {
        match incoming {
            Incoming::Published(topic, payload, retained) => self.told(&topic, &payload, retained),
            Incoming::Subscribed(_) => {
                // Also where it was refused: then nothing comes, and the ping's answer follows.
                if let Some(reading) = &mut self.reading {
                    reading.subscribed = true;
                }
            }
            Incoming::Pong => {
                self.pinged = false;
                self.ping_at = Instant::now() + self.keep_alive;
                if self
                    .reading
                    .as_ref()
                    .is_some_and(|reading| reading.subscribed)
                {
                    self.is_ready();
                }
            }
            Incoming::Acknowledged(id, reason) => {
                let Some(waiting) = self.waiting.remove(&id) else {
                    return Ok(());
                };
                self.useful = true;
                let has = matches!(reason, Reason::Success | Reason::NoMatchingSubscribers);
                let _ = waiting.done.map(|done| done.send(has));
                if reason == Reason::NotAuthorized {
                    return Err(End::Refused("not-authorized"));
                }
            }
            Incoming::Goodbye(farewell) => return Err(self.broken(farewell.word)),
            Incoming::Welcome(_) | Incoming::Refused(_) => return Err(lost("malformed")),
            Incoming::Received(..) | Incoming::Completed(..) | Incoming::Other => {}
        }
        Ok(())
    }

    fn told(&mut self, topic: &str, payload: &Bytes, retained: bool) {
        if topic != BIRTH {
            self.shared.devices().heard(topic, payload);
        } else if payload.as_ref() == b"online" && !retained {
            // One that is retained tells of a start before ours.
            self.again = self.shared.devices().keys();
        }
    }
}

/// How long the first packet is if it is a message that is larger than anything of ours; else 0. Any client may publish where
/// we listen, and a broker of MQTT 3.1.1 cannot be told our limit.
fn oversized(input: &BytesMut) -> usize {
    let Some(first) = input.first().filter(|first| **first >> 4 == 3) else {
        return 0;
    };
    debug_assert_eq!(first >> 4, 3, "a PUBLISH");
    let mut length = 0;
    for (at, byte) in input.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let whole = 2 + at + length;
            return if length > usize::from(INCOMING_BYTES_MAX) {
                whole
            } else {
                0
            };
        }
    }
    0
}

/// May be dropped half-way: what the socket has taken is gone from `output`, the rest goes with the next call.
async fn push(writer: &mut WriteHalf<Box<dyn Stream>>, output: &mut BytesMut) -> io::Result<()> {
    writer.write_all_buf(output).await?;
    writer.flush().await
}

fn lost(word: &'static str) -> End {
    End::Lost {
        word,
        subscribing: false,
        useful: false,
    }
}
