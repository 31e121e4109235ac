//! Seeds in every gate. A seed that ever broke a promise stays here under its name.

/// So many seeds are played, on two threads.
const SEEDS: u64 = 1_000;

fn play(from: u64) {
    for seed in from..from + SEEDS {
        if let Err(error) = faceway_sim::play(seed) {
            unreachable!("{error:#}");
        }
    }
}

#[test]
fn the_first_thousand_seeds_hold() {
    play(1);
}

#[test]
fn the_second_thousand_seeds_hold() {
    play(1 + SEEDS);
}

/// Another gateway claims the lanes while the one before waits for what is in flight: it gives that up as soon as a commit
/// tells it so, and does not wait for it until its grace period is over.
#[test]
fn a_gateway_that_is_fenced_while_it_stops_gives_up_at_once() {
    for seed in [114, 277] {
        if let Err(error) = faceway_sim::play(seed) {
            unreachable!("{error:#}");
        }
    }
}

/// A gateway is killed while an event of a device is suspended and later ones have passed it: nothing is known of that at the next
/// start, and the event comes behind them (docs/promises.md).
#[test]
fn an_event_that_was_refused_when_its_gateway_died_is_not_buried() {
    if let Err(error) = faceway_sim::play(200_099) {
        unreachable!("{error:#}");
    }
}
