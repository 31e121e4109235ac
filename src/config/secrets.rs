//! Secrets, from where the files say that they are.

use std::env::VarError;
use std::path::Path;

use anyhow::{anyhow, bail};
use faceway_core::outbound_kind::{Missing, Resources};
use faceway_core::{Private, Secret};

use super::{read_small_text, said, tls};

/// Secrets and files as they are on this machine.
pub struct OfThisMachine;

impl Resources for OfThisMachine {
    fn secret(&self, secret: &Secret) -> Result<Private<String>, Missing> {
        resolve(secret).map_err(|error| Missing(format!("{error:#}")))
    }

    fn pem(&self, file: &Path, key: &str) -> Result<Vec<u8>, Missing> {
        tls::pem(file, key).map_err(|error| Missing(format!("{error:#}")))
    }
}

/// Reads a secret. A line break at its end is not part of it, nor is the byte order mark at its beginning with which some
/// editors save a text: neither is visible, and with it no token would ever be the right one.
///
/// # Errors
/// When it is not there, or blank.
pub fn resolve(secret: &Secret) -> anyhow::Result<Private<String>> {
    let text = match secret {
        Secret::Env(name) => match std::env::var(name) {
            Ok(text) => text,
            Err(VarError::NotPresent) => bail!("the environment variable {name} is not set"),
            Err(VarError::NotUnicode(_)) => bail!("the environment variable {name} is not UTF-8"),
        },
        Secret::File(path) => read_small_text(path).map_err(|error| {
            let (path, said) = (path.display(), said(&error));
            anyhow!("the secret file {path} cannot be read: {said}")
        })?,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        bail!("the {secret} is blank");
    }
    Ok(Private::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use faceway_rules::Secret;

    use super::resolve;

    #[test]
    fn what_editors_put_around_a_secret_is_no_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret.txt");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            resolve(&Secret::File(file.clone())).map(|secret| secret.into_revealed())
        };
        for text in ["let me in", "let me in\n", "\u{feff}let me in\r\n"] {
            assert_eq!(read(text).unwrap(), "let me in", "{text:?}");
        }
        assert_eq!(read(" \u{feff}x ").unwrap(), " \u{feff}x ");
        assert!(read("\u{feff}\r\n").is_err());
    }
}
