//! `[spool.jetstream]` of `gateway.toml`: the spool on a NATS cluster.

use std::time::Duration;

use faceway_core::TlsFiles;
use faceway_rules::Secret;
use faceway_rules::read::{Key, Shape, Table};

use super::merge::{Origin, Origins};

/// The word of `spool.engine`.
pub const JETSTREAM: &str = "jetstream";

/// `[spool.jetstream]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JetStreamConfig {
    /// Servers.
    pub servers: Vec<String>,
    /// This gateway's name; the host's when absent.
    pub gateway: Option<String>,
    /// Who this gateway is to the servers.
    pub login: Login,
    /// Certificates.
    pub tls: Option<TlsFiles>,
    /// How many servers keep each message.
    pub replicas: usize,
    /// Whether nothing is proved of the servers.
    pub is_relaxed: bool,
    /// Monitoring addresses.
    pub monitor: Vec<String>,
    /// Text of a `.creds` file of the system account.
    pub system: Option<Secret>,
    /// How long an append waits for the cluster.
    pub append_timeout: Duration,
    /// How long the servers recognise an id.
    pub dedup_window: Duration,
    /// How many ids are remembered.
    pub seen_max: usize,
}

/// Who a gateway is to the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// The servers name a user for connections without a name.
    None,
    /// The text of a `.creds` file.
    Credentials(Secret),
    /// Name and password.
    Password(String, Secret),
    /// A token.
    Token(Secret),
    /// The seed of an nkey.
    Nkey(Secret),
}

impl JetStreamConfig {
    /// The secrets that it names, with their keys.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        let login = match &self.login {
            Login::None => None,
            Login::Credentials(secret) => Some(("spool.jetstream.credentials", secret)),
            Login::Password(_, secret) => Some(("spool.jetstream.password", secret)),
            Login::Token(secret) => Some(("spool.jetstream.token", secret)),
            Login::Nkey(secret) => Some(("spool.jetstream.nkey", secret)),
        };
        let system = self.system.iter();
        let system = system.map(|secret| ("spool.jetstream.system_credentials", secret));
        login.into_iter().chain(system)
    }
}

const REPLICAS: usize = 3;
const APPEND_TIMEOUT: Duration = Duration::from_secs(15);
const DEDUP_WINDOW: Duration = Duration::from_secs(120);
const SEEN_MAX: usize = 2_000_000;

/// The keys. Defaults stand here in words: a default of its own would make the table, which has to name servers.
pub(super) const KEYS: &[Key] = &[
    Key::required(
        "servers",
        Shape::Texts,
        "NATS servers with JetStream, version 2.12.1 or newer: nats://host:4222, or tls://host:4222.",
    ),
    Key::new(
        "gateway",
        Shape::Text,
        "Name of this gateway. Default the host's.",
    ),
    Key::new(
        "credentials",
        Shape::Secret,
        "Text of a .creds file. One of credentials, username with password, token, and nkey, as the servers want it; none where they name a user for connections without a name.",
    ),
    Key::new("username", Shape::Text, "Name of the servers' user."),
    Key::new("password", Shape::Secret, "Password of `username`."),
    Key::new("token", Shape::Secret, "Token of the servers."),
    Key::new("nkey", Shape::Secret, "Seed of an nkey."),
    Key::new("tls", Shape::Tls, "For tls:// and https://."),
    Key::new(
        "replicas",
        Shape::Numbers(&[1, 3, 5]),
        "How many servers keep each message; 1 to try it out. Default 3.",
    ),
    Key::new(
        "durability",
        Shape::Word(&["synced", "relaxed"]),
        "synced: the start proves that every server syncs what it acknowledges. relaxed: it does not, and a power cut of all servers at once may lose acknowledged events. Default synced.",
    ),
    Key::new(
        "monitor",
        Shape::Texts,
        "Monitoring address of every server, such as http://host:8222: there they prove that they sync. Needed with synced.",
    ),
    Key::new(
        "system_credentials",
        Shape::Secret,
        "Text of a .creds file of a user of the system account: it proves the same where the monitoring addresses are closed.",
    ),
    Key::new(
        "append_timeout",
        Shape::TIMEOUT,
        "How long a device waits over an election of the servers before it hears 503; at most half of dedup_window. Default 15s.",
    ),
    Key::new(
        "dedup_window",
        Shape::TIMEOUT,
        "How long the servers recognise an event that comes again; the gateway recognises older ones. Default 2m.",
    ),
    Key::new(
        "seen_max",
        Shape::Whole {
            min: 1000,
            max: 1_000_000_000,
        },
        "How many events are recognised when they come again; 24 bytes of memory each. Default 2000000.",
    ),
];

/// Reads the table.
pub(super) fn read(table: Table<'_>) -> Option<JetStreamConfig> {
    let texts = |key| -> Option<Vec<String>> {
        let texts = table.texts(key)?;
        Some(texts.into_iter().map(|(text, _)| text.to_owned()).collect())
    };
    let servers = texts("servers");
    let monitor = texts("monitor").unwrap_or_default();
    let gateway = table.text("gateway").map(str::to_owned);
    let login = login(&table);
    let tls = table.get("tls").is_some().then(|| table.tls("tls"));
    let whole = |key, default| {
        let whole = table.whole(key);
        whole.map_or(default, |whole| usize::try_from(whole).unwrap_or(default))
    };
    let (replicas, seen_max) = (whole("replicas", REPLICAS), whole("seen_max", SEEN_MAX));
    let is_relaxed = table.word("durability") == Some("relaxed");
    let append_timeout = table.duration("append_timeout").unwrap_or(APPEND_TIMEOUT);
    let dedup_window = table.duration("dedup_window").unwrap_or(DEDUP_WINDOW);
    if append_timeout * 2 > dedup_window
        && let Some(entry) = table
            .entry("append_timeout")
            .or(table.entry("dedup_window"))
    {
        let message = "`append_timeout` is more than half of `dedup_window`";
        let help =
            "a second try must find the servers' memory of the first: 15s and 2m when left out";
        table.reporter().error(entry.node.span, message, help);
    }
    let system = table.get("system_credentials").is_some();
    let system = system.then(|| table.secret("system_credentials"));
    if !is_relaxed && monitor.is_empty() && system.is_none() {
        let help = "name the monitoring address of every server: monitor = [\"http://host:8222\"]; or write durability = \
                    \"relaxed\": then a power cut of all servers at once may lose acknowledged events";
        let message = "nothing proves that the servers sync what they acknowledge";
        table.reporter().error(table.span(), message, help);
    }
    table.finish();
    Some(JetStreamConfig {
        servers: servers?,
        gateway,
        login: login?,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        replicas,
        is_relaxed,
        monitor,
        system: match system {
            Some(system) => Some(system?),
            None => None,
        },
        append_timeout,
        dedup_window,
        seen_max,
    })
}

fn login(table: &Table<'_>) -> Option<Login> {
    let ways = ["credentials", "username", "token", "nkey"];
    let named: Vec<_> = ways.iter().filter_map(|way| table.entry(way)).collect();
    let password = table.entry("password");
    if let [_, second, ..] = &named[..] {
        let message = "the servers are told twice who this gateway is";
        let help = "keep one of credentials, username with password, token, and nkey";
        table.reporter().error(second.node.span, message, help);
        return None;
    }
    let pair = (table.entry("username"), password);
    if let (Some(entry), None) | (None, Some(entry)) = pair {
        let message = "`username` and `password` belong together";
        let help = "write both: username = \"…\", password = { env = \"…\" }";
        table.reporter().error(entry.node.span, message, help);
        return None;
    }
    match named.first().map(|entry| entry.key.as_str()) {
        Some("credentials") => table.secret("credentials").map(Login::Credentials),
        Some("username") => {
            let name = table.text("username")?.to_owned();
            Some(Login::Password(name, table.secret("password")?))
        }
        Some("token") => table.secret("token").map(Login::Token),
        Some("nkey") => table.secret("nkey").map(Login::Nkey),
        _ => Some(Login::None),
    }
}

/// Tells what the engine needs of other keys.
pub(super) fn check(spool: &Table<'_>, site: Option<&str>, origins: &Origins) {
    if spool.get("engine").and_then(|node| node.text()) != Some(JETSTREAM) {
        return;
    }
    let Some(engine) = spool.entry("engine") else {
        return;
    };
    let missing = |message: &str, help: &str| {
        spool.reporter().error(engine.node.span, message, help);
    };
    if spool.get("jetstream").is_none() {
        missing(
            "the engine jetstream has to know its servers",
            "write a table [spool.jetstream] with servers = [\"nats://host:4222\"]",
        );
    }
    match site {
        None => missing(
            "the engine jetstream has to know the site",
            "write site = \"…\" at the top of the file: the streams carry this name",
        ),
        Some(site)
            if !site
                .bytes()
                .all(|sign| sign.is_ascii_alphanumeric() || b"-_".contains(&sign)) =>
        {
            missing(
                "the site cannot be the name of streams",
                "write letters, digits, - and _ only",
            );
        }
        Some(_) => {}
    }
    let is_written = origins
        .get("spool.free_min")
        .is_some_and(|it| *it != Origin::Default);
    if let (true, Some(entry)) = (is_written, spool.entry("free_min")) {
        let message = "`free_min` means nothing with the engine jetstream";
        let help = "take it out: the servers' disks are theirs (max_file_store)";
        spool.reporter().error(entry.node.span, message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::gateway;

    const WHOLE: &str = "\
site = \"north\"
[spool]
engine = \"jetstream\"
[spool.jetstream]
servers = [\"nats://a:4222\"]
monitor = [\"http://a:8222\"]
";

    #[test]
    fn defaults_are_what_the_texts_say() {
        let (config, _) = gateway::parse(WHOLE, "gateway.toml", &[]).unwrap();
        let cluster = config.spool.jetstream.expect("the table is there");
        assert_eq!(config.site.as_deref(), Some("north"));
        assert_eq!((cluster.replicas, cluster.seen_max), (3, 2_000_000));
        assert_eq!(cluster.append_timeout, Duration::from_secs(15));
        assert_eq!(cluster.dedup_window, Duration::from_secs(120));
        assert!(!cluster.is_relaxed && cluster.login == Login::None);
        for (key, default) in [
            ("replicas", "Default 3."),
            ("durability", "Default synced."),
            ("append_timeout", "Default 15s."),
            ("dedup_window", "Default 2m."),
            ("seen_max", "Default 2000000."),
        ] {
            let known = KEYS.iter().find(|known| known.name == key).unwrap();
            assert!(known.about.ends_with(default), "{key}: {}", known.about);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_what_to_write() {
        let told = |text: &str| {
            let errors = gateway::parse(text, "gateway.toml", &[]).unwrap_err();
            errors.to_string()
        };
        let with = |line: &str| format!("{WHOLE}{line}\n");
        for (text, expected) in [
            (
                "[spool]\nengine = \"jetstream\"\n".to_owned(),
                "[spool.jetstream]",
            ),
            (WHOLE.replace("site = \"north\"\n", ""), "write site ="),
            (WHOLE.replace("north", "a.b"), "letters, digits"),
            (
                WHOLE.replace("monitor = [\"http://a:8222\"]\n", ""),
                "durability = \"relaxed\"",
            ),
            (
                WHOLE.replace("[spool.jet", "free_min = \"1GiB\"\n[spool.jet"),
                "max_file_store",
            ),
            (with("append_timeout = \"2m\""), "more than half"),
            (with("username = \"a\""), "belong together"),
            (with("password = { env = \"A\" }"), "belong together"),
            (
                with("token = { env = \"A\" }\nnkey = { env = \"B\" }"),
                "keep one of",
            ),
            (with("replicas = 2"), "1, 3, 5"),
            (with("tls = { cert = \"a.pem\" }"), "add `key`"),
            (with("servers_max = 2"), "servers_max"),
        ] {
            let told = told(&text);
            assert!(told.contains(expected), "{expected}: {told}");
        }
    }
}
