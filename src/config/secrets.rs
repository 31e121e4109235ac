//! Secrets, from where the files say that they are.

use anyhow::{Context as _, bail};
use faceway_core::Private;
use faceway_rules::Secret;

/// Reads a secret. A line break at the end of a file is not part of it.
///
/// # Errors
/// When it is not there, or blank.
pub fn resolve(secret: &Secret) -> anyhow::Result<Private<String>> {
    let text = match secret {
        Secret::Env(name) => std::env::var(name)
            .with_context(|| format!("the environment variable {name} is not set"))?,
        Secret::File(path) => {
            let text = std::fs::read_to_string(path);
            text.with_context(|| format!("the secret file {} cannot be read", path.display()))?
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        bail!("the {secret} is blank");
    }
    Ok(Private::new(text.to_owned()))
}
