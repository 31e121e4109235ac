//! The documents: what they show works, what they point to is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{Device, FACEWAY, PATIENCE, Site, routes_to, text};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// README and everything in docs/, by name.
pub(crate) fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = vec![Path::new(ROOT).join("README.md")];
    for entry in std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    };
    pages.into_iter().map(read).collect()
}

/// The blocks of a page between fences: the words behind the fence, and what stands between.
pub(crate) fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(words) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((words.trim(), block.join("\n") + "\n"));
        }
    }
    blocks
}

/// A block that is marked ```` ```toml routes ```` is a whole routes.toml, tests included; ```` ```jinja NAME ```` is a
/// template beside those of its page.
#[test]
fn what_is_marked_as_routes_passes_the_check() {
    let mut checked = 0;
    for (path, page) in pages() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = blocks(&page);
        for (words, block) in &blocks {
            if let Some(name) = words.strip_prefix("jinja ") {
                std::fs::write(dir.path().join(name), block).unwrap();
            }
        }
        for (_, block) in blocks.iter().filter(|(words, _)| *words == "toml routes") {
            std::fs::write(dir.path().join("routes.toml"), block).unwrap();
            let mut command = Command::new(FACEWAY);
            // Terminals are told how to reach the gateway, which the other file says.
            command
                .arg("check")
                .env_clear()
                .env("FACEWAY_LISTEN__PUBLIC_URL", "http://10.1.0.5:8080")
                .current_dir(dir.path());
            let output = command.output().unwrap();
            let told = text(&output.stdout) + &text(&output.stderr);
            assert!(
                output.status.success(),
                "{}: {told}\n{block}",
                path.display()
            );
            assert!(
                !told.contains("warning"),
                "{}: {told}\n{block}",
                path.display()
            );
            checked += 1;
        }
    }
    assert!(
        checked >= 6,
        "only {checked} blocks are marked ```toml routes"
    );
}

/// A newcomer sees within a minute how to start it and that it works. What else there is to say has its page in docs/.
#[test]
fn the_readme_is_one_page() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(
        lines <= 150,
        "README.md has {lines} lines: move what a newcomer does not need into docs/"
    );
}

/// Exactly the README's commands and files, but for addresses: a terminal is heard, and its event reaches the receiver.
#[tokio::test]
async fn the_readme_leads_from_a_terminal_to_a_receiver() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let blocks = blocks(&readme);
    let block = |words: &str, part: &str| {
        let mut found = blocks
            .iter()
            .filter(|(is, block)| *is == words && block.contains(part));
        let (_, block) = found
            .next()
            .unwrap_or_else(|| panic!("the README has no block with {part}"));
        block.clone()
    };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let receiver = free.local_addr().unwrap();
    drop(free);
    let port = |text: String| text.replace("9000", &receiver.port().to_string());
    // Brokers that are not there.
    let outbounds = port(block("toml", "[outbound.webhook.erp]"))
        .replace("mqtt://127.0.0.1\"", "mqtt://127.0.0.1:1\"")
        .replace("amqp://127.0.0.1/", "amqp://127.0.0.1:1/");
    let routes = std::fs::read_to_string(Path::new(ROOT).join("routes.toml")).unwrap();
    for line in block("toml", "[inbound.nebula.lobby]").lines() {
        assert!(routes.contains(line), "routes.toml has no {line:?}");
    }
    let site = Site::new(&(routes + &outbounds));
    // A start runs no tests of the rules, and a reload refuses a file in which one fails.
    let checked = site.run(&["check"]).await;
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let gateway = site.start().await;
    let mut receiver = tokio::process::Command::new("sh")
        .args(["-c", &format!("exec {}", port(block("sh", "http.server")))])
        .env("PYTHONUNBUFFERED", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let devices = gateway.devices.to_string();
    let curl = block("sh", "curl -i").replace("127.0.0.1:8080", &devices);
    let answer = tokio::process::Command::new("sh")
        .args(["-c", &curl])
        .output();
    let answer = text(&answer.await.unwrap().stdout);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let told = answer.lines().last().unwrap_or_default();
    assert!(
        readme.contains(&format!("`{told}`")),
        "the README shows another answer than {told}"
    );
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines();
    let got = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    let got = got
        .expect("the receiver prints the event")
        .unwrap()
        .unwrap();
    let event: serde_json::Value = serde_json::from_str(&got).unwrap();
    let id = event["id"].as_str().unwrap();
    assert!(readme.contains(id), "the README shows another id than {id}");
    let shown = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while !gateway.output().contains(id) {
            ticks.tick().await;
        }
    };
    let shown = tokio::time::timeout(PATIENCE, shown).await;
    shown.expect("the first shell prints the event");
    for outbound in ["bus", "queue"] {
        let waiting = format!("faceway_lane_state{{outbound=\"{outbound}\",state=\"waiting\"}}");
        gateway.wait_for_metric(&waiting, |is| is == 1.0).await;
    }
    receiver.kill().await.unwrap();
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for (path, page) in pages() {
        for rest in page.split("](").skip(1) {
            let link = rest.split([')', ' ']).next().unwrap_or_default();
            let file = link.split('#').next().unwrap_or_default();
            if !link.contains("://") && !file.is_empty() && !path.with_file_name(file).exists() {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The gateway serves them, without a token, as they hold nothing of a site; and all that they link to among themselves.
#[tokio::test]
async fn the_gateway_serves_its_documents() {
    let site = Site::new(&routes_to("http://127.0.0.1:1/", ""))
        .set("FACEWAY_LISTEN__ADMIN_TOKEN", "{ env = \"TOKEN\" }")
        .set("TOKEN", "T0ken-of-the-admin");
    let gateway = site.start().await;
    assert_eq!(gateway.get("/api/v1/lanes").await.0, 401);
    let mut found = vec!["/docs".to_owned()];
    let mut at = 0;
    while let Some(url) = found.get(at).cloned() {
        let (status, body) = gateway.get(&url).await;
        assert_eq!(status, 200, "{url}");
        for rest in body.split("href=\"/docs").skip(1) {
            let link = rest.split(['"', '#']).next().unwrap();
            let link = format!("/docs{link}");
            if !found.contains(&link) {
                found.push(link);
            }
        }
        at += 1;
    }
    for (path, _) in pages() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let url = format!("/docs/{name}");
        assert!(
            name == "README" || found.contains(&url),
            "{url} of {found:?}"
        );
    }
    assert_eq!(gateway.get("/docs/operating.md").await.0, 200);
    assert_eq!(gateway.get("/docs/nowhere").await.0, 404);
    let (_, console) = gateway.get("/").await;
    assert!(console.contains("href=\"/docs\""));
}

/// Without a token no page of another site may read them through a browser on this machine, as with all else there.
#[tokio::test]
async fn documents_are_not_for_other_names_than_localhost() {
    let gateway = Site::new(&routes_to("http://127.0.0.1:1/", ""))
        .start()
        .await;
    let mut browser = Device::connect(gateway.admin).await;
    let request = b"GET /docs HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    browser.write(request).await.unwrap();
    assert_eq!(browser.answer().await.unwrap().status, 403);
}

/// Each alert points to its section; a section without its alert is of no use.
#[test]
fn every_alert_has_a_section_that_says_what_to_do() {
    // The rules may not be there yet.
    let rules = Path::new(ROOT).join("deploy/prometheus/faceway.rules.yml");
    let Ok(rules) = std::fs::read_to_string(rules) else {
        return;
    };
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/operating.md")).unwrap();
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let sections: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### Alert "))
        .collect();
    assert!(!alerts.is_empty());
    for alert in &alerts {
        // The heading's anchor is what `runbook_url` points to: alert-<name in small letters>.
        assert!(
            sections.contains(alert),
            "docs/operating.md has no `### Alert {alert}`"
        );
    }
    for section in sections {
        assert!(alerts.contains(&section), "there is no alert {section}");
    }
}

/// A metric that is explained nowhere is of no use either.
#[test]
fn every_metric_is_explained() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/operating.md")).unwrap();
    let source = ["src/observe.rs", "src/observe/process.rs"]
        .map(|file| std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap())
        .concat();
    let names: Vec<_> = source
        .split('"')
        .filter(|word| word.starts_with("faceway_") || word.starts_with("process_"))
        .filter(|word| !word.contains(' '))
        .collect();
    assert!(names.len() > 30);
    for name in names {
        assert!(
            page.contains(name),
            "docs/operating.md does not explain {name}"
        );
    }
}
