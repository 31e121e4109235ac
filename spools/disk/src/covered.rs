//! Which columns of which table a row's checksum covers.
//!
//! Events and buried bodies have a checksum of their own ([`crate::row::event_crc`]), and so have notes, known ids and what
//! lies in quarantine. The rows here say what becomes of an event.

use rusqlite::Connection;

use crate::checksum::{Covered, Verdict, numbers, stored};

/// A table and what its `row_crc` covers: numbers, then texts.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    pub(crate) name: &'static str,
    numbers: [&'static str; N],
    texts: &'static [&'static str],
    /// What names a row, where the covered columns do not: it is read before them.
    key: &'static str,
}

/// An event that failed, or that waits behind one that did.
pub(crate) const HELD: Table<8> = Table {
    name: "held",
    numbers: [
        "seq", "lane", "device", "at", "failures", "routed", "due", "why",
    ],
    texts: &[],
    key: "seq",
};

/// A replay.
pub(crate) const RANGE: Table<7> = Table {
    name: "range",
    numbers: [
        "lane",
        "number",
        "next",
        "end",
        "since",
        "until",
        "remaining",
    ],
    texts: &[],
    key: "number",
};

/// Which lane has which number. Its position has the checksum `crc`.
pub(crate) const LANE: Table<1> = Table {
    name: "lane",
    numbers: ["id"],
    texts: &["name"],
    key: "id",
};

/// The same of lanes that were dropped.
pub(crate) const GONE: Table<1> = Table {
    name: "gone",
    ..LANE
};

/// What `once` has let pass.
pub(crate) const ONCE: Table<3> = Table {
    name: "once",
    numbers: ["lane", "until", "at"],
    texts: &["route", "key", "id"],
    key: "lane",
};

/// What of a buried event does not come from the event.
pub(crate) const BURIED: Table<4> = Table {
    name: "buried",
    numbers: ["lane", "seq", "buried", "failures"],
    texts: &["code"],
    key: "number",
};

/// What of an unreadable body is beside its own checksum.
pub(crate) const QUARANTINE: Table<2> = Table {
    name: "quarantine",
    numbers: ["at", "bytes"],
    texts: &["inbound", "reason"],
    key: "number",
};

/// The one row of totals.
pub(crate) const META: Table<4> = Table {
    name: "meta",
    numbers: ["next", "total", "trimmed", "groups"],
    texts: &[],
    key: "rowid",
};

/// A row and what its checksum says.
#[derive(Debug)]
pub(crate) struct Looked<const N: usize> {
    /// What stands in the key's column.
    pub(crate) key: i64,
    /// What the row says; [`Verdict::Mended`] has what it said.
    pub(crate) row: Covered<N>,
    /// The length of each text.
    pub(crate) lengths: Vec<usize>,
    pub(crate) verdict: Verdict<N>,
}

impl<const N: usize> Table<N> {
    /// `row_crc` of a row with these values. `gone` copies rows of `lane`, so both have the same.
    pub(crate) fn crc(&self, numbers: [i64; N], texts: &[&[u8]]) -> i64 {
        let rest = texts.concat();
        Covered { numbers, rest }.crc(self.tag())
    }

    fn tag(&self) -> &'static str {
        match self.name {
            "gone" => "lane",
            name => name,
        }
    }

    /// The statement that reads what [`Self::look`] looks at.
    pub(crate) fn select(&self) -> String {
        let columns: Vec<&str> = std::iter::once(self.key)
            .chain(self.numbers)
            .chain(self.texts.iter().copied())
            .chain(["row_crc"])
            .collect();
        format!("SELECT {} FROM {}", columns.join(", "), self.name)
    }

    /// Compares a row of [`Self::select`] with its checksum.
    pub(crate) fn look(&self, row: &rusqlite::Row<'_>) -> Looked<N> {
        let key = row.get(0).unwrap_or_default();
        let columns = std::array::from_fn(|at| at + 1);
        let mut lengths = Vec::new();
        let mut rest = Vec::new();
        for column in 1 + N..1 + N + self.texts.len() {
            // A number in place of a text is damage; the checksum then tells.
            let bytes = row.get_ref(column).ok();
            let bytes = bytes.and_then(|text| text.as_bytes().ok()).unwrap_or(b"");
            lengths.push(bytes.len());
            rest.extend_from_slice(bytes);
        }
        let read = numbers::<N>(row, columns);
        let numbers = read.unwrap_or([0; N]);
        let covered = Covered { numbers, rest };
        let verdict = match read {
            None => Verdict::Damaged,
            Some(_) => covered.check(self.tag(), stored(row, 1 + N + self.texts.len())),
        };
        Looked {
            key,
            row: covered,
            lengths,
            verdict,
        }
    }

    /// Looks at every row.
    pub(crate) fn look_at_all(&self, conn: &Connection) -> rusqlite::Result<Vec<Looked<N>>> {
        let mut select = conn.prepare(&self.select())?;
        let rows = select.query_map([], |row| Ok(self.look(row)))?;
        rows.collect()
    }

    /// Rows that are not as they were written.
    pub(crate) fn look_for_damage(&self, conn: &Connection) -> rusqlite::Result<Vec<Looked<N>>> {
        let mut select = conn.prepare(&self.select())?;
        let mut rows = select.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let looked = self.look(row);
            if looked.verdict != Verdict::Sound {
                found.push(looked);
            }
        }
        Ok(found)
    }
}

impl<const N: usize> Looked<N> {
    /// The row as far as it can be trusted; `None` when it cannot.
    pub(crate) fn trusted(&self) -> Option<&Covered<N>> {
        match &self.verdict {
            Verdict::Sound | Verdict::Unchecked => Some(&self.row),
            Verdict::Mended(row) => Some(row),
            Verdict::Damaged => None,
        }
    }

    /// One of the row's texts, as it was written where that is known.
    pub(crate) fn text(&self, number: usize) -> &[u8] {
        let from: usize = self.lengths.iter().take(number).sum();
        let length = self.lengths.get(number).copied().unwrap_or(0);
        let rest = &self.trusted().unwrap_or(&self.row).rest;
        rest.get(from..from + length).unwrap_or_default()
    }
}
