//! What the process asks of the system for itself, before it begins.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of devices: the admin listener's connections, outbounds, the spool, files that are read.
const BESIDE_DEVICES: u64 = 768;

/// Switches core dumps off: one would hold persons, pictures and secrets, readable for every program that finds it.
pub fn without_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
}

/// Raises the limit of open descriptors to what so many connections of devices need, as far as the system allows. Gives the
/// connections that fit.
pub fn connections_that_fit(wanted: usize) -> usize {
    let needed = (wanted as u64).saturating_add(BESIDE_DEVICES);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|soft| soft < needed) {
        let raised = Rlimit {
            current: Some(limit.maximum.map_or(needed, |hard| hard.min(needed))),
            ..limit
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let fit = fitting(limit.current, wanted);
    if fit < wanted {
        tracing::warn!(
            descriptors = limit.current,
            connections_max = fit,
            "limits.connections_max is {wanted}, but the system allows fewer open files; raise its limit (ulimit -n, LimitNOFILE=)"
        );
    }
    fit
}

/// A quarter is left to the rest where there is not enough for both.
fn fitting(descriptors: Option<u64>, wanted: usize) -> usize {
    let Some(descriptors) = descriptors else {
        return wanted;
    };
    let left = descriptors
        .saturating_sub(BESIDE_DEVICES)
        .max(descriptors / 4);
    usize::try_from(left)
        .unwrap_or(usize::MAX)
        .clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn some_descriptors_stay_for_the_rest() {
        for (descriptors, wanted, fit) in [
            (None, 4096, 4096),
            (Some(1 << 20), 4096, 4096),
            (Some(4096 + 768), 4096, 4096),
            (Some(1024), 4096, 256),
            (Some(64), 4096, 16),
            (Some(1), 4096, 1),
        ] {
            assert_eq!(fitting(descriptors, wanted), fit, "{descriptors:?}");
        }
    }
}
