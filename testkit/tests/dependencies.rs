//! Everything that is built in keeps to `deny.toml`: licences, sources, banned crates, and no crate twice without a reason.
//! It is what `cargo deny check licenses bans sources` says, for everyone who has no cargo-deny.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// One crate of the build.
struct Dependency {
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for our own.
    source: Option<String>,
}

#[test]
fn every_licence_is_allowed() {
    let allowed = texts(&rules()["licenses"]["allow"]);
    for one in foreign() {
        let expression = one.license.as_deref().unwrap_or_default();
        let (name, version) = (&one.name, &one.version);
        assert!(
            is_allowed(expression, &allowed),
            "{name} {version} has the licence {expression:?}, which deny.toml does not allow: take another crate"
        );
    }
}

#[test]
fn everything_comes_from_the_one_registry() {
    let mut sources = BTreeSet::new();
    for one in foreign() {
        let (name, version, source) = (one.name, one.version, one.source.unwrap_or_default());
        assert!(
            source.starts_with("registry+"),
            "{name} {version} comes from {source}: publish it or do without it"
        );
        sources.insert(source);
    }
    assert_eq!(
        sources.len(),
        1,
        "crates come from several registries: {sources:?}"
    );
}

#[test]
fn nothing_banned_is_built_in() {
    let rules = rules();
    let banned = rules["bans"]["deny"].as_array().expect("a list");
    let names: BTreeSet<_> = foreign().into_iter().map(|one| one.name).collect();
    for ban in banned {
        let (name, reason) = (ban["crate"].as_str().expect("a name"), &ban["reason"]);
        assert!(
            !names.contains(name),
            "{name} is built in, but deny.toml bans it: {reason}"
        );
    }
}

#[test]
fn no_crate_is_there_twice_without_a_reason() {
    let skipped = skipped();
    let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
    for one in foreign() {
        let is_skipped = skipped
            .iter()
            .any(|(name, version)| *name == one.name && is_of(&one.version, version));
        if !is_skipped {
            versions.entry(one.name).or_default().insert(one.version);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(
        versions.is_empty(),
        "built in twice: {versions:?}; bring them together, or write the older one into `skip` of deny.toml with a reason"
    );
}

#[test]
fn no_reason_outlives_its_crate() {
    let text = std::fs::read_to_string(root().join("Cargo.lock")).expect("a lock");
    let lock: toml::Table = text.parse().expect("Cargo.lock is TOML");
    let locked: Vec<_> = lock["package"]
        .as_array()
        .expect("packages")
        .iter()
        .filter_map(|one| Some((one["name"].as_str()?, one["version"].as_str()?)))
        .collect();
    for (name, version) in skipped() {
        let versions: Vec<_> = locked.iter().filter(|one| one.0 == name).collect();
        let is_there = versions.iter().any(|one| is_of(one.1, &version));
        assert!(
            is_there && versions.len() > 1,
            "{name}@{version} stands in `skip` of deny.toml, but there is {versions:?}: drop the line"
        );
    }
}

/// What may be there twice: name and version.
fn skipped() -> Vec<(String, String)> {
    let rules = rules();
    let skips = rules["bans"]["skip"].as_array().expect("a list").iter();
    skips
        .filter_map(|skip| skip["crate"].as_str()?.split_once('@'))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

/// Whether `version` begins with the numbers of `wanted`.
fn is_of(version: &str, wanted: &str) -> bool {
    let rest = version.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn rules() -> toml::Table {
    let path = root().join("deny.toml");
    let text = std::fs::read_to_string(path).expect("deny.toml is there");
    text.parse().expect("deny.toml is TOML")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("testkit has a parent")
}

fn texts(list: &toml::Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter()
        .filter_map(|text| Some(text.as_str()?.to_owned()))
        .collect()
}

/// What is built on this machine and is not ours, by Cargo's own word.
fn foreign() -> Vec<Dependency> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .expect("a resolution");
    let built: BTreeSet<_> = nodes
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let dependencies = packages
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| built.contains(id)))
        .map(|package| Dependency {
            name: text(&package["name"]).expect("a name"),
            version: text(&package["version"]).expect("a version"),
            license: text(&package["license"]),
            source: text(&package["source"]),
        });
    let foreign: Vec<_> = dependencies.filter(|one| one.source.is_some()).collect();
    assert!(
        foreign.len() > 50,
        "only {} dependencies were found",
        foreign.len()
    );
    foreign
}

fn metadata() -> Value {
    let version = output(Command::new("rustc").arg("-vV"));
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root());
    cargo.args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
    ]);
    let text = output(cargo.arg(host.expect("rustc names its host")));
    serde_json::from_str(&text).expect("JSON")
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the toolchain is there");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// Whether an SPDX expression can be fulfilled with allowed licences. An old `/` means `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    any_of(&mut words, allowed) && words.is_empty()
}

fn any_of(words: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut fulfilled = all_of(words, allowed);
    while words.last() == Some(&"OR") {
        words.pop();
        fulfilled |= all_of(words, allowed);
    }
    fulfilled
}

fn all_of(words: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut fulfilled = one(words, allowed);
    while words.last() == Some(&"AND") {
        words.pop();
        fulfilled &= one(words, allowed);
    }
    fulfilled
}

fn one(words: &mut Vec<&str>, allowed: &[String]) -> bool {
    match words.pop() {
        Some("(") => any_of(words, allowed) && words.pop() == Some(")"),
        Some(licence) if words.last() == Some(&"WITH") => {
            words.pop();
            let exception = words.pop().unwrap_or_default();
            allowed.contains(&format!("{licence} WITH {exception}"))
        }
        Some(licence) => allowed.iter().any(|allowed| allowed == licence),
        None => false,
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = [
        "MIT".to_owned(),
        "ISC".into(),
        "Apache-2.0 WITH LLVM-exception".into(),
    ];
    for fine in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-3.0",
        "MIT AND ISC",
        "(GPL-3.0 OR ISC) AND MIT",
    ] {
        assert!(is_allowed(fine, &allowed), "{fine}");
    }
    assert!(is_allowed(
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        &allowed
    ));
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND GPL-3.0",
        "MIT WITH X",
        "MIT ISC",
    ] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
