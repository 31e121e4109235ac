//! The two files, from disk to values that are valid.

mod address;
mod environment;
pub mod gateway;
pub mod jetstream;
mod merge;
mod quarantine;
pub mod secrets;
mod settings;
mod small;
mod spool;
pub mod tls;
mod together;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use faceway_rules::{AdapterGrammar, Diagnostics, Grammar, ReadFile, RouteSet, Routes};

pub(crate) use address::address;
pub use environment::strangers;
pub use gateway::GatewayConfig;
pub use secrets::OfThisMachine;
pub use settings::{SetBy, Setting};
pub use small::{is_usable, read_small_file, read_small_text, unusable};
pub use together::together;

/// Where the files are when no option and no variable says.
pub const GATEWAY_FILE: &str = "gateway.toml";
/// Where the files are when no option and no variable says.
pub const ROUTES_FILE: &str = "routes.toml";

/// Tens of thousands of terminals, each with all its keys, fit into it.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// More of a template is not read; the rules take less.
const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;

/// Why there is no configuration. All of it is the operator's to mend.
#[derive(Debug)]
pub enum ConfigError {
    /// A file cannot be read; the text says which and what to do.
    Unreadable(String),
    /// Everything that is wrong in a file, or that does not fit the other one, to be printed as it is.
    Wrong(Diagnostics),
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(text) => f.write_str(text),
            Self::Wrong(diagnostics) => diagnostics.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A value and what looks odd about its file.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The file as meant.
    pub value: T,
    /// Not wrong, but hardly what was meant.
    pub warnings: Diagnostics,
}

/// Loads `gateway.toml` and lays the environment over it. Without `file` the default name is tried, and may be missing.
///
/// # Errors
/// When the file is named and cannot be read, or anything in it or in the environment is wrong.
pub fn load_gateway(file: Option<&Path>) -> Result<Loaded<GatewayConfig>, ConfigError> {
    load_settings(file).map(|(loaded, _)| loaded)
}

/// The same, and where each value comes from.
///
/// # Errors
/// Those of [`load_gateway`].
pub fn load_settings(
    file: Option<&Path>,
) -> Result<(Loaded<GatewayConfig>, Vec<Setting>), ConfigError> {
    let (text, name) = match file {
        Some(path) => (read(path)?, path.display().to_string()),
        None => match read_text(Path::new(GATEWAY_FILE)) {
            Ok(text) => (text, GATEWAY_FILE.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                (String::new(), GATEWAY_FILE.to_owned())
            }
            Err(error) => return Err(unreadable(Path::new(GATEWAY_FILE), &error)),
        },
    };
    let mut environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    environment.sort();
    let parsed = gateway::parse_with_settings(&text, &name, &environment);
    let parsed = parsed.map_err(ConfigError::Wrong)?;
    let (value, warnings) = (parsed.config, parsed.warnings);
    Ok((Loaded { value, warnings }, parsed.settings))
}

/// Loads `routes.toml`.
///
/// # Errors
/// When it cannot be read, or anything in it is wrong.
pub fn load_routes(file: Option<&Path>) -> Result<Loaded<Routes>, ConfigError> {
    let path = file.map_or_else(|| PathBuf::from(ROUTES_FILE), Path::to_owned);
    read_routes(&path).0
}

/// Loads `routes.toml`, and tells which files it looked for beside it, also where something is wrong: a change of one of
/// them may mend it.
pub fn read_routes(path: &Path) -> (Result<Loaded<Routes>, ConfigError>, Vec<PathBuf>) {
    let text = match read(path) {
        Ok(text) => text,
        Err(error) => return (Err(error), Vec::new()),
    };
    let looked_for = RefCell::new(Vec::new());
    let look = |file: &Path| {
        looked_for.borrow_mut().push(beside(path, file));
        template_beside(path, file)
    };
    let loaded = parse(&text, &path.display().to_string(), &look).map_err(ConfigError::Wrong);
    (loaded, looked_for.into_inner())
}

/// Reads the text of a `routes.toml` of this name, beside which the templates that it names are.
///
/// # Errors
/// Everything that is wrong in it or in its templates.
pub fn parse_routes(text: &str, name: &str) -> Result<Loaded<Routes>, Diagnostics> {
    parse(text, name, &|file| template_beside(Path::new(name), file))
}

fn parse(text: &str, name: &str, files: ReadFile<'_>) -> Result<Loaded<Routes>, Diagnostics> {
    let value = faceway_rules::parse_with(text, name, &grammar(), files)?;
    Ok(Loaded {
        warnings: value.warnings.clone(),
        value,
    })
}

/// Reads nothing but the rules of a `routes.toml` of this name. No template is looked for: it may be gone, and no rule
/// depends on it.
///
/// # Errors
/// Everything that is wrong in it.
pub fn parse_rules(text: &str, name: &str) -> Result<RouteSet, Diagnostics> {
    let any_template = |_: &Path| Ok("{}".to_owned());
    let routes = faceway_rules::parse_with(text, name, &grammar(), &any_template)?;
    Ok(routes.routes)
}

/// What `routes.toml` may hold, by the adapters and protocols themselves.
pub fn grammar() -> Grammar {
    let adapters = faceway_adapters::all();
    let adapters = adapters.iter();
    Grammar {
        adapters: adapters
            .map(|adapter| AdapterGrammar::of(&**adapter))
            .collect(),
        outbounds: faceway_outbounds::ALL.to_vec(),
    }
}

/// Where a file is that a `routes.toml` names: its paths begin where it is itself.
pub fn beside(routes: &Path, file: &Path) -> PathBuf {
    routes.parent().unwrap_or(Path::new("")).join(file)
}

/// The text of a template that a `routes.toml` names, or why there is none.
pub fn template_beside(routes: &Path, file: &Path) -> Result<String, String> {
    use std::io::{ErrorKind, Read as _};
    let mut text = String::new();
    let file = std::fs::File::open(beside(routes, file));
    let read = file.and_then(|file| file.take(TEMPLATE_BYTES_MAX).read_to_string(&mut text));
    match read.map_err(|error| (error.kind(), error)) {
        Ok(_) => Ok(text),
        Err((ErrorKind::NotFound, _)) => Err("is not there".into()),
        Err((ErrorKind::InvalidData, _)) => Err("is not UTF-8; save it as UTF-8".into()),
        Err((_, error)) => Err(format!("cannot be read: {}", said(&error))),
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    read_text(path).map_err(|error| unreadable(path, &error))
}

/// The text of a file, which may be a pipe; a device that never ends is none.
fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other("it is larger than 16 MiB"));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let shown = path.display();
    ConfigError::Unreadable(match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!(
                "{shown}: there is no such file; name another with --routes or --gateway, or begin with the ten lines of README.md"
            )
        }
        std::io::ErrorKind::InvalidData => format!("{shown}: not UTF-8; save it as UTF-8"),
        _ => format!("{shown}: {}", said(error)),
    })
}

/// What the system said, and to whom, where it depends on that.
pub(crate) fn said(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => format!(
            "user {} may not read it; give it another owner or mode, or run this as the user of the service: sudo -u faceway …",
            rustix::process::geteuid().as_raw()
        ),
        _ => error.to_string(),
    }
}
