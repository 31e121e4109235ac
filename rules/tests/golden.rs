//! Files with mistakes and what is said of them. `FACEWAY_BLESS=1` writes what is said now; then read it by eye.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::parse;
use faceway_rules::Routes;

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn check(folder: &str, said: impl Fn(&str, Result<Routes, faceway_rules::Diagnostics>) -> String) {
    let mut differing = Vec::new();
    for case in cases(folder) {
        let text = fs::read_to_string(&case).unwrap();
        let name = case.file_stem().unwrap().to_str().unwrap();
        let said = said(name, parse(&text));
        let golden = case.with_extension("txt");
        if std::env::var_os("FACEWAY_BLESS").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if said != expected {
            differing.push(format!(
                "{name}\n--- expected\n{expected}\n--- said\n{said}"
            ));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}

#[test]
fn mistakes_are_told() {
    check("bad", |name, result| {
        let Err(errors) = result else {
            panic!("{name} was accepted");
        };
        errors.to_string()
    });
}

#[test]
fn good_files_are_accepted_with_their_warnings() {
    check("good", |name, result| {
        let routes = result.unwrap_or_else(|errors| panic!("{name}: {errors}"));
        let failures = routes.run_tests();
        assert!(failures.is_empty(), "{name}: {}", failures[0]);
        routes.warnings.to_string()
    });
}

#[test]
fn failing_tests_say_why() {
    check("failing", |name, result| {
        let routes = result.unwrap_or_else(|errors| panic!("{name}: {errors}"));
        let failures = routes.run_tests();
        let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
        texts.join("\n")
    });
}

/// The promise of the issue: a file with five different mistakes reports all five with right positions.
#[test]
fn five_mistakes_five_positions() {
    let text = include_str!("bad/five_mistakes.toml");
    let errors = parse(text).unwrap_err();
    let found: Vec<_> = errors
        .iter()
        .map(|error| (error.line, error.column))
        .collect();
    let marked: Vec<_> = text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let column = line.split_once("# column ")?.1;
            Some((index + 1, column.trim().parse().unwrap()))
        })
        .collect();
    assert_eq!(marked.len(), 5);
    assert_eq!(found, marked);
}

#[test]
fn no_written_secret_is_shown() {
    for case in cases("bad") {
        let text = fs::read_to_string(&case).unwrap();
        let errors = parse(&text).unwrap_err();
        let shown = format!(
            "{errors} {errors:?} {}",
            serde_json::to_string(&errors).unwrap()
        );
        assert!(!shown.contains("hunter2"), "{}: {shown}", case.display());
    }
}

#[test]
fn findings_are_json_for_the_api() {
    let errors = parse("[outbound.stdout.s]\ncolour = 1\n").unwrap_err();
    let json = serde_json::to_value(&errors).unwrap();
    let first = &json[0];
    assert_eq!(first["file"], "routes.toml");
    assert_eq!(
        (first["line"].as_u64(), first["column"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(first["length"], 6);
    assert_eq!(first["severity"], "error");
    assert_eq!(first["source"], "colour = 1");
    assert!(first["message"].as_str().unwrap().contains("`colour`"));
}
