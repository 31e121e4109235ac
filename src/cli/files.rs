//! The files that commands name, and where records come from.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use faceway::config::{self, ConfigError, GatewayConfig, Loaded, Setting};
use faceway::topology::{Refused, trial};
use faceway_rules::{Diagnostics, Routes};

use super::{Failure, Streams};

/// The largest input that a command takes into memory.
const INPUT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// `--gateway`.
#[derive(Args, Debug)]
pub(crate) struct GatewayFile {
    /// The process's file; without it gateway.toml in the current directory, which may be missing
    #[arg(long, value_name = "FILE")]
    pub(crate) gateway: Option<PathBuf>,
}

/// `--routes`.
#[derive(Args, Debug)]
pub(crate) struct RoutesFile {
    /// What comes in, what goes out, the rules between; without it routes.toml in the current directory
    #[arg(long, value_name = "FILE")]
    pub(crate) routes: Option<PathBuf>,
}

impl GatewayFile {
    /// The file with the environment laid over it.
    pub(crate) fn load(&self) -> Result<Loaded<GatewayConfig>, ConfigError> {
        config::load_gateway(self.gateway.as_deref())
    }

    /// The same, and where each value comes from.
    pub(crate) fn load_settings(
        &self,
    ) -> Result<(Loaded<GatewayConfig>, Vec<Setting>), ConfigError> {
        config::load_settings(self.gateway.as_deref())
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        let path = self.gateway.as_deref();
        path.unwrap_or(Path::new(config::GATEWAY_FILE))
    }

    /// Says so when a file of that name lies beside the routes and is not the one that is read: a command that names the routes
    /// alone may think that it is.
    pub(crate) fn tell_unread(&self, routes: &RoutesFile, streams: &mut Streams<'_>) {
        let beside = routes.path().with_file_name(config::GATEWAY_FILE);
        let same = |path: &Path| path.canonicalize().ok() == beside.canonicalize().ok();
        if self.gateway.is_none() && beside.exists() && !same(self.path()) {
            let beside = beside.display();
            let _ = writeln!(
                streams.talk,
                "note: {beside} was not read; name it: --gateway {beside}"
            );
        }
    }
}

impl RoutesFile {
    pub(crate) fn load(&self) -> Result<Loaded<Routes>, ConfigError> {
        config::load_routes(self.routes.as_deref())
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        let path = self.routes.as_deref();
        path.unwrap_or(Path::new(config::ROUTES_FILE))
    }

    /// What the file is called in messages.
    pub(crate) fn name(&self) -> String {
        self.path().display().to_string()
    }
}

/// A file where none is expected: `faceway check routes.toml`.
#[derive(Args, Debug)]
pub(crate) struct Stray {
    #[arg(hide = true)]
    file: Option<PathBuf>,
}

impl Stray {
    /// Says how it is named.
    pub(crate) fn refuse(&self, command: &str) -> Result<(), Failure> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let is_gateway = file
            .file_name()
            .is_some_and(|name| name == config::GATEWAY_FILE);
        let key = if is_gateway { "gateway" } else { "routes" };
        let file = file.display();
        Err(Failure::input(format!(
            "`{file}` stands alone; say which file it is: faceway {command} --{key} {file}"
        )))
    }
}

/// Takes the value of a file and tells what looks odd about it; or tells everything that is wrong with it.
pub(crate) fn settle<T>(
    loaded: Result<Loaded<T>, ConfigError>,
    streams: &mut Streams<'_>,
) -> Result<T, Failure> {
    let loaded = loaded.map_err(|error| {
        tell_wrong(&error, streams);
        Failure::InputTold
    })?;
    tell_warnings(&loaded.warnings, streams);
    Ok(loaded.value)
}

/// Takes `routes.toml` for a start. What a reload would refuse is told, and given back: the gateway may know rules of before.
pub(crate) fn settle_routes(
    loaded: Result<Loaded<Routes>, ConfigError>,
    streams: &mut Streams<'_>,
) -> Result<Result<Routes, Refused>, Failure> {
    if let Err(error @ ConfigError::Wrong(_)) = &loaded {
        tell_wrong(error, streams);
        return Ok(Err(Refused(error.to_string())));
    }
    let routes = settle(loaded, streams)?;
    let failures: Vec<String> = routes.run_tests().iter().map(ToString::to_string).collect();
    if failures.is_empty() {
        return Ok(Ok(routes));
    }
    let failures = failures.join("\n");
    let _ = writeln!(streams.talk, "{failures}");
    Ok(Err(Refused(failures)))
}

fn tell_warnings(warnings: &Diagnostics, streams: &mut Streams<'_>) {
    if !warnings.is_empty() {
        // When standard error is closed, the exit code still tells.
        let _ = writeln!(streams.talk, "{warnings}");
    }
}

/// Tells in which points two files that are right do not fit each other, and what looks odd about them together.
pub(crate) fn settle_together(
    config: &GatewayConfig,
    routes: &Routes,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let warnings = config::together(config, routes).map_err(|error| {
        tell_wrong(&error, streams);
        Failure::InputTold
    })?;
    tell_warnings(&warnings, streams);
    let tried = trial(config, routes);
    if let Err(error) = &tried {
        tell_wrong(error, streams);
    }
    let listens = listens(config);
    if let Err(error) = &listens {
        let _ = writeln!(streams.talk, "error: {error:#}");
    }
    if tried.is_err() || listens.is_err() {
        return Err(Failure::InputTold);
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    for text in config::strangers(names.iter().map(String::as_str), config, routes) {
        let _ = writeln!(streams.talk, "warning: {text}");
    }
    Ok(())
}

/// Whether devices can be listened to with the certificate that is named, where it is on this machine.
fn listens(config: &GatewayConfig) -> anyhow::Result<()> {
    let Some(tls) = &config.listen.tls else {
        return Ok(());
    };
    if !config::is_usable(&tls.cert) || !config::is_usable(&tls.key) {
        return Ok(());
    }
    config::tls::server(tls).map(drop)
}

fn tell_wrong(error: &ConfigError, streams: &mut Streams<'_>) {
    let _ = match error {
        ConfigError::Unreadable(text) => writeln!(streams.talk, "error: {text}"),
        ConfigError::Wrong(diagnostics) => writeln!(streams.talk, "{diagnostics}"),
    };
}

/// The bytes of a file, or of standard input when there is none or it is `-`.
pub(crate) fn input(file: Option<&Path>, streams: &mut Streams<'_>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let (read, name) = match file.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let opened = std::fs::File::open(path);
            let read =
                opened.and_then(|file| file.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes));
            (read, path.display().to_string())
        }
        None => {
            let read = (&mut *streams.input)
                .take(INPUT_BYTES_MAX + 1)
                .read_to_end(&mut bytes);
            (read, "standard input".to_owned())
        }
    };
    read.map_err(|error| Failure::input(format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::input(format!(
            "{name} is larger than 1 GiB: split it"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::input;
    use crate::cli::Failure;
    use crate::cli::streams::Buffers;

    #[test]
    fn input_comes_from_a_file_or_from_the_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in.json");
        std::fs::write(&file, "from the file").unwrap();
        for (path, expected) in [
            (None, "from the pipe"),
            (Some(Path::new("-")), "from the pipe"),
            (Some(file.as_path()), "from the file"),
        ] {
            let (bytes, _, _) = Buffers::run("from the pipe", |streams| input(path, streams));
            assert_eq!(bytes.unwrap(), expected.as_bytes());
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let (read, _, _) = Buffers::run("", |streams| {
            input(Some(Path::new("no/such.json")), streams)
        });
        assert!(matches!(read, Err(Failure::Input(text)) if text.contains("no/such.json")));
    }
}
