use std::collections::BTreeMap;

use faceway_core::{EventId, Lease, Parked, Private, Settled, Settlement, Timestamp};

use super::change::Range;
use super::{Chunk, LaneState, Need, READ_AHEAD_ROWS, Stock, Stored};
use crate::row::{Published, Row};

/// A log in memory, and a lane on it.
#[derive(Default)]
struct Log {
    rows: BTreeMap<u64, Row>,
    lane: LaneState,
    damaged: Vec<u64>,
}

impl Log {
    fn new(devices: &[u64]) -> Self {
        let mut log = Self::default();
        for (seq, device) in (1..).zip(devices) {
            log.push(seq, *device);
        }
        log
    }

    fn push(&mut self, seq: u64, device: u64) {
        let row = Row {
            seq,
            at: seq as i64 * 10,
            id: EventId::from_bytes([seq as u8; 16]),
            device,
            trace_context: None,
            body: Private::new(bytes::Bytes::new()),
        };
        self.rows.insert(seq, row);
    }

    fn published(&self) -> Published {
        Published {
            last: self.rows.last_key_value().map_or(0, |(seq, _)| *seq),
            total: self.rows.len() as u64,
        }
    }

    fn answer(&self, need: &Need) -> Stock {
        let read = |seq: &u64| {
            self.rows
                .get(seq)
                .filter(|_| !self.damaged.contains(seq))
                .cloned()
        };
        let chunk = |from: u64, end: u64| {
            let seqs: Vec<u64> = self
                .rows
                .range(from..end)
                .map(|(seq, _)| *seq)
                .take(READ_AHEAD_ROWS)
                .collect();
            let full = seqs.len() == READ_AHEAD_ROWS;
            let rows: Vec<Row> = seqs.iter().filter_map(read).collect();
            Chunk {
                next: if full { seqs[seqs.len() - 1] + 1 } else { end },
                damaged: (seqs.len() - rows.len()) as u64,
                rows,
            }
        };
        Stock {
            seqs: need.seqs.iter().map(|seq| (*seq, read(seq))).collect(),
            log: need.log.map(|(from, last)| chunk(from, last + 1)),
            range: need
                .range
                .map(|range| (range.number, chunk(range.from, range.end))),
        }
    }

    fn lease(&mut self, max: usize, now: i64) -> Vec<Lease> {
        loop {
            let published = self.published();
            match self.lane.try_take(max, now, published) {
                Ok(leases) => return leases,
                Err(need) => {
                    let stock = self.answer(&need);
                    self.lane.stock(stock);
                }
            }
        }
    }

    fn take(&mut self, max: usize, now: i64) -> Vec<u64> {
        self.lease(max, now).iter().map(|lease| lease.seq).collect()
    }

    fn settle(&mut self, seq: u64, outcome: Settled) -> bool {
        let settlement = Settlement {
            seq,
            outcome,
            attempt: None,
        };
        self.lane.settle(settlement, 0)
    }

    fn park(&mut self, seq: u64, due: i64) {
        let until = Timestamp::from_millis(due).unwrap();
        self.settle(
            seq,
            Settled::Park {
                until,
                why: Parked::Alone,
            },
        );
    }

    fn backlog(&self) -> u64 {
        self.lane.counts(self.published()).backlog
    }

    /// What the lane is after a crash right after a group: its rows, and nothing else.
    fn crash(&mut self, held: &mut BTreeMap<u64, super::change::HeldRow>) {
        let snapshot = self.lane.snapshot().unwrap();
        for (seq, row) in snapshot.pending.rows {
            match row {
                Some(row) => held.insert(seq, row),
                None => held.remove(&seq),
            };
        }
        let stored = Stored {
            position: snapshot.position,
            read: snapshot.read,
            outstanding: snapshot.outstanding,
            held: held.iter().map(|(seq, row)| (*seq, *row)).collect(),
            ranges: snapshot.ranges,
            buried: 0,
        };
        self.lane = LaneState::load(stored, |seq| {
            self.rows.get(&seq).map(|row| (row.device, row.at))
        });
    }
}

#[test]
fn gaps_in_the_numbers_are_not_counted() {
    let mut log = Log::new(&[1, 2]);
    log.push(1000, 3);
    assert_eq!(log.backlog(), 3);
    assert_eq!(log.take(2, 0), [1, 2]);
    assert_eq!(log.backlog(), 3);
    log.settle(1, Settled::Done);
    log.settle(2, Settled::Done);
    assert_eq!(log.backlog(), 1);
    assert_eq!(log.take(2, 0), [1000]);
}

#[test]
fn a_lane_remembers_what_is_in_hand_and_not_what_is_through() {
    let mut log = Log::new(&[1; 600]);
    let mut held = BTreeMap::new();
    assert_eq!(log.take(300, 0).len(), 256);
    for seq in (1..=256).filter(|seq| seq % 100 != 0) {
        log.settle(seq, Settled::Done);
    }
    log.crash(&mut held);
    assert_eq!(log.backlog(), 346);
    assert_eq!(log.take(2, 0), [100, 200]);
    assert_eq!(log.take(1, 0), [257]);
}

#[test]
fn a_damaged_event_is_let_go() {
    let mut log = Log::new(&[1, 1, 1, 2]);
    log.damaged = vec![4];
    assert_eq!(log.take(2, 0), [1, 2]);
    log.park(1, 50);
    log.settle(2, Settled::Release);
    log.damaged = vec![1];
    assert_eq!(log.take(9, 10), [0; 0]);
    assert_eq!(log.take(9, 50), [2, 3]);
    assert_eq!(log.backlog(), 2);
}

#[test]
fn a_retried_event_keeps_the_others_back_until_it_is_through() {
    let mut log = Log::new(&[1, 1, 2]);
    log.take(1, 0);
    log.park(1, 50);
    assert_eq!(log.take(9, 50), [1, 3]);
    assert_eq!(log.take(9, 60), [0; 0]);
    log.settle(1, Settled::Release);
    assert_eq!(log.take(9, 60), [1]);
    assert!(log.settle(1, Settled::Done));
    assert_eq!(log.take(9, 60), [2]);
}

#[test]
fn a_released_event_behind_an_earlier_parked_one_waits_although_it_was_due() {
    let mut log = Log::new(&[1, 1, 1]);
    log.take(3, 0);
    log.park(2, 50);
    log.settle(3, Settled::Release);
    log.park(1, 90);
    assert_eq!(log.take(9, 60), [0; 0]);
    assert_eq!(log.lane.counts(log.published()).next_due, Some(90));
    assert_eq!(log.take(9, 90), [1]);
    log.settle(1, Settled::Done);
    let leases = log.lease(9, 90);
    assert_eq!((leases[0].seq, leases[0].failures, leases.len()), (2, 1, 1));
}

#[test]
fn few_of_a_long_queue_are_in_hand_so_that_others_have_room() {
    let mut devices = vec![1; 500];
    devices.extend([2; 20]);
    let mut log = Log::new(&devices);
    log.take(1, 0);
    log.park(1, 50);
    assert_eq!(log.take(100, 10).len() + log.take(100, 10).len(), 20);
    for seq in 501..=520 {
        log.settle(seq, Settled::Release);
    }
    assert_eq!(log.take(1, 50), [1]);
    log.settle(1, Settled::Done);
    let taken = log.take(40, 50);
    assert_eq!(taken.iter().filter(|seq| **seq <= 500).count(), 16);
    assert_eq!(taken.len(), 36);
    assert!(
        log.settle(2, Settled::Done),
        "whoever waits is told that there is more"
    );
    assert_eq!(log.take(40, 50), [18]);
}

#[test]
fn a_blocked_device_survives_a_crash_in_order() {
    let mut log = Log::new(&[1; 400]);
    let mut held = BTreeMap::new();
    log.take(3, 0);
    log.settle(3, Settled::Release);
    log.park(1, 50);
    log.settle(2, Settled::Release);
    assert_eq!(log.take(9, 10), [0; 0]);
    log.crash(&mut held);
    assert_eq!(log.backlog(), 400);
    assert_eq!(log.take(9, 10), [0; 0]);
    assert_eq!(log.take(9, 50), [1]);
    log.settle(1, Settled::Done);
    for seq in 2..=400 {
        assert_eq!(log.take(1, 50), [seq]);
        log.settle(seq, Settled::Done);
    }
    log.crash(&mut held);
    assert!(held.is_empty(), "{} rows are left behind", held.len());
    assert_eq!(log.backlog(), 0);
}

#[test]
fn a_range_does_not_hand_out_what_is_in_hand() {
    let mut log = Log::new(&[1, 2, 3, 4]);
    assert_eq!(log.take(4, 0), [1, 2, 3, 4]);
    for seq in [1, 2, 4] {
        log.settle(seq, Settled::Done);
    }
    log.lane.add_range(Range {
        number: 1,
        next: 2,
        end: 5,
        since: 0,
        until: 99,
        remaining: 3,
        ..Range::default()
    });
    assert_eq!(log.lane.need_from(), 2);
    assert_eq!(log.take(9, 0), [2, 4]);
    log.settle(3, Settled::Release);
    log.push(5, 5);
    assert_eq!(log.take(1, 0), [3]);
    assert_eq!(log.take(9, 0), [5]);
    assert_eq!(log.backlog(), 4);
}

#[test]
fn what_could_not_be_written_is_written_later_with_what_came_since() {
    let mut log = Log::new(&[1, 2]);
    log.take(2, 0);
    log.park(1, 50);
    log.park(2, 50);
    let lost = log.lane.snapshot().unwrap();
    assert!(log.lane.snapshot().is_none());
    assert_eq!(log.take(1, 50), [1]);
    log.settle(1, Settled::Done);
    log.lane.restore(lost);
    let rows = log.lane.snapshot().unwrap().pending.rows;
    assert!(rows[&1].is_none() && rows[&2].is_some());
}
