//! Secrets, from where the files say that they are.

use std::env::VarError;

use anyhow::{anyhow, bail};
use faceway_core::Private;
use faceway_rules::Secret;

use super::{read_small_text, said};

/// Reads a secret. A line break at the end of a file is not part of it.
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
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        bail!("the {secret} is blank");
    }
    Ok(Private::new(text.to_owned()))
}
