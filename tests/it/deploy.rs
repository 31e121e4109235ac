//! What is shipped beside the binary fits it. Whether it runs, `deploy/check-stack` and `deploy/check-deb` try.

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
    let site = Site::new("");
    for dir in ["deploy/config", "deploy/debian"] {
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
    let list = list.split("];").next().unwrap();
    let files: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    assert!(files.len() > 20, "the test looks at the wrong place");
    for file in files {
        assert!(shipped(file).exists(), "{file}");
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
