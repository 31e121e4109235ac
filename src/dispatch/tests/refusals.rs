//! Destinations that refuse: one event, or whatever comes.

use std::collections::{BTreeMap, BTreeSet};

use faceway_core::{DeviceKey, Hold, LaneStore as _, LaneSurvey, Scope};
use proptest::prelude::*;

use super::*;

/// With pauses so short that a test can wait for some.
fn file(attempts_max: u32) -> String {
    let retry = format!(
        "{{ backoff_min = \"10ms\", backoff_max = \"30ms\", attempts_max = {attempts_max} }}"
    );
    format!(
        "[outbound.stdout.erp]\nconcurrency_max = 4\nretry = {retry}\n[[route]]\nname = \"all\"\nto = [\"erp\"]\n"
    )
}

/// Refuses some events always, and at times all.
struct Doorman {
    bad: BTreeSet<u64>,
    refuses_all: watch::Sender<bool>,
    /// What it says when it refuses.
    says: fn() -> Verdict,
    seen: watch::Sender<Seen>,
}

#[derive(Clone, Default)]
struct Seen {
    asked: Vec<u64>,
    /// How often it had been asked when it last began to take events again.
    opened: usize,
    delivered: Vec<(DeviceKey, u64)>,
}

fn refused() -> Verdict {
    let code = Code::status(401);
    Verdict::Refused { code }
}

fn failed() -> Verdict {
    Verdict::Retry {
        scope: Scope::Message,
        code: Code::status(500),
        after: None,
    }
}

impl Doorman {
    fn new(bad: impl IntoIterator<Item = u64>, says: fn() -> Verdict) -> Arc<Self> {
        Arc::new(Self {
            bad: bad.into_iter().collect(),
            refuses_all: watch::Sender::new(false),
            says,
            seen: watch::Sender::default(),
        })
    }

    fn refuse_all(&self, refuses: bool) {
        self.seen.send_modify(|seen| seen.opened = seen.asked.len());
        self.refuses_all.send_replace(refuses);
    }

    async fn until(&self, holds: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        let seen = tokio::time::timeout(PATIENCE, seen.wait_for(holds)).await;
        seen.expect("in time").unwrap().clone()
    }

    /// Waits until it was asked so many more times.
    async fn asked(&self, times: usize) {
        let before = self.seen.borrow().asked.len();
        self.until(|seen| seen.asked.len() >= before + times).await;
    }

    /// What it has taken, once that are so many.
    async fn delivered(&self, count: usize) -> Vec<u64> {
        let seen = self.until(|seen| seen.delivered.len() >= count).await;
        seen.delivered.iter().map(|(_, number)| *number).collect()
    }
}

impl Outbound for Doorman {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(async {
            let number = number(message.id);
            tokio::time::sleep(Duration::from_millis(number % 3)).await;
            let refuses = *self.refuses_all.borrow() || self.bad.contains(&number);
            self.seen.send_modify(|seen| {
                seen.asked.push(number);
                if !refuses {
                    seen.delivered.push((message.device, number));
                }
            });
            if refuses {
                return (self.says)();
            }
            Verdict::Delivered {
                code: Code::word("ok"),
            }
        })
    }
}

impl Bench {
    /// The numbers of the events that are buried, once nothing else waits.
    async fn settled(&self) -> Vec<u64> {
        let lane = self.dispatch.lanes().remove(0);
        let tail = self.log.tail().unwrap();
        let is_through = |survey: LaneSurvey| survey.backlog == 0 && survey.routed_through == tail;
        let mut shown = lane.status().watch();
        let through = shown.wait_for(|shown| shown.survey.is_some_and(is_through));
        let through = tokio::time::timeout(PATIENCE, through).await;
        drop(through.expect("in time").unwrap());
        // The last burial is on its way to the disk.
        let all = |disk: &MemoryDisk| Some(disk.buried("erp").len() as u64);
        self.eventually(|dispatch| {
            let survey = dispatch.lanes()[0].status().get().survey;
            survey.map(|survey| survey.buried) == all(&self.disk)
        })
        .await;
        buried(&self.disk)
    }
}

fn buried(disk: &MemoryDisk) -> Vec<u64> {
    let buried = disk.buried("erp");
    let mut numbers: Vec<u64> = buried.iter().map(|(_, id)| number(*id)).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(start_paused = true)]
async fn what_every_event_of_the_only_device_hears_is_an_outage() {
    for says in [refused, failed] {
        let mut bench = Bench::of(&file(2)).await;
        let doorman = Doorman::new([], says);
        doorman.refuse_all(true);
        bench.add(Arc::clone(&doorman) as _).await;
        bench.push(1, [7; 5]).await;
        doorman.asked(40).await;
        bench.waits().await;
        doorman.refuse_all(false);
        assert_eq!(doorman.delivered(5).await, [1, 2, 3, 4, 5]);
        assert!(bench.settled().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_can_be_compared_with_waits() {
    for says in [refused, failed] {
        let mut bench = Bench::of(&file(2)).await;
        let doorman = Doorman::new([], says);
        doorman.refuse_all(true);
        bench.add(Arc::clone(&doorman) as _).await;
        bench.push(1, [7]).await;
        doorman.asked(20).await;
        doorman.refuse_all(false);
        assert_eq!(doorman.delivered(1).await, [1]);
        assert!(bench.settled().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_beside_others_is_buried_and_its_device_goes_on() {
    for says in [refused, failed] {
        let mut bench = Bench::of(&file(2)).await;
        let doorman = Doorman::new([2, 5], says);
        bench.add(Arc::clone(&doorman) as _).await;
        bench.push(1, [7; 6]).await;
        assert_eq!(doorman.delivered(4).await, [1, 3, 4, 6]);
        assert_eq!(bench.settled().await, [2, 5]);
    }
}

/// Also when the pause of the lane is long: a quiet site must not wait for the next probe.
#[tokio::test(start_paused = true)]
async fn an_event_of_another_device_is_tried_at_once() {
    let long = file(2).replace("10ms", "1h").replace("30ms", "2h");
    // So is one of the same device, behind another that is refused.
    for (devices, taken) in [(&[8][..], &[2][..]), (&[7, 7], &[2, 3])] {
        let mut bench = Bench::of(&long).await;
        let doorman = Doorman::new([1], refused);
        bench.add(Arc::clone(&doorman) as _).await;
        bench.push(1, [7]).await;
        bench.waits().await;
        bench.push(2, devices.iter().copied()).await;
        assert_eq!(doorman.delivered(taken.len()).await, taken);
        assert_eq!(bench.settled().await, [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn some_bad_events_of_the_only_device_do_not_hold_it_up_for_ever() {
    for says in [refused, failed] {
        let mut bench = Bench::of(&file(2)).await;
        let doorman = Doorman::new(1..=5, says);
        bench.add(Arc::clone(&doorman) as _).await;
        bench.push(1, [7; 8]).await;
        assert_eq!(doorman.delivered(3).await, [6, 7, 8]);
        assert_eq!(bench.settled().await, [1, 2, 3, 4, 5]);
    }
}

/// It is compared further after the next start.
#[tokio::test(start_paused = true)]
async fn what_is_suspended_stays_so_when_the_lane_stops() {
    let mut bench = Bench::of(&file(2)).await;
    let doorman = Doorman::new([], refused);
    doorman.refuse_all(true);
    bench.add(Arc::clone(&doorman) as _).await;
    bench.push(1, [7, 7, 8]).await;
    doorman.asked(1).await;
    let Bench {
        dispatch,
        disk,
        log,
        ..
    } = bench;
    dispatch.stop().await;
    assert!(buried(&disk).is_empty());
    let kept = log.look("erp").await.unwrap().unwrap();
    assert_eq!(kept.survey().backlog, 3, "none of them is gone");
}

/// Refuses its first event, and says nothing to the next one.
struct Silent(Arc<Gate>, AtomicUsize);

impl Outbound for Silent {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        match self.1.fetch_add(1, Ordering::SeqCst) {
            0 => Box::pin(async { refused() }),
            _ => self.0.deliver(message),
        }
    }
}

/// Else the receiver could get it behind the later one, which it may have without the lane having heard so.
#[tokio::test(start_paused = true)]
async fn what_a_later_event_may_have_passed_is_not_resumed_when_the_lane_stops() {
    let mut bench = Bench::of(&file(2)).await;
    bench.dispatch.context.grace = Duration::from_millis(50);
    let gate = Gate::new(0);
    bench
        .add(Arc::new(Silent(Arc::clone(&gate), 0.into())))
        .await;
    bench.push(1, [7, 7]).await;
    // The second one is on its way.
    let asked = tokio::time::timeout(PATIENCE, gate.asked.acquire()).await;
    asked.unwrap().unwrap().forget();
    let Bench { dispatch, log, .. } = bench;
    dispatch.stop().await;
    let kept = log.look("erp").await.unwrap().unwrap();
    let holds = kept
        .held
        .iter()
        .map(|(seq, held)| (*seq, held.hold.clone()));
    let code = Code::status(401);
    let suspended = Some(Hold::Suspended { code });
    assert_eq!(holds.collect::<Vec<_>>(), [(1, suspended)]);
}

#[derive(Clone, Debug)]
struct Story {
    /// Devices of the events, which have numbers from 1.
    devices: Vec<u64>,
    bad: BTreeSet<u64>,
    is_refusal: bool,
    /// After so many events it begins to refuse all, and after so many more it ceases to.
    turns: [usize; 2],
}

fn stories() -> impl Strategy<Value = Story> {
    let devices = proptest::collection::vec(1..4_u64, 1..30);
    devices.prop_flat_map(|devices| {
        let count = devices.len() as u64;
        let bad = proptest::collection::btree_set(1..=count, 0..=devices.len() / 3);
        let turns = [0..10_usize, 0..10];
        (Just(devices), bad, any::<bool>(), turns).prop_map(|(devices, bad, is_refusal, turns)| {
            Story {
                devices,
                bad,
                is_refusal,
                turns,
            }
        })
    })
}

/// Whatever is refused in between: what the destination takes at all it gets, each device's in order.
async fn play(story: Story) {
    // Longer pauses: a sweep comes after minutes, and there would be thousands of steps before it.
    let file = file(2).replace("10ms", "100ms").replace("30ms", "300ms");
    let mut bench = Bench::of(&file).await;
    let says = if story.is_refusal { refused } else { failed };
    let doorman = Doorman::new(story.bad.clone(), says);
    bench.add(Arc::clone(&doorman) as _).await;
    let mut first = 1;
    let mut rest = &story.devices[..];
    for (turn, refuses) in [(story.turns[0], true), (story.turns[1], false)] {
        let (now, later) = rest.split_at(turn.min(rest.len()));
        bench.push(first, now.iter().copied()).await;
        first += now.len() as u64;
        rest = later;
        // Once nothing is left to do, or in the middle of it.
        if first.is_multiple_of(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        doorman.refuse_all(refuses);
    }
    bench.push(first, rest.iter().copied()).await;
    first += rest.len() as u64;
    // At the end there is one of each device that is taken, so that nothing is without comparison.
    bench.push(first, [1, 2, 3, 9]).await;
    let buried = bench.settled().await;
    let seen = doorman.seen.borrow().clone();
    let mut delivered: BTreeMap<DeviceKey, Vec<u64>> = BTreeMap::new();
    for (device, number) in seen.delivered {
        delivered.entry(device).or_default().push(number);
    }
    for (device, numbers) in &delivered {
        assert!(
            numbers.is_sorted_by(|one, next| one < next),
            "of {device:?}: {numbers:?}"
        );
    }
    let is_lost = |number: &&u64| !story.bad.contains(number);
    for innocent in buried.iter().filter(is_lost) {
        // It was refused just before the others were taken, and no difference can be seen.
        let last = seen.asked.iter().rposition(|asked| asked == innocent);
        let since = seen.opened.saturating_sub(last.unwrap_or_default());
        assert!(since <= 64, "{innocent} was refused {since} tries before");
    }
    assert!(
        story.bad.iter().all(|bad| buried.contains(bad)),
        "{buried:?}"
    );
    let count = delivered.values().map(Vec::len).sum::<usize>();
    assert_eq!(count + buried.len(), story.devices.len() + 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_is_refused_in_between_what_is_taken_comes_in_order(story in stories()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(play(story));
    }
}
