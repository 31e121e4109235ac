//! What changes between what is at work and what another reading of the files asks for. Pure.

use std::collections::HashSet;

use faceway_rules::RouteChanges;

use super::desired::{Desired, Entry};

/// What becomes of an inbound or an outbound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is new.
    Added,
    /// Its plan, or a secret or a file that the plan names, is another.
    Changed,
    /// It does not notice.
    Same,
    /// The file no longer names it. An outbound still delivers what it was given.
    Retired,
    /// An outbound was retired, its lane is still at work, and the file names it again.
    Returns,
}

impl Change {
    /// Whether something must be opened for it.
    pub(super) const fn opens(self) -> bool {
        matches!(self, Self::Added | Self::Changed | Self::Returns)
    }
}

/// Everything that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// By name: first all of the new file, in its order, then those that are retired.
    pub(super) inbounds: Vec<(String, Change)>,
    /// The same.
    pub(super) outbounds: Vec<(String, Change)>,
    pub(super) routes: RouteChanges,
}

/// What another reading of the file has changed: kinds and names, such as `outbound erp`, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is new.
    pub added: Vec<String>,
    /// What is now something else.
    pub changed: Vec<String>,
    /// What is no longer there.
    pub removed: Vec<String>,
}

/// Compares. `retired` are the outbounds that `old` does not name and whose lanes are at work all the same.
pub(super) fn diff(old: &Desired, retired: &HashSet<String>, new: &Desired) -> Diff {
    Diff {
        inbounds: changes(
            &old.inbounds,
            &new.inbounds,
            |plan| &plan.name,
            // An inbound that is retired has ended: nothing of it can return.
            |_| false,
        ),
        outbounds: changes(
            &old.outbounds,
            &new.outbounds,
            |plan| &plan.name,
            |name| retired.contains(name),
        ),
        routes: new.rules.set.changes_since(&old.rules.set),
    }
}

fn changes<Plan: PartialEq>(
    old: &[Entry<Plan>],
    new: &[Entry<Plan>],
    name: impl Fn(&Plan) -> &String,
    is_retired: impl Fn(&str) -> bool,
) -> Vec<(String, Change)> {
    let known = |entry: &Entry<Plan>| {
        let mut old = old.iter();
        old.find(|known| name(&known.plan) == name(&entry.plan))
    };
    let change = |entry: &Entry<Plan>| match known(entry) {
        Some(known) if known == entry => Change::Same,
        Some(_) => Change::Changed,
        None if is_retired(name(&entry.plan)) => Change::Returns,
        None => Change::Added,
    };
    let here = new
        .iter()
        .map(|entry| (name(&entry.plan).clone(), change(entry)));
    let is_here = |plan: &Plan| new.iter().any(|entry| name(&entry.plan) == name(plan));
    let away = old.iter().filter(|entry| !is_here(&entry.plan));
    here.chain(away.map(|entry| (name(&entry.plan).clone(), Change::Retired)))
        .collect()
}

impl Diff {
    /// As it is reported.
    pub(super) fn report(&self) -> Changes {
        let mut report = Changes::default();
        report.add("outbound", &self.outbounds);
        report.add("inbound", &self.inbounds);
        let routes = |names: &[String]| -> Vec<String> {
            names.iter().map(|name| format!("route {name}")).collect()
        };
        report.added.extend(routes(&self.routes.added));
        report.changed.extend(routes(&self.routes.changed));
        report.removed.extend(routes(&self.routes.removed));
        report
    }
}

impl Changes {
    fn add(&mut self, kind: &str, changes: &[(String, Change)]) {
        for (name, change) in changes {
            let list = match change {
                Change::Added => &mut self.added,
                Change::Changed | Change::Returns => &mut self.changed,
                Change::Retired => &mut self.removed,
                Change::Same => continue,
            };
            list.push(format!("{kind} {name}"));
        }
    }
}

#[cfg(test)]
mod tests;
