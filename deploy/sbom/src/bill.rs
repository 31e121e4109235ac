//! The bill: <https://cyclonedx.org/docs/1.6/json/>.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::metadata::{Metadata, Package};

/// The bill of the package `name`: everything that is in its binary, and what built it (`scope` is `excluded`).
///
/// # Errors
/// When Cargo does not know a package that it builds.
pub(crate) fn of(metadata: &Metadata, name: &str) -> Result<Value, String> {
    let mut subject = None;
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for built in &metadata.built {
        let package = metadata.packages.get(built);
        let package =
            package.ok_or_else(|| format!("Cargo does not know {} {}", built.0, built.1))?;
        let to = metadata.edges.get(built).into_iter().flatten();
        let to = to.filter(|to| metadata.built.contains(to));
        let mut to: BTreeSet<_> = to.map(reference).collect();
        if built.0 == name {
            subject = Some(component(metadata, built, package, "application"));
        } else {
            components.push(component(metadata, built, package, "library"));
        }
        if let Some(sqlite) = bundled(package) {
            to.insert(sqlite["bom-ref"].as_str().unwrap_or_default().into());
            dependencies.push(json!({ "ref": sqlite["bom-ref"] }));
            components.push(sqlite);
        }
        dependencies.push(json!({ "ref": reference(built), "dependsOn": to }));
    }
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": subject.ok_or_else(|| format!("there is no package {name}"))? },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(metadata: &Metadata, named: &Package, package: &Value, kind: &str) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": reference(named),
        "name": named.0,
        "version": named.1,
        "scope": if metadata.linked.contains(named) { "required" } else { "excluded" },
    });
    if let Some(license) = package["license"].as_str() {
        // Crates of long ago write `/` for `OR`.
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    // What the registry has can be named for everybody; what is ours is only here.
    if let Some(checksum) = metadata.checksums.get(named) {
        component["purl"] = reference(named).into();
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

/// SQLite, whose C sources come within a crate: it has versions and vulnerabilities of its own.
fn bundled(package: &Value) -> Option<Value> {
    if package["name"] != "libsqlite3-sys" {
        return None;
    }
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
    let header = std::fs::read_to_string(folder.join("sqlite3/sqlite3.h")).ok()?;
    let version = header
        .lines()
        .find_map(|line| line.strip_prefix("#define SQLITE_VERSION "));
    let version = version?.trim().trim_matches('"');
    Some(json!({
        "type": "library",
        "bom-ref": format!("pkg:generic/sqlite@{version}"),
        "name": "sqlite",
        "version": version,
        "scope": "required",
        "licenses": [{ "expression": "blessing" }],
        "purl": format!("pkg:generic/sqlite@{version}"),
        "cpe": format!("cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*"),
    }))
}

fn reference((name, version): &Package) -> String {
    // A `+` is part of a version, and means something in a URL.
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}
