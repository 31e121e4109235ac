//! Writes the seeds: every golden case into `corpus/<target>/`, as the target reads it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use faceway_core::Adapter;
use faceway_testkit::adapter::seeds;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> Result<(), Box<dyn Error>> {
    let mut adapters = faceway_adapters::all();
    adapters.push(Box::new(faceway_adapter_example::Example));
    for (index, adapter) in adapters.iter().enumerate() {
        seed(index, &**adapter)?;
    }
    for folder in ["good", "bad", "failing"] {
        let folder = Path::new(ROOT).join("../rules/tests").join(folder);
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".toml") {
                write("routes", &name, &fs::read(&path)?)?;
            }
        }
    }
    Ok(())
}

fn seed(index: usize, adapter: &dyn Adapter) -> Result<(), Box<dyn Error>> {
    let name = adapter.name();
    let fixtures = Path::new(ROOT).join(format!("../adapters/{name}/fixtures"));
    let settings = adapter.settings().len();
    for (case, bytes) in seeds(adapter, &fixtures)? {
        let body = &bytes[1 + settings..];
        write(name, &case, &bytes)?;
        for target in ["document", "split", "mend"] {
            write(target, &format!("{name}-{case}"), body)?;
        }
        let charset = [b"\x03GBK".as_slice(), body].concat();
        write("charset", &format!("{name}-{case}"), &charset)?;
        if case.starts_with("coding-") {
            let coding = u8::from(case.contains("deflate"));
            write("coding", &case, &[&[coding], body].concat())?;
        }
        if std::str::from_utf8(body).is_ok() {
            write("scrub_urls", &format!("{name}-{case}"), body)?;
        }
        // A device that answers 200 with the whole of it.
        let head = [vec![index as u8], bytes[..=settings].to_vec()].concat();
        let answer = [&head[..], &[0, u8::MAX], body].concat();
        write("dialogues", &format!("{name}-{case}"), &answer)?;
    }
    Ok(())
}

fn write(target: &str, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = Path::new(ROOT).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), bytes)?)
}
