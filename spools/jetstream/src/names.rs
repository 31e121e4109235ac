//! Names of streams and subjects.

use std::fmt::Write as _;

use faceway_core::{DeviceKey, Duty, Sha256};

/// The streams of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StreamKind {
    Events,
    Blobs,
    State,
    Lanes,
    Attempts,
    Quarantine,
    Members,
}

impl StreamKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Events,
        Self::Blobs,
        Self::State,
        Self::Lanes,
        Self::Attempts,
        Self::Quarantine,
        Self::Members,
    ];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Events => "EVENTS",
            Self::Blobs => "BLOBS",
            Self::State => "STATE",
            Self::Lanes => "LANES",
            Self::Attempts => "ATTEMPTS",
            Self::Quarantine => "QUARANTINE",
            Self::Members => "MEMBERS",
        }
    }
}

/// Writes the names of one site.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    site: String,
}

impl Names {
    pub(crate) fn new(site: &str) -> Self {
        Self { site: site.into() }
    }

    pub(crate) fn stream(&self, kind: StreamKind) -> String {
        format!("FW_{}_{}", self.site, kind.word())
    }

    fn subject(&self, rest: std::fmt::Arguments<'_>) -> String {
        format!("fw.{}.{rest}", self.site)
    }

    /// The subjects that a stream takes.
    pub(crate) fn subjects(&self, kind: StreamKind) -> Vec<String> {
        let subjects: &[&str] = match kind {
            StreamKind::Events => &["ev.>", "mark"],
            StreamKind::Blobs => &["blob.>", "body.>"],
            StreamKind::State => &["state.>"],
            StreamKind::Lanes => &["copy.>", "piece.>", "order.>"],
            StreamKind::Attempts => &["att.>"],
            StreamKind::Quarantine => &["q.>", "qc.>"],
            StreamKind::Members => &["member.*.*"],
        };
        let subjects = subjects.iter();
        subjects
            .map(|rest| self.subject(format_args!("{rest}")))
            .collect()
    }

    pub(crate) fn event(&self, device: DeviceKey) -> String {
        self.subject(format_args!("ev.0.{:016x}", device.0))
    }

    pub(crate) fn events(&self) -> String {
        self.subject(format_args!("ev.>"))
    }

    pub(crate) fn mark(&self) -> String {
        self.subject(format_args!("mark"))
    }

    pub(crate) fn rules(&self, sha256: Sha256, piece: usize) -> String {
        self.subject(format_args!("state.rules.{sha256}.{piece}"))
    }

    pub(crate) fn secret(&self, name: &str) -> String {
        self.subject(format_args!("state.secret.{}", token(name)))
    }

    pub(crate) fn blob(&self, sha256: Sha256, piece: usize) -> String {
        self.subject(format_args!("blob.{sha256}.{piece}"))
    }

    /// A piece of an event's body.
    pub(crate) fn body(&self, sha256: Sha256, piece: usize) -> String {
        self.subject(format_args!("body.{sha256}.{piece}"))
    }

    pub(crate) fn pictures(&self) -> String {
        self.subject(format_args!("blob.>"))
    }

    pub(crate) fn bodies(&self) -> String {
        self.subject(format_args!("body.>"))
    }

    /// Where the log needed its oldest event, hour by hour.
    pub(crate) fn low(&self) -> String {
        self.subject(format_args!("state.low"))
    }

    /// Everything of a site.
    pub(crate) fn all(&self) -> String {
        self.subject(format_args!(">"))
    }

    pub(crate) fn lane(&self, lane: &str) -> String {
        self.subject(format_args!("state.lane.{}", token(lane)))
    }

    pub(crate) fn all_lanes(&self) -> String {
        self.subject(format_args!("state.lane.*"))
    }

    /// A row of a lane beside its record.
    pub(crate) fn row(&self, row: Row, lane: &str, number: u64) -> String {
        self.subject(format_args!(
            "state.{}.{}.{number}",
            row.word(),
            token(lane)
        ))
    }

    /// All rows of this kind of a lane.
    pub(crate) fn rows(&self, row: Row, lane: &str) -> String {
        self.subject(format_args!("state.{}.{}.*", row.word(), token(lane)))
    }

    /// All rows of this kind, of every lane.
    pub(crate) fn rows_of_all(&self, row: Row) -> String {
        self.subject(format_args!("state.{}.*.*", row.word()))
    }

    /// The rows of one event that is buried, of every lane.
    pub(crate) fn buried_anywhere(&self, seq: u64) -> String {
        self.subject(format_args!("state.buried.*.{seq}"))
    }

    /// A lane's copy of an event.
    pub(crate) fn copy(&self, seq: u64, lane: &str) -> String {
        self.subject(format_args!("copy.{seq}.{}", token(lane)))
    }

    /// A piece of a copy that is too large for one message.
    pub(crate) fn copy_piece(&self, seq: u64, lane: &str, piece: usize) -> String {
        self.subject(format_args!("piece.{seq}.{}.{piece}", token(lane)))
    }

    pub(crate) fn pieces_of_copy(&self, seq: u64, lane: &str) -> String {
        self.subject(format_args!("piece.{seq}.{}.*", token(lane)))
    }

    pub(crate) fn copies_of_event(&self, seq: u64) -> String {
        self.subject(format_args!("copy.{seq}.*"))
    }

    pub(crate) fn copies_of_lane(&self, lane: &str) -> String {
        self.subject(format_args!("copy.*.{}", token(lane)))
    }

    pub(crate) fn pieces_of_lane(&self, lane: &str) -> String {
        self.subject(format_args!("piece.*.{}.*", token(lane)))
    }

    /// Attempts of a lane at events of this range of the log.
    pub(crate) fn attempts(&self, range: u64, lane: &str) -> String {
        self.subject(format_args!("att.{range}.{}", token(lane)))
    }

    pub(crate) fn attempts_of_range(&self, range: u64) -> String {
        self.subject(format_args!("att.{range}.*"))
    }

    pub(crate) fn quarantine(&self, inbound: &str) -> String {
        self.subject(format_args!("q.{}", token(inbound)))
    }

    pub(crate) fn quarantine_pieces(&self, sha256: Sha256) -> String {
        self.subject(format_args!("qc.{sha256}.*"))
    }

    pub(crate) fn quarantine_piece(&self, sha256: Sha256, piece: usize) -> String {
        self.subject(format_args!("qc.{sha256}.{piece}"))
    }

    /// The record of a gateway that lives.
    pub(crate) fn member(&self, gateway: &str, incarnation: &str) -> String {
        self.subject(format_args!("member.{}.{incarnation}", token(gateway)))
    }

    pub(crate) fn all_members(&self) -> String {
        self.subject(format_args!("member.*.*"))
    }

    /// Where a gateway says that it is there. It is no subject of a stream.
    pub(crate) fn ping(&self, incarnation: &str) -> String {
        self.subject(format_args!("ping.{incarnation}"))
    }

    /// Where a gateway is asked. It is no subject of a stream.
    pub(crate) fn ask(&self, incarnation: &str) -> String {
        self.subject(format_args!("ask.{incarnation}"))
    }

    /// Which gateway has a duty.
    pub(crate) fn duty(&self, duty: &Duty) -> String {
        let name = match duty {
            // A token has a sign at least.
            Duty::Janitor => "_".into(),
            named => token(named.name()),
        };
        self.subject(format_args!("state.duty.{}.{name}", duty.kind()))
    }

    pub(crate) fn all_duties(&self) -> String {
        self.subject(format_args!("state.duty.*.*"))
    }
}

/// Rows of a lane beside its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// What waits in a range of the log, and what is known of it.
    Waiting,
    /// Marks of once windows, by commits.
    Once,
    /// Buried events.
    Buried,
}

impl Row {
    pub(crate) const ALL: [Self; 3] = [Self::Waiting, Self::Once, Self::Buried];

    const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Once => "once",
            Self::Buried => "buried",
        }
    }
}

/// A name as one token of a subject: letters, digits, `-` and `_` stand for themselves, every other byte is `=XX`.
pub(crate) fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            token.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

/// The name of a token; `None` when it is none of [`token`]'s.
pub(crate) fn name(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'=' {
            let digits = std::str::from_utf8(behind.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The duty whose record has this subject.
pub(crate) fn duty_of(subject: &str) -> Option<Duty> {
    let name = token_of(subject, 0).and_then(name)?;
    Duty::of(token_of(subject, 1)?, &name)
}

/// The token of a subject that stands `from_end` places before its end.
pub(crate) fn token_of(subject: &str, from_end: usize) -> Option<&str> {
    subject.rsplit('.').nth(from_end)
}

/// The number that is the token of a subject that stands `from_end` places before its end.
pub(crate) fn number_of(subject: &str, from_end: usize) -> Option<u64> {
    token_of(subject, from_end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_token_and_comes_back() {
        for text in ["erp", "Tür 3", "a.b*c>d", "=41", "x_y-z", "门"] {
            let one = token(text);
            assert!(
                one.bytes()
                    .all(|sign| sign.is_ascii_alphanumeric() || b"-_=".contains(&sign)),
                "{one}"
            );
            assert_eq!(name(&one).as_deref(), Some(text));
        }
        assert_eq!(token("a.b"), "a=2Eb");
        assert_eq!(name("=4"), None);
        assert_eq!(name("=ZZ"), None);
    }

    #[test]
    fn every_duty_has_a_subject_and_comes_back() {
        let names = Names::new("north");
        for duty in [
            Duty::Lane("Tür 3".into()),
            Duty::Source("a.b".into()),
            Duty::Terminals("_".into()),
            Duty::Janitor,
        ] {
            let subject = names.duty(&duty);
            assert_eq!(subject.split('.').count(), 6, "{subject}");
            assert_eq!(duty_of(&subject), Some(duty));
        }
        assert_eq!(duty_of("fw.north.state.duty.door.x"), None);
    }

    #[test]
    fn tokens_are_counted_from_the_end() {
        let names = Names::new("north");
        let subject = names.row(Row::Buried, "a.b", 77);
        assert_eq!(subject, "fw.north.state.buried.a=2Eb.77");
        assert_eq!(number_of(&subject, 0), Some(77));
        assert_eq!(token_of(&subject, 1).and_then(name).as_deref(), Some("a.b"));
    }
}
