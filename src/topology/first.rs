//! With which rules a gateway starts: those of its file, those of before where the file is refused, or those of the site.

use anyhow::Context as _;
use faceway_rules::Routes;

use super::{Refused, Topology};
use crate::config;

/// With what a gateway starts.
pub(crate) struct First {
    /// What the file says; of a refused one, what was in force before.
    pub(crate) file: Routes,
    /// Why the file is refused.
    pub(crate) refused: Option<Refused>,
    /// What the gateway goes by.
    pub(crate) in_force: Routes,
}

impl Topology {
    /// With what this gateway starts.
    ///
    /// # Errors
    /// When the file is refused, and nothing was in force before.
    pub(crate) fn first(&self, file: Result<Routes, Refused>) -> anyhow::Result<First> {
        let (file, refused) = match file {
            Ok(file) => (file, None),
            Err(refused) => (self.routes_of_before(&refused)?, Some(refused)),
        };
        let in_force = self.routes_of_site(&file);
        Ok(First {
            in_force: in_force.unwrap_or_else(|| file.clone()),
            file,
            refused,
        })
    }

    /// What is in force at the site, instead of a file that was in force there once: this gateway was away while the others went
    /// on. A file that is new there counts, and so does every file where one gateway has the log to itself.
    fn routes_of_site(&self, file: &Routes) -> Option<Routes> {
        self.context.duties.health()?;
        let history = &self.stored.as_ref()?.history;
        let active = &history.active().rules.text;
        let is_older = |text: &str| {
            let mut texts = history.texts().into_iter();
            *active != text && texts.any(|rules| rules.text == text)
        };
        if !is_older(&file.text) {
            return None;
        }
        let name = self.file.display().to_string();
        let loaded = config::parse_routes(active, &name).ok()?;
        tracing::warn!(
            "routes.toml of this gateway was in force at the site before, and another one is now: this gateway goes by that. \
             To go back to this file, have it read again: faceway reload"
        );
        Some(loaded.value)
    }

    /// What was in force before the start, instead of a file that is refused.
    ///
    /// # Errors
    /// The refusal, when nothing was, or when it cannot be read any more.
    fn routes_of_before(&self, refused: &Refused) -> anyhow::Result<Routes> {
        let stored = self.stored.as_ref();
        let stored = stored.context("there are no rules of before");
        let before = stored.and_then(|stored| {
            let text = &stored.history.active().rules.text;
            let name = self.file.display().to_string();
            let loaded = config::parse_routes(text, &name);
            loaded
                .map_err(|errors| anyhow::anyhow!("the rules of before cannot be read:\n{errors}"))
        });
        match before {
            Ok(loaded) => {
                tracing::error!(
                    "routes.toml is refused: the gateway starts with the rules that were in force before"
                );
                Ok(loaded.value)
            }
            Err(error) => {
                tracing::error!("routes.toml is refused, and {error:#}");
                Err(refused.clone().into())
            }
        }
    }
}
