//! One connection, from the broker's welcome to its end. Nothing outlives it: no message waits here for the next one.

mod publish;

use std::collections::VecDeque;
use std::io;
use std::pin::pin;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use crate::dial::Stream;
use crate::endings::SOON;
use crate::failure;
use crate::flights::{Confirmed, Flights, Reply};
use crate::greeting::{STATUS_ID, StatusAnswer};
use crate::hints::Hints;
use crate::opening::Opened;
use crate::own::OwnMessages;
use crate::packet::{Incoming, Malformed, Protocol, Publication, Reason};
use crate::pings::Pings;
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
    /// We said goodbye, and another is to follow at once.
    Again,
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
    protocol: &'static dyn Protocol,
    own: &'a mut OwnMessages,
    hints: &'a mut Hints,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    input: BytesMut,
    output: BytesMut,
    /// Whether something was written that the socket has not taken.
    unflushed: bool,
    /// Taken, and to be published as soon as the window has room; no more than the window holds.
    queue: VecDeque<Job>,
    /// What the status says from the end of this connection on; it goes after everything else.
    farewell: Option<Publication>,
    flights: Flights,
    window: usize,
    packet_bytes_max: Option<u32>,
    pings: Pings,
    began: Instant,
    /// Until it has lasted.
    lasts_at: Option<Instant>,
    /// To be ended, for another, when nothing is on its way.
    again: bool,
    delivered: bool,
    /// Whether the broker has said anything of a delivery.
    answered: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        own: &'a mut OwnMessages,
        hints: &'a mut Hints,
        opened: Opened,
    ) -> Self {
        let now = Instant::now();
        let Opened {
            connection,
            greeted,
        } = opened;
        let (reader, writer) = split(connection.stream);
        let welcome = connection.welcome;
        let keep_alive = welcome.keep_alive.unwrap_or(plan.keep_alive);
        let keep_alive = keep_alive.max(Duration::from_secs(1));
        let mut pings = Pings::new(keep_alive, plan.timeout, now);
        if greeted.pinged {
            pings.sent(now);
        }
        let mut flights = Flights::new(plan.timeout, now);
        if greeted.status == StatusAnswer::Open {
            flights.begin(STATUS_ID, own.qos(), publish::status_flight(now));
        }
        let window_max = welcome.window_max.map_or(usize::MAX, usize::from);
        Self {
            plan,
            protocol: connection.protocol,
            own,
            hints,
            reader,
            writer,
            input: connection.input,
            unflushed: greeted.pinged,
            output: connection.output,
            queue: VecDeque::new(),
            farewell: None,
            flights,
            window: plan.window.min(window_max).max(1),
            packet_bytes_max: welcome.packet_bytes_max,
            pings,
            began: now,
            lasts_at: Some(now + SOON),
            again: false,
            delivered: false,
            answered: false,
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
        self.queue.extend(first);
        match self.serve(jobs, closing).await {
            Ok(()) => {
                let _ = timeout(GOODBYE_MAX, self.part()).await;
                let asked = *closing.borrow();
                if self.again && !asked {
                    End::Again
                } else {
                    End::Closed
                }
            }
            Err(lost) => self.lose(&lost),
        }
    }

    fn lose(mut self, lost: &Lost) -> End {
        let (word, hung_up) = (lost.word, matches!(lost.word, "closed" | "reset"));
        let under_way = self.flights.lose(word, lost.blame);
        let soon = self.lasts_at.is_some() && failure::may_be_about_a_message(word);
        if soon {
            self.own.ended_soon();
        }
        if hung_up && under_way && !self.answered {
            self.hints.hung_up(self.plan, self.own.offer().version);
        }
        for job in self.queue.drain(..) {
            job.reply.send(verdict::outage(word));
        }
        let useful = self.delivered || self.began.elapsed() >= USEFUL_MIN;
        End::Lost { word, useful }
    }

    async fn serve(
        &mut self,
        jobs: &mut mpsc::Receiver<Job>,
        closing: &mut watch::Receiver<bool>,
    ) -> Result<(), Lost> {
        let mut leaving = false;
        let mut ticking = pin!(sleep_until(self.next_tick()));
        self.listen()?;
        loop {
            let now = Instant::now();
            // Before anything new is taken: on a connection that is dead, it would be lost too.
            if self.flights.is_overdue(now) {
                return Err(lost("timeout"));
            }
            if self.flights.forget_own(now) {
                self.own.unconfirmed();
            }
            self.publish();
            if self.lasts_at.is_some_and(|at| at <= now) {
                self.lasts_at = None;
                self.again = self.own.lasted();
            }
            if (leaving || self.again) && self.is_idle() {
                return Ok(());
            }
            let tick = self.next_tick();
            if ticking.deadline() != tick {
                ticking.as_mut().reset(tick);
            }
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
                () = &mut ticking => self.keep_alive()?,
                () = asked_to_close(closing), if !leaving => {
                    leaving = true;
                    self.farewell = self.own.farewell();
                }
                job = jobs.recv(), if room => match job {
                    Some(job) => self.take_all(job, jobs),
                    None => leaving = true,
                },
            }
        }
    }

    /// Takes what else is there, as far as the window has room: it is written together.
    fn take_all(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>) {
        self.queue.push_back(first);
        while self.queue.len() + self.flights.len() < self.window
            && let Ok(job) = jobs.try_recv()
        {
            self.queue.push_back(job);
        }
    }

    fn is_idle(&self) -> bool {
        let nothing_waits = self.queue.is_empty() && self.farewell.is_none();
        nothing_waits && self.flights.len() == 0 && !self.unflushed
    }

    fn next_tick(&self) -> Instant {
        let flights = &self.flights;
        let checks = [flights.next_check(), flights.next_own(), self.lasts_at];
        let checks = checks.into_iter().flatten();
        checks.fold(self.pings.next(), Instant::min)
    }

    /// Takes in everything that the broker has said.
    fn listen(&mut self) -> Result<(), Lost> {
        while let Some(incoming) = self.protocol.read(&mut self.input)? {
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
                    self.protocol.release(id, &mut self.output)?;
                    self.unflushed = true;
                }
                confirmed
            }
            Incoming::Completed(id, known) => self.flights.completed(id, known, now),
            Incoming::Pong => {
                self.pings.answered(now);
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
            Confirmed::Delivery => self.confirmed(true),
            Confirmed::Lowered => {
                self.hints.lowered(self.plan);
                self.confirmed(true);
            }
            Confirmed::Rejected => self.confirmed(false),
            Confirmed::StatusRefused => self.own.refused(),
            Confirmed::Nothing => {}
        }
        Ok(())
    }

    fn confirmed(&mut self, delivered: bool) {
        self.delivered |= delivered;
        self.answered = true;
        self.hints.confirmed();
    }

    /// A ping goes out at every interval, whatever else is sent: with QoS 0, nothing else shows that the broker is there.
    fn keep_alive(&mut self) -> Result<(), Lost> {
        let now = Instant::now();
        if now < self.pings.next() {
            return Ok(());
        }
        if self.pings.is_waiting() {
            return Err(lost("timeout"));
        }
        self.protocol.ping(&mut self.output)?;
        self.unflushed = true;
        self.pings.sent(now);
        Ok(())
    }

    async fn part(&mut self) -> io::Result<()> {
        if self.protocol.goodbye(&mut self.output).is_ok() {
            push(&mut self.writer, &mut self.output).await?;
        }
        self.writer.shutdown().await
    }
}

pub(crate) async fn asked_to_close(closing: &mut watch::Receiver<bool>) {
    // An error would say that no task is there that could ask.
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
