//! What has been published and not been settled yet, and when a confirm is certain.
//!
//! The broker returns a message that no queue takes before it confirms it. The client library hides the returns: it
//! queues returned messages, first in first out, and with *each* confirm hands out the oldest one, whomever it belongs
//! to. So a confirm that carries nothing may be of a message that another confirm has carried away, and a confirm that
//! carries a message says nothing of its own. Which message was returned is told by its `message_id` alone.
//!
//! A confirmed message is delivered once its return, had there been one, must have been seen. Two facts make that moment
//! certain. The library queues the return before it resolves the confirm. And each confirm takes a message off the queue
//! while there is one, so the queue is never longer than the number of returned messages that are still unconfirmed.
//!
//! * A confirm that carries nothing: the queue was empty, so the return had been taken by a confirm that was resolved
//!   earlier. It is seen as soon as all confirms have been looked at once more.
//! * A confirm that carries another's message: the return may still be queued behind it. When everything that was
//!   published before this moment is confirmed, the queue has been emptied of it; then all are looked at once more.

use std::collections::{BTreeMap, BTreeSet};

use faceway_core::EventId;

/// What the broker said of one publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ack,
    Nack,
}

/// A confirm that has come.
#[derive(Debug)]
pub(crate) struct Confirmed {
    pub(crate) tag: u64,
    pub(crate) answer: Answer,
    pub(crate) carried: Carried,
}

/// What the library handed out with a confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    Nothing,
    /// A returned message; its id, if it can be read.
    Message(Option<EventId>),
}

/// What became of one publish, for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Delivered,
    Refused,
    Unroutable,
}

/// The publishes of one channel, in their order. It does no I/O and knows no clock.
#[derive(Default)]
pub(crate) struct Ledger {
    next: u64,
    /// Published, not confirmed.
    open: BTreeMap<u64, Entry>,
    /// Confirmed, not certain.
    doubted: BTreeMap<u64, Doubted>,
    /// Published, and the library has not yet given what its confirm can be seen by.
    unhanded: BTreeSet<u64>,
    confirmed: u64,
}

struct Entry {
    id: EventId,
    bytes: usize,
    returned: bool,
}

struct Doubted {
    entry: Entry,
    answer: Answer,
    doubt: Doubt,
}

/// What must be seen before an answer is certain.
#[derive(Clone, Copy)]
enum Doubt {
    /// The confirms of everything before this tag.
    Confirms(u64),
    /// One more look at all confirms, with everything before this tag among them.
    Look(u64),
}

impl Ledger {
    /// Notes a message that is about to be published, and gives it a tag: one more than the last.
    pub(crate) fn publish(&mut self, id: EventId, bytes: usize) -> u64 {
        let tag = self.next;
        self.next += 1;
        let returned = false;
        self.open.insert(
            tag,
            Entry {
                id,
                bytes,
                returned,
            },
        );
        self.unhanded.insert(tag);
        tag
    }

    /// From now on the confirm of `tag` is among those that are looked at.
    pub(crate) fn hand(&mut self, tag: u64) {
        self.unhanded.remove(&tag);
    }

    /// All confirms below this tag are among those that are looked at.
    pub(crate) fn handed(&self) -> u64 {
        self.unhanded.first().copied().unwrap_or(self.next)
    }

    /// Takes note of one look at all confirms, those below `handed` among them, of which these were new. What is certain
    /// now is taken out.
    pub(crate) fn look(&mut self, confirmed: &[Confirmed], handed: u64) -> Vec<(u64, Settled)> {
        for new in confirmed {
            if let Carried::Message(Some(id)) = new.carried {
                self.note_return(id);
            }
        }
        let mut settled = self.take_certain(handed);
        for new in confirmed {
            settled.extend(self.note_confirm(new));
        }
        let (next, unconfirmed) = (self.next, self.first_unconfirmed());
        for doubted in self.doubted.values_mut() {
            match doubted.doubt {
                Doubt::Confirms(before) if unconfirmed >= before => {
                    doubted.doubt = Doubt::Look(next);
                }
                _ => {}
            }
        }
        settled
    }

    /// Whether one more look settles something, even if it brings nothing new.
    pub(crate) fn wants_look(&self, handed: u64) -> bool {
        let mut doubted = self.doubted.values();
        doubted.any(|doubted| doubted.settled(handed).is_some())
    }

    /// How many confirms have come: when it stands still, the broker does.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// The unconfirmed messages of more than `bytes_max`.
    pub(crate) fn larger_than(&self, bytes_max: usize) -> Vec<u64> {
        let open = self.open.iter();
        open.filter(|(_, entry)| entry.bytes > bytes_max)
            .map(|(tag, _)| *tag)
            .collect()
    }

    /// The tags of what is not confirmed.
    pub(crate) fn unconfirmed(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    /// The same event may be on its way twice; then both have found no queue.
    fn note_return(&mut self, id: EventId) {
        let doubted = self.doubted.values_mut().map(|doubted| &mut doubted.entry);
        let same = self.open.values_mut().chain(doubted);
        same.filter(|entry| entry.id == id)
            .for_each(|entry| entry.returned = true);
    }

    /// What earlier looks have brought, and this one has not undone.
    fn take_certain(&mut self, handed: u64) -> Vec<(u64, Settled)> {
        let certain = |(tag, doubted): (&u64, &Doubted)| Some((*tag, doubted.settled(handed)?));
        let settled: Vec<_> = self.doubted.iter().filter_map(certain).collect();
        for (tag, _) in &settled {
            self.doubted.remove(tag);
        }
        settled
    }

    /// What this very look has brought may be undone by the next; only a return that was seen may not.
    fn note_confirm(&mut self, new: &Confirmed) -> Option<(u64, Settled)> {
        self.confirmed += 1;
        let entry = self.open.remove(&new.tag)?;
        if entry.returned {
            return Some((new.tag, Settled::Unroutable));
        }
        let doubt = match new.carried {
            Carried::Nothing => Doubt::Look(self.next),
            Carried::Message(_) => Doubt::Confirms(self.next),
        };
        let answer = new.answer;
        let doubted = Doubted {
            entry,
            answer,
            doubt,
        };
        self.doubted.insert(new.tag, doubted);
        None
    }

    fn first_unconfirmed(&self) -> u64 {
        let first = self.open.first_key_value();
        first.map_or(self.next, |(tag, _)| *tag)
    }
}

impl Doubted {
    fn settled(&self, handed: u64) -> Option<Settled> {
        match (self.entry.returned, self.doubt) {
            (true, _) => Some(Settled::Unroutable),
            (false, Doubt::Look(before)) if before <= handed => Some(match self.answer {
                Answer::Ack => Settled::Delivered,
                Answer::Nack => Settled::Refused,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use faceway_core::RecordKey;

    fn id(at: u64) -> EventId {
        RecordKey::weak(&[&at.to_string()])
            .id("ledger", faceway_core::Timestamp::from_seconds(0).unwrap())
    }

    fn ack(tag: u64, carried: Carried) -> Confirmed {
        let answer = Answer::Ack;
        Confirmed {
            tag,
            answer,
            carried,
        }
    }

    #[test]
    fn a_confirm_with_anothers_message_settles_neither_by_order() {
        let mut ledger = Ledger::default();
        for at in 0..3 {
            ledger.publish(id(at), 1);
        }
        // 1 and 2 were returned; the confirm of 0 carries the return of 1, that of 1 the return of 2.
        let first = [ack(0, Carried::Message(Some(id(1))))];
        assert_eq!(ledger.look(&first, 3), []);
        assert_eq!(ledger.look(&[], 3), [], "0 may still be queued as well");
        let then = [
            ack(1, Carried::Message(Some(id(2)))),
            ack(2, Carried::Nothing),
        ];
        let settled = ledger.look(&then, 3);
        assert_eq!(
            settled,
            [(1, Settled::Unroutable), (2, Settled::Unroutable)]
        );
        assert!(ledger.wants_look(3));
        assert_eq!(ledger.look(&[], 3), [(0, Settled::Delivered)]);
        assert!(!ledger.wants_look(3));
    }

    #[test]
    fn a_confirm_that_carries_nothing_waits_for_confirms_that_were_not_looked_at() {
        let mut ledger = Ledger::default();
        ledger.publish(id(0), 1);
        ledger.publish(id(1), 1);
        // 1 is still in the library's hands: it may have carried the return of 0 away.
        assert_eq!(ledger.look(&[ack(0, Carried::Nothing)], 1), []);
        assert_eq!(ledger.look(&[], 1), []);
        let carrier = [ack(1, Carried::Message(Some(id(0))))];
        assert_eq!(ledger.look(&carrier, 2), [(0, Settled::Unroutable)]);
    }

    #[test]
    fn the_same_event_twice_is_unroutable_twice() {
        let mut ledger = Ledger::default();
        ledger.publish(id(0), 1);
        ledger.publish(id(0), 1);
        let carried = Carried::Message(Some(id(0)));
        let settled = ledger.look(&[ack(0, carried), ack(1, carried)], 2);
        assert_eq!(
            settled,
            [(0, Settled::Unroutable), (1, Settled::Unroutable)]
        );
    }

    /// A broker and a client library as they are: returns some time before confirms, confirms in batches and in any order,
    /// a first-in-first-out queue of returns, confirms handed over late.
    struct World {
        seed: u64,
        ledger: Ledger,
        unroutable: BTreeSet<u64>,
        published: u64,
        /// Published, and the broker has not confirmed.
        open: Vec<u64>,
        /// Of those, what it has not returned yet and will.
        unreturned: BTreeSet<u64>,
        returned: VecDeque<u64>,
        /// Resolved by the library, not looked at.
        resolved: Vec<Confirmed>,
        handed: u64,
        settled: Vec<(u64, Settled)>,
    }

    impl World {
        fn chance(&mut self, of: u64) -> u64 {
            self.seed = self
                .seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.seed >> 33) % of
        }

        fn step(&mut self, total: u64) {
            match self.chance(5) {
                0 if self.published < total => {
                    let at = self.published;
                    if self.chance(3) == 0 {
                        self.unroutable.insert(at);
                        self.unreturned.insert(at);
                    }
                    assert_eq!(self.ledger.publish(id(at), 1), at);
                    self.open.push(at);
                    self.published += 1;
                }
                1 if self.handed < self.published => self.handed += 1,
                2 => self.answer(),
                3 => self.returned.extend(self.unreturned.pop_first()),
                _ => self.look(),
            }
        }

        fn answer(&mut self) {
            let count = self.chance(6).min(self.open.len() as u64);
            let mut batch = Vec::new();
            for _ in 0..count {
                let at = self.chance(self.open.len() as u64) as usize;
                batch.push(self.open.swap_remove(at));
            }
            let returns = batch.iter().filter(|tag| self.unreturned.remove(tag));
            self.returned.extend(returns);
            for tag in batch {
                let carried = match self.returned.pop_front() {
                    None => Carried::Nothing,
                    Some(returned) => Carried::Message(Some(id(returned))),
                };
                self.resolved.push(ack(tag, carried));
            }
        }

        fn look(&mut self) {
            let handed = self.handed;
            let (seen, hidden) = std::mem::take(&mut self.resolved)
                .into_iter()
                .partition(|confirmed: &Confirmed| confirmed.tag < handed);
            self.resolved = hidden;
            let settled = self.ledger.look(&seen, handed);
            self.settled.extend(settled);
        }
    }

    #[test]
    fn whatever_the_order_each_is_settled_once_and_right() {
        for seed in 0..300 {
            let mut world = World {
                seed,
                ledger: Ledger::default(),
                unroutable: BTreeSet::new(),
                published: 0,
                open: Vec::new(),
                unreturned: BTreeSet::new(),
                returned: VecDeque::new(),
                resolved: Vec::new(),
                handed: 0,
                settled: Vec::new(),
            };
            while world.settled.len() < 200 {
                world.step(200);
            }
            for (tag, settled) in &world.settled {
                let expected = match world.unroutable.contains(tag) {
                    true => Settled::Unroutable,
                    false => Settled::Delivered,
                };
                assert_eq!(*settled, expected, "seed {seed}, message {tag}");
            }
            let tags: BTreeSet<_> = world.settled.iter().map(|(tag, _)| *tag).collect();
            assert_eq!(tags.len(), 200, "seed {seed}");
        }
    }
}
