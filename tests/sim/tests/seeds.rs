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
