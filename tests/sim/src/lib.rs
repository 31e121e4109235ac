//! The deterministic simulation: the gateway's log, lanes and rules without sockets, by a seed.
//!
//! A [`World`] holds what outlives a gateway: the disk, the receivers, the clock on the wall, and what was promised. Each life
//! of a gateway has a runtime of its own, so that a kill takes everything with it; time is made up and passes as soon as
//! nothing else happens. A seed decides what devices send, what receivers do, when commits fail, when the clock is set, when
//! rules change, and when the gateway dies. After every life, and at the end, the promises are checked (`promises.rs`).
//!
//! The memory engine of the testkit keeps the log, so that a life is a pure function of the seed; the disk engine goes
//! through its own walks against failing disks in `spools/disk/tests`.

mod acts;
mod clock;
mod lanes;
mod life;
mod picture;
mod plan;
mod promises;
mod receiver;
mod served;
mod world;

pub use world::World;

/// Plays one seed to its end.
///
/// # Errors
/// The promise that does not hold, with the trace of what happened.
pub fn play(seed: u64) -> anyhow::Result<()> {
    let mut world = World::new(seed);
    world.play().map_err(|error| {
        let trace = world.trace();
        anyhow::anyhow!("seed {seed}: {error:#}\n{trace}")
    })
}
