//! Whose card matched.

use faceway_core::{Category, Group, MatchStatus, Person, Private, Reader};

use crate::verbose::named;

/// Where a card stands: an id, or in FindFace Multi's verbose mode the card itself.
const CARDS: [&str; 2] = ["matched_card", "matched_dossier"];

/// Reads the card, if it may be read: a card beside `matched: false` contradicts it, and stays.
pub(crate) fn read<'a>(
    fields: &mut Reader<'a>,
    strangers: bool,
) -> (Person<'a>, Option<MatchStatus>) {
    let mut person = Person::default();
    let mut status = fields.flag("matched").map(|matched| match matched {
        true => MatchStatus::Matched,
        false => MatchStatus::Unmatched,
    });
    if status == Some(MatchStatus::Unmatched) {
        warn_of_cards(fields);
    } else {
        let card = card(fields);
        if card != Group::default() {
            status = Some(MatchStatus::Matched);
        }
        person.id = card.id.map(Private::new);
        person.name = card.name.map(Private::new);
    }
    person.category = match status {
        Some(MatchStatus::Matched) => Some(Category::Known),
        Some(MatchStatus::Unmatched) if strangers => Some(Category::Stranger),
        _ => None,
    };
    person.groups = fields.groups("matched_lists");
    (person, status)
}

fn card<'a>(fields: &mut Reader<'a>) -> Group<'a> {
    let mut card = Group::default();
    for name in CARDS {
        if card == Group::default() {
            card = named(fields, name, "matched_card.");
        }
    }
    dossier(fields, card)
}

/// FindFace Security's verbose mode adds the card as `dossier`, and leaves `matched_dossier` the id.
fn dossier<'a>(fields: &mut Reader<'a>, card: Group<'a>) -> Group<'a> {
    let Some(mut dossier) = fields.object("dossier", "dossier.") else {
        return card;
    };
    let told = |dossier: &Reader<'a>| {
        dossier
            .members
            .peek("id")
            .map(|raw| raw.get().trim_matches('"'))
    };
    let other =
        card.id.is_some() && told(&dossier).is_some_and(|id| Some(id) != card.id.as_deref());
    if other {
        dossier.warn("id", "not that of the matched card");
        fields.give_back("dossier", dossier);
        return card;
    }
    let Group { id, name } = dossier.id_and_name();
    fields.give_back("dossier", dossier);
    Group {
        id: card.id.or(id),
        name: card.name.or(name),
    }
}

fn warn_of_cards(fields: &mut Reader<'_>) {
    for name in CARDS.iter().chain(&["dossier"]) {
        if fields
            .told(name)
            .is_some_and(|raw| !matches!(raw.get(), "\"\"" | "{}"))
        {
            fields.warn(name, "named although `matched` is false");
        }
    }
}
