//! `type` 0: somebody stood before the terminal. Version by version in the README beside this crate.

use faceway_core::lenient::Unit;
use faceway_core::{
    Access, AccessMethod, Attribute, Attributes, Category, DeniedReason, Facts, Liveness, Mask,
    Match, MatchStatus, Object, ObjectType, Person, Private, Reader, RecordKey, Text, is_unique_id,
};

use crate::wire::Push;

/// Reads `data` into `facts`. Gives the record's key where the terminal has given it an id.
pub(crate) fn read<'a>(push: &mut Push<'a>, facts: &mut Facts<'a>) -> Option<RecordKey> {
    let told = Told::of(push);
    facts.vendor_id = push.data.identifier("uuid");
    facts.occurred_at = push.data.time("timestamp", Unit::Seconds);
    let found = found(push);
    facts.matched = Match {
        status: found.status,
        score: push.data.score("recognizeScore"),
        candidates: Vec::new(),
    };
    facts.object = object(&mut push.data, found.liveness);
    facts.access = access(&mut push.data);
    let user_id = user_id(&mut push.user, found.status);
    let key = strong_key(&told, facts);
    facts.person = person(push, user_id, found.category);
    key
}

/// Who stood there and with which verdict, as sent: the terminal repeats all of it when it sends a record again.
struct Told<'a>([&'a str; 7]);

impl<'a> Told<'a> {
    fn of(push: &Push<'a>) -> Self {
        let text = |fields: &Reader<'a>, name| match fields.members.peek(name).map(|raw| raw.get())
        {
            Some("null") | None => "",
            Some(text) => text,
        };
        Self([
            text(&push.user, "user_id"),
            text(&push.user, "name"),
            text(&push.user, "type"),
            text(&push.data, "recognitionType"),
            text(&push.data, "recognizeStatus"),
            text(&push.data, "pass"),
            text(&push.data, "abnormal_type"),
        ])
    }
}

/// Since API 1.2.1 a terminal gives each record a UUID. One that is not a UUID may come again for another record.
fn strong_key(told: &Told<'_>, facts: &Facts<'_>) -> Option<RecordKey> {
    let uuid = facts.vendor_id.as_deref().filter(|id| is_unique_id(id))?;
    let device = facts.device.id.as_deref().unwrap_or_default();
    Some(RecordKey::strong(&["uuid", device, uuid], &told.0))
}

/// Whom the terminal found.
#[derive(Clone, Copy, Default)]
struct Found {
    category: Option<Category>,
    status: Option<MatchStatus>,
    liveness: Option<Liveness>,
}

impl Found {
    const NOBODY: Self = Self::new(None, None);
    const STRANGER: Self = Self::new(Some(Category::Stranger), Some(MatchStatus::Unmatched));
    const NOT_LIVE: Self = Self {
        category: None,
        status: None,
        liveness: Some(Liveness::Spoof),
    };

    const fn new(category: Option<Category>, status: Option<MatchStatus>) -> Self {
        Self {
            category,
            status,
            liveness: None,
        }
    }

    const fn matched(category: Category) -> Self {
        Self::new(Some(category), Some(MatchStatus::Matched))
    }
}

/// `recognitionType` of API 1.1.0 and later, else `recognizeStatus`, else what `user.type` alone tells.
fn found(push: &mut Push<'_>) -> Found {
    let blocklisted_is_3 =
        !push.data.members.has("entry_mode") && !push.data.members.has("abnormal_type");
    let user_type = |number| user_type(number, blocklisted_is_3);
    if push.data.told("recognitionType").is_some() {
        let found = recognition_type(&mut push.data);
        let told = push.user.told("type").map(|raw| raw.get().parse().ok());
        // Where both say the same, it is mapped whole.
        if told.is_some_and(|number| {
            found.category.is_some() && number.and_then(user_type) == found.category
        }) {
            push.user.members.drop("type");
        }
        return found;
    }
    let status = recognize_status(&mut push.data);
    match status {
        None => Found::new(push.user.code("type", user_type).word(), None),
        Some(found) if found.category == Some(Category::Known) => push
            .user
            .code("type", user_type)
            .word()
            .map_or(found, Found::matched),
        Some(found) => found,
    }
}

fn recognition_type(data: &mut Reader<'_>) -> Found {
    // 0, nobody recognised, occurs in the history's sample only. It has no word, so it stays.
    if data
        .members
        .peek("recognitionType")
        .is_some_and(|raw| raw.get() == "0")
    {
        return Found::NOBODY;
    }
    let found = data.code("recognitionType", |number| match number {
        1 => Some(Found::matched(Category::Employee)),
        2 => Some(Found::matched(Category::Visitor)),
        3 => Some(Found::STRANGER),
        4 => Some(Found::NOT_LIVE),
        5 => Some(Found::matched(Category::Blocklisted)),
        _ => None,
    });
    found.word().unwrap_or_default()
}

/// API v0.0.8 and 1.0.0, and a draft of 1.1.0. `None` when it is not told or cannot be read.
fn recognize_status(data: &mut Reader<'_>) -> Option<Found> {
    let number = data.peek_integer("recognizeStatus")?;
    // In the library, recognised, passed, failed: the words tell less than the numbers, which therefore stay.
    match number {
        0 => Some(Found::NOBODY),
        2 | 4 | 5 => Some(Found::matched(Category::Known)),
        6 => Some(Found::new(None, Some(MatchStatus::Unmatched))),
        _ => data
            .code("recognizeStatus", |number| match number {
                1 => Some(Found::NOT_LIVE),
                3 => Some(Found::STRANGER),
                _ => None,
            })
            .word(),
    }
}

/// A blocklisted person is 5 since API 1.3.0 and was 3 before. Told apart by the two fields that 1.3.0 added (inferred:
/// the push does not say its version).
const fn user_type(number: i64, blocklisted_is_3: bool) -> Option<Category> {
    match number {
        1 => Some(Category::Employee),
        2 => Some(Category::Visitor),
        3 if blocklisted_is_3 => Some(Category::Blocklisted),
        5 => Some(Category::Blocklisted),
        _ => None,
    }
}

fn person<'a>(
    push: &mut Push<'a>,
    user_id: Option<Text<'a>>,
    category: Option<Category>,
) -> Person<'a> {
    // Beside `user` in the history's shape, inside it in pushes.
    let mut groups = push.user.groups("groups");
    if groups.is_empty() {
        groups = push.data.groups("groups");
    }
    let user = &mut push.user;
    Person {
        id: private(user_id),
        name: private(user.text("name")),
        category,
        groups,
        card_number: private(user.identifier("ic_number")),
        job_number: private(user.identifier("job_number")),
        id_number: private(user.identifier("id_number")),
        remark: private(user.text("remark")),
        valid_from: user.time("guest_time_start", Unit::Milliseconds),
        valid_until: user.time("guest_time_end", Unit::Milliseconds),
    }
}

/// Before API 1.2.1 a number, which cannot be blank: a 0 beside nobody known is nobody (inferred), and stays.
pub(crate) fn user_id<'a>(
    fields: &mut Reader<'a>,
    status: Option<MatchStatus>,
) -> Option<Text<'a>> {
    let zero = fields
        .members
        .peek("user_id")
        .is_some_and(|raw| raw.get() == "0");
    if zero && status != Some(MatchStatus::Matched) {
        return None;
    }
    fields.identifier("user_id")
}

pub(crate) fn private(text: Option<Text<'_>>) -> Option<Private<Text<'_>>> {
    text.map(Private::new)
}

fn object<'a>(data: &mut Reader<'a>, liveness: Option<Liveness>) -> Object<'a> {
    Object {
        object_type: used_a_face(data).then_some(ObjectType::Face),
        liveness,
        attributes: Attributes {
            mask: data
                .code("mask", mask)
                .word()
                .flatten()
                .map(Attribute::plain),
            temperature_c: measured(data, "bodyTemperature").map(Attribute::plain),
            ..Attributes::default()
        },
        ..Object::default()
    }
}

/// `0` is how the vendor says "not measured".
fn measured(data: &mut Reader<'_>, name: &str) -> Option<f64> {
    data.number(name).filter(|value| *value != 0.0)
}

/// Before API 1.3.0 there is no `entry_mode`, and a face is what the terminals are for.
fn used_a_face(data: &mut Reader<'_>) -> bool {
    data.told("entry_mode")
        .is_none_or(|raw| matches!(raw.get(), "1" | "4" | "6" | "8" | "10"))
}

/// 0: not looked for.
const fn mask(number: i64) -> Option<Option<Mask>> {
    match number {
        0 => Some(None),
        1 => Some(Some(Mask::NotWorn)),
        2 => Some(Some(Mask::Worn)),
        _ => None,
    }
}

fn access(data: &mut Reader<'_>) -> Access {
    Access {
        granted: data.flag("pass"),
        methods: data
            .code("entry_mode", methods)
            .word()
            .unwrap_or_default()
            .to_vec(),
        denied_reason: data.code("abnormal_type", denied_reason).word().flatten(),
    }
}

const fn methods(number: i64) -> Option<&'static [AccessMethod]> {
    use AccessMethod::{Button, Card, Face, HealthCode, IdCard, JobNumber, Pin, QrCode};
    Some(match number {
        1 => &[Face],
        2 => &[QrCode],
        3 => &[Card],
        4 => &[Face, Card],
        5 => &[IdCard],
        6 => &[Face, IdCard],
        7 => &[HealthCode],
        8 => &[Face, Pin],
        9 => &[Card, Pin],
        10 => &[Face, Card, Pin],
        11 => &[Button],
        12 => &[JobNumber, Pin],
        _ => return None,
    })
}

/// 0: nothing was wrong.
const fn denied_reason(number: i64) -> Option<Option<DeniedReason>> {
    Some(Some(match number {
        0 => return Some(None),
        10001 => DeniedReason::PersonIdCardMismatch,
        10002 => DeniedReason::PersonCardMismatch,
        10003 => DeniedReason::PersonCodeMismatch,
        20001 => DeniedReason::VisitorNotValid,
        20002 => DeniedReason::OutsideHours,
        30001 => DeniedReason::InvalidIdCard,
        30002 => DeniedReason::InvalidCard,
        30003 => DeniedReason::InvalidQrCode,
        40001 => DeniedReason::Temperature,
        70001 => DeniedReason::WrongPin,
        70002 => DeniedReason::TooManyWrongPins,
        _ => return None,
    }))
}
