//! The way to the writer under shuttle: in whatever order threads run, what is accepted is taken once, in the order of each
//! thread, and the writer never sleeps beside something to do.

#[path = "../src/mailbox.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod mailbox;

mod sync {
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

use std::sync::Arc;
use std::time::Duration;

use mailbox::{Mail, Mailbox, Stop, Taken};
use shuttle::thread;

/// Orders that are tried.
const ORDERS: usize = 5_000;
/// A wake-up that is lost is not made up for by time: shuttle never lets it pass.
const LONG: Duration = Duration::from_secs(3600);

struct Letter {
    from: usize,
    number: usize,
}

impl Mail for Letter {
    const EVENTS_MAX: usize = 2;
    const BYTES_MAX: usize = 100;

    fn weight(&self) -> (usize, usize) {
        (1, 10)
    }

    fn can_wait(&self) -> bool {
        false
    }
}

/// Takes until it is told to end; gives what it took.
fn read(mailbox: &Mailbox<Letter>) -> Vec<Letter> {
    let mut read = Vec::new();
    loop {
        let Taken { ops, stop } = mailbox.take(LONG);
        read.extend(ops);
        if stop != Stop::No {
            return read;
        }
    }
}

#[test]
fn what_is_accepted_is_taken_once_in_whatever_order_threads_run() {
    let story = || {
        let mailbox = Arc::new(Mailbox::default());
        let reader = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || read(&mailbox))
        };
        let writers = [0, 1].map(|from| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let letters = (0..3).map(|number| Letter { from, number });
                letters
                    .map_while(|letter| mailbox.push(letter).ok())
                    .count()
            })
        });
        let stopper = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.stop(Stop::Flush))
        };
        let accepted = writers.map(|writer| writer.join().unwrap());
        stopper.join().unwrap();
        let read = reader.join().unwrap();
        for (from, accepted) in accepted.into_iter().enumerate() {
            let mine = read.iter().filter(|letter| letter.from == from);
            let numbers: Vec<usize> = mine.map(|letter| letter.number).collect();
            assert_eq!(numbers, (0..accepted).collect::<Vec<_>>());
        }
        assert!(mailbox.drain().is_empty());
    };
    shuttle::check_random(story, ORDERS);
    shuttle::check_pct(story, ORDERS, 3);
}

/// Without a stop: each letter is taken although the reader sleeps before it, and between.
#[test]
fn no_wake_up_is_lost() {
    let story = || {
        let mailbox = Arc::new(Mailbox::default());
        let reader = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let mut count = 0;
                while count < 4 {
                    count += mailbox.take(LONG).ops.len();
                }
            })
        };
        let writers = [0, 1].map(|from| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                for number in 0..2 {
                    assert!(mailbox.push(Letter { from, number }).is_ok());
                }
            })
        });
        for thread in writers.into_iter().chain([reader]) {
            thread.join().unwrap();
        }
    };
    shuttle::check_random(story, ORDERS);
    shuttle::check_pct(story, ORDERS, 3);
}
