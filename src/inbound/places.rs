//! The places that a listener has for connections. When all are taken, one that does nothing gives way to one that comes
//! new, so that one peer cannot keep the others out.
//!
//! No address has a fixed share: behind one reverse proxy or one NAT may be all the devices of a site.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::progress::{Doing, Progress};

/// So long none is asked to go that has just come or has just been answered: its next request is likely on its way.
const YOUNG: Duration = Duration::from_millis(250);
/// So long may a body stand still before its connection counts as one that does nothing.
const STALLED: Duration = Duration::from_secs(2);
/// While one waits for a place, the others are looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The places of one listener.
pub(super) struct Places {
    max: usize,
    /// How long a body may take when others want its place.
    patience: Duration,
    taken: Mutex<Taken>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    places: HashMap<u64, Held>,
    addresses: HashMap<IpAddr, Arc<AtomicUsize>>,
}

struct Held {
    address: IpAddr,
    /// How many places the address has.
    of_address: Arc<AtomicUsize>,
    progress: Arc<Progress>,
    give_way: CancellationToken,
}

/// One place, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    /// What its connection does.
    pub(super) progress: Arc<Progress>,
    /// Cancelled when the connection must go, so that another finds a place.
    pub(super) give_way: CancellationToken,
}

/// Whose connection has given way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GaveWay {
    pub(super) address: IpAddr,
    /// How many places its address had.
    pub(super) had: usize,
}

impl Places {
    pub(super) fn new(max: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            patience,
            taken: Mutex::default(),
            changed: Arc::new(Notify::new()),
        })
    }

    /// A place for a connection from `peer`, as soon as there is one. `gave_way` hears whose connection has to go for it.
    pub(super) async fn take(
        self: &Arc<Self>,
        peer: IpAddr,
        gave_way: impl Fn(GaveWay) + Send,
    ) -> Place {
        let address = network(peer);
        let mut asked = false;
        loop {
            {
                let mut taken = self.lock();
                if taken.places.len() < self.max {
                    return self.give(&mut taken, address);
                }
                // One for one: a second one would go for nothing.
                if !asked && let Some(gone) = self.ask_one(&taken, address) {
                    asked = true;
                    gave_way(gone);
                }
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    fn give(self: &Arc<Self>, taken: &mut Taken, address: IpAddr) -> Place {
        let number = taken.next;
        taken.next += 1;
        let of_address = Arc::clone(taken.addresses.entry(address).or_default());
        of_address.fetch_add(1, Ordering::Relaxed);
        let progress = Arc::new(Progress::new(Arc::clone(&self.changed)));
        let give_way = CancellationToken::new();
        let held = Held {
            address,
            of_address,
            progress: Arc::clone(&progress),
            give_way: give_way.clone(),
        };
        taken.places.insert(number, held);
        Place {
            places: Arc::clone(self),
            number,
            progress,
            give_way,
        }
    }

    /// Asks the one to go that can be spared most: first those that wait for a request, then those whose body does not
    /// come; of these one of the address that has most places, and there the one that has been so for longest.
    fn ask_one(&self, taken: &Taken, newcomer: IpAddr) -> Option<GaveWay> {
        let now = Instant::now();
        let spared = |held: &&Held| self.can_be_spared(held, newcomer, now);
        let held = taken.places.values().filter(spared).max_by_key(|held| {
            let (doing, since) = held.progress.now();
            let had = held.of_address.load(Ordering::Relaxed);
            (doing == Doing::Waiting, had, std::cmp::Reverse(since))
        })?;
        // Else an address that connects again and again would never be the one, and the others would go in its place.
        if matches!(held.progress.now(), (Doing::Waiting, since) if since + YOUNG > now) {
            return None;
        }
        held.give_way.cancel();
        Some(GaveWay {
            address: held.address,
            had: held.of_address.load(Ordering::Relaxed),
        })
    }

    fn can_be_spared(&self, held: &Held, newcomer: IpAddr, now: Instant) -> bool {
        if held.give_way.is_cancelled() {
            return false;
        }
        match held.progress.now() {
            (Doing::Waiting, _) => true,
            (Doing::Receiving, since) => {
                let has_many = held.of_address.load(Ordering::Relaxed) > self.max / 4;
                held.progress.last_read() + STALLED <= now
                    || since + self.patience <= now
                    || (has_many && held.address != newcomer)
            }
            // What was read whole is being kept: its sender would have to send it again.
            (Doing::Answering | Doing::Answered, _) => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(held) = taken.places.remove(&self.number)
            && held.of_address.fetch_sub(1, Ordering::Relaxed) == 1
        {
            taken.addresses.remove(&held.address);
        }
        drop(taken);
        self.places.changed.notify_one();
    }
}

/// A device that has one IPv6 address has all of its network.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => {
            let bits = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(bits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    const ONE: &str = "10.0.0.1";
    const OTHER: &str = "10.0.0.2";

    async fn take(places: &Arc<Places>, peer: &str) -> (Place, Vec<GaveWay>) {
        let gone = Mutex::new(Vec::new());
        let place = places
            .take(peer.parse().unwrap(), |who| gone.lock().unwrap().push(who))
            .await;
        (place, gone.into_inner().unwrap())
    }

    /// Full of requests of one address, with or without bodies on their way.
    async fn full(max: usize, has_body: bool) -> (Arc<Places>, Vec<Place>) {
        let places = Places::new(max, PATIENCE);
        let mut held = Vec::new();
        for _ in 0..max {
            let (place, _) = take(&places, ONE).await;
            place.progress.request(has_body);
            held.push(place);
        }
        (places, held)
    }

    /// Whether one that comes new finds a place while `held` are there; those that are asked to go do so.
    async fn finds_a_place(places: &Arc<Places>, peer: &str, held: &mut Vec<Place>) -> bool {
        let newcomer = take(places, peer);
        tokio::pin!(newcomer);
        for _ in 0..3 {
            let waited = tokio::time::timeout(Duration::from_millis(1), &mut newcomer).await;
            if waited.is_ok() {
                return true;
            }
            held.retain(|place| !place.give_way.is_cancelled());
        }
        false
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_idle_one_of_the_address_that_has_most_gives_way() {
        let places = Places::new(4, PATIENCE);
        let (other, _) = take(&places, OTHER).await;
        tokio::time::advance(YOUNG * 2).await;
        let mut ones = Vec::new();
        for _ in 0..3 {
            tokio::time::advance(Duration::from_millis(5)).await;
            ones.push(take(&places, ONE).await.0);
        }
        // The oldest of them is in the middle of an answer; the second waited first, and then the third.
        ones[0].progress.request(false);
        tokio::time::advance(YOUNG / 2).await;
        let is_asked = |place: &Place| place.give_way.is_cancelled();
        let newcomer = tokio::time::timeout(Duration::from_millis(1), take(&places, ONE));
        assert!(newcomer.await.is_err());
        assert!(!ones.iter().any(is_asked), "they are young");
        assert!(!is_asked(&other), "its address has fewer");
        tokio::time::advance(YOUNG).await;
        let newcomer = take(&places, "10.0.0.3");
        tokio::pin!(newcomer);
        let waited = tokio::time::timeout(Duration::from_millis(1), &mut newcomer).await;
        assert!(waited.is_err(), "all places are still taken");
        assert!(ones.iter().any(is_asked) && !is_asked(&ones[0]) && !is_asked(&other));
        ones.retain(|place| !is_asked(place));
        assert_eq!(ones.len(), 2, "one for one");
        let (_, gone) = newcomer.await;
        let address = ONE.parse().unwrap();
        assert_eq!(gone, [GaveWay { address, had: 3 }]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_been_idle_for_longest_gives_way() {
        let (places, mut held) = full(3, false).await;
        for number in [1, 0, 2] {
            tokio::time::advance(Duration::from_millis(5)).await;
            held[number].progress.answered();
            held[number].progress.flushed();
        }
        tokio::time::advance(YOUNG).await;
        let numbers: Vec<u64> = held.iter().map(|place| place.number).collect();
        assert!(finds_a_place(&places, OTHER, &mut held).await);
        let left: Vec<u64> = held.iter().map(|place| place.number).collect();
        assert_eq!(left, [numbers[0], numbers[2]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_kept_or_answered_never_gives_way() {
        let (places, mut held) = full(2, false).await;
        tokio::time::advance(PATIENCE * 10).await;
        assert!(!finds_a_place(&places, OTHER, &mut held).await);
        held[0].progress.answered();
        assert!(!finds_a_place(&places, OTHER, &mut held).await);
        held[0].progress.flushed();
        tokio::time::advance(YOUNG).await;
        assert!(finds_a_place(&places, OTHER, &mut held).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_keeps_its_place_from_its_own_address_for_a_while() {
        let second = Duration::from_secs(1);
        let (places, mut held) = full(2, true).await;
        // As behind a proxy, where all are of one address.
        for _ in 1..PATIENCE.as_secs() {
            tokio::time::advance(second).await;
            held.iter().for_each(|place| place.progress.read(b"x"));
            assert!(!finds_a_place(&places, ONE, &mut held).await);
        }
        tokio::time::advance(second).await;
        assert!(finds_a_place(&places, ONE, &mut held).await, "too slow");

        let (places, mut held) = full(2, true).await;
        tokio::time::advance(STALLED).await;
        assert!(finds_a_place(&places, ONE, &mut held).await, "it stalled");

        let (places, mut held) = full(2, true).await;
        assert!(
            finds_a_place(&places, OTHER, &mut held).await,
            "one address with more than a quarter of the places makes room for others"
        );
    }

    #[tokio::test]
    async fn what_is_counted_of_an_address_ends_with_its_places() {
        let places = Places::new(8, PATIENCE);
        let held = [
            take(&places, ONE).await.0,
            take(&places, "2001:db8::1").await.0,
            take(&places, "2001:db8::2").await.0,
        ];
        assert_eq!(places.lock().addresses.len(), 2);
        drop(held);
        let taken = places.lock();
        assert!(taken.addresses.is_empty() && taken.places.is_empty());
    }
}
