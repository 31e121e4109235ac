//! Checksums of the rows that say what becomes of an event, and the repair of a row in which one byte is wrong.
//!
//! SQLite's pages have no checksums. Each row here has one of its own, in the column `row_crc`. A row that an earlier
//! program wrote has none (`NULL`); it is taken as it is and gets one when the spool is opened.
//!
//! A CRC-32C over so few bytes tells not only that a row is damaged: where one byte is wrong, only one byte at one place
//! makes the checksum right again. So such a row is repaired and nothing is delivered twice.

use rusqlite::types::ValueRef;

use crate::row::fields_crc;

/// What stands for `NULL` among the numbers of a row.
pub(crate) const NULL: i64 = i64::MIN;

/// The numbers and texts of a row that its checksum covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Covered<const N: usize> {
    pub(crate) numbers: [i64; N],
    /// Texts and blobs, one after the other.
    pub(crate) rest: Vec<u8>,
}

/// What the checksum says of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<const N: usize> {
    /// The row is as it was written.
    Sound,
    /// An earlier program wrote the row, without a checksum.
    Unchecked,
    /// One byte was wrong; this is the row as it was written.
    Mended(Covered<N>),
    /// The row cannot be trusted.
    Damaged,
}

impl<const N: usize> Covered<N> {
    /// The value of `row_crc`.
    pub(crate) fn crc(&self, table: &str) -> i64 {
        crc_of(table, &self.bytes())
    }

    /// Compares the row with its checksum. `None` stands for `NULL`.
    pub(crate) fn check(&self, table: &str, stored: Option<i64>) -> Verdict<N> {
        let Some(stored) = stored else {
            return Verdict::Unchecked;
        };
        let mut bytes = self.bytes();
        let crc = crc_of(table, &bytes);
        if crc == stored {
            return Verdict::Sound;
        }
        match repair(&mut bytes, stored, |bytes| crc_of(table, bytes)) {
            true => Verdict::Mended(Self::of_bytes(&bytes)),
            false => Verdict::Damaged,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let numbers = self.numbers.iter().flat_map(|number| number.to_le_bytes());
        numbers.chain(self.rest.iter().copied()).collect()
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let (numbers, rest) = bytes.split_at((8 * N).min(bytes.len()));
        let mut read = [0; N];
        for (number, bytes) in read.iter_mut().zip(numbers.chunks_exact(8)) {
            *number = i64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        Self {
            numbers: read,
            rest: rest.to_vec(),
        }
    }
}

/// Reads the numbers in `columns` of a row; `None` when one of them has another type, which is damage too.
pub(crate) fn numbers<const N: usize>(
    row: &rusqlite::Row<'_>,
    columns: [usize; N],
) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    for (number, column) in numbers.iter_mut().zip(columns) {
        *number = match row.get_ref(column).ok()? {
            ValueRef::Integer(number) => number,
            ValueRef::Null => NULL,
            _ => return None,
        };
    }
    Some(numbers)
}

/// `row_crc` of a row.
pub(crate) fn stored(row: &rusqlite::Row<'_>, column: usize) -> Option<i64> {
    match row.get_ref(column) {
        Ok(ValueRef::Integer(crc)) => Some(crc),
        Ok(ValueRef::Null) => None,
        // No checksum is negative.
        _ => Some(-1),
    }
}

/// A number as it stands in the database.
pub(crate) fn nullable(number: i64) -> Option<i64> {
    (number != NULL).then_some(number)
}

fn crc_of(table: &str, bytes: &[u8]) -> i64 {
    i64::from(fields_crc(&[table.as_bytes(), bytes]))
}

fn is_one_byte(difference: i64) -> bool {
    (0..8).any(|byte| difference & !(0xff << (8 * byte)) == 0)
}

/// Puts the one byte right that makes the checksum right; it may be a byte of the checksum. `false` when there is none, or
/// when there are several.
pub(crate) fn repair(bytes: &mut [u8], stored: i64, crc_of: impl Fn(&[u8]) -> i64) -> bool {
    if is_one_byte(crc_of(bytes) ^ stored) {
        return true;
    }
    let mut found = None;
    for at in 0..bytes.len() {
        let was = bytes[at];
        for change in 1..=u8::MAX {
            bytes[at] = was ^ change;
            if crc_of(bytes) == stored && found.replace((at, was ^ change)).is_some() {
                bytes[at] = was;
                return false;
            }
        }
        bytes[at] = was;
    }
    let Some((at, byte)) = found else {
        return false;
    };
    bytes[at] = byte;
    true
}

#[cfg(test)]
mod tests {
    use super::{Covered, Verdict};

    fn row() -> Covered<3> {
        Covered {
            numbers: [7, -1, 1_790_000_000_123],
            rest: b"erp".to_vec(),
        }
    }

    #[test]
    fn every_flipped_bit_is_put_right() {
        let (row, crc) = (row(), row().crc("held"));
        assert_eq!(row.check("held", Some(crc)), Verdict::Sound);
        assert_eq!(row.check("held", None), Verdict::Unchecked);
        for bit in 0..8 * row.bytes().len() {
            let mut bytes = row.bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let damaged = Covered::<3>::of_bytes(&bytes);
            assert_eq!(
                damaged.check("held", Some(crc)),
                Verdict::Mended(row.clone()),
                "bit {bit}"
            );
        }
        for bit in 0..32 {
            let verdict = row.check("held", Some(crc ^ (1 << bit)));
            assert_eq!(
                verdict,
                Verdict::Mended(row.clone()),
                "bit {bit} of the checksum"
            );
        }
    }

    #[test]
    fn a_row_of_which_much_is_wrong_is_not_guessed() {
        let crc = row().crc("held");
        let damaged = Covered {
            numbers: [8, 5, 1],
            rest: b"erp".to_vec(),
        };
        assert_eq!(damaged.check("held", Some(crc)), Verdict::Damaged);
        assert_eq!(row().check("range", Some(crc)), Verdict::Damaged);
    }
}
