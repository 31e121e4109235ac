//! What is shipped beside the binary fits it. Whether it runs, `deploy/check-stack` and `deploy/check-deb` try.

mod cluster;

use std::path::{Path, PathBuf};

use crate::harness::Site;

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).unwrap()
}

#[tokio::test]
async fn shipped_configurations_pass_the_check() {
    let site = Site::new("").unset("FACEWAY_SPOOL__FREE_MIN");
    for dir in [
        "deploy/config",
        "deploy/debian",
        "deploy/cluster",
        "deploy/kubernetes/config",
    ] {
        let file = |name: &str| shipped(dir).join(name).display().to_string();
        let (routes, gateway) = (file("routes.toml"), file("gateway.toml"));
        let output = site
            .run(&["check", "--routes", &routes, "--gateway", &gateway])
            .await;
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{dir}: {talk}");
    }
}

#[test]
fn the_image_is_built_with_the_same_rust() {
    let toolchain = text_of("rust-toolchain.toml");
    let channel = toolchain.lines().find(|line| line.starts_with("channel"));
    let version = channel.unwrap().split('"').nth(1).unwrap();
    assert!(
        text_of("Dockerfile").contains(&format!("ARG RUST={version}\n")),
        "write {version} in Dockerfile"
    );
}

/// The documents are built in, so the image cannot be built without them.
#[test]
fn the_image_s_context_has_what_is_built_in() {
    let ignored = text_of(".dockerignore");
    let source = text_of("src/admin/docs.rs");
    let list = source.split("documents![").nth(1).unwrap();
    let list = list.split(']').next().unwrap();
    let files: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    assert!(files.len() > 10, "the test looks at the wrong place");
    for file in files {
        assert!(shipped(file).exists(), "{file}");
        let room = file.split('/').next().unwrap();
        let kept = ignored.lines().filter_map(|line| line.strip_prefix('!'));
        let mut kept = kept.filter(|kept| file == *kept || file.starts_with(&format!("{kept}/")));
        let partly = ignored.lines().any(|line| line == format!("{room}/*"));
        assert!(
            !partly || kept.next().is_some(),
            "write `!{file}` into .dockerignore"
        );
        for line in ignored.lines().filter(|line| !line.starts_with('#')) {
            let ending = line.strip_prefix('*');
            let whole = file == line || file.starts_with(&format!("{line}/"));
            assert!(
                !whole && ending.is_none_or(|ending| !file.ends_with(ending)),
                ".dockerignore keeps {file} out of the image's build by `{line}`"
            );
        }
    }
}

/// Two periods of grace of ten seconds each, and a bit: who kills earlier makes deliveries happen twice.
#[test]
fn whoever_stops_the_gateway_waits_for_its_grace() {
    assert!(text_of("deploy/systemd/faceway.service").contains("\nTimeoutStopSec=30s\n"));
    assert!(text_of("docker-compose.yml").contains("\n    stop_grace_period: 30s\n"));
}

#[test]
fn every_secret_of_the_stack_is_in_the_example() {
    let (compose, example) = (text_of("docker-compose.yml"), text_of("deploy/example.env"));
    let mut found = 0;
    for part in compose.split("${").skip(1) {
        let name = part.split([':', '}']).next().unwrap();
        let there = example
            .lines()
            .any(|line| line.starts_with(&format!("{name}=")));
        assert!(there, "write {name} into deploy/example.env");
        found += 1;
    }
    assert!(found > 5, "the test looks at the wrong place");
}

/// A label of the image, with the defaults of its arguments put in.
fn label(name: &str) -> String {
    let dockerfile = text_of("Dockerfile");
    let line = format!("org.opencontainers.image.{name}=\"");
    let value = dockerfile.split(&line).nth(1).expect(name);
    let value = value.split('"').next().unwrap();
    match value.strip_prefix('$') {
        Some(argument) => {
            let line = format!("\nARG {argument}=");
            let default = dockerfile.split(&line).nth(1).expect(argument);
            default.lines().next().unwrap().to_owned()
        }
        None => value.to_owned(),
    }
}

#[test]
fn the_image_says_what_it_is() {
    assert_eq!(label("title"), "Faceway");
    assert_eq!(label("description"), env!("CARGO_PKG_DESCRIPTION"));
    assert_eq!(label("licenses"), "Apache-2.0");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    let base = label("base.name");
    let (_, base) = base.rsplit_once('/').unwrap();
    assert!(text_of("Dockerfile").contains(&format!("\nFROM {base}\n")));
    // Who builds it for others knows them.
    assert_eq!(
        (label("revision"), label("source")),
        (String::new(), String::new())
    );
}

#[test]
fn what_is_shipped_is_built_for_that_and_says_of_what() {
    let manifest: toml::Table = text_of("Cargo.toml").parse().unwrap();
    let dist = &manifest["profile"]["dist"];
    assert_eq!(dist["lto"].as_str(), Some("thin"));
    assert_eq!(dist["strip"].as_bool(), Some(true));
    let (image, package) = (text_of("Dockerfile"), text_of("deploy/build-deb"));
    assert!(image.contains("\nARG PROFILE=dist\n"));
    assert!(package.contains("cargo build --profile dist --locked"));
    assert!(package.contains("cargo deb --profile dist "));
    for script in [&image, &package] {
        assert!(script.contains("-p faceway-sbom >"));
        assert!(script.contains("faceway.cdx.json"));
    }
    let assets = manifest["package"]["metadata"]["deb"]["assets"].to_string();
    assert!(assets.contains("target/package/faceway.cdx.json"));
}

/// Cargo reads every member of the workspace, whatever is built.
#[test]
fn the_build_of_the_image_has_every_crate() {
    let manifest: toml::Table = text_of("Cargo.toml").parse().unwrap();
    let ignored = text_of(".dockerignore");
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        let room = member.split('/').next().unwrap();
        let has = |line: String| ignored.lines().any(|ignored| ignored == line);
        let partly = has(format!("{room}/*")) && !has(format!("!{member}"));
        assert!(
            !has(room.into()) && !partly,
            "write `!{member}` into .dockerignore"
        );
    }
}

/// `deploy/check-home-assistant` runs them; here they keep what makes them right.
#[test]
fn the_automations_of_the_cookbook_ring_for_nobody_after_a_restart() {
    let cookbook = text_of("docs/cookbook.md");
    let blocks = cookbook.split("```yaml home-assistant\n").skip(1);
    let blocks: Vec<_> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    let [device, state] = blocks.as_slice() else {
        panic!("{} automations", blocks.len())
    };
    assert!(device.contains("trigger: device") && device.contains("domain: mqtt"));
    assert!(state.contains("trigger: state") && state.contains("not_from: unavailable"));
}
