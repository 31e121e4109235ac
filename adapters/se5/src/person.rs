//! Who was seen. A stranger has neither id nor name, whatever the box wrote there for want of one.

use faceway_core::reader::Told;
use faceway_core::{Category, Group, MatchStatus, Person, Private, Text};

use crate::message::{Message, owned};

/// Takes the person out of a message.
pub(crate) fn read(message: &mut Message<'_>) -> (Person<'static>, Option<MatchStatus>) {
    let category = category(message);
    if category == Some(Category::Stranger) {
        leave_identity(message);
        let person = Person {
            category,
            ..Person::default()
        };
        return (person, Some(MatchStatus::Unmatched));
    }
    let (id, name) = identity(message);
    let group = message.top.text("group_name").map(owned);
    let person = Person {
        id: id.map(Private::new),
        name: name.map(Private::new),
        category,
        groups: group
            .map(|name| Group {
                id: None,
                name: Some(name),
            })
            .into_iter()
            .collect(),
        ..Person::default()
    };
    (person, category.map(|_| MatchStatus::Matched))
}

fn category(message: &mut Message<'_>) -> Option<Category> {
    let told = message.ext.code_or_text("person_type", person_type);
    let told = told.or_else(|| message.top.code_or_text("person_type", person_type));
    match told.or_else(|| message.top.word("user_type", user_type)) {
        Told::Word(category) => Some(category),
        Told::Unknown => None,
        Told::Nothing => category_by_name(message),
    }
}

/// Without a type it is an employee, says the document. But firmware without it has strangers too.
fn category_by_name(message: &Message<'_>) -> Option<Category> {
    let top = &message.top;
    let sent = top.members.has("identity_id") && top.members.has("identity_name");
    match (top.peek("identity_id"), top.peek("identity_name")) {
        (_, Some(name)) if is_stranger(&name) => Some(Category::Stranger),
        (_, Some(_)) => Some(Category::Employee),
        (Some(id), None) if is_generated(&id) => Some(Category::Stranger),
        (Some(_), None) => Some(Category::Employee),
        (None, None) => sent.then_some(Category::Stranger),
    }
}

const fn person_type(number: i64) -> Option<Category> {
    match number {
        1 => Some(Category::Employee),
        2 => Some(Category::Visitor),
        3 => Some(Category::Blocklisted),
        4 => Some(Category::Stranger),
        5 => Some(Category::Vip),
        _ => None,
    }
}

fn user_type(word: &str) -> Option<Category> {
    match word {
        "employee" => Some(Category::Employee),
        "visitor" => Some(Category::Visitor),
        "blacklist" => Some(Category::Blocklisted),
        "stranger" => Some(Category::Stranger),
        "vip" => Some(Category::Vip),
        _ => None,
    }
}

fn is_stranger(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("stranger")
}

/// A stranger's id is the time at which he was seen: `1602612036.3828533`.
fn is_generated(id: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    id.split_once('.').is_some_and(|(seconds, fraction)| {
        seconds.len() == 10 && digits(seconds) && digits(fraction)
    })
}

/// What says "nobody" goes. A generated id, and the group that was searched, stay under `vendor`.
fn leave_identity(message: &mut Message<'_>) {
    let top = &mut message.top;
    match top.peek("identity_name") {
        Some(name) if is_stranger(&name) => top.members.drop("identity_name"),
        Some(_) => top.warn("identity_name", "a name beside a stranger"),
        None => drop(top.text("identity_name").map(owned)),
    }
    for name in ["identity_id", "group_name"] {
        if top.peek(name).is_none() {
            top.identifier(name);
        }
    }
}

fn identity(message: &mut Message<'_>) -> (Option<Text<'static>>, Option<Text<'static>>) {
    let Message { top, info, .. } = message;
    let mut id = top.identifier("identity_id").map(owned);
    let mut name = None;
    match top.peek("identity_name") {
        Some(text) if is_stranger(&text) => {
            top.warn("identity_name", "a stranger's, beside somebody known");
        }
        _ => name = top.text("identity_name").map(owned),
    }
    // What the person was enrolled with. It stays where it says something else.
    let enrolled = [("user_id", &mut id), ("name", &mut name)];
    for (member, told) in enrolled {
        let text = info.peek(member).filter(|text| !is_stranger(text));
        if told.is_none() {
            *told = text.map(owned);
        } else if *told != text.map(owned) {
            continue;
        }
        if told.is_some() {
            info.members.drop(member);
        }
    }
    (id, name)
}
