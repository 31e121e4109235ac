//! The bill of what the gateway is built of, from this repository.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

fn bill() -> (Vec<u8>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_faceway-sbom"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let bill = serde_json::from_slice(&output.stdout).unwrap();
    (output.stdout, bill)
}

fn texts(values: &Value) -> Vec<&str> {
    let values = values.as_array().unwrap().iter();
    values.map(|value| value.as_str().unwrap()).collect()
}

#[test]
fn everything_in_the_binary_is_on_the_bill() {
    let (bytes, bill) = bill();
    assert_eq!(bill["specVersion"], "1.6");
    assert_eq!(bill["metadata"]["component"]["name"], "faceway");
    let components = bill["components"].as_array().unwrap();
    let scope = |name: &str| {
        let one = components.iter().find(|one| one["name"] == name);
        one.map(|one| one["scope"].as_str().unwrap())
    };
    for linked in [
        "tokio",
        "rustls",
        "ring",
        "libsqlite3-sys",
        "sqlite",
        "faceway-core",
        "lapin",
    ] {
        assert_eq!(scope(linked), Some("required"), "{linked}");
    }
    for builds in ["serde_derive", "syn", "cc"] {
        assert_eq!(scope(builds), Some("excluded"), "{builds}");
    }
    // Of tests, of other systems, and of features that nobody asks for.
    for absent in [
        "proptest",
        "jsonschema",
        "faceway-testkit",
        "windows-sys",
        "time",
        "hickory-proto",
    ] {
        assert_eq!(scope(absent), None, "{absent}");
    }

    for one in components {
        assert!(!texts_of_licences(one).is_empty(), "{one}");
        let ours = one["name"].as_str().unwrap().starts_with("faceway");
        assert_eq!(one["purl"].is_null(), ours, "{one}");
        let hash = one["hashes"][0]["content"].as_str().unwrap_or_default();
        let foreign_c = one["name"] == "sqlite";
        assert_eq!(hash.len(), if ours || foreign_c { 0 } else { 64 }, "{one}");
    }

    let (again, _) = self::bill();
    assert_eq!(bytes, again, "the same sources give the same bytes");
}

fn texts_of_licences(component: &Value) -> Vec<&str> {
    let licences = component["licenses"].as_array().unwrap().iter();
    let texts: Vec<_> = licences
        .filter_map(|one| one["expression"].as_str())
        .collect();
    assert!(texts.iter().all(|text| !text.contains('/')), "{texts:?}");
    texts
}

#[test]
fn every_edge_leads_to_something_on_the_bill() {
    let (_, bill) = bill();
    let components = bill["components"].as_array().unwrap().iter();
    let there = components.chain([&bill["metadata"]["component"]]);
    let there: Vec<_> = there.map(|one| one["bom-ref"].as_str().unwrap()).collect();
    let unique: BTreeSet<_> = there.iter().copied().collect();
    assert_eq!(
        unique.len(),
        there.len(),
        "every reference is one component's"
    );
    let edges = bill["dependencies"].as_array().unwrap();
    assert_eq!(edges.len(), there.len());
    let mut reached = BTreeSet::from([concat!("pkg:cargo/faceway@", env!("CARGO_PKG_VERSION"))]);
    for edge in edges {
        assert!(unique.contains(edge["ref"].as_str().unwrap()), "{edge}");
        if !edge["dependsOn"].is_null() {
            reached.extend(texts(&edge["dependsOn"]));
        }
    }
    let odd: Vec<_> = reached.symmetric_difference(&unique).collect();
    assert!(
        odd.is_empty(),
        "nothing leads to it, or it is not on the bill: {odd:?}"
    );
}
