//! `gateway.toml`: the process. Every field has a default and can be set from the environment, whose name is the path in
//! capitals: `FACEWAY_LISTEN__DEVICES`.
//!
//! Defaults, file and environment are merged first (`merge.rs`); what comes of it is read with the same walker as
//! `routes.toml`, because every error must name line and column, also beside others.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use faceway_rules::read::{Document, Key, Places, Shape, Table, Value};
use faceway_rules::{Diagnostics, Secret};

use super::merge::{Origin, Origins, merge};
use super::quarantine;
use super::settings::{Setting, settings};
use super::spool;
pub use super::spool::SpoolConfig;

/// `gateway.toml` as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Name of the site.
    pub site: Option<String>,
    /// Where the gateway listens.
    pub listen: Listen,
    /// Where events are kept.
    pub spool: SpoolConfig,
    /// What devices may send.
    pub limits: Limits,
}

/// `[listen]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Devices and platforms push here.
    pub devices: SocketAddr,
    /// Metrics, health, API, console.
    pub admin: SocketAddr,
    /// How devices and subscribers reach `devices`.
    pub public_url: String,
    /// Whether it is the default: then it is only good for this machine.
    pub public_url_is_default: bool,
    /// For `devices`; plain HTTP without.
    pub tls: Option<ServerTls>,
    /// Who may use the API.
    pub admin_token: Option<Secret>,
}

/// Certificate and key of a listener, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Certificate, with its chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of a body.
    pub body_bytes_max: u64,
    /// Connections of devices at a time.
    pub connections_max: usize,
    /// How long a request's headers may take.
    pub header_timeout: Duration,
    /// How long its body may take.
    pub body_timeout: Duration,
}

const TLS: &[Key] = &[
    Key::required(
        "cert",
        Shape::Path,
        "Certificate with its chain, as PEM file.",
    ),
    Key::required("key", Shape::Path, "Private key, as PEM file."),
];

const LISTEN: &[Key] = &[
    Key::new("devices", Shape::Text, "Devices and platforms push here.").or("0.0.0.0:8080"),
    Key::new("admin", Shape::Text, "Metrics, health, API, console.").or("127.0.0.1:9464"),
    Key::new(
        "public_url",
        Shape::Url(&["http", "https"]),
        "How devices and subscribers reach `devices`, for picture links and terminals' subscriptions. Default http://localhost:<port of devices>.",
    ),
    Key::new(
        "tls",
        Shape::Table(TLS),
        "For `devices`; plain HTTP without. Read again on SIGHUP, on reload, and when the files change: new handshakes get the new certificate, connections go on.",
    ),
    Key::new(
        "admin_token",
        Shape::Secret,
        "Must be set when `admin` is not a loopback address.",
    ),
];

const LIMITS: &[Key] = &[
    Key::new(
        "body_bytes_max",
        Shape::Bytes { min: 1024 },
        "Size of a body.",
    ).or("16MiB"),
    Key::new(
        "connections_max",
        Shape::Whole {
            min: 1,
            max: 1_000_000,
        },
        "Connections of devices at a time. When all places are taken, an idle connection gives way to a new one.",
    ).or("4096"),
    Key::new(
        "header_timeout",
        Shape::TIMEOUT,
        "How long a request's headers may take.",
    ).or("10s"),
    Key::new(
        "body_timeout",
        Shape::TIMEOUT,
        "How long its body may take.",
    ).or("60s"),
];

/// Every key of `gateway.toml`.
pub const ROOT: &[Key] = &[
    Key::new(
        "site",
        Shape::Text,
        "Name of the site, with letters, digits, - and _: the streams of a cluster carry it.",
    ),
    Key::new("listen", Shape::Table(LISTEN), "Where the gateway listens."),
    Key::new("spool", Shape::Table(spool::KEYS), "Where events are kept."),
    Key::new("limits", Shape::Table(LIMITS), "What devices may send."),
];

/// `gateway.toml` as meant, and how it came about.
#[derive(Debug)]
pub struct Parsed {
    /// What it means.
    pub config: GatewayConfig,
    /// Each value, and where it comes from.
    pub settings: Vec<Setting>,
    /// What looks odd.
    pub warnings: Diagnostics,
}

/// Reads the text of a `gateway.toml` with the environment laid over it; gives what looks odd as well.
///
/// # Errors
/// Everything that is wrong in it.
pub fn parse(
    text: &str,
    file: &str,
    environment: &[(String, String)],
) -> Result<(GatewayConfig, Diagnostics), Diagnostics> {
    let parsed = parse_with_settings(text, file, environment)?;
    Ok((parsed.config, parsed.warnings))
}

/// The same, and where each value comes from.
///
/// # Errors
/// Everything that is wrong in it.
pub fn parse_with_settings(
    text: &str,
    file: &str,
    environment: &[(String, String)],
) -> Result<Parsed, Diagnostics> {
    let mut document = Document::parse(text, file);
    document.know(Places::of_gateway(&super::grammar()));
    let origins = merge(&mut document, ROOT, environment);
    let root = Table::root(&document, ROOT);
    let listen = root.table("listen");
    let listen = listen.and_then(|table| read_listen(table, &origins));
    let site = root.get("site").and_then(|_| root.text("site"));
    let spool = root.table("spool");
    let spool = spool.and_then(|table| spool::read(table, site, &origins));
    let limits = root.table("limits").and_then(read_limits);
    root.finish();
    let config = listen.zip(spool).zip(limits);
    let config = config.map(|((listen, spool), limits)| GatewayConfig {
        site: site.map(str::to_owned),
        listen,
        spool,
        limits,
    });
    let settings = config.as_ref().map(|config| {
        let made = quarantine::made_from_others(config);
        settings(ROOT, document.root(), file, &origins, &made)
    });
    let (errors, warnings) = document.finish();
    match config.zip(settings) {
        Some((config, settings)) if errors.is_empty() => Ok(Parsed {
            config,
            settings,
            warnings,
        }),
        // A reader gives nothing only where it has told why: every key that must be there has a default.
        _ => Err(errors),
    }
}

fn read_listen(table: Table<'_>, origins: &Origins) -> Option<Listen> {
    let devices = address(&table, "devices");
    let admin = address(&table, "admin");
    let public_url = table.url("public_url");
    let tls = table.table("tls").and_then(server_tls);
    let admin_token = table.secret("admin_token");
    if let Some((devices, admin)) = devices.zip(admin) {
        check_apart(&table, devices, admin, origins);
    }
    if let Some(entry) = table.entry("admin")
        && admin.is_some_and(|admin| !admin.ip().is_loopback())
        && table.get("admin_token").is_none()
    {
        let help =
            "set listen.admin_token = { env = \"FACEWAY_ADMIN_TOKEN\" }, or listen on 127.0.0.1";
        table.reporter().error(
            entry.node.span,
            "admin is not a loopback address, so it needs a token",
            help,
        );
    }
    table.finish();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let devices = devices?;
    Some(Listen {
        devices,
        admin: admin?,
        public_url_is_default: public_url.is_none(),
        public_url: public_url
            .unwrap_or_else(|| format!("{scheme}://localhost:{}", devices.port())),
        tls,
        admin_token,
    })
}

/// Both can be taken only once. Port 0 is another one each time.
fn check_apart(table: &Table<'_>, devices: SocketAddr, admin: SocketAddr, origins: &Origins) {
    let (one, other) = (devices.ip(), admin.ip());
    let takes_all = one.is_unspecified() || other.is_unspecified();
    let meets = one == other || (takes_all && one.is_ipv4() == other.is_ipv4());
    if devices.port() == admin.port() && devices.port() != 0 && meets {
        // The caret belongs under what was written.
        let written = origins.get("listen.admin") != Some(&Origin::Default);
        let entry = table.entry(if written { "admin" } else { "devices" });
        let span = entry.map_or(table.span(), |entry| entry.node.span);
        let message = format!("`devices` ({devices}) and `admin` ({admin}) are one address");
        let help = "give one of them another port: 8080 and 9464 when left out";
        table.reporter().error(span, message, help);
    }
}

fn address(table: &Table<'_>, key: &'static str) -> Option<SocketAddr> {
    let node = table.get(key)?;
    // A port alone is a number, which is no text.
    let text = match &node.value {
        Value::Number {
            whole: Some(port), ..
        } => port.to_string(),
        _ => table.text(key)?.to_owned(),
    };
    if let (Ok(address), Some(_)) = (text.parse(), node.text()) {
        return Some(address);
    }
    let message = format!("`{key}` is not an address with a port");
    table
        .reporter()
        .error(node.span, message, address_help(key, &text));
    None
}

/// What to write in place of `text`.
fn address_help(key: &str, text: &str) -> String {
    let keys = LISTEN.iter().find(|known| known.name == key);
    let default = keys.and_then(|key| key.default).unwrap_or_default();
    let (host, port) = default.split_once(':').unwrap_or((default, ""));
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let port = port.parse().unwrap_or_default();
        return format!(
            "write the port behind it: `{key} = \"{}\"`",
            SocketAddr::new(ip, port)
        );
    }
    let given = text.rsplit_once(':').unwrap_or(("", text));
    if let Ok(port) = given.1.parse::<u16>() {
        let host = match given.0 {
            "localhost" => "127.0.0.1",
            _ => host,
        };
        return format!("write the IP address and the port: `{key} = \"{host}:{port}\"`");
    }
    format!("an IP address and a port, such as {default} or [::1]:{port}")
}

fn server_tls(table: Table<'_>) -> Option<ServerTls> {
    let tls = table
        .path("cert")
        .zip(table.path("key"))
        .map(|(cert, key)| ServerTls { cert, key });
    table.finish();
    tls
}

fn read_limits(table: Table<'_>) -> Option<Limits> {
    let body_bytes_max = table.bytes("body_bytes_max");
    let connections_max = table.whole("connections_max");
    let header_timeout = table.duration("header_timeout");
    let body_timeout = table.duration("body_timeout");
    table.finish();
    Some(Limits {
        body_bytes_max: body_bytes_max?,
        connections_max: usize::try_from(connections_max?).ok()?,
        header_timeout: header_timeout?,
        body_timeout: body_timeout?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SetBy;

    fn set(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_missing_file_is_all_defaults() {
        let (config, _) = parse("", "gateway.toml", &[]).unwrap();
        assert_eq!(config.listen.devices.to_string(), "0.0.0.0:8080");
        assert_eq!(config.listen.public_url, "http://localhost:8080");
        assert_eq!(config.spool.bytes_max, 10 << 30);
        assert_eq!(config.limits.connections_max, 4096);
    }

    #[test]
    fn the_environment_lies_over_the_file() {
        let text = "[listen]\ndevices = \"127.0.0.1:1\"\n[spool]\ndir = \"a\"";
        let environment = [
            set("FACEWAY_LISTEN__DEVICES", "127.0.0.1:2"),
            set("FACEWAY_LIMITS__CONNECTIONS_MAX", "7"),
            set("FACEWAY_LOG", "debug"),
            set("FACEWAY_ADMIN_TOKEN", "secret"),
        ];
        let (config, _) = parse(text, "gateway.toml", &environment).unwrap();
        assert_eq!(config.listen.devices.port(), 2);
        assert_eq!(config.spool.dir, std::path::Path::new("a"));
        assert_eq!(config.limits.connections_max, 7);
    }

    #[test]
    fn all_mistakes_are_told_at_once_each_with_its_place() {
        let text = "[listen]\nadmin = \"0.0.0.0:9464\"\ndevises = \"x\"\n[spool]\nbytes_max = \"1MiB\"\nhistory = \"a week\"\n";
        let errors = parse(
            text,
            "gateway.toml",
            &[set("FACEWAY_SPOOL__FREEMIN", "1GiB")],
        )
        .unwrap_err();
        let told = errors.to_string();
        for part in [
            "gateway.toml:2:9",
            "gateway.toml:3:1",
            "did you mean `devices`",
            "gateway.toml:5:13",
            "gateway.toml:6:11",
            "FACEWAY_SPOOL__FREEMIN",
            "free_min",
        ] {
            assert!(told.contains(part), "{part} is missing in:\n{told}");
        }
        assert_eq!(errors.len(), 5);
    }

    /// A key of this file in the other one is told by that list.
    #[test]
    fn the_rules_know_every_key() {
        let known = |(section, keys): &(&'static str, &[&'static str])| (*section, keys.to_vec());
        let known: Vec<_> = faceway_rules::read::GATEWAY.iter().map(known).collect();
        let read = |key: &Key| match key.shape {
            Shape::Table(keys) => (key.name, keys.iter().map(|key| key.name).collect()),
            _ => (key.name, Vec::new()),
        };
        assert_eq!(known, ROOT.iter().map(read).collect::<Vec<_>>());
        let told = |text: &str| parse(text, "gateway.toml", &[]).unwrap_err().to_string();
        for (text, help) in [
            ("history = \"7d\"\n", "it belongs below `[spool]`"),
            (
                "[spool]\nadmin_token = { env = \"X\" }\n",
                "it belongs into [listen]",
            ),
            ("[listen]\ncert = \"c\"\n", "`tls = { cert = … }`"),
            ("[listen]\nport = 1\n", "it is part of `devices`"),
            (
                "[limits]\nbatch_max = 1\n",
                "[outbound.<protocol>.<name>] of routes.toml, the other file",
            ),
            (
                "[limits]\nspool = 1\n",
                "it is a table of its own of gateway.toml: `[spool]`",
            ),
            (
                "[inbound.nebula.lobby]\n",
                "it belongs into routes.toml, the other file",
            ),
            (
                "[limits]\nconnections_max = \"7\"\n",
                "write it without quotes: 7",
            ),
        ] {
            assert!(told(text).contains(help), "{text}: {}", told(text));
        }
    }

    #[test]
    fn a_port_alone_is_told_what_is_missing() {
        let errors = parse("[listen]\ndevices = 8080\n", "gateway.toml", &[]).unwrap_err();
        let told = errors.to_string();
        assert!(
            told.contains("`devices` is not an address with a port"),
            "{told}"
        );
        assert!(
            told.contains("write the IP address and the port: `devices = \"0.0.0.0:8080\"`"),
            "{told}"
        );
        assert_eq!(errors.len(), 1);
        for (wrong, right) in [
            ("devices = \":8088\"", "`devices = \"0.0.0.0:8088\"`"),
            ("devices = \"localhost:80\"", "`devices = \"127.0.0.1:80\"`"),
            ("devices = \"10.0.0.7\"", "`devices = \"10.0.0.7:8080\"`"),
            ("admin = 9000", "`admin = \"127.0.0.1:9000\"`"),
            ("admin = \"::1\"", "`admin = \"[::1]:9464\"`"),
            (
                "admin = \"gateway\"",
                "such as 127.0.0.1:9464 or [::1]:9464",
            ),
            ("admin = 99999", "such as 127.0.0.1:9464"),
            ("admin = [1]", "must be text, not a list"),
        ] {
            let read = parse(&format!("[listen]\n{wrong}\n"), "gateway.toml", &[]);
            let told = read.unwrap_err().to_string();
            assert!(told.contains(right), "{wrong}: {told}");
        }
        let told = parse(
            "",
            "gateway.toml",
            &[set("FACEWAY_LISTEN__DEVICES", "8080")],
        );
        let told = told.unwrap_err().to_string();
        assert!(told.contains("--> FACEWAY_LISTEN__DEVICES:1:1"), "{told}");
        assert!(told.contains("\"0.0.0.0:8080\""), "{told}");
    }

    /// Quoted or not, as a table or by its parts; what looks like a number is none where the key wants text.
    #[test]
    fn a_variable_says_what_a_line_would() {
        let config = |name: &str, value: &str| {
            let read = parse(
                "[spool]\nhistory = \"1d\"",
                "gateway.toml",
                &[set(name, value)],
            );
            read.unwrap_or_else(|errors| panic!("{name}={value}: {errors}"))
                .0
        };
        for (value, dir) in [
            ("/var/lib/faceway", "/var/lib/faceway"),
            ("\"/var lib\"", "/var lib"),
            ("'/var lib'", "/var lib"),
            ("/data,v2", "/data,v2"),
            ("123", "123"),
            ("007", "007"),
            ("true", "true"),
            ("1.50", "1.50"),
            (" /data ", "/data"),
        ] {
            let read = config("FACEWAY_SPOOL__DIR", value).spool.dir;
            assert_eq!(read, std::path::Path::new(dir), "{value}");
        }
        let named = Secret::Env("TOKEN".into());
        for (name, value) in [
            ("FACEWAY_LISTEN__ADMIN_TOKEN", "{ env = \"TOKEN\" }"),
            ("FACEWAY_LISTEN__ADMIN_TOKEN", "{env=TOKEN}"),
            ("FACEWAY_LISTEN__ADMIN_TOKEN__ENV", "TOKEN"),
        ] {
            let token = config(name, value).listen.admin_token;
            assert_eq!(token.as_ref(), Some(&named), "{name}={value}");
        }
        assert_eq!(
            config("FACEWAY_SPOOL__HISTORY", "2d")
                .spool
                .history
                .as_secs(),
            172_800
        );
        assert_eq!(
            config("FACEWAY_LIMITS__CONNECTIONS_MAX", " 9 ")
                .limits
                .connections_max,
            9
        );
        let written = "[listen]\nadmin_token = { file = \"a\" }\ntls.cert = \"c\"\n";
        let key = [set("FACEWAY_LISTEN__TLS__KEY", "k")];
        let (config, _) = parse(written, "gateway.toml", &key).unwrap();
        let tls = config.listen.tls.unwrap();
        assert_eq!((tls.cert, tls.key), ("c".into(), "k".into()));
    }

    /// A secret has one source, and the file's gives way to the variable's.
    #[test]
    fn a_variable_names_another_source_of_a_secret() {
        let text = "[listen]\nadmin_token = { env = \"A\" }\n";
        let file = [set("FACEWAY_LISTEN__ADMIN_TOKEN__FILE", "/run/secrets/t")];
        let parsed = parse_with_settings(text, "gateway.toml", &file).unwrap();
        let token = Secret::File("/run/secrets/t".into());
        assert_eq!(parsed.config.listen.admin_token, Some(token));
        let setting = parsed
            .settings
            .iter()
            .find(|one| one.key == "listen.admin_token");
        assert_eq!(
            setting.unwrap().from.to_string(),
            "environment variable FACEWAY_LISTEN__ADMIN_TOKEN__FILE, over gateway.toml:2"
        );
        let both = "[listen]\nadmin_token = { env = \"A\", file = \"b\" }\n";
        assert!(parse(both, "gateway.toml", &[]).is_err());
        let two = [
            set("FACEWAY_LISTEN__ADMIN_TOKEN__FILE", "/run/secrets/t"),
            set("FACEWAY_LISTEN__ADMIN_TOKEN__ENV", "B"),
        ];
        assert!(parse(text, "gateway.toml", &two).is_err());
    }

    #[test]
    fn mistakes_of_variables_are_told_with_their_names() {
        let wrong = [
            set("FACEWAY_LISTEN__ADMIN_TOKEN", "hunter2"),
            set("FACEWAY_LISTEN__DEVICES__PORT", "80"),
            set("FACEWAY_LISTEN__TLS", "cert.pem"),
            set("FACEWAY_SPOOL__BYTSE", "1"),
            set("FACEWAY_SPOOL__HISTORY", "2 days"),
            set("FACEWAY_SPOOL____DIR", "x"),
            set("FACEWAY_LISTENN__DEVICES", "x"),
            set("FACEWAY_LIMITS__CONNECTIONS_MAX", "many"),
        ];
        let errors = parse("[spool]\nfree_min = \"1\"\n", "gateway.toml", &wrong).unwrap_err();
        let told = errors.to_string();
        for (name, _) in &wrong {
            assert!(told.contains(&format!("--> {name}:1:1")), "{name}: {told}");
        }
        assert!(told.contains("--> gateway.toml:2:12"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(errors.len(), wrong.len() + 1, "{told}");
    }

    /// Else its defaults would go with it, and errors would follow that are not in the file.
    #[test]
    fn what_is_no_table_is_told_alone() {
        let text = "listen = 5\nspool = \"data\"\n";
        let errors = parse(
            text,
            "gateway.toml",
            &[set("FACEWAY_LISTEN__ADMIN", "[::1]:1")],
        );
        let errors = errors.unwrap_err();
        let told = errors.to_string();
        assert!(
            told.contains("[listen] must be a table, not a number"),
            "{told}"
        );
        assert!(told.contains("gateway.toml:2:9"), "{told}");
        assert_eq!(errors.len(), 2, "{told}");
    }

    #[test]
    fn each_value_says_where_it_comes_from() {
        let text = "\
[listen]
public_url = \"https://gateway.example/hunter2?token=hunter2\"
admin_token = { env = \"A\" }

[spool]
dir = \"a\"
history = \"1d\"
";
        let environment = [
            set("FACEWAY_SITE", "north"),
            set("FACEWAY_SPOOL__DIR", "/data"),
            set("FACEWAY_LISTEN__TLS__CERT", "c.pem"),
            set("FACEWAY_LISTEN__TLS__KEY", "k.pem"),
        ];
        let settings = parse_with_settings(text, "etc/gateway.toml", &environment);
        let settings = settings.unwrap().settings;
        let told: Vec<String> = settings
            .iter()
            .map(|setting| format!("{} {} {}", setting.key, setting.value, setting.from))
            .collect();
        assert_eq!(
            told[..9],
            [
                "site \"north\" environment variable FACEWAY_SITE",
                "listen.devices \"0.0.0.0:8080\" default",
                "listen.admin \"127.0.0.1:9464\" default",
                "listen.public_url \"https://gateway.example/********\" etc/gateway.toml:2",
                "listen.tls.cert \"c.pem\" environment variable FACEWAY_LISTEN__TLS__CERT",
                "listen.tls.key \"k.pem\" environment variable FACEWAY_LISTEN__TLS__KEY",
                "listen.admin_token {\"env\":\"A\"} etc/gateway.toml:3",
                "spool.engine \"disk\" default",
                "spool.dir \"/data\" environment variable FACEWAY_SPOOL__DIR, over etc/gateway.toml:6",
            ]
        );
        let json = serde_json::to_value(&settings).unwrap();
        assert_eq!(json[10]["key"], "spool.free_min");
        assert_eq!(
            json[11],
            serde_json::json!({ "key": "spool.history", "value": "1d", "from": "file", "file": "etc/gateway.toml", "line": 7, "column": 1 })
        );
        assert!(!json.to_string().contains("hunter2"), "{json}");
        // Every key of the file is there, and no other.
        let nothing = parse_with_settings("", "gateway.toml", &[])
            .unwrap()
            .settings;
        let absent: Vec<_> = nothing.iter().filter(|one| one.value.is_null()).collect();
        let absent: Vec<_> = absent.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(
            absent,
            [
                "site",
                "listen.tls",
                "listen.admin_token",
                "spool.jetstream"
            ]
        );
        assert!(nothing.iter().all(|one| one.from == SetBy::Default));
    }

    #[test]
    fn one_address_is_not_taken_twice() {
        let read = |listen: &str| parse(&format!("[listen]\n{listen}\n"), "gateway.toml", &[]);
        let errors = read("devices = \"127.0.0.1:9464\"").unwrap_err();
        assert!(errors.to_string().contains("gateway.toml:2:11"), "{errors}");
        let twice = "devices = \"0.0.0.0:80\"\nadmin = \"127.0.0.1:80\"";
        let errors = read(twice).unwrap_err();
        let told = errors.to_string();
        assert!(told.contains("gateway.toml:3:9"), "{told}");
        assert!(told.contains("are one address"), "{told}");
        for fine in [
            "devices = \"0.0.0.0:0\"\nadmin = \"127.0.0.1:0\"",
            "devices = \"10.0.0.1:80\"\nadmin = \"127.0.0.1:80\"",
            "devices = \"[::]:80\"\nadmin = \"127.0.0.1:80\"",
        ] {
            read(fine).unwrap();
        }
    }

    #[test]
    fn a_secret_is_never_written_nor_shown() {
        let errors =
            parse("[listen]\nadmin_token = \"hunter2\"\n", "gateway.toml", &[]).unwrap_err();
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
    }

    #[test]
    fn the_admin_listener_needs_a_token_where_others_can_reach_it() {
        let text = "[listen]\nadmin = \"0.0.0.0:9464\"\nadmin_token = { env = \"T\" }\n";
        assert!(parse(text, "gateway.toml", &[]).is_ok());
        let errors = parse(
            "",
            "gateway.toml",
            &[set("FACEWAY_LISTEN__ADMIN", "0.0.0.0:9464")],
        )
        .unwrap_err();
        assert!(errors.to_string().contains("needs a token"), "{errors}");
    }

    /// The share of quarantine follows `bytes_max`, unless the file says another one.
    #[test]
    fn quarantine_has_an_eighth_or_what_the_file_says() {
        let share = |text: &str| {
            let (config, _) = parse(text, "gateway.toml", &[]).unwrap();
            config.spool.quarantine_bytes_max
        };
        assert_eq!(share(""), (10 << 30) / 8);
        assert_eq!(share("[spool]\nbytes_max = \"64MiB\""), 8 << 20);
        assert_eq!(share("[spool]\nquarantine_bytes_max = \"1GiB\""), 1 << 30);
        let text = "[spool]\nbytes_max = \"64MiB\"\nquarantine_bytes_max = \"40MiB\"";
        let told = parse(text, "gateway.toml", &[]).unwrap_err().to_string();
        assert!(
            told.contains("gateway.toml:3") && told.contains("at most half of bytes_max: 32MiB"),
            "{told}"
        );
        let parsed = parse_with_settings("", "gateway.toml", &[]).unwrap();
        let mut settings = parsed.settings.iter();
        let setting = settings.find(|setting| setting.key == "spool.quarantine_bytes_max");
        assert_eq!(setting.unwrap().value, "1280MiB");
    }
}
