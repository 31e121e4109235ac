use super::super::pings::Heard;
use super::super::record::DutyRecord;
use super::*;

/// A site of the gateways `a`, `b` and `c`; this one is `b`, with the incarnation `b1`.
struct Table {
    start: Instant,
    /// Incarnations that live, each named after its gateway and a digit.
    living: Vec<&'static str>,
    is_proof: bool,
    /// Incarnations that have ended by their pings.
    dead: Vec<&'static str>,
    wish: Wish,
    duty: Duty,
}

const TIMING: Timing = Timing {
    wait: Duration::from_secs(5),
    settle: Duration::from_secs(30),
};

impl Table {
    /// A duty for which `first` is placed best, and `b` next.
    fn new(first: &str) -> Self {
        let start = Instant::now();
        let order = |duty: &Duty| {
            let mut names = ["a", "b", "c"];
            names.sort_by_key(|name| std::cmp::Reverse(place(duty, name)));
            names
        };
        let fits = |duty: &Duty| {
            let order = order(duty);
            order[0] == first && (first == "b" || order[1] == "b")
        };
        let duty = (0..1000)
            .map(|n| Duty::Lane(n.to_string().into()))
            .find(fits);
        Self {
            start,
            living: vec!["a1", "b1", "c1"],
            is_proof: false,
            dead: Vec::new(),
            wish: Wish::new(7, start),
            duty: duty.expect("one of a thousand"),
        }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    /// What is done that many seconds after the start.
    fn step(&mut self, seconds: f64, standing: &Standing) -> Step {
        let now = self.at(seconds);
        let mut pings = Pings::default();
        for dead in &self.dead {
            let heard = Heard {
                no_responders: true,
                servers: true,
                number: 1,
            };
            for n in (0..9).rev() {
                pings.hear(dead, heard, now - Duration::from_millis(500 * n));
            }
        }
        let living = self.living.iter();
        let members = Look {
            living: living
                .map(|it| ((*it).to_owned(), it[..1].to_owned()))
                .collect(),
            is_proof: self.is_proof,
            ..Look::default()
        };
        let sight = Sight {
            now,
            timing: TIMING,
            gateway: "b",
            incarnation: "b1",
            began: self.start,
            members: &members,
            pings: &pings,
        };
        self.wish.step(&self.duty, standing, &sight)
    }
}

fn free(number: u64) -> Standing {
    Standing::Free { number, by: None }
}

fn owned(incarnation: &str, call: u64) -> Standing {
    Standing::Owned {
        number: 9,
        record: DutyRecord::new(incarnation, &incarnation[..1], 0, call),
    }
}

#[test]
fn the_best_placed_takes_a_free_duty_at_once_and_others_wait() {
    assert_eq!(Table::new("b").step(0.0, &free(3)), Step::Take(3));
    let mut second = Table::new("a");
    assert_eq!(second.step(10.0, &free(3)), Step::Wait);
    assert_eq!(second.step(14.9, &free(3)), Step::Wait);
    assert_eq!(second.step(15.0, &free(3)), Step::Take(3));
    // Someone had it between: the wait begins anew.
    let mut between = Table::new("a");
    assert_eq!(between.step(10.0, &free(3)), Step::Wait);
    assert_eq!(between.step(12.0, &owned("c1", 1)), Step::Wait);
    assert_eq!(between.step(15.0, &free(4)), Step::Wait);
    assert_eq!(between.step(20.0, &free(4)), Step::Take(4));
}

#[test]
fn only_gateways_that_live_are_placed() {
    let mut gone = Table::new("a");
    gone.living = vec!["b1", "c1"];
    assert_eq!(gone.step(0.0, &free(0)), Step::Take(0));
    let mut dead = Table::new("a");
    dead.dead = vec!["a1"];
    assert_eq!(dead.step(0.0, &free(0)), Step::Take(0));
    // It started anew: a dead incarnation takes nothing from its gateway.
    dead.living.push("a2");
    assert_eq!(dead.step(1.0, &free(0)), Step::Wait);
}

#[test]
fn who_gave_a_duty_back_is_not_waited_for() {
    let by = |gateway: &str| Standing::Free {
        number: 4,
        by: Some(gateway.into()),
    };
    assert_eq!(Table::new("a").step(0.0, &by("a")), Step::Take(4));
    assert_eq!(Table::new("a").step(0.0, &by("c")), Step::Wait);
    assert_eq!(Table::new("b").step(0.0, &by("b")), Step::Take(4));
}

#[test]
fn an_owner_that_lives_keeps_its_duty() {
    let mut table = Table::new("b");
    table.is_proof = true;
    for seconds in [0.0, 5.0, 20.0, 29.0] {
        assert_eq!(table.step(seconds, &owned("a1", 1)), Step::Wait);
    }
}

#[test]
fn an_absent_owner_has_ended_when_that_is_proved() {
    let mut table = Table::new("b");
    table.living = vec!["b1", "c1"];
    assert_eq!(table.step(0.0, &owned("a1", 1)), Step::Prove);
    table.is_proof = true;
    assert_eq!(table.step(0.1, &owned("a1", 1)), Step::Take(9));
    // Another incarnation of its gateway is another owner.
    table.living.push("a2");
    assert_eq!(table.step(0.2, &owned("a1", 1)), Step::Take(9));
}

#[test]
fn an_owner_without_subscriptions_has_ended() {
    let mut table = Table::new("b");
    table.dead = vec!["a1"];
    assert_eq!(table.step(0.0, &owned("a1", 1)), Step::Take(9));
}

#[test]
fn what_this_gateway_wrote_is_its_own() {
    let mut table = Table::new("a");
    // The answer was lost.
    assert_eq!(table.step(0.0, &owned("b1", 7)), Step::Mine(9));
    // Of before a cut: no other one waits for it.
    assert_eq!(table.step(0.0, &owned("b1", 6)), Step::Take(9));
    // An incarnation of before is another owner.
    assert_eq!(table.step(0.0, &owned("b0", 7)), Step::Prove);
}

#[test]
fn what_cannot_be_read_is_anothers() {
    let mut table = Table::new("b");
    assert_eq!(table.step(100.0, &Standing::Unreadable), Step::Wait);
}

#[test]
fn the_best_placed_asks_for_a_duty_when_it_has_settled() {
    let ask = || Step::Ask("a1".into());
    let mut best = Table::new("b");
    assert_eq!(best.step(29.9, &owned("a1", 1)), Step::Wait);
    assert_eq!(best.step(30.0, &owned("a1", 1)), ask());
    assert_eq!(best.step(31.9, &owned("a1", 1)), Step::Wait);
    assert_eq!(best.step(32.0, &owned("a1", 1)), ask());
    // A gateway that is not placed best never does.
    let mut second = Table::new("a");
    assert_eq!(second.step(60.0, &owned("c1", 1)), Step::Wait);
    // What it wants since a moment ago it does not ask for.
    let mut late = Table::new("b");
    late.wish = Wish::new(7, late.at(50.0));
    assert_eq!(late.step(79.0, &owned("a1", 1)), Step::Wait);
    assert_eq!(late.step(80.0, &owned("a1", 1)), ask());
}

#[test]
fn a_newer_record_of_another_one_takes_a_held_duty() {
    // This gateway wrote record 9 by call 7.
    let at = |number: u64, incarnation: &str, call: u64| Standing::Owned {
        number,
        record: DutyRecord::new(incarnation, "x", 0, call),
    };
    for (standing, is_anothers) in [
        (at(9, "b1", 7), false),
        (at(12, "a1", 7), true),
        (at(12, "b1", 8), true),
        (free(12), true),
        (Standing::Unreadable, true),
        // A leader of before gives what stood there earlier, or nothing.
        (at(5, "a1", 1), false),
        (free(8), false),
        (free(0), false),
    ] {
        assert_eq!(
            standing.is_anothers("b1", 7, 9),
            is_anothers,
            "{standing:?}"
        );
    }
}
