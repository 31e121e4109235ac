//! `identification` and `non_identification`: a camera saw a face, and the platform compared it.

use faceway_core::{
    Attribute, Category, Facts, Gender, Image, ImageRole, MatchStatus, ObjectType, Person, Private,
};

use crate::candidates::{Candidates, Entry};
use crate::wire::{Message, Type, linked};

/// Reads who it was into `facts`. The candidates of another type stay as sent: what they mean is not documented.
pub(crate) fn read<'a>(message: &mut Message<'a>, facts: &mut Facts<'a>) {
    let (status, category) = match message.about {
        Type::Other => return,
        Type::Identification => (MatchStatus::Matched, Category::Known),
        Type::NonIdentification => (MatchStatus::Unmatched, Category::Stranger),
    };
    let mut candidates = Candidates::take(&mut message.top);
    facts.matched.status = Some(status);
    facts.person.category = Some(category);
    // What the platform calls identification is done by the face.
    facts.object.object_type = Some(ObjectType::Face);
    match candidates.best() {
        Some(best) => {
            facts.matched.score = best.score;
            // A stranger has no id, and nobody's age.
            if message.about == Type::Identification {
                read_best(best, facts, category);
            }
        }
        None if message.about == Type::Identification => {
            message.top.warn("candidates", "none, so nobody is named");
        }
        None => {}
    }
    if candidates.best().is_some_and(|best| !best.is_named()) {
        message.top.warn("candidates", "the best names nobody");
    }
    facts.matched.candidates = candidates.named();
    message.candidates = candidates.leave(&mut message.top.warnings);
}

fn read_best<'a>(best: &mut Entry<'a>, facts: &mut Facts<'a>, category: Category) {
    facts.person = Person {
        id: best.id.clone().map(Private::new),
        category: Some(category),
        groups: best.groups.clone(),
        ..Person::default()
    };
    let attributes = &mut facts.object.attributes;
    attributes.age = best
        .profile
        .number_in("age", 0.0..=150.0)
        .map(Attribute::plain);
    attributes.gender = best
        .profile
        .word_or_warn("gender", gender, "unknown word")
        .word()
        .map(Attribute::plain);
    if let Some(url) = linked(&mut best.profile, "sample_link") {
        facts.images.push(Image::linked(ImageRole::Enrolled, url));
    }
}

/// `MALE` is documented, `FEMALE` inferred.
fn gender(word: &str) -> Option<Gender> {
    match word.to_ascii_lowercase().as_str() {
        "male" => Some(Gender::Male),
        "female" => Some(Gender::Female),
        _ => None,
    }
}
