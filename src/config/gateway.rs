//! `gateway.toml`: the process. Every field has a default and can be set from the environment, whose name is the path in
//! capitals: `FACEWAY_LISTEN__DEVICES`.
//!
//! It is read with the same walker as `routes.toml`, because every error must name line and column, also beside others.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use faceway_rules::read::{Document, Key, Node, Shape, Table};
use faceway_rules::{Diagnostics, Secret};

/// `gateway.toml` as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
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
    /// Whether nobody has said so: then it is only good for this machine.
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

/// `[spool]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Directory.
    pub dir: PathBuf,
    /// Bytes that it may occupy.
    pub bytes_max: u64,
    /// Bytes that its disk must have left.
    pub free_min: u64,
    /// How long delivered events are kept.
    pub history: Duration,
    /// How long pictures are kept after their event is delivered everywhere.
    pub images: Duration,
    /// How long unreadable bodies are kept.
    pub quarantine: Duration,
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

const MIB: u64 = 1024 * 1024;
const HOUR: Duration = Duration::from_secs(3600);

const TLS: &[Key] = &[
    Key::required(
        "cert",
        Shape::Path,
        "Certificate with its chain, as PEM file.",
    ),
    Key::required("key", Shape::Path, "Private key, as PEM file."),
];

const LISTEN: &[Key] = &[
    Key::new(
        "devices",
        Shape::Text,
        "Devices and platforms push here. Default 0.0.0.0:8080.",
    ),
    Key::new(
        "admin",
        Shape::Text,
        "Metrics, health, API, console. Default 127.0.0.1:9464.",
    ),
    Key::new(
        "public_url",
        Shape::Url(&["http", "https"]),
        "How devices and subscribers reach `devices`, for picture links and terminals' subscriptions. Default http://localhost:<port of devices>.",
    ),
    Key::new(
        "tls",
        Shape::Table(TLS),
        "For `devices`; plain HTTP without.",
    ),
    Key::new(
        "admin_token",
        Shape::Secret,
        "Must be set when `admin` is not a loopback address.",
    ),
];

const SPOOL: &[Key] = &[
    Key::new(
        "engine",
        Shape::WordSoFar {
            words: &["disk"],
            later: &["jetstream"],
        },
        "disk: embedded, one directory, no server.",
    ),
    Key::new("dir", Shape::Path, "Directory. Default data."),
    Key::new(
        "bytes_max",
        Shape::Bytes { min: 64 * MIB },
        "Bytes that the spool may occupy. Delivered history gives way first; when that is gone, devices keep their \
         records. Default 10GiB.",
    ),
    Key::new(
        "free_min",
        Shape::Bytes { min: 0 },
        "The same when the disk has less left. Default 512MiB.",
    ),
    Key::new(
        "history",
        Shape::DURATION,
        "Delivered events are kept this long. Default 7d.",
    ),
    Key::new(
        "images",
        Shape::DURATION,
        "Pictures are kept this long after their event is delivered everywhere. Default 24h.",
    ),
    Key::new(
        "quarantine",
        Shape::DURATION,
        "Unreadable bodies are kept this long, raw. Default 7d.",
    ),
];

const LIMITS: &[Key] = &[
    Key::new(
        "body_bytes_max",
        Shape::Bytes { min: 1024 },
        "Size of a body. Default 16MiB.",
    ),
    Key::new(
        "connections_max",
        Shape::Whole {
            min: 1,
            max: 1_000_000,
        },
        "Connections of devices at a time. When all places are taken, an idle connection gives way to a new one. Default 4096.",
    ),
    Key::new(
        "header_timeout",
        Shape::TIMEOUT,
        "How long a request's headers may take. Default 10s.",
    ),
    Key::new(
        "body_timeout",
        Shape::TIMEOUT,
        "How long its body may take. Default 60s.",
    ),
];

/// Every key of `gateway.toml`.
pub const ROOT: &[Key] = &[
    Key::new("listen", Shape::Table(LISTEN), "Where the gateway listens."),
    Key::new("spool", Shape::Table(SPOOL), "Where events are kept."),
    Key::new("limits", Shape::Table(LIMITS), "What devices may send."),
];

/// Reads the text of a `gateway.toml` with the environment laid over it; gives what looks odd as well.
///
/// # Errors
/// Everything that is wrong in it.
pub fn parse(
    text: &str,
    file: &str,
    environment: &[(String, String)],
) -> Result<(GatewayConfig, Diagnostics), Diagnostics> {
    let mut document = Document::parse(text, file);
    for (name, value) in environment {
        if let Some(path) = path_of(name) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            document.set(&path, name, value);
        }
    }
    let root = Table::root(&document, ROOT);
    let config = GatewayConfig {
        listen: listen(root.table("listen")),
        spool: spool(root.table("spool")),
        limits: limits(root.table("limits")),
    };
    root.finish();
    let (errors, warnings) = document.finish();
    if errors.is_empty() {
        Ok((config, warnings))
    } else {
        Err(errors)
    }
}

/// `FACEWAY_LISTEN__DEVICES` is `listen.devices`. Variables without `__` are not configuration (`FACEWAY_LOG`).
fn path_of(name: &str) -> Option<Vec<String>> {
    let path = name.strip_prefix("FACEWAY_")?;
    path.contains("__")
        .then(|| path.split("__").map(str::to_ascii_lowercase).collect())
}

fn listen(table: Option<Table<'_>>) -> Listen {
    let read = |key, default: &str| match &table {
        Some(table) => address(table, key, default),
        None => default.parse().unwrap_or(FALLBACK),
    };
    let devices = read("devices", "0.0.0.0:8080");
    let admin = read("admin", "127.0.0.1:9464");
    let public_url = table.as_ref().and_then(|table| table.url("public_url"));
    let tls = table
        .as_ref()
        .and_then(|table| table.table("tls"))
        .and_then(server_tls);
    let admin_token = table.as_ref().and_then(|table| table.secret("admin_token"));
    if let Some(table) = table {
        check_apart(&table, devices, admin);
        if !admin.ip().is_loopback() && table.get("admin_token").is_none() {
            let help = "set listen.admin_token = { env = \"FACEWAY_ADMIN_TOKEN\" }, or listen on 127.0.0.1";
            let span = table
                .entry("admin")
                .map_or(table.span(), |entry| entry.node.span);
            table.reporter().error(
                span,
                "admin is not a loopback address, so it needs a token",
                help,
            );
        }
        table.finish();
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    Listen {
        devices,
        admin,
        public_url_is_default: public_url.is_none(),
        public_url: public_url
            .unwrap_or_else(|| format!("{scheme}://localhost:{}", devices.port())),
        tls,
        admin_token,
    }
}

/// Both can be taken only once. Port 0 is another one each time.
fn check_apart(table: &Table<'_>, devices: SocketAddr, admin: SocketAddr) {
    let (one, other) = (devices.ip(), admin.ip());
    let takes_all = one.is_unspecified() || other.is_unspecified();
    let meets = one == other || (takes_all && one.is_ipv4() == other.is_ipv4());
    if devices.port() == admin.port() && devices.port() != 0 && meets {
        let entry = table.entry("admin").or_else(|| table.entry("devices"));
        let span = entry.map_or(table.span(), |entry| entry.node.span);
        let message = format!("`devices` ({devices}) and `admin` ({admin}) are one address");
        let help = "give one of them another port: 8080 and 9464 when left out";
        table.reporter().error(span, message, help);
    }
}

/// Stands in for a default that cannot fail to parse.
const FALLBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn address(table: &Table<'_>, key: &'static str, default: &str) -> SocketAddr {
    // A port alone is a number, which is no text.
    let node = table.get(key);
    let text = match node.map_or(Some(default), Node::text) {
        Some(_) => table.text(key).unwrap_or(default),
        None => "",
    };
    text.parse().unwrap_or_else(|_| {
        if let Some(node) = node {
            let message = format!("`{key}` is not an address with a port");
            let port = default.rsplit(':').next().unwrap_or_default();
            table.reporter().error(
                node.span,
                message,
                format!("an IP address and a port, such as {default} or [::1]:{port}"),
            );
        }
        default.parse().unwrap_or(FALLBACK)
    })
}

fn server_tls(table: Table<'_>) -> Option<ServerTls> {
    let tls = table
        .path("cert")
        .zip(table.path("key"))
        .map(|(cert, key)| ServerTls { cert, key });
    table.finish();
    tls
}

fn spool(table: Option<Table<'_>>) -> SpoolConfig {
    let bytes = |key, default| {
        table
            .as_ref()
            .and_then(|table| table.bytes(key))
            .unwrap_or(default)
    };
    let duration = |key, default| {
        table
            .as_ref()
            .and_then(|table| table.duration(key))
            .unwrap_or(default)
    };
    let config = SpoolConfig {
        dir: table
            .as_ref()
            .and_then(|table| table.path("dir"))
            .unwrap_or_else(|| "data".into()),
        bytes_max: bytes("bytes_max", 10 * 1024 * MIB),
        free_min: bytes("free_min", 512 * MIB),
        history: duration("history", 7 * 24 * HOUR),
        images: duration("images", 24 * HOUR),
        quarantine: duration("quarantine", 7 * 24 * HOUR),
    };
    if let Some(table) = table {
        let _disk_is_the_only_engine = table.word("engine");
        table.finish();
    }
    config
}

fn limits(table: Option<Table<'_>>) -> Limits {
    let duration = |key, default| {
        table
            .as_ref()
            .and_then(|table| table.duration(key))
            .unwrap_or(default)
    };
    let connections = table
        .as_ref()
        .and_then(|table| table.whole("connections_max"));
    let limits = Limits {
        body_bytes_max: table
            .as_ref()
            .and_then(|table| table.bytes("body_bytes_max"))
            .unwrap_or(16 * MIB),
        connections_max: connections
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(4096),
        header_timeout: duration("header_timeout", Duration::from_secs(10)),
        body_timeout: duration("body_timeout", Duration::from_secs(60)),
    };
    if let Some(table) = table {
        table.finish();
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_port_alone_is_told_what_is_missing() {
        let errors = parse("[listen]\ndevices = 8080\n", "gateway.toml", &[]).unwrap_err();
        let told = errors.to_string();
        assert!(
            told.contains("`devices` is not an address with a port"),
            "{told}"
        );
        assert!(told.contains("such as 0.0.0.0:8080"), "{told}");
        assert_eq!(errors.len(), 1);
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
}
