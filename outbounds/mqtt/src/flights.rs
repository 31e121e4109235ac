//! Messages that were published and are not confirmed yet: which packet belongs to which delivery.

use std::collections::HashMap;
use std::time::Duration;

use faceway_core::Verdict;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::packet::Reason;
use crate::verdict;

/// Who waits for a verdict, and his place in the outbound's window.
pub(crate) struct Reply {
    pub(crate) sender: oneshot::Sender<Verdict>,
    pub(crate) _place: OwnedSemaphorePermit,
}

impl Reply {
    /// Whether no delivery waits any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.sender.is_closed()
    }

    pub(crate) fn send(self, verdict: Verdict) {
        // No delivery may wait any more; what is confirmed then is sent again by the lane.
        let _ = self.sender.send(verdict);
    }
}

/// What a message is for.
pub(crate) enum Purpose {
    /// A delivery waits for its verdict.
    Delivery(Reply),
    /// `online` or `offline`, which no delivery waits for.
    Status,
}

impl Purpose {
    fn settle(self, verdict: Verdict) {
        if let Self::Delivery(reply) = self {
            reply.send(verdict);
        }
    }
}

/// One message on its way.
pub(crate) struct Flight {
    pub(crate) purpose: Purpose,
    /// When the delivery ends by itself.
    pub(crate) deadline: Instant,
    /// When the message was handed to the socket.
    pub(crate) sent: Instant,
}

impl Flight {
    fn is_delivery(&self) -> bool {
        matches!(self.purpose, Purpose::Delivery(_))
    }
}

/// What the next word of the broker must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// `PUBACK`.
    Acknowledge,
    /// `PUBREC`.
    Receive,
    /// `PUBCOMP`; with the verdict's word.
    Complete(&'static str),
}

/// All of one connection. Dropping it gives every delivery up.
pub(crate) struct Flights {
    waiting: HashMap<u16, (Stage, Flight)>,
    /// With QoS 0 nothing is confirmed; they wait until the socket has taken them.
    unwritten: Vec<Flight>,
    last_id: u16,
    last_confirmed: Instant,
    timeout: Duration,
    /// No delivery is overdue before then. Confirmations only put that off, so it need not be looked for at each of them.
    check: Option<Instant>,
    /// How many no delivery waits for.
    own: usize,
}

impl Flights {
    pub(crate) fn new(timeout: Duration, now: Instant) -> Self {
        Self {
            waiting: HashMap::new(),
            unwritten: Vec::new(),
            last_id: 0,
            last_confirmed: now,
            timeout,
            check: None,
            own: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.unwritten.len()
    }

    /// An identifier that no message on its way has. There is one: the window is far smaller than their number.
    pub(crate) fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// `flight` was published as packet `id` with this QoS.
    pub(crate) fn begin(&mut self, id: u16, qos: u8, flight: Flight) {
        if flight.is_delivery() {
            let check = self.overdue_at(&flight);
            self.check = self.check.into_iter().chain([check]).min();
        } else {
            self.own += 1;
        }
        match qos {
            0 => self.unwritten.push(flight),
            1 => drop(self.waiting.insert(id, (Stage::Acknowledge, flight))),
            _ => drop(self.waiting.insert(id, (Stage::Receive, flight))),
        }
    }

    /// The socket has taken everything. Whether that was a delivery.
    pub(crate) fn written(&mut self) -> bool {
        let mut delivered = false;
        for flight in self.unwritten.drain(..) {
            let is_delivery = flight.is_delivery();
            delivered |= is_delivery;
            self.own -= usize::from(!is_delivery);
            flight.purpose.settle(verdict::delivered("sent"));
        }
        delivered
    }

    /// `PUBACK`. A broker without QoS 2 (RabbitMQ before 3.13) may say so of a message of QoS 2: it has it then, and would
    /// have it again with each further try.
    pub(crate) fn acknowledged(&mut self, id: u16, reason: Reason, now: Instant) -> Confirmed {
        let lowered = match self.waiting.get(&id) {
            Some((Stage::Acknowledge, _)) => false,
            Some((Stage::Receive, _)) => true,
            Some((Stage::Complete(_), _)) | None => return Confirmed::Nothing,
        };
        match self.confirm(id, verdict::of(reason, "puback"), now) {
            Confirmed::Delivery if lowered => Confirmed::Lowered,
            confirmed => confirmed,
        }
    }

    /// `PUBREC`: true when `PUBREL` is to follow.
    pub(crate) fn received(&mut self, id: u16, reason: Reason, now: Instant) -> (bool, Confirmed) {
        let Some((stage, _)) = self.waiting.get_mut(&id) else {
            return (false, Confirmed::Nothing);
        };
        let word = match (*stage, reason) {
            (Stage::Acknowledge, _) => return (false, Confirmed::Nothing),
            (Stage::Receive, Reason::Success) => "pubcomp",
            (Stage::Receive, Reason::NoMatchingSubscribers) => "no-subscribers",
            (Stage::Receive, refused) => {
                let verdict = verdict::of(refused, "pubcomp");
                return (false, self.confirm(id, verdict, now));
            }
            (Stage::Complete(word), _) => word,
        };
        *stage = Stage::Complete(word);
        self.last_confirmed = now;
        (true, Confirmed::Nothing)
    }

    /// `PUBCOMP`. Where the broker knows nothing of the message, it is no confirmation.
    pub(crate) fn completed(&mut self, id: u16, known: bool, now: Instant) -> Confirmed {
        let Some((Stage::Complete(word), _)) = self.waiting.get(&id) else {
            return Confirmed::Nothing;
        };
        let verdict = match known {
            true => verdict::delivered(word),
            false => verdict::outage("packet-id"),
        };
        self.confirm(id, verdict, now)
    }

    fn confirm(&mut self, id: u16, verdict: Verdict, now: Instant) -> Confirmed {
        self.last_confirmed = now;
        let delivered = matches!(verdict, Verdict::Delivered { .. });
        let Some((_, flight)) = self.waiting.remove(&id) else {
            return Confirmed::Nothing;
        };
        self.own -= usize::from(!flight.is_delivery());
        match flight.purpose {
            Purpose::Status if !delivered => Confirmed::StatusRefused,
            Purpose::Status => Confirmed::Nothing,
            Purpose::Delivery(reply) => {
                reply.send(verdict);
                match delivered {
                    true => Confirmed::Delivery,
                    false => Confirmed::Rejected,
                }
            }
        }
    }

    /// Whether confirms have stopped, so that the connection is of no use any more.
    pub(crate) fn is_overdue(&mut self, now: Instant) -> bool {
        if self.check.is_none_or(|check| now < check) {
            return false;
        }
        let deliveries = self.all().filter(|flight| flight.is_delivery());
        self.check = deliveries.map(|flight| self.overdue_at(flight)).min();
        self.check.is_some_and(|check| now >= check)
    }

    /// When [`Flights::is_overdue`] is to be asked again. The status makes no connection useless.
    pub(crate) const fn next_check(&self) -> Option<Instant> {
        self.check
    }

    /// When [`Flights::forget_own`] is to be asked again.
    pub(crate) fn next_own(&self) -> Option<Instant> {
        if self.own == 0 {
            return None;
        }
        let own = self.all().filter(|flight| !flight.is_delivery());
        own.map(|flight| flight.deadline).min()
    }

    /// Gives places back that the status takes without ever being confirmed. Whether there were any.
    pub(crate) fn forget_own(&mut self, now: Instant) -> bool {
        if self.own == 0 {
            return false;
        }
        let before = self.waiting.len();
        let stays = |flight: &Flight| flight.is_delivery() || flight.deadline > now;
        self.waiting.retain(|_, (_, flight)| stays(flight));
        self.unwritten.retain(stays);
        self.own = self.all().filter(|flight| !flight.is_delivery()).count();
        self.waiting.len() < before
    }

    /// Whether a delivery is on its way.
    pub(crate) fn has_deliveries(&self) -> bool {
        self.all().any(Flight::is_delivery)
    }

    fn all(&self) -> impl Iterator<Item = &Flight> {
        let waiting = self.waiting.values().map(|(_, flight)| flight);
        waiting.chain(&self.unwritten)
    }

    /// A delivery may end because the window before it was full, with a broker that confirms slowly but does confirm; so
    /// the connection counts as dead only when it has been silent too. One message without an answer, among others that
    /// get theirs, holds its identifier for two timeouts at most.
    fn overdue_at(&self, flight: &Flight) -> Instant {
        let silent = flight.sent.max(self.last_confirmed) + self.timeout / 2;
        let last = flight.sent + self.timeout * 2;
        flight.deadline.max(silent).min(last)
    }

    /// The connection is lost, and with it what becomes of these: unknown. The lane sends them again. A broker that said
    /// that a message is to `blame` can mean only one when there is only one. Whether there was a delivery among them.
    pub(crate) fn lose(&mut self, word: &'static str, blame: bool) -> bool {
        let deliveries = self.has_deliveries();
        let waiting = self.waiting.drain().map(|(_, (_, flight))| flight);
        let lost: Vec<_> = waiting.chain(self.unwritten.drain(..)).collect();
        (self.check, self.own) = (None, 0);
        let one = lost.len() == 1;
        for flight in lost {
            flight.purpose.settle(match blame && one {
                true => verdict::buried(word),
                false => verdict::outage(word),
            });
        }
        deliveries
    }
}

/// What a broker's word was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// A delivery, with success.
    Delivery,
    /// The same, of QoS 2 and confirmed as if it were of QoS 1.
    Lowered,
    /// A delivery, which it refused.
    Rejected,
    /// The status, which it refused.
    StatusRefused,
    /// Nothing that has to be known.
    Nothing,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;
    use tokio::sync::oneshot::Receiver;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn flight(sent: Instant) -> (Flight, Receiver<Verdict>) {
        let (sender, receiver) = oneshot::channel();
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let purpose = Purpose::Delivery(Reply {
            sender,
            _place: place,
        });
        let deadline = sent + TIMEOUT;
        let flight = Flight {
            purpose,
            deadline,
            sent,
        };
        (flight, receiver)
    }

    #[test]
    fn each_confirmation_finds_its_delivery() {
        let now = Instant::now();
        let mut flights = Flights::new(TIMEOUT, now);
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let (flight, receiver) = flight(now);
            let id = flights.free_id();
            flights.begin(id, 1, flight);
            waiting.push((id, receiver));
        }
        let [(_, one), (second, two), (third, three)] = &mut waiting[..] else {
            panic!("three");
        };
        assert_eq!(
            flights.acknowledged(*second, Reason::Success, now),
            Confirmed::Delivery
        );
        flights.acknowledged(*third, Reason::NotAuthorized, now);
        assert_eq!(two.try_recv(), Ok(verdict::delivered("puback")));
        assert_eq!(three.try_recv(), Ok(verdict::refused("not-authorized")));
        assert!(one.try_recv().is_err());
        flights.lose("reset", false);
        assert_eq!(one.try_recv(), Ok(verdict::outage("reset")));
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn with_qos_2_only_the_last_word_counts() {
        let now = Instant::now();
        let mut flights = Flights::new(TIMEOUT, now);
        let (one, mut waiting) = flight(now);
        flights.begin(7, 2, one);
        // Words for a message of another id, and too early.
        assert_eq!(
            flights.acknowledged(8, Reason::Success, now),
            Confirmed::Nothing
        );
        assert_eq!(flights.completed(7, true, now), Confirmed::Nothing);
        assert_eq!(flights.completed(8, true, now), Confirmed::Nothing);
        assert!(waiting.try_recv().is_err());
        assert!(flights.received(7, Reason::NoMatchingSubscribers, now).0);
        assert_eq!(
            flights.acknowledged(7, Reason::Success, now),
            Confirmed::Nothing,
            "it is not the broker's before PUBCOMP"
        );
        assert!(waiting.try_recv().is_err());
        assert_eq!(flights.completed(7, true, now), Confirmed::Delivery);
        assert_eq!(waiting.try_recv(), Ok(verdict::delivered("no-subscribers")));

        let (refused, mut waiting) = flight(now);
        flights.begin(8, 2, refused);
        assert!(!flights.received(8, Reason::QuotaExceeded, now).0);
        assert_eq!(waiting.try_recv(), Ok(verdict::outage("quota")));
        assert_eq!(flights.len(), 0, "its place is free again");
    }

    #[test]
    fn a_broker_without_qos_2_has_what_it_acknowledges() {
        let now = Instant::now();
        let mut flights = Flights::new(TIMEOUT, now);
        let (one, mut waiting) = flight(now);
        flights.begin(7, 2, one);
        let confirmed = flights.acknowledged(7, Reason::Success, now);
        assert_eq!(confirmed, Confirmed::Lowered);
        assert_eq!(waiting.try_recv(), Ok(verdict::delivered("puback")));
        let (one, mut waiting) = flight(now);
        flights.begin(8, 2, one);
        let confirmed = flights.acknowledged(8, Reason::QuotaExceeded, now);
        assert_eq!(confirmed, Confirmed::Rejected);
        assert_eq!(waiting.try_recv(), Ok(verdict::outage("quota")));
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn a_status_that_stays_unconfirmed_gives_its_place_back() {
        let now = Instant::now();
        let mut flights = Flights::new(TIMEOUT, now);
        let deadline = now + Duration::from_secs(2);
        let own = |purpose| Flight {
            purpose,
            deadline,
            sent: now,
        };
        flights.begin(1, 1, own(Purpose::Status));
        flights.begin(2, 1, own(Purpose::Status));
        assert!(!flights.is_overdue(now + TIMEOUT * 10) && !flights.has_deliveries());
        assert_eq!(flights.next_own(), Some(deadline));
        assert!(!flights.forget_own(now));
        flights.begin(3, 1, flight(now).0);
        assert!(flights.forget_own(deadline));
        assert_eq!((flights.len(), flights.has_deliveries()), (1, true));
        assert_eq!(flights.next_own(), None);
    }

    #[test]
    fn ids_come_round_and_pass_over_those_in_use() {
        let now = Instant::now();
        let mut flights = Flights::new(TIMEOUT, now);
        let first = flights.free_id();
        flights.begin(first, 1, flight(now).0);
        for _ in 0..200_000 {
            let id = flights.free_id();
            assert!(id != 0 && id != first);
        }
    }

    #[test]
    fn confirms_that_stop_are_noticed_and_slow_ones_are_not_taken_for_it() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut flights = Flights::new(TIMEOUT, start);
        assert!(!flights.is_overdue(after(3600)), "an idle one is fine");
        flights.begin(1, 1, flight(start).0);
        assert!(!flights.is_overdue(after(9)));
        assert!(flights.is_overdue(after(10)));
        // Others are confirmed meanwhile.
        flights.begin(2, 1, flight(start).0);
        flights.acknowledged(2, Reason::Success, after(9));
        assert!(!flights.is_overdue(after(13)));
        assert!(flights.is_overdue(after(14)));
        for at in 10..20 {
            flights.begin(2, 1, flight(start).0);
            flights.acknowledged(2, Reason::Success, after(at));
        }
        assert!(flights.is_overdue(after(20)), "an id is not held for ever");
    }

    #[test]
    fn blame_is_laid_where_there_is_only_one() {
        let now = Instant::now();
        let mut flights = Flights::new(TIMEOUT, now);
        let (one, mut alone) = flight(now);
        flights.begin(1, 1, one);
        flights.lose("too-large", true);
        assert_eq!(alone.try_recv(), Ok(verdict::buried("too-large")));
        let ((one, mut first), (two, mut second)) = (flight(now), flight(now));
        flights.begin(1, 1, one);
        flights.begin(2, 0, two);
        flights.lose("too-large", true);
        assert_eq!(first.try_recv(), Ok(verdict::outage("too-large")));
        assert_eq!(second.try_recv(), Ok(verdict::outage("too-large")));
    }
}
