//! The deterministic simulation: the gateway's log, lanes and rules without sockets, by a seed.
//!
//! A [`World`] holds what outlives a gateway: the disk, the receivers, the clock on the wall, and what was promised. Each life
//! has a runtime of its own, so that a kill takes everything with it; time is made up and passes as soon as nothing else
//! happens. A seed decides what devices send (with pictures, and once more what was refused), what receivers do, when commits
//! and appends fail, when the clock is set, when rules change, when outbounds go and return and lanes are dropped, how much
//! the log takes, when a gateway is frozen, dies, or loses its lanes to another one that claims them while it works.
//!
//! After every step the promises are checked, each by a naive count (`promises.rs`):
//! 1. What is answered with success is delivered to all that it is for, or buried, or went with a lane that was dropped. Until
//!    then its lane holds it.
//! 2. What waits has its body and its pictures. Nothing behind the trim point is kept without a holder.
//! 3. Receivers get the events of a device in their order, one message at a time from each gateway. No device that may leave
//!    waits for more than two messages of another one (`served.rs`).
//! 4. No device's first event waits longer than twice `backoff_max` while its receiver answers, whatever it refuses of others.
//! 5. An event is refused for want of capacity only where nothing can be freed, and never for what lies in quarantine; at the
//!    end every device gets rid of what it kept.
//! 6. The backlog that a lane shows is the number of events that are routed to it and not acknowledged.
//! 7. A gateway that was told that another one owns a lane delivers nothing more to it, and gives up what is in flight.
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
