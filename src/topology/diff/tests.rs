//! Tables: two files, and what changes between them.

use std::collections::HashSet;
use std::path::Path;

use super::{Change, Changes, diff};
use crate::config;
use crate::topology::desired::Desired;

/// Where the secrets are that the tables name.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for name in ["old", "same-as-old"] {
            files.write(name, "let me in");
        }
        files.write("other", "let others in");
        files
    }

    fn write(&self, name: &str, secret: &str) {
        std::fs::write(self.path().join(name), secret).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// One line each: `in NAME [SECRET]`, `out NAME [PORT [SECRET]]`, `route NAME TO`.
    fn desired(&self, lines: &[&str]) -> Desired {
        // As before the first apply; a file without a line is refused.
        if lines.is_empty() {
            return Desired::default();
        }
        let text: String = lines.iter().map(|line| self.toml(line)).collect();
        let name = self.path().join("routes.toml");
        let routes = config::parse_routes(&text, &name.display().to_string());
        Desired::new(routes.unwrap().value).unwrap()
    }

    fn toml(&self, line: &str) -> String {
        let secret = |name: &str| format!("{{ file = {:?} }}", self.path().join(name));
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["in", name] => format!("[inbound.nebula.{name}]\n"),
            ["in", name, token] => {
                format!("[inbound.nebula.{name}]\ntoken = {}\n", secret(token))
            }
            ["out", name] => self.toml(&format!("out {name} 1")),
            ["out", name, port] => {
                format!("[outbound.webhook.{name}]\nurl = \"http://127.0.0.1:{port}\"\n")
            }
            ["out", name, port, sign] => {
                self.toml(&format!("out {name} {port}")) + &format!("sign = [{}]\n", secret(sign))
            }
            ["route", name, to] => format!("[[route]]\nname = \"{name}\"\nto = [\"{to}\"]\n"),
            _ => panic!("{line}"),
        }
    }
}

/// Names, in their order, and what becomes of each.
type Expected = &'static [(&'static str, Change)];
/// Lines of a file.
type Lines = &'static [&'static str];

fn named(changes: &[(String, Change)]) -> Vec<(&str, Change)> {
    let named = changes.iter();
    named
        .map(|(name, change)| (name.as_str(), *change))
        .collect()
}

#[test]
fn outbounds_change_by_their_plan_and_by_what_it_names() {
    use Change::{Added, Changed, Retired, Returns, Same};
    let files = Files::new();
    // Before, retired and still at work, after, changes.
    let table: [(Lines, &[&str], Lines, Expected); 11] = [
        (&[], &[], &["out a"], &[("a", Added)]),
        (&["out a"], &[], &["out a"], &[("a", Same)]),
        (&["out a 1"], &[], &["out a 2"], &[("a", Changed)]),
        (&["out a"], &[], &[], &[("a", Retired)]),
        (&[], &["a"], &["out a"], &[("a", Returns)]),
        // It was retired, but its lane has ended: nothing is at work that it could go on with.
        (&[], &["b"], &["out a"], &[("a", Added)]),
        (&["out a 1 old"], &[], &["out a 1 old"], &[("a", Same)]),
        // A secret that is in another file is another plan, also where it is the same secret.
        (
            &["out a 1 old"],
            &[],
            &["out a 1 same-as-old"],
            &[("a", Changed)],
        ),
        (&["out a 1 old"], &[], &["out a 1 other"], &[("a", Changed)]),
        // A name that changes is one outbound less and one more, although all else is the same.
        (&["out a"], &[], &["out b"], &[("b", Added), ("a", Retired)]),
        (
            &["out a", "out b", "out c"],
            &["d"],
            &["out d", "out c", "out a 2"],
            &[("d", Returns), ("c", Same), ("a", Changed), ("b", Retired)],
        ),
    ];
    for (before, retired, after, changes) in table {
        let retired: HashSet<String> = retired.iter().map(|name| (*name).to_owned()).collect();
        let (old, new) = (files.desired(before), files.desired(after));
        let found = diff(&old, &retired, &new);
        assert_eq!(named(&found.outbounds), changes, "{before:?} -> {after:?}");
        assert_eq!(named(&found.inbounds), []);
    }
}

#[test]
fn inbounds_change_like_outbounds_and_never_return() {
    use Change::{Added, Changed, Retired, Same};
    let files = Files::new();
    let table: [(Lines, Lines, Expected); 5] = [
        (&[], &["in a"], &[("a", Added)]),
        (&["in a"], &["in a"], &[("a", Same)]),
        (&["in a"], &["in a old"], &[("a", Changed)]),
        (&["in a"], &["in b"], &[("b", Added), ("a", Retired)]),
        (
            &["in a", "in b"],
            &["in b", "in c"],
            &[("b", Same), ("c", Added), ("a", Retired)],
        ),
    ];
    let at_work = HashSet::from(["a".to_owned(), "b".to_owned()]);
    for (before, after, changes) in table {
        let (old, new) = (files.desired(before), files.desired(after));
        let found = diff(&old, &at_work, &new);
        assert_eq!(named(&found.inbounds), changes, "{before:?} -> {after:?}");
    }
}

/// The file is the same to the byte; what it names is not.
#[test]
fn a_secret_that_is_renewed_in_its_file_is_a_change() {
    let files = Files::new();
    let lines = ["in hall old", "in gate", "out erp 1 old", "out log"];
    let old = files.desired(&lines);
    files.write("old", "let me in again");
    let found = diff(&old, &HashSet::new(), &files.desired(&lines));
    let changes = |name, other| [(name, Change::Changed), (other, Change::Same)];
    assert_eq!(named(&found.inbounds), changes("hall", "gate"));
    assert_eq!(named(&found.outbounds), changes("erp", "log"));
}

#[test]
fn a_report_has_kinds_and_names_in_the_order_of_the_file() {
    let files = Files::new();
    let old = files.desired(&[
        "in hall",
        "in gate",
        "out erp",
        "out log",
        "out old",
        "route all erp",
        "route some log",
    ]);
    let new = files.desired(&[
        "in gate old",
        "in yard",
        "out back",
        "out erp 2",
        "out log",
        "out new",
        "route all log",
        "route more new",
    ]);
    let retired = HashSet::from(["back".to_owned()]);
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        diff(&old, &retired, &new).report(),
        Changes {
            added: list(&["outbound new", "inbound yard", "route more"]),
            changed: list(&["outbound back", "outbound erp", "inbound gate", "route all"]),
            removed: list(&["outbound old", "inbound hall", "route some"]),
        }
    );
    let nothing = diff(&old, &HashSet::new(), &old);
    assert_eq!(nothing.report(), Changes::default());
}
