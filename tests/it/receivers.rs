//! Receivers that others' tools make of the event's schema read what the gateway sends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use faceway_testkit::broker::mosquitto::{Mosquitto, Options, Subscriber};
use faceway_testkit::receiver::Receiver;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::docs::{blocks, pages};
use crate::harness::{Device, FACEWAY, Gateway, PATIENCE, Site, text};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What stands for every secret of a cookbook's site.
const SECRET: &str = "invented";
/// A guest of honour by a watch list, which the simulated platform has not.
const GUEST: &str = include_str!("../../adapters/findface/fixtures/multi-face-verbose/in.json");

/// The programs that receivers are made with, at the versions that `tests/it/receivers` names.
fn tools() -> PathBuf {
    let tools = Path::new(ROOT).join("target/receivers");
    assert!(
        tools.join("installed").exists(),
        "target/receivers is not there, or not whole: the programs that make receivers are missing. Run \
         tests/it/receivers/install (./run-tests does it); it needs the Debian packages nodejs, npm and python3-venv, and \
         fetches what package-lock.json and requirements.txt beside it name"
    );
    tools
}

/// Runs a receiver with events as lines of JSON, and gives what it says.
async fn receive(program: &Path, arguments: &[&Path], events: &[String]) -> Result<(), String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let mut stdin = child.stdin.take().unwrap();
    let lines = events.join("\n");
    let (written, output) = tokio::join!(
        async move { stdin.write_all(lines.as_bytes()).await },
        tokio::time::timeout(2 * PATIENCE, child.wait_with_output()),
    );
    let output = output.expect("it ends").unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if written.is_err() || !output.status.success() {
        return Err(out + &err);
    }
    match out.trim() == format!("read {}", events.len()) {
        true => Ok(()),
        false => Err(format!("of {} it {out}{err}", events.len())),
    }
}

/// What `faceway schema event` prints, made into receivers in two languages, each of which must read all of the events.
async fn all_read(events: &[String]) {
    let tools = tools();
    let dir = tempfile::tempdir().unwrap();
    let schema = dir.path().join("event.json");
    let printed = Command::new(FACEWAY)
        .args(["schema", "event"])
        .output()
        .await;
    std::fs::write(&schema, printed.unwrap().stdout).unwrap();
    let ours = Path::new(ROOT).join("tests/it/receivers");
    let script = ours.join("receive.mjs");
    let arguments = [script.as_path(), &tools, &schema, dir.path()];
    let typescript = receive(Path::new("node"), &arguments, events).await;
    let script = ours.join("receive.py");
    let arguments = [script.as_path(), &schema, dir.path()];
    let python = receive(&tools.join("python/bin/python"), &arguments, events).await;
    for read in [typescript, python] {
        read.unwrap_or_else(|problems| panic!("{problems}"));
    }
}

/// A section of the cookbook, with its destinations on this machine.
struct Recipe {
    routes: String,
    templates: Vec<(String, String)>,
    /// Adapter and name.
    inbounds: Vec<(String, String)>,
    /// Name, and whether it is a webhook.
    outbounds: Vec<(String, bool)>,
    secrets: Vec<String>,
}

impl Recipe {
    fn of(block: &str, templates: &[(String, String)], webhooks: &str, broker: &str) -> Self {
        let mut recipe = Self {
            routes: String::new(),
            templates: templates.to_vec(),
            inbounds: Vec::new(),
            outbounds: Vec::new(),
            secrets: Vec::new(),
        };
        for line in block.lines() {
            let table: Vec<_> = line.trim_matches(['[', ']']).split('.').collect();
            match table.as_slice() {
                ["inbound", adapter, name] => {
                    recipe.inbounds.push(((*adapter).into(), (*name).into()));
                }
                ["outbound", protocol, name] => {
                    let webhook = *protocol == "webhook";
                    recipe.outbounds.push(((*name).into(), webhook));
                }
                _ => {}
            }
            let secrets = line.split("env = \"").skip(1);
            let secrets = secrets.filter_map(|rest| rest.split('"').next());
            recipe.secrets.extend(secrets.map(str::to_owned));
            recipe.routes += &match line.strip_prefix("url = \"") {
                Some(url) if url.starts_with("https://") => {
                    let name = &recipe.outbounds.last().unwrap().0;
                    format!("url = \"{webhooks}?{name}\"")
                }
                Some(_) => format!("url = \"mqtt://{broker}\""),
                None => line.to_owned(),
            };
            recipe.routes.push('\n');
        }
        recipe
    }

    fn site(&self) -> Site {
        let site = self.secrets.iter().fold(
            Site::new(&self.routes).set("FACEWAY_LISTEN__PUBLIC_URL", "http://10.1.0.5:8080"),
            |site, name| site.set(name, SECRET),
        );
        for (name, template) in &self.templates {
            std::fs::write(site.path().join(name), template).unwrap();
        }
        site
    }
}

/// Plays a vendor against an inbound.
async fn simulate(gateway: &Gateway, adapter: &str, inbound: &str) {
    let to = format!("http://{}/in/{inbound}?token={SECRET}", gateway.devices);
    let more = match adapter {
        "findface" => &["--verbose", "--images", "2000"][..],
        "nebula" => &["--images", "2000"],
        _ => &[],
    };
    let mut command = Command::new(FACEWAY);
    command
        .args(["simulate", adapter, "--to", &to])
        .args(["--count", "160", "--rate", "4000", "--seed", "11"])
        .args(more)
        .env_clear()
        .kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = ended.expect("it ends").unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    if adapter == "findface" {
        let guest = GUEST.replace("Keyholders", "VIP");
        let path = format!("/in/{inbound}?token={SECRET}");
        let mut platform = Device::connect(gateway.devices).await;
        let answer = platform.send("POST", &path, &[], guest.as_bytes()).await;
        assert_eq!(answer.unwrap().status, 200);
    }
}

/// What each outbound of the cookbook sends, by its name.
async fn cooked() -> BTreeMap<String, Vec<String>> {
    let mosquitto = Mosquitto::start(Options::default()).await;
    let receiver = Receiver::start().await;
    let subscriber = Subscriber::start(&mosquitto, 1).await;
    let broker = mosquitto.open_address().to_string();
    let pages = pages();
    let (_, page) = pages
        .iter()
        .find(|(path, _)| path.ends_with("docs/cookbook.md"))
        .unwrap();
    let blocks = blocks(page);
    let templates = blocks.iter().filter_map(|(words, block)| {
        Some((words.strip_prefix("jinja ")?.to_owned(), block.clone()))
    });
    let templates: Vec<_> = templates.collect();
    let mut sent = BTreeMap::new();
    for (_, block) in blocks.iter().filter(|(words, _)| *words == "toml routes") {
        let recipe = Recipe::of(block, &templates, &receiver.url(), &broker);
        let gateway = recipe.site().start().await;
        for (adapter, inbound) in &recipe.inbounds {
            simulate(&gateway, adapter, inbound).await;
        }
        for (name, webhook) in &recipe.outbounds {
            gateway.delivered_all(name).await;
            subscriber.catch_up().await;
            let bodies: Vec<_> = match webhook {
                true => {
                    let all = receiver.received().into_iter();
                    let own = all.filter(|one| one.target.ends_with(&format!("?{name}")));
                    own.map(|one| text(&one.body)).collect()
                }
                // Beside events there are a status, and what Home Assistant is told of entities.
                false => {
                    let all = subscriber.got().into_iter().map(|got| got.payload);
                    all.filter(|payload| payload.contains("\"faceway.event/1\""))
                        .collect()
                }
            };
            sent.insert(name.clone(), bodies);
        }
        subscriber.forget();
        assert!(gateway.stop().await.success());
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_made_from_the_schema_read_what_the_cookbook_sends() {
    tools();
    let mut sent = cooked().await;
    let outbounds: Vec<_> = sent.keys().map(String::as_str).collect();
    assert_eq!(outbounds, ["bus", "home", "payroll", "phone", "screen"]);
    for (name, bodies) in &sent {
        assert!(!bodies.is_empty(), "nothing left by `{name}`");
    }
    // A service for telephones takes text, by the cookbook's template.
    let phone = sent.remove("phone").unwrap();
    assert!(phone.iter().all(|text| text.contains(" at ")), "{phone:?}");
    let events: Vec<_> = sent.into_values().flatten().collect();
    all_read(&events).await;
}

/// The events of every golden case: all adapters, all kinds, everything that a vendor can say.
#[tokio::test]
async fn receivers_made_from_the_schema_read_the_events_of_every_vendor() {
    let mut events = Vec::new();
    let adapters = std::fs::read_dir(Path::new(ROOT).join("adapters")).unwrap();
    for adapter in adapters {
        let cases = std::fs::read_dir(adapter.unwrap().path().join("fixtures"));
        for case in cases.into_iter().flatten() {
            let out = std::fs::read(case.unwrap().path().join("out.json")).unwrap();
            let out: Value = serde_json::from_slice(&out).unwrap();
            let readings = out.as_array().into_iter().flatten();
            let read = readings.filter(|reading| reading.get("schema").is_some());
            events.extend(read.map(Value::to_string));
        }
    }
    for kind in faceway_core::Kind::ALL {
        let word = format!("\"kind\":\"{}\"", kind.as_str());
        assert!(events.iter().any(|event| event.contains(&word)), "{word}");
    }
    all_read(&events).await;
}

/// What makes receivers today makes the same ones tomorrow, and from whichever registry a machine uses.
#[test]
fn what_receivers_are_made_with_is_pinned() {
    let read = |file: &str| {
        let path = Path::new(ROOT).join("tests/it/receivers").join(file);
        std::fs::read_to_string(path).unwrap()
    };
    let is_version = |text: &str| {
        text.chars()
            .all(|char| char.is_ascii_digit() || char == '.')
    };
    let wanted: Value = serde_json::from_str(&read("package.json")).unwrap();
    for (name, version) in wanted["dependencies"].as_object().unwrap() {
        assert!(is_version(version.as_str().unwrap()), "{name} {version}");
    }
    let lock: Value = serde_json::from_str(&read("package-lock.json")).unwrap();
    let packages = lock["packages"].as_object().unwrap();
    assert!(packages.len() > 20);
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(package["integrity"].is_string(), "{name} has no digest");
        assert!(
            package.get("resolved").is_none(),
            "{name} names a registry: npm install --package-lock-only in tests/it/receivers leaves it out"
        );
    }
    let requirements = read("requirements.txt");
    let lines = requirements.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let (_, version) = line.split_once("==").expect(line);
        assert!(is_version(version), "{line}");
    }
}
