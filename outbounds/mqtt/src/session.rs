//! One connection, from the broker's welcome to its end. Nothing outlives it: no message waits here for the next one.

use std::collections::VecDeque;
use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use crate::dial::{Connection, Stream};
use crate::failure;
use crate::flights::{Confirmed, Flight, Flights, Own, Purpose, Reply};
use crate::own::OwnMessages;
use crate::packet::{Incoming, Malformed, Publication, Publish, Reason};
use crate::plan::Plan;
use crate::verdict;

/// A delivery on its way to the broker.
pub(crate) struct Job {
    pub(crate) publication: Publication,
    pub(crate) reply: Reply,
    /// When it ends by itself.
    pub(crate) deadline: Instant,
}

/// How a connection ended.
pub(crate) enum End {
    /// We said goodbye.
    Closed,
    /// It broke, or it was broken off.
    Lost {
        word: &'static str,
        /// Whether it was good for something while it lasted.
        useful: bool,
    },
}

/// Why it is lost.
struct Lost {
    word: &'static str,
    /// Whether the broker said that a message is to blame.
    blame: bool,
}

/// A connection that lasted this long was no failed attempt.
const USEFUL_MIN: Duration = Duration::from_secs(10);
/// How long it may take to read what a broker said before it hung up.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);
/// How long our goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// A connection in use.
pub(crate) struct Session<'a> {
    plan: &'a Plan,
    own: &'a mut OwnMessages,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    input: BytesMut,
    output: BytesMut,
    /// Whether something was written that the socket has not taken.
    unflushed: bool,
    /// Taken, and to be published as soon as the window has room; no more than the window holds.
    queue: VecDeque<Next>,
    flights: Flights,
    window: usize,
    packet_bytes_max: Option<u32>,
    keep_alive: Duration,
    ping_at: Instant,
    pinged: bool,
    began: Instant,
    delivered: bool,
}

enum Next {
    Job(Job),
    Own((Own, Publication)),
}

impl<'a> Session<'a> {
    pub(crate) fn new(plan: &'a Plan, own: &'a mut OwnMessages, connection: Connection) -> Self {
        let now = Instant::now();
        let (reader, writer) = split(connection.stream);
        let welcome = connection.welcome;
        let keep_alive = welcome.keep_alive.unwrap_or(plan.keep_alive);
        let keep_alive = keep_alive.max(Duration::from_secs(1));
        let window_max = welcome.window_max.map_or(usize::MAX, usize::from);
        Self {
            queue: own.greeting().into_iter().map(Next::Own).collect(),
            plan,
            own,
            reader,
            writer,
            input: connection.input,
            output: BytesMut::new(),
            unflushed: false,
            flights: Flights::new(plan.timeout, now),
            window: plan.window.min(window_max).max(1),
            packet_bytes_max: welcome.packet_bytes_max,
            keep_alive,
            ping_at: now + keep_alive,
            pinged: false,
            began: now,
            delivered: false,
        }
    }

    /// Publishes `first`, then what comes from `jobs`, until the connection breaks or `closing` is true. Every job that it
    /// took has its verdict then.
    pub(crate) async fn run(
        mut self,
        first: Vec<Job>,
        jobs: &mut mpsc::Receiver<Job>,
        closing: &mut watch::Receiver<bool>,
    ) -> End {
        for job in first {
            self.enqueue(job);
        }
        match self.serve(jobs, closing).await {
            Ok(()) => {
                let _ = timeout(GOODBYE_MAX, self.part()).await;
                End::Closed
            }
            Err(lost) => {
                self.flights.lose(lost.word, lost.blame);
                for next in self.queue.drain(..) {
                    if let Next::Job(job) = next {
                        job.reply.send(verdict::outage(lost.word));
                    }
                }
                let useful = self.delivered || self.began.elapsed() >= USEFUL_MIN;
                let word = lost.word;
                End::Lost { word, useful }
            }
        }
    }

    async fn serve(
        &mut self,
        jobs: &mut mpsc::Receiver<Job>,
        closing: &mut watch::Receiver<bool>,
    ) -> Result<(), Lost> {
        let mut leaving = false;
        self.listen()?;
        loop {
            // Before anything new is taken: on a connection that is dead, it would be lost too.
            if self.flights.is_overdue(Instant::now()) {
                return Err(lost("timeout"));
            }
            self.publish();
            if leaving && self.is_idle() {
                return Ok(());
            }
            let tick = self.next_tick();
            let room = !leaving && self.queue.is_empty() && self.flights.len() < self.window;
            self.input.reserve(4 * 1024);
            tokio::select! {
                biased;
                read = self.reader.read_buf(&mut self.input) => {
                    if read.map_err(broken)? == 0 {
                        return Err(lost("closed"));
                    }
                    self.listen()?;
                }
                written = push(&mut self.writer, &mut self.output), if self.unflushed => {
                    if let Err(error) = written {
                        return Err(self.last_words(broken(error)).await);
                    }
                    self.unflushed = false;
                    self.delivered |= self.flights.written();
                }
                () = sleep_until(tick) => self.keep_alive()?,
                () = asked_to_close(closing), if !leaving => {
                    leaving = true;
                    self.queue.extend(self.own.farewell().map(Next::Own));
                }
                job = jobs.recv(), if room => match job {
                    Some(job) => self.enqueue(job),
                    None => leaving = true,
                },
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.flights.len() == 0 && !self.unflushed
    }

    fn next_tick(&self) -> Instant {
        let overdue = self.flights.next_check();
        overdue.map_or(self.ping_at, |overdue| overdue.min(self.ping_at))
    }

    fn enqueue(&mut self, job: Job) {
        self.queue.push_back(Next::Job(job));
    }

    /// Publishes as much as the window has room for.
    fn publish(&mut self) {
        while self.flights.len() < self.window {
            let now = Instant::now();
            let (publication, qos, purpose, deadline) = match self.queue.pop_front() {
                None => return,
                Some(Next::Job(job)) if job.reply.is_given_up() => continue,
                Some(Next::Job(job)) => {
                    let purpose = Purpose::Delivery(job.reply);
                    (job.publication, self.plan.qos, purpose, job.deadline)
                }
                Some(Next::Own((own, publication))) => {
                    let deadline = now + self.plan.timeout;
                    let purpose = Purpose::Own(own);
                    (publication, self.plan.own_qos(), purpose, deadline)
                }
            };
            let id = if qos == 0 { 0 } else { self.flights.free_id() };
            let publish = Publish {
                publication,
                qos,
                id,
                bytes_max: self.packet_bytes_max,
            };
            match self.plan.protocol.publish(publish, &mut self.output) {
                Ok(()) => {
                    self.unflushed = true;
                    let flight = Flight {
                        purpose,
                        deadline,
                        sent: now,
                    };
                    self.flights.begin(id, qos, flight);
                }
                Err(_) => match purpose {
                    Purpose::Delivery(reply) => reply.send(verdict::buried("too-large")),
                    Purpose::Own(own) => self.own.refused(own),
                },
            }
        }
    }

    /// Takes in everything that the broker has said.
    fn listen(&mut self) -> Result<(), Lost> {
        while let Some(incoming) = self.plan.protocol.read(&mut self.input)? {
            self.hear(incoming)?;
        }
        Ok(())
    }

    /// The broker has hung up, but what it said before may still be here: confirmations, and why.
    async fn last_words(&mut self, lost: Lost) -> Lost {
        let read = async {
            while matches!(self.reader.read_buf(&mut self.input).await, Ok(1..)) {
                self.listen()?;
            }
            Ok(())
        };
        match timeout(LAST_WORDS_MAX, read).await {
            Ok(Err(said)) => said,
            _ => lost,
        }
    }

    fn hear(&mut self, incoming: Incoming) -> Result<(), Lost> {
        let now = Instant::now();
        let confirmed = match incoming {
            Incoming::Acknowledged(id, reason) => {
                let confirmed = self.flights.acknowledged(id, reason, now);
                if reason == Reason::PacketIdentifierInUse {
                    return Err(lost("packet-id"));
                }
                confirmed
            }
            Incoming::Received(id, reason) => {
                let (release, confirmed) = self.flights.received(id, reason, now);
                if release {
                    self.plan.protocol.release(id, &mut self.output)?;
                    self.unflushed = true;
                }
                confirmed
            }
            Incoming::Completed(id, known) => self.flights.completed(id, known, now),
            Incoming::Pong => {
                self.pinged = false;
                self.ping_at = now + self.keep_alive;
                Confirmed::Nothing
            }
            Incoming::Goodbye(farewell) => {
                let (word, blame) = (farewell.word, farewell.message);
                return Err(Lost { word, blame });
            }
            Incoming::Welcome(_) | Incoming::Refused(_) => return Err(lost("malformed")),
            // Nothing is subscribed to here.
            Incoming::Subscribed(_) | Incoming::Published(..) | Incoming::Other => {
                Confirmed::Nothing
            }
        };
        match confirmed {
            Confirmed::Delivery => self.delivered = true,
            Confirmed::Refused(own) => self.own.refused(own),
            Confirmed::Nothing => {}
        }
        Ok(())
    }

    /// A ping goes out at every interval, whatever else is sent: with QoS 0, nothing else shows that the broker is there.
    fn keep_alive(&mut self) -> Result<(), Lost> {
        let now = Instant::now();
        if now < self.ping_at {
            return Ok(());
        }
        if self.pinged {
            return Err(lost("timeout"));
        }
        self.plan.protocol.ping(&mut self.output)?;
        self.unflushed = true;
        self.pinged = true;
        self.ping_at = now + self.plan.timeout;
        Ok(())
    }

    async fn part(&mut self) -> io::Result<()> {
        if self.plan.protocol.goodbye(&mut self.output).is_ok() {
            push(&mut self.writer, &mut self.output).await?;
        }
        self.writer.shutdown().await
    }
}

pub(crate) async fn asked_to_close(closing: &mut watch::Receiver<bool>) {
    // An error would say that nobody is there who could ask.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// May be dropped half-way: what the socket has taken is gone from `output`, the rest goes with the next call.
async fn push(writer: &mut WriteHalf<Box<dyn Stream>>, output: &mut BytesMut) -> io::Result<()> {
    writer.write_all_buf(output).await?;
    writer.flush().await
}

fn lost(word: &'static str) -> Lost {
    Lost { word, blame: false }
}

fn broken(error: io::Error) -> Lost {
    lost(failure::word(&error))
}

impl From<Malformed> for Lost {
    fn from(_: Malformed) -> Self {
        lost("malformed")
    }
}
