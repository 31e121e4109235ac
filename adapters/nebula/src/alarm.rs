//! `type` 1, since API 1.3.0: the terminal is in trouble.

use faceway_core::lenient::Unit;
use faceway_core::{Alarm, AlarmState, AlarmType, Facts, Person};

use crate::recognition::{private, user_id};
use crate::wire::Push;

/// Reads `data` into `facts`. An alarm has no id of its own for a record: the same `trace_id` comes again with every
/// attempt to clear it.
pub(crate) fn read<'a>(push: &mut Push<'a>, facts: &mut Facts<'a>) {
    let data = &mut push.data;
    facts.vendor_id = data.identifier("trace_id");
    facts.occurred_at = data.time("event_time", Unit::Milliseconds);
    facts.alarm = Alarm {
        alarm_type: data.code("code", alarm_type).word(),
        state: data.code("status", alarm_state).word(),
        description: data.text("description"),
    };
    facts.person = Person {
        id: private(user_id(data, None)),
        ..Person::default()
    };
}

const fn alarm_type(number: i64) -> Option<AlarmType> {
    match number {
        10001 => Some(AlarmType::Tamper),
        10002 => Some(AlarmType::ForcedDoor),
        10003 => Some(AlarmType::DoorHeldOpen),
        10004 => Some(AlarmType::PasswordAttack),
        20003 => Some(AlarmType::Fire),
        _ => None,
    }
}

const fn alarm_state(number: i64) -> Option<AlarmState> {
    match number {
        1 => Some(AlarmState::Raised),
        2 => Some(AlarmState::ClearingFailed),
        3 => Some(AlarmState::Cleared),
        _ => None,
    }
}
