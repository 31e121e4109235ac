//! Rows beside a lane's record. An empty payload says that the row is gone.
//!
//! * `state.waiting.<lane>.<range>`: what waits in a range of the log: 0, or the length of its bytes and one; the bytes
//!   ([`faceway_core::waiting`]); then for each event with more to know: step of its number, failures, 0 | 1 parked
//!   alone | 2 parked as a probe | 3 suspended, and with 1 and 2 the pause in nanoseconds and when it was set, with 3 the code.
//! * `state.once.<lane>.<number>`: marks of once windows, as one commit brought them: route, key, id, received, until.
//! * `state.buried.<lane>.<seq>`: a buried event, as JSON.

use std::time::Duration;

use bytes::Bytes;
use faceway_core::{
    Burial, Code, DeviceKey, Entry, EventId, HeldEvent, Hold, LaneState, OnceMark, Parked,
    Timestamp, waiting,
};
use serde::{Deserialize, Serialize};

use crate::codec::{Reader, Writer};

/// What is known of a range: what waits in it, and what is held of it.
pub(super) type Range = (Option<Bytes>, Vec<(u64, HeldEvent)>);

/// The row of a range as it is in `state`; empty where there is nothing.
pub(super) fn encode_range(state: &LaneState, range: u64) -> Vec<u8> {
    let waiting = state
        .waiting
        .binary_search_by_key(&range, |(number, _)| *number);
    let waiting = waiting.ok().map(|at| &state.waiting[at].1);
    let (first, end) = (range * waiting::RANGE, (range + 1) * waiting::RANGE);
    let from = state.held.partition_point(|(seq, _)| *seq < first);
    let to = state.held.partition_point(|(seq, _)| *seq < end);
    let held = &state.held[from..to];
    if waiting.is_none() && held.is_empty() {
        return Vec::new();
    }
    let mut writer = Writer::default();
    match waiting {
        Some(bytes) => {
            writer.number(bytes.len() as u64 + 1);
            writer.raw(bytes);
        }
        None => writer.number(0),
    }
    let mut last = first;
    for (seq, held) in held {
        writer.number(seq - last);
        last = *seq;
        write_held(&mut writer, held);
    }
    writer.into_bytes()
}

fn write_held(writer: &mut Writer, held: &HeldEvent) {
    writer.number(held.failures.into());
    match &held.hold {
        None => writer.number(0),
        Some(Hold::Parked { pause, set_at, why }) => {
            writer.number(match why {
                Parked::Alone => 1,
                Parked::Probe => 2,
            });
            writer.number(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX));
            writer.signed(set_at.as_millis());
        }
        Some(Hold::Suspended { code }) => {
            writer.number(3);
            writer.text(code.as_str());
        }
    }
}

/// Reads the row of a range; `None` when it is none.
pub(super) fn decode_range(range: u64, bytes: &[u8]) -> Option<Range> {
    let mut reader = Reader::new(bytes);
    let waiting = match reader.number()? {
        0 => None,
        length => Some(reader.take(usize::try_from(length - 1).ok()?)?),
    };
    let waiting = waiting.map(Bytes::copy_from_slice);
    if let Some(bytes) = &waiting {
        waiting::decode(range, bytes)?;
    }
    let (mut held, mut last) = (Vec::new(), range.checked_mul(waiting::RANGE)?);
    while !reader.is_at_end() {
        last = last.checked_add(reader.number()?)?;
        held.push((last, read_held(&mut reader)?));
    }
    Some((waiting, held))
}

fn read_held(reader: &mut Reader<'_>) -> Option<HeldEvent> {
    let failures = u32::try_from(reader.number()?).ok()?;
    let hold = match reader.number()? {
        0 => None,
        kind @ (1 | 2) => Some(Hold::Parked {
            pause: Duration::from_nanos(reader.number()?),
            set_at: Timestamp::from_millis(reader.signed()?).ok()?,
            why: if kind == 1 {
                Parked::Alone
            } else {
                Parked::Probe
            },
        }),
        3 => Some(Hold::Suspended {
            code: Code::stored(reader.text()?.to_owned()),
        }),
        _ => return None,
    };
    Some(HeldEvent { failures, hold })
}

/// The row of marks that one commit brings.
pub(super) fn encode_once(passed: &[OnceMark]) -> Vec<u8> {
    let mut writer = Writer::default();
    for one in passed {
        writer.text(&one.route);
        writer.raw(&one.key);
        writer.raw(one.id.as_bytes());
        writer.signed(one.received_at.as_millis());
        writer.signed(one.until.as_millis());
    }
    writer.into_bytes()
}

pub(super) fn decode_once(bytes: &[u8]) -> Option<Vec<OnceMark>> {
    let (mut reader, mut passed) = (Reader::new(bytes), Vec::new());
    while !reader.is_at_end() {
        passed.push(OnceMark {
            route: reader.text()?.to_owned(),
            key: reader.array()?,
            id: EventId::from_bytes(reader.array()?),
            received_at: Timestamp::from_millis(reader.signed()?).ok()?,
            until: Timestamp::from_millis(reader.signed()?).ok()?,
        });
    }
    Some(passed)
}

/// A buried event, without its body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BuriedRow {
    pub(crate) at: i64,
    pub(crate) code: String,
    pub(crate) failures: u32,
    /// What is known of the event; nothing where it had left the log, or was damaged.
    pub(crate) event: Option<BuriedEvent>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BuriedEvent {
    pub(crate) id: EventId,
    pub(crate) device: u64,
    pub(crate) received_at: i64,
}

impl BuriedRow {
    pub(super) fn new(burial: &Burial, entry: Option<&Entry>) -> Self {
        Self {
            at: burial.at.as_millis(),
            code: burial.code.as_str().to_owned(),
            failures: burial.failures,
            event: entry.map(|entry| BuriedEvent {
                id: entry.id,
                device: entry.device.0,
                received_at: entry.received_at.as_millis(),
            }),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // A row is plain data.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl BuriedEvent {
    pub(crate) const fn device(&self) -> DeviceKey {
        DeviceKey(self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms).unwrap()
    }

    #[test]
    fn a_range_comes_back_with_all_that_is_held() {
        let first = 5 * waiting::RANGE;
        let parked = |why| HeldEvent {
            failures: 3,
            hold: Some(Hold::Parked {
                pause: Duration::from_nanos(90_000_000_001),
                set_at: at(-7),
                why,
            }),
        };
        let suspended = HeldEvent {
            failures: 0,
            hold: Some(Hold::Suspended {
                code: Code::status(401),
            }),
        };
        let failed = HeldEvent {
            failures: 1,
            hold: None,
        };
        let held = vec![
            (first, parked(Parked::Alone)),
            (first + 1, parked(Parked::Probe)),
            (first + 9, suspended),
            (first + 1023, failed),
        ];
        let events = [(first, DeviceKey(1)), (first + 9, DeviceKey(2))];
        let mut state = LaneState {
            waiting: vec![(5, waiting::encode(5, &events))],
            held: held.clone(),
            ..LaneState::default()
        };
        // Neighbours do not come into this range's row.
        state.held.insert(0, (first - 1, parked(Parked::Alone)));
        state.held.push((first + 1024, parked(Parked::Alone)));
        let bytes = encode_range(&state, 5);
        let range = decode_range(5, &bytes).unwrap();
        assert_eq!(range, (Some(state.waiting[0].1.clone()), held));
        assert!(encode_range(&state, 7).is_empty());
        for at in 0..bytes.len() {
            // Whatever is cut off: it is another range, or none.
            let _ = decode_range(5, &bytes[..at]);
        }
    }

    #[test]
    fn marks_come_back() {
        let passed = OnceMark {
            route: "r".into(),
            key: [7; 16],
            id: EventId::from_bytes([9; 16]),
            received_at: at(5),
            until: at(99),
        };
        let bytes = encode_once(&[passed.clone(), passed.clone()]);
        assert_eq!(decode_once(&bytes), Some(vec![passed.clone(), passed]));
        assert_eq!(decode_once(&bytes[1..]), None);
    }
}
