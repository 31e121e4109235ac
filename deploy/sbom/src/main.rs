//! Writes what the gateway is built of to standard output, as a CycloneDX bill of materials: `cargo run -p faceway-sbom`.
//!
//! It asks Cargo and Cargo.lock, so it needs no network and no tool beside them, and the same sources give the same bytes.

mod bill;
mod metadata;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

const NAME: &str = "faceway";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let written = metadata::read(&root, NAME).and_then(|metadata| {
        let bill = bill::of(&metadata, NAME)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{bill:#}").map_err(|error| error.to_string())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "error: {why}");
            ExitCode::FAILURE
        }
    }
}
