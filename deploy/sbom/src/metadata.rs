//! What Cargo says of the build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A name and a version: there is one registry.
pub(crate) type Package = (String, String);

/// Cargo's word on the build of a package of ours on this machine.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// `name`, `version`, `license` … of everything, as Cargo writes them.
    pub(crate) packages: BTreeMap<Package, Value>,
    /// What each may depend on; only what is built counts.
    pub(crate) edges: BTreeMap<Package, Vec<Package>>,
    /// What is in the binary.
    pub(crate) linked: BTreeSet<Package>,
    /// The same, and what it is built with: macros, build scripts, and what those use.
    pub(crate) built: BTreeSet<Package>,
    /// SHA-256 of what the registry holds.
    pub(crate) checksums: BTreeMap<Package, String>,
}

/// Asks Cargo about `name` in the folder of the workspace.
///
/// # Errors
/// When there is no Cargo, or it says something else.
pub(crate) fn read(root: &Path, name: &str) -> Result<Metadata, String> {
    let cargo = |arguments: &[&str]| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        said(
            Command::new(cargo)
                .args(arguments)
                .arg("--locked")
                .current_dir(root),
        )
    };
    let host = said(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not name its host")?;
    let text = cargo(&["metadata", "--format-version=1", "--filter-platform", host])?;
    let all: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    // The graph of `cargo metadata` also has what no feature in use asks for. The tree has only what is built.
    let tree = |edges| {
        let arguments = [
            "tree",
            "--package",
            name,
            "--edges",
            edges,
            "--prefix=none",
            "--no-dedupe",
        ];
        cargo(&arguments).map(|text| text.lines().filter_map(package).collect())
    };
    let lock = root.join("Cargo.lock");
    let lock =
        std::fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    Ok(Metadata {
        packages: packages(&all),
        edges: edges(&all),
        linked: tree("normal,no-proc-macro")?,
        built: tree("normal,build")?,
        checksums: checksums(&lock)?,
    })
}

/// `serde_json v1.0.154 (…)`, a line of the tree.
fn package(line: &str) -> Option<Package> {
    let (name, rest) = line.split_once(" v")?;
    Some((name.into(), rest.split(' ').next()?.into()))
}

fn said(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{program}: {}", text(&output.stderr).trim())),
    }
}

fn packages(all: &Value) -> BTreeMap<Package, Value> {
    let packages = list(&all["packages"]).iter();
    packages
        .filter_map(|one| Some((named(one)?, one.clone())))
        .collect()
}

fn edges(all: &Value) -> BTreeMap<Package, Vec<Package>> {
    let packages = list(&all["packages"]).iter();
    let by_id: BTreeMap<_, _> = packages
        .filter_map(|one| Some((one["id"].as_str()?, named(one)?)))
        .collect();
    let of = |id: &Value| by_id.get(id.as_str()?).cloned();
    let nodes = list(&all["resolve"]["nodes"]).iter();
    nodes
        .filter_map(|node| {
            let edges = list(&node["dependencies"]).iter();
            Some((of(&node["id"])?, edges.filter_map(of).collect()))
        })
        .collect()
}

fn named(package: &Value) -> Option<Package> {
    let text = |key: &str| package[key].as_str().map(str::to_owned);
    Some((text("name")?, text("version")?))
}

fn checksums(lock: &str) -> Result<BTreeMap<Package, String>, String> {
    let lock: toml::Table = lock
        .parse()
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let text = |package: &toml::Value, key| Some(package.get(key)?.as_str()?.to_owned());
    Ok(packages
        .into_iter()
        .flatten()
        .filter_map(|one| {
            Some((
                (text(one, "name")?, text(one, "version")?),
                text(one, "checksum")?,
            ))
        })
        .collect())
}

/// The items, none where it is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
