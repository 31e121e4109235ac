//! `faceway check`: both files, and the tests in them.

mod absent;
mod privacy;
mod sources;

use clap::Args;
use faceway_rules::{Routes, TestFailure};

use super::files::{GatewayFile, RoutesFile, Stray, settle, settle_together};
use super::words::counted;
use super::{Ended, Failure, Streams};

/// Check both files and run the tests in them.
///
/// Tells every mistake with its place, and which files were read; exit code 0 when there is none, else 2. Certificates
/// and secrets that are on this machine are tried; nothing is bound, dialled or sent.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  faceway check --routes routes.toml --gateway gateway.toml\n  faceway check --privacy\n  faceway check --sources --gateway gateway.toml"
)]
pub(crate) struct Check {
    #[command(flatten)]
    routes: RoutesFile,
    #[command(flatten)]
    gateway: GatewayFile,
    #[command(flatten)]
    stray: Stray,
    /// Print also which personal field reaches which outbound, and where in it
    #[arg(long, group = "listing")]
    privacy: bool,
    /// Print also each value of gateway.toml and where it comes from: the default, a line of the file, an environment
    /// variable
    #[arg(long, group = "listing")]
    sources: bool,
    /// With --privacy or --sources: as JSON, and nothing else
    #[arg(long, requires = "listing")]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        self.stray.refuse("check")?;
        let (config, settings) = self.gateway.load_settings().map_or_else(
            |error| (Err(error), Vec::new()),
            |(loaded, settings)| (Ok(loaded), settings),
        );
        let config = settle(config, streams);
        let routes = settle(self.routes.load(), streams);
        self.gateway.tell_unread(&self.routes, streams);
        if let Ok(routes) = &routes {
            tell_failures(&routes.run_tests(), streams);
        }
        let (config, routes) = (config?, routes?);
        settle_together(&config, &routes, streams)?;
        absent::tell(&config, &routes, streams);
        let unusable = absent::tell_unusable(&config, &routes, streams);
        if unusable || !routes.run_tests().is_empty() {
            return Err(Failure::InputTold);
        }
        if self.json && self.sources {
            return Ok(sources::json(&settings, streams.out)?);
        }
        if self.json {
            return Ok(privacy::json(&routes, streams.out)?);
        }
        // Both, so that no file counts as checked that was not read.
        let gateway = self.gateway.path();
        let state = match gateway.exists() {
            true => "good",
            false => "not there, so every key has its default",
        };
        writeln!(streams.out, "{}: {state}", gateway.display())?;
        writeln!(streams.out, "{}: {}", self.routes.name(), summary(&routes))?;
        if self.privacy {
            privacy::table(&routes, streams.out)?;
        }
        if self.sources {
            sources::table(&settings, streams.out)?;
        }
        Ok(())
    }
}

fn summary(routes: &Routes) -> String {
    let tests = match routes.tests.len() {
        0 => "no tests".to_owned(),
        count => format!("{} passed", counted(count as u64, "test")),
    };
    format!(
        "{}, {}, {}, {tests}",
        counted(routes.inbounds.len() as u64, "inbound"),
        counted(routes.outbounds.len() as u64, "outbound"),
        counted(routes.routes.routes().len() as u64, "route"),
    )
}

fn tell_failures(failures: &[TestFailure], streams: &mut Streams<'_>) {
    for failure in failures {
        let _ = writeln!(streams.talk, "{failure}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use crate::cli::streams::Buffers;
    use crate::cli::{Ended, Failure, Words, obey};

    fn check(dir: &Path, routes: &str, gateway: Option<&str>) -> (Ended, String, String) {
        let (routes_file, gateway_file) = (dir.join("routes.toml"), dir.join("gateway.toml"));
        std::fs::write(&routes_file, routes).unwrap();
        let mut words = vec![
            "faceway",
            "check",
            "--routes",
            routes_file.to_str().unwrap(),
        ];
        if let Some(gateway) = gateway {
            std::fs::write(&gateway_file, gateway).unwrap();
            words.extend(["--gateway", gateway_file.to_str().unwrap()]);
        }
        let words = Words::try_parse_from(words).unwrap();
        Buffers::run("", |streams| obey(words, streams))
    }

    const GOOD: &str = r#"
[inbound.nebula.lobby]
[outbound.stdout.screen]
[[route]]
name = "blocklisted"
when = { "person.category" = "blocklisted" }
to = ["screen"]
[[test]]
name = "a blocklisted person is shown"
given = { kind = "recognition", person = { category = "blocklisted" } }
expect = ["screen"]
"#;

    #[test]
    fn a_good_file_is_summed_up() {
        let dir = tempfile::tempdir().unwrap();
        let (ended, out, talk) = check(dir.path(), GOOD, None);
        ended.unwrap();
        assert!(
            out.ends_with(": 1 inbound, 1 outbound, 1 route, 1 test passed\n"),
            "{out}"
        );
        assert!(out.starts_with("gateway.toml: "), "{out}");
        assert_eq!(talk, "");
    }

    /// `--routes /etc/faceway/routes.toml` alone does not read what is beside it, and must not seem to.
    #[test]
    fn the_files_that_were_read_are_told_and_so_is_one_that_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let gateway = dir.path().join("gateway.toml");
        let gateway = gateway.to_str().unwrap();
        let (ended, out, talk) = check(dir.path(), GOOD, Some("[listen]\n"));
        ended.unwrap();
        assert!(out.starts_with(&format!("{gateway}: good\n")), "{out}");
        assert_eq!(talk, "");
        let (ended, out, talk) = check(dir.path(), GOOD, None);
        ended.unwrap();
        assert!(!out.contains(gateway), "{out}");
        let note = format!("note: {gateway} was not read; name it: --gateway {gateway}\n");
        assert_eq!(talk, note);
    }

    #[test]
    fn a_test_that_fails_is_your_input() {
        let dir = tempfile::tempdir().unwrap();
        let routes = GOOD.replace(
            "given = { kind = \"recognition\", person = { category = \"blocklisted\" } }",
            "given = { kind = \"recognition\", person = { category = \"vip\" } }",
        );
        let (ended, out, talk) = check(dir.path(), &routes, None);
        assert!(matches!(ended, Err(Failure::InputTold)));
        assert_eq!(out, "");
        assert!(talk.contains("a blocklisted person is shown"), "{talk}");
    }

    #[test]
    fn mistakes_of_both_files_are_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let routes = GOOD.replace("to = [\"screen\"]", "to = [\"scren\"]\nwhenn = 1");
        let (ended, _, talk) = check(dir.path(), &routes, Some("[listen]\ndevises = \"x\"\n"));
        assert!(matches!(ended, Err(Failure::InputTold)));
        for part in [
            "scren",
            "whenn",
            "devises",
            "routes.toml:7:",
            "routes.toml:8:1",
            "gateway.toml:2:1",
        ] {
            assert!(talk.contains(part), "{part} is missing in:\n{talk}");
        }
    }

    #[test]
    fn a_missing_file_is_told_with_what_to_do() {
        let words =
            Words::try_parse_from(["faceway", "check", "--routes", "no/such/routes.toml"]).unwrap();
        let (ended, _, talk) = Buffers::run("", |streams| obey(words, streams));
        assert!(matches!(ended, Err(Failure::InputTold)));
        assert!(
            talk.contains("no/such/routes.toml") && talk.contains("--routes"),
            "{talk}"
        );
    }

    #[test]
    fn a_file_without_its_option_is_told_how_to_be_named() {
        for (file, named) in [
            ("x/routes.toml", "faceway check --routes x/routes.toml"),
            ("gateway.toml", "faceway check --gateway gateway.toml"),
        ] {
            let words = Words::try_parse_from(["faceway", "check", file]).unwrap();
            let (ended, _, _) = Buffers::run("", |streams| obey(words, streams));
            assert!(matches!(ended, Err(Failure::Input(text)) if text.ends_with(named)));
        }
    }

    #[test]
    fn a_secret_that_is_not_here_is_only_noted() {
        let dir = tempfile::tempdir().unwrap();
        let lobby = "[inbound.nebula.lobby]\ntoken = { env = \"FACEWAY_TEST_NO_SUCH_VARIABLE\" }";
        let (ended, _, talk) = check(
            dir.path(),
            &GOOD.replace("[inbound.nebula.lobby]", lobby),
            None,
        );
        ended.unwrap();
        assert!(
            talk.starts_with("note: ") && talk.contains("FACEWAY_TEST_NO_SUCH_VARIABLE"),
            "{talk}"
        );
    }

    #[test]
    fn a_file_that_is_not_here_is_only_noted() {
        let dir = tempfile::tempdir().unwrap();
        let erp =
            "[outbound.webhook.erp]\nurl = \"https://h\"\ntls = { ca = \"/no/such/ca.pem\" }\n";
        let routes = GOOD.replace("[[route]]", &format!("{erp}[[route]]"));
        let routes = routes.replacen("to = [\"screen\"]", "to = [\"screen\", \"erp\"]", 1);
        let routes = routes.replace("expect = [", "expect = [\"erp\", ");
        let tls = "[listen]\ntls = { cert = \"/no/such/cert.pem\", key = \"/no/such/key.pem\" }\n";
        let (ended, _, talk) = check(dir.path(), &routes, Some(tls));
        ended.unwrap();
        for part in [
            "note: listen.tls.cert: the file /no/such/cert.pem is not there here",
            "note: listen.tls.key: the file /no/such/key.pem is not there here",
            "note: outbound.webhook.erp: the file /no/such/ca.pem is not there here",
        ] {
            assert!(talk.contains(part), "{part} is missing in:\n{talk}");
        }
    }

    const GUARDED: &str = r#"
[outbound.webhook.erp]
url = "https://erp.example/"
omit = ["person.name", "vendor"]
headers = { x-person = "{person.id}" }
images = "inline"
[outbound.webhook.chat]
url = "https://chat.example/"
format = "template"
template = "chat.txt.j2"
[outbound.mqtt.bus]
url = "mqtt://broker.example"
topic = "doors/{person.card_number}"
only = ["person.card_number", "images.role"]
[[route]]
name = "all"
to = ["erp", "chat", "bus"]
"#;

    fn privacy(flags: &[&str]) -> (Ended, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let routes = dir.path().join("routes.toml");
        std::fs::write(&routes, GUARDED).unwrap();
        let template = "{{ person.name | default(\"-\") }}";
        std::fs::write(dir.path().join("chat.txt.j2"), template).unwrap();
        let words = ["faceway", "check", "--routes", routes.to_str().unwrap()];
        let words = Words::try_parse_from(words.iter().chain(flags)).unwrap();
        Buffers::run("", |streams| obey(words, streams))
    }

    #[test]
    fn privacy_is_a_table_of_fields_and_outbounds() {
        let (ended, out, talk) = privacy(&["--privacy"]);
        ended.unwrap_or_else(|_| panic!("{talk}"));
        let row = |field: &str| {
            let line = out
                .lines()
                .find(|line| line.split("  ").next() == Some(field));
            let line = line.unwrap_or_else(|| panic!("no row {field} in:\n{out}"));
            let cells = line
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("PERSONAL FIELD")[1..], ["erp", "chat", "bus"]);
        assert_eq!(row("person.name")[1..], ["-", "body", "-"]);
        assert_eq!(row("person.id")[1..], ["body, header x-person", "-", "-"]);
        assert_eq!(row("person.card_number")[1..], ["body", "-", "body, topic"]);
        assert_eq!(row("images")[1..], ["inside", "-", "-"]);
        assert_eq!(row("vendor")[1..], ["-", "-", "-"]);
        assert_eq!(row("object.attributes.age")[1..], ["body", "-", "-"]);
    }

    #[test]
    fn privacy_is_json_for_scripts() {
        let (ended, out, talk) = privacy(&["--privacy", "--json"]);
        ended.unwrap_or_else(|_| panic!("{talk}"));
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        let chat = serde_json::json!({
            "outbound": "chat", "protocol": "webhook", "fields": [{ "field": "person.name", "by": ["body"] }],
        });
        assert_eq!(value[1], chat);
    }

    #[test]
    fn a_mistake_in_a_template_is_told_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("chat.txt.j2"), "a\n{{ persn.name }}\n").unwrap();
        let (ended, _, talk) = check(dir.path(), GUARDED, None);
        assert!(matches!(ended, Err(Failure::InputTold)));
        assert!(talk.contains("chat.txt.j2:2:4"), "{talk}");
        std::fs::remove_file(dir.path().join("chat.txt.j2")).unwrap();
        let (_, _, talk) = check(dir.path(), GUARDED, None);
        assert!(talk.contains("`chat.txt.j2` is not there"), "{talk}");
    }

    /// The TOML of README.md and of the pages that show parts of a file, block by block, each with what it takes for granted.
    #[test]
    fn the_parts_of_routes_in_the_documents_are_good() {
        const GRANTED: [(&str, &str); 4] = [
            ("[inbound.", "[inbound.nebula.lobby]\n"),
            (
                "[outbound.webhook.erp]",
                "[outbound.webhook.erp]\nurl = \"https://erp.example/\"\n",
            ),
            (
                "[outbound.webhook.guard]",
                "[outbound.webhook.guard]\nurl = \"https://guard.example/\"\n",
            ),
            ("[outbound.stdout.screen]", "[outbound.stdout.screen]\n"),
        ];
        const ROUTE: &str = "[[route]]\nname = \"all\"\nwhen = { kind = \"alarm\" }\nto = [\"erp\", \"guard\", \"screen\"]\n";
        const REACHED: &str = "[listen]\npublic_url = \"http://gateway:8080\"\n";
        // The page, and how many blocks it has at least.
        let pages = [
            (include_str!("../../README.md"), 2),
            (include_str!("../../docs/cookbook.md"), 9),
            (include_str!("../../docs/inbounds.md"), 3),
        ];
        let dir = tempfile::tempdir().unwrap();
        for (page, blocks_min) in pages {
            let blocks = page
                .split("```toml\n")
                .skip(1)
                .filter_map(|rest| rest.split("```").next())
                .filter(|block| !block.starts_with("# gateway.toml"));
            let mut count = 0;
            for block in blocks {
                let granted = GRANTED.iter().filter(|(mark, _)| !block.contains(mark));
                let granted: String = granted.map(|(_, text)| *text).collect();
                let routes = format!("{block}\n{granted}{ROUTE}");
                let (ended, _, talk) = check(dir.path(), &routes, Some(REACHED));
                assert!(
                    ended.is_ok() && !talk.contains("warning"),
                    "{block}\n{talk}"
                );
                count += 1;
            }
            assert!(count >= blocks_min, "only {count} blocks found");
        }
    }
}
