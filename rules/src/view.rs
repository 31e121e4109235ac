//! A part of an event, parsed; the rest is skipped unread.

use serde_json::Value;

use crate::Template;
use crate::trie::Trie;

/// What placeholders ask of an event.
#[derive(Clone, Debug, Default)]
pub struct View(Trie);

impl View {
    /// What these templates ask for, and the event's `kind`.
    pub fn of<'t>(templates: impl IntoIterator<Item = &'t Template>) -> Self {
        let mut asked = Trie::default();
        asked.add(["kind"]);
        for field in templates.into_iter().flat_map(Template::fields) {
            asked.add(field.segments.iter().map(String::as_str));
        }
        Self(asked)
    }

    /// Parses an event as far as it is asked for.
    ///
    /// # Errors
    /// When it is not JSON up to there.
    pub fn read(&self, event: &[u8]) -> Result<Value, serde_json::Error> {
        self.0.read(event)
    }
}
