//! Who it may have been. The order in which the platform sends candidates is not documented.

use faceway_core::lenient::best_first;
use faceway_core::{Candidate, Group, Members, Person, Private, Raw, Reader, Rest, Text};

/// More than this is no list of candidates or of groups; the list then stays as sent.
const ITEMS_MAX: usize = 1000;

/// `candidates`, best first; or as sent, when that cannot be known of all.
#[derive(Default)]
pub(crate) struct Candidates<'a> {
    entries: Vec<Entry<'a>>,
    /// What stands among them and is no object.
    odd: Vec<Raw<'a>>,
    /// The first as sent is no object, so none can be said to be the best.
    nobody_is_best: bool,
}

const NO_ORDER: &str = "one has no confidence that can be read, so they stay in the order sent";

/// One of them.
pub(crate) struct Entry<'a> {
    pub(crate) id: Option<Text<'a>>,
    pub(crate) groups: Vec<Group<'a>>,
    pub(crate) score: Option<f64>,
    pub(crate) profile: Reader<'a>,
    beside: Reader<'a>,
}

impl<'a> Candidates<'a> {
    /// Takes them out of the message.
    pub(crate) fn take(top: &mut Reader<'a>) -> Self {
        let Some(items) = top.read("candidates", items) else {
            return Self::default();
        };
        top.members.drop("candidates");
        let mut candidates = Self::default();
        let first_is_odd = items
            .first()
            .is_some_and(|item| Members::of(*item).is_none());
        for item in items {
            match Members::of(item) {
                Some(members) => candidates.entries.push(Entry::read(members)),
                None => {
                    top.warn("candidates", "one is not an object");
                    candidates.odd.push(item);
                }
            }
        }
        let Self { entries, odd, .. } = &mut candidates;
        // What is no object may be the best, as one without a confidence may.
        let alone = entries.len() + odd.len() < 2;
        let sorted = odd.is_empty() && best_first(entries, |entry| entry.score);
        if !sorted && !alone {
            top.warn("candidates", NO_ORDER);
        }
        candidates.nobody_is_best = first_is_odd;
        candidates
    }

    /// The one with the highest confidence, or the first as sent when that is not known of all: the next one may be poorer.
    /// He may name nobody: then nobody is named, and not the next best.
    pub(crate) fn best(&mut self) -> Option<&mut Entry<'a>> {
        self.entries.first_mut().filter(|_| !self.nobody_is_best)
    }

    /// Those that name somebody.
    pub(crate) fn named(&self) -> Vec<Candidate<'a>> {
        let named = self.entries.iter().filter(|entry| entry.is_named());
        named.map(Entry::candidate).collect()
    }

    /// What is left of each: of those that name somebody first, in their order, then the others.
    pub(crate) fn leave(self, warnings: &mut Vec<Text<'static>>) -> Vec<Rest<'a>> {
        let (named, unnamed): (Vec<_>, Vec<_>) =
            self.entries.into_iter().partition(Entry::is_named);
        let mut rest: Vec<Rest<'a>> = named
            .into_iter()
            .chain(unnamed)
            .map(|entry| Rest::Object(entry.leave(warnings)))
            .collect();
        rest.extend(self.odd.into_iter().map(Rest::Raw));
        rest
    }
}

impl<'a> Entry<'a> {
    fn read(members: Members<'a>) -> Self {
        let mut beside = Reader::new(members, "candidates.");
        let mut profile = beside
            .object("profile", "candidates.profile.")
            .unwrap_or_default();
        Self {
            id: profile.identifier("id"),
            groups: groups(&mut beside),
            score: beside.peek_score("confidence"),
            profile,
            beside,
        }
    }

    pub(crate) fn is_named(&self) -> bool {
        self.id.is_some() || !self.groups.is_empty()
    }

    /// No category: only who was identified is known.
    fn candidate(&self) -> Candidate<'a> {
        Candidate {
            person: Person {
                id: self.id.clone().map(Private::new),
                groups: self.groups.clone(),
                ..Person::default()
            },
            score: self.score,
        }
    }

    fn leave(mut self, warnings: &mut Vec<Text<'static>>) -> Members<'a> {
        let is_named = self.is_named();
        for warning in self.beside.warnings.drain(..).chain(self.profile.warnings) {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let mut rest = self.beside.members;
        if is_named && self.score.is_some() {
            rest.drop("confidence");
        }
        if !self.profile.members.is_empty() {
            rest.put("profile", Rest::Object(self.profile.members));
        }
        rest
    }
}

/// The watch lists that he is in. They stay as well when more is said than their ids, as the platform does with a colour.
fn groups<'a>(candidate: &mut Reader<'a>) -> Vec<Group<'a>> {
    let objects = |raw| items(raw)?.into_iter().map(Members::of).collect();
    let Some(items): Option<Vec<Members<'a>>> = candidate.read("profile_groups", objects) else {
        return Vec::new();
    };
    let mut whole = true;
    let mut groups = Vec::with_capacity(items.len());
    for item in items {
        let mut item = Reader::new(item, "");
        let id = item.identifier("id");
        whole &= item.members.is_empty();
        if id.is_some() {
            groups.push(Group { id, name: None });
        }
    }
    if whole {
        candidate.members.drop("profile_groups");
    }
    groups
}

fn items(raw: Raw<'_>) -> Option<Vec<Raw<'_>>> {
    raw.items().filter(|items| items.len() <= ITEMS_MAX)
}

#[cfg(test)]
mod tests {
    use faceway_core::{Members, Reader};

    use super::Candidates;

    /// Ids in order, the best one's id, and what is left.
    fn read(list: &str) -> (Vec<String>, Option<String>, String) {
        let json = format!(r#"{{"candidates":{list}}}"#);
        let mut top = Reader::new(Members::parse(&json).unwrap(), "");
        let mut candidates = Candidates::take(&mut top);
        let best = candidates.best().and_then(|best| best.id.clone());
        let ids = candidates
            .named()
            .into_iter()
            .map(|candidate| candidate.person.id.unwrap().into_revealed().into_owned())
            .collect();
        let rest = serde_json::to_string(&candidates.leave(&mut Vec::new())).unwrap();
        (ids, best.map(Into::into), rest)
    }

    #[test]
    fn the_highest_confidence_comes_first() {
        let (ids, best, rest) = read(
            r#"[{"profile":{"id":"a"},"confidence":0.2},{"profile":{"id":"b"},"confidence":0},
                {"profile":{"id":"c","avatar_id":"x"},"confidence":0.9},{"profile":{"id":"d"},"confidence":0.9}]"#,
        );
        assert_eq!(ids, ["c", "d", "a", "b"]);
        assert_eq!(best.as_deref(), Some("c"));
        assert_eq!(rest, r#"[{"profile":{"avatar_id":"x"}},{},{},{}]"#);
    }

    #[test]
    fn nobody_is_named_in_place_of_one_who_may_be_better() {
        let poorer = r#"{"profile":{"id":"poorer"},"confidence":0.51}"#;
        for unknown in [
            "",
            r#","confidence":null"#,
            r#","confidence":"0.99""#,
            r#","confidence":93.5"#,
        ] {
            let first = format!(r#"{{"profile":{{"id":"first"}}{unknown}}}"#);
            let (ids, best, _) = read(&format!("[{first},{poorer}]"));
            assert_eq!(
                (ids, best.as_deref()),
                (vec!["first".into(), "poorer".into()], Some("first"))
            );
            // Behind, he may be the better one as well, but nothing says so.
            assert_eq!(
                read(&format!("[{poorer},{first}]")).1.as_deref(),
                Some("poorer")
            );
        }
        assert_eq!(read(&format!("[7,{poorer}]")).1, None);
        assert_eq!(read(&format!("[{poorer},7]")).1.as_deref(), Some("poorer"));
    }

    #[test]
    fn rounding_makes_nobody_the_last() {
        let (ids, best, _) = read(
            r#"[{"profile":{"id":"a"},"confidence":0.62},{"profile":{"id":"b"},"confidence":1.0000001}]"#,
        );
        assert_eq!(
            (ids, best.as_deref()),
            (vec!["b".into(), "a".into()], Some("b"))
        );
    }

    #[test]
    fn the_next_best_is_not_named_in_place_of_nobody() {
        let (ids, best, rest) =
            read(r#"[{"profile":{"id":"a"},"confidence":0.7},{"profile":null,"confidence":0.9}]"#);
        assert_eq!((ids, best), (vec!["a".to_owned()], None));
        assert_eq!(rest, r#"[{},{"confidence":0.9}]"#);
    }
}
