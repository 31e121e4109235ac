//! A random walk beside a model that is too simple to be wrong.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use faceway_core::{Lane, Lease, Parked, Settled, Timestamp};

use super::{Bench, Open, bury, number, time};

/// What the model knows of an event in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Leased,
    Parked(Timestamp, Parked),
    Done,
    Buried,
    Revived,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    device: u64,
    state: State,
    failures: u32,
    routed: bool,
}

struct Walk<'a> {
    bench: Bench<'a>,
    lane: Lane,
    events: BTreeMap<u64, Known>,
    hands: Vec<Lease>,
    next: u64,
    now: u64,
    dice: u64,
}

/// Appends, leases, settles, repairs and opens again, `steps` times; after each lease and at the end everything is
/// compared. The same seed walks the same way.
///
/// # Errors
/// When something is lost, doubled, out of order or miscounted.
pub async fn random_walk(open: &Open, seed: u64, steps: usize) -> anyhow::Result<()> {
    let bench = Bench::new(open).await?;
    let lane = bench.lane("erp").await?;
    let mut walk = Walk {
        bench,
        lane,
        events: BTreeMap::new(),
        hands: Vec::new(),
        next: 1,
        now: 1,
        dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
    };
    for step in 0..steps {
        walk.step().await.with_context(|| format!("step {step}"))?;
    }
    walk.finish().await
}

impl Walk<'_> {
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        self.now += self.roll(3);
        match self.roll(20) {
            0..=4 => self.append().await,
            5..=9 => self.lease().await,
            10..=15 => self.settle(),
            16 => self.survey().await,
            17 => self.revive().await,
            18 => self.wake(),
            _ => self.reopen().await,
        }
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        self.bench.spool()?.wake(self.lane);
        for known in self.events.values_mut() {
            if let State::Parked(due, Parked::Probe) = &mut known.state {
                *due = time(0);
            }
        }
        Ok(())
    }

    async fn append(&mut self) -> anyhow::Result<()> {
        let count = 1 + self.roll(30);
        let events: Vec<(u64, u64)> = (0..count).map(|n| (self.next + n, self.roll(4))).collect();
        self.bench.fill(&events).await?;
        for (n, device) in events {
            let known = Known {
                device,
                state: State::Waiting,
                failures: 0,
                routed: false,
            };
            self.events.insert(n, known);
        }
        self.next += count;
        Ok(())
    }

    async fn lease(&mut self) -> anyhow::Result<()> {
        let max = 1 + self.roll(12) as usize;
        let now = time(self.now);
        let leases = self.bench.lease(self.lane, max, now).await?;
        for lease in &leases {
            let known = self
                .events
                .get_mut(&number(lease.id))
                .context("an unknown event")?;
            let may = match known.state {
                State::Waiting | State::Revived => true,
                State::Parked(due, _) => due <= now,
                State::Leased | State::Done | State::Buried => false,
            };
            ensure!(
                may,
                "event {} is handed out but {known:?}",
                number(lease.id)
            );
            ensure!(
                (lease.failures, lease.routed) == (known.failures, known.routed),
                "{known:?}"
            );
            known.state = State::Leased;
        }
        for lease in &leases {
            self.check_order(number(lease.id))?;
        }
        if leases.len() < max {
            self.check_nothing_left(now)?;
        }
        self.hands.extend(leases);
        Ok(())
    }

    /// Everything earlier of its device is in hand or through.
    fn check_order(&self, n: u64) -> anyhow::Result<()> {
        let device = self.events.get(&n).context("known")?.device;
        for (earlier, known) in self
            .events
            .range(..n)
            .filter(|(_, known)| known.device == device)
        {
            let passed = !matches!(known.state, State::Waiting | State::Parked(..));
            ensure!(
                passed,
                "event {n} is handed out before {earlier}, which is {known:?}"
            );
        }
        Ok(())
    }

    /// A lease that gave less than was asked left nothing behind that was due.
    fn check_nothing_left(&self, now: Timestamp) -> anyhow::Result<()> {
        let mut blocked = Vec::new();
        let mut in_hand: BTreeMap<u64, usize> = BTreeMap::new();
        for known in self.events.values() {
            *in_hand.entry(known.device).or_default() += usize::from(known.state == State::Leased);
        }
        for (n, known) in &self.events {
            let busy = in_hand.get(&known.device).is_some_and(|count| *count > 0);
            match known.state {
                State::Parked(due, _) if due > now => blocked.push(known.device),
                // An engine may keep the rest of a device back while one of it is in hand.
                State::Waiting | State::Parked(..) | State::Revived
                    if !blocked.contains(&known.device) && !busy =>
                {
                    anyhow::bail!("event {n} is left behind: {known:?}");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> anyhow::Result<()> {
        if self.hands.is_empty() {
            return Ok(());
        }
        let pick = self.roll(self.hands.len() as u64) as usize;
        let lease = self.hands.swap_remove(pick);
        let n = number(lease.id);
        let until = time(self.now + 1 + self.roll(20));
        let roll = self.roll(12);
        let known = self.events.get_mut(&n).context("known")?;
        let device = known.device;
        let outcome = match roll {
            0..=5 => {
                known.state = State::Done;
                Settled::Done
            }
            6 => {
                known.state = State::Buried;
                bury("422")
            }
            7 => {
                known.state = State::Waiting;
                Settled::Release
            }
            _ => {
                let why = if roll == 8 {
                    Parked::Probe
                } else {
                    Parked::Alone
                };
                known.failures += u32::from(why == Parked::Alone);
                known.routed = true;
                known.state = State::Parked(until, why);
                Settled::Park { until, why }
            }
        };
        let sends_back = matches!(outcome, Settled::Park { .. } | Settled::Release);
        self.bench.settle(self.lane, &lease, outcome)?;
        if sends_back {
            self.send_back(device, n)?;
        }
        Ok(())
    }

    /// The holder releases what it holds behind a parked or released event.
    fn send_back(&mut self, device: u64, n: u64) -> anyhow::Result<()> {
        let behind = |lease: &Lease| lease.device.0 == device && number(lease.id) > n;
        let (behind, rest): (Vec<Lease>, Vec<Lease>) = self.hands.drain(..).partition(behind);
        self.hands = rest;
        for lease in behind {
            self.bench.settle(self.lane, &lease, Settled::Release)?;
            let known = self.events.get_mut(&number(lease.id)).context("known")?;
            known.state = if known.routed && known.failures == 0 {
                State::Revived
            } else {
                State::Waiting
            };
        }
        Ok(())
    }

    async fn survey(&mut self) -> anyhow::Result<()> {
        let survey = self
            .bench
            .spool()?
            .survey(self.lane, time(self.now))
            .await?;
        let count = |wanted: fn(State) -> bool| {
            self.events
                .values()
                .filter(|known| wanted(known.state))
                .count() as u64
        };
        let backlog = count(|state| !matches!(state, State::Done | State::Buried));
        let buried = count(|state| state == State::Buried);
        ensure!(
            (survey.backlog, survey.buried) == (backlog, buried),
            "{survey:?}, expected {backlog} and {buried}"
        );
        let mut left = self
            .events
            .iter()
            .filter(|(_, known)| !matches!(known.state, State::Done | State::Buried));
        ensure!(
            survey.oldest == left.next().map(|(n, _)| time(*n)),
            "{survey:?}"
        );
        Ok(())
    }

    async fn revive(&mut self) -> anyhow::Result<()> {
        let revived = self.bench.spool()?.revive(Default::default()).await?;
        let mut expected = 0;
        for known in self
            .events
            .values_mut()
            .filter(|known| known.state == State::Buried)
        {
            known.state = State::Revived;
            known.failures = 0;
            known.routed = true;
            expected += 1;
        }
        ensure!(
            revived == expected,
            "{revived} revived, expected {expected}"
        );
        Ok(())
    }

    async fn reopen(&mut self) -> anyhow::Result<()> {
        self.bench.reopen().await?;
        self.lane = self.bench.lane("erp").await?;
        self.hands.clear();
        for known in self
            .events
            .values_mut()
            .filter(|known| known.state == State::Leased)
        {
            known.state = if known.routed && known.failures == 0 {
                State::Revived
            } else {
                State::Waiting
            };
        }
        Ok(())
    }

    /// Delivers all that is left: each event is through exactly once.
    async fn finish(mut self) -> anyhow::Result<()> {
        self.reopen().await?;
        self.now += 1000;
        loop {
            self.lease().await?;
            if self.hands.is_empty() {
                break;
            }
            for lease in std::mem::take(&mut self.hands) {
                self.bench.settle(self.lane, &lease, Settled::Done)?;
                self.events
                    .get_mut(&number(lease.id))
                    .context("known")?
                    .state = State::Done;
            }
        }
        let left = self
            .events
            .values()
            .filter(|known| !matches!(known.state, State::Done | State::Buried));
        ensure!(left.count() == 0, "events are lost");
        self.survey().await
    }
}
