//! Tables, and a walk through many applies.

use std::collections::{BTreeMap, HashMap, HashSet};

use faceway_core::Timestamp;

use super::Step;
use crate::topology::rules_history::{Rules, RulesHistory};
use crate::topology::rules_store::Stored;

/// Rules of a file with these outbounds, told from others by `edit`.
fn rules(outbounds: &str, edit: usize) -> Rules {
    let names = outbounds.chars();
    let text: String = names
        .map(|name| format!("[outbound.stdout.{name}]\n"))
        .collect();
    let routes = faceway_rules::parse(&text, "routes.toml", &crate::config::grammar()).unwrap();
    Rules {
        text: format!("# {edit}\n{text}"),
        set: routes.routes,
    }
}

fn at() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000).unwrap()
}

fn lanes(names: &str) -> HashSet<String> {
    names.chars().map(String::from).collect()
}

/// The step to a file with these outbounds.
fn step<'a>(rules: &'a Rules, lanes: &'a HashSet<String>) -> Step<'a> {
    Step {
        rules,
        now: at(),
        needed_from: 1,
        backfilled: Vec::new(),
        lanes,
    }
}

/// For each outbound: up to which event, and whether rules are known.
fn retired(history: &RulesHistory) -> BTreeMap<&str, (u64, bool)> {
    let retired = history.retired().iter();
    retired
        .map(|(name, it)| (name.as_str(), (it.through_seq, it.rules.is_some())))
        .collect()
}

fn after(history: &RulesHistory) -> Vec<u64> {
    let versions = history.versions().iter();
    versions.map(|version| version.after_seq).collect()
}

#[test]
fn the_first_version_is_for_every_event_and_knows_nothing_of_other_lanes() {
    let (rules, lanes) = (rules("ab", 0), lanes("abc"));
    let first = step(&rules, &lanes).next(None).placed(100);
    assert_eq!(after(&first), [0]);
    assert_eq!(retired(&first), [("c", (100, false))].into());
}

#[test]
fn another_text_is_another_version_and_the_same_is_none() {
    let before = Stored::from(RulesHistory::new(at(), rules("ab", 0)));
    // Outbounds, edit, lanes; versions, retired.
    type Row = (
        &'static str,
        usize,
        &'static str,
        &'static [u64],
        &'static [(&'static str, (u64, bool))],
    );
    let table: [Row; 5] = [
        ("ab", 0, "ab", &[0], &[]),
        ("ab", 1, "ab", &[0, 100], &[]),
        ("abc", 1, "abc", &[0, 100], &[]),
        ("a", 1, "ab", &[0, 100], &[("b", (100, true))]),
        // Its lane is not there any more, so nothing of it is to be delivered.
        ("a", 1, "a", &[0, 100], &[]),
    ];
    for (outbounds, edit, names, versions, gone) in table {
        let (rules, lanes) = (rules(outbounds, edit), lanes(names));
        let next = step(&rules, &lanes).next(Some(&before)).placed(100);
        assert_eq!(after(&next), versions, "{outbounds} {edit}");
        let gone: BTreeMap<_, _> = gone.iter().copied().collect();
        assert_eq!(retired(&next), gone, "{outbounds} {edit}");
        assert_eq!(next.active().rules.text, rules.text);
    }
}

#[test]
fn events_whose_rules_cannot_be_read_go_by_the_new_ones() {
    let mut before = Stored::from(RulesHistory::new(at(), rules("a", 0)));
    before.unread_after = Some(40);
    let (rules, lanes) = (rules("a", 1), lanes("a"));
    let next = |before: &Stored| step(&rules, &lanes).next(Some(before)).placed(100);
    assert_eq!(after(&next(&before)), [0, 40]);
    // Never later than now.
    before.unread_after = Some(400);
    assert_eq!(after(&next(&before)), [0, 100]);
}

#[test]
fn an_outbound_goes_by_the_active_rules_about_what_came_before_it() {
    let names = lanes("abc");
    let first = rules("a", 0);
    let before = Stored::from(step(&first, &names).next(None).placed(100));
    let now = rules("abc", 1);
    let mut step = step(&now, &names);
    step.backfilled = vec!["c"];
    let next = step.next(Some(&before)).placed(200);
    // b was there before the first history: with which rules is not known. c is new and begins in the past.
    for (outbound, seq, text) in [
        ("a", 100, &first),
        ("a", 200, &first),
        ("a", 201, &now),
        ("b", 100, &now),
        ("b", 101, &first),
        ("c", 1, &now),
        ("c", 200, &now),
    ] {
        let rules = next.rules_for(outbound, seq);
        assert_eq!(rules.text, text.text, "{outbound} {seq}");
    }
    assert_eq!(retired(&next), BTreeMap::new());
}

/// Numbers that look random and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % most
    }
}

/// Whatever is applied: the rules by which a lane takes an event that it may still wait for never change, unless the lane
/// goes through the past by rules of later.
#[test]
fn the_rules_of_an_event_never_change() {
    for seed in 0..16 {
        let mut chance = Chance(seed);
        let all = lanes("abcd");
        let (mut newest, mut needed_from) = (0, 1);
        let mut before: Option<Stored> = None;
        let mut known: HashMap<(&str, u64), String> = HashMap::new();
        for edit in 0..120 {
            let outbounds: String = "abcd".chars().filter(|_| chance.below(3) > 0).collect();
            let now = rules(
                if outbounds.is_empty() {
                    "a"
                } else {
                    &outbounds
                },
                edit,
            );
            let names = ["a", "b", "c", "d"];
            let is_here = |name: &&str| now.set.outbound(name).is_some();
            let here = names.into_iter().filter(is_here);
            let backfilled: Vec<&str> = here.filter(|_| chance.below(8) == 0).collect();
            let step = Step {
                rules: &now,
                now: at(),
                needed_from,
                backfilled: backfilled.clone(),
                lanes: &all,
            };
            let next = step.next(before.as_ref()).placed(newest);
            known.retain(|(name, seq), _| *seq >= needed_from && !backfilled.contains(name));
            for ((name, seq), text) in &known {
                let found = &next.rules_for(name, *seq).text;
                assert_eq!(found, text, "seed {seed}, edit {edit}: {name} {seq}");
            }
            for name in backfilled {
                for seq in needed_from..=newest {
                    let text = next.rules_for(name, seq).text.clone();
                    assert_eq!(text, now.text, "seed {seed}, edit {edit}: {name} {seq}");
                    known.insert((name, seq), text);
                }
            }
            // What is kept from now on goes by the active rules, in every lane.
            let came = chance.below(4);
            for seq in newest + 1..=newest + came {
                for name in names {
                    let text = next.rules_for(name, seq).text.clone();
                    assert_eq!(text, now.text, "seed {seed}, edit {edit}: {name} {seq}");
                    known.insert((name, seq), text);
                }
            }
            newest += came;
            // The slowest lane is often far behind, by more versions than are kept for questions.
            if chance.below(20) == 0 {
                needed_from = needed_from.max(newest.saturating_sub(chance.below(120)));
            }
            before = Some(Stored::from(next));
        }
    }
}
