//! The write-ahead log as SQLite leaves it: what SQLite drops without a word, and what can be put right.
//!
//! SQLite ends its reading of the log at the first wrong checksum: one byte loses every commit behind it, and a byte of the
//! header loses all of them. Each frame's checksum continues the one before, so damage can be told from an end that was cut
//! off: frames behind damage go on from the checksum that is written there. The sums are linear, so one wrong byte can be
//! computed from them. See <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::settings::PAGE;

const HEADER: usize = 32;
const FRAME_HEAD: usize = 24;
const FRAME: usize = FRAME_HEAD + PAGE as usize;
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// What was found in the log before SQLite read it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Frames that end a commit, by their headers alone. SQLite should read all of them.
    pub(crate) commits: Vec<u64>,
    /// Frames, or the header, in which one byte was wrong and was put right.
    pub(crate) mended: u64,
    /// The header is damaged beyond repair, and behind it is something: SQLite would throw it away.
    pub(crate) headless: bool,
    /// Something is wrong that cannot be put right: SQLite reads nothing from there on. It may be an end that was cut off.
    pub(crate) broken: bool,
    /// Whether there is a file at all.
    pub(crate) exists: bool,
}

/// Looks at the log, and puts right what can be.
pub(crate) fn look(path: &Path) -> std::io::Result<Log> {
    read(path, Mend::InPlace, &mut |_, _| Ok(()))
}

/// The same without writing anything.
pub(crate) fn only_look(path: &Path) -> std::io::Result<Log> {
    read(path, Mend::No, &mut |_, _| Ok(()))
}

/// Gives the pages of all commits that can be read, each with its number from 1, in the order in which they were written:
/// also those behind damage. Nothing of the log is changed.
pub(crate) fn pages(path: &Path, page: &mut TakePage<'_>) -> std::io::Result<Log> {
    read(path, Mend::Behind, page)
}

type TakePage<'p> = dyn FnMut(u32, &[u8]) -> std::io::Result<()> + 'p;

/// What becomes of what can be put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mend {
    InPlace,
    /// It is only counted.
    No,
    /// It is read as if it were right, and a header that is gone is made up from the frames.
    Behind,
}

fn read(path: &Path, mend: Mend, page: &mut TakePage<'_>) -> std::io::Result<Log> {
    let file = match File::options()
        .read(true)
        .write(mend == Mend::InPlace)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Log::default()),
        Err(error) => return Err(error),
    };
    let mut log = Log {
        exists: true,
        ..Log::default()
    };
    let mut header = [0; HEADER];
    let mut first = [0; FRAME];
    if file.read_exact_at(&mut header, 0).is_err()
        || file.read_exact_at(&mut first, HEADER as u64).is_err()
    {
        // Without a whole frame nothing was committed.
        return Ok(log);
    }
    if !is_sound(&header) {
        match mend_header(&header, &first) {
            Some(right) => {
                if mend == Mend::InPlace {
                    file.write_all_at(&right, 0)?;
                    file.sync_data()?;
                }
                header = right;
                log.mended += 1;
            }
            None => {
                let is_there = first.iter().any(|byte| *byte != 0);
                // A header of zeros is a page that a power cut kept from the disk: then nothing behind it was ever synced,
                // and the gateway must start. That it may be damage is told as a group that is lost.
                log.headless = is_there && header != [0; HEADER];
                if is_there && !log.headless {
                    log.commits.push(u64::MAX);
                }
                if !log.headless || mend != Mend::Behind {
                    return Ok(log);
                }
                header = made_up(&file, &first);
            }
        }
    }
    Frames::new(&file, &header).walk(mend, page, &mut log)?;
    Ok(log)
}

/// A header whose checksum no frame continues; the second frame tells in which order bytes were summed.
fn made_up(file: &File, first: &[u8; FRAME]) -> [u8; HEADER] {
    let mut second = [0; FRAME];
    let _ = file.read_exact_at(&mut second, (HEADER + FRAME) as u64);
    let big = frame_sums(written(first), &second, true) == written(&second);
    let mut header = [0; HEADER];
    header[3] = u8::from(big);
    header[16..24].copy_from_slice(&first[8..16]);
    header
}

fn is_sound(header: &[u8; HEADER]) -> bool {
    let big = word(header, 0) & 1 == 1;
    word(header, 0) & !1 == MAGIC
        && word(header, 4) == VERSION
        && u64::from(word(header, 8)) == PAGE
        && sums((0, 0), &header[..24], big) == (word(header, 24), word(header, 28))
}

/// Most of the header is known: the page's size is ours, and the first frame repeats the salts and continues the checksum.
fn mend_header(header: &[u8; HEADER], first: &[u8; FRAME]) -> Option<[u8; HEADER]> {
    let fits = |round: [u8; 4], magic: u32| {
        let mut right = [0; HEADER];
        right[..4].copy_from_slice(&magic.to_be_bytes());
        right[4..8].copy_from_slice(&VERSION.to_be_bytes());
        right[8..12].copy_from_slice(&(PAGE as u32).to_be_bytes());
        right[12..16].copy_from_slice(&round);
        right[16..24].copy_from_slice(&first[8..16]);
        let sum = sums((0, 0), &right[..24], magic & 1 == 1);
        right[24..28].copy_from_slice(&sum.0.to_be_bytes());
        right[28..].copy_from_slice(&sum.1.to_be_bytes());
        (frame_sums(sum, first, magic & 1 == 1) == written(first)).then_some(right)
    };
    let round: [u8; 4] = header[12..16].try_into().ok()?;
    let magics = [MAGIC, MAGIC | 1];
    if let Some(right) = magics.iter().find_map(|magic| fits(round, *magic)) {
        return Some(right);
    }
    // The number of the log's round is repeated nowhere.
    for at in 0..4 {
        for change in 1..=u8::MAX {
            let mut other = round;
            other[at] ^= change;
            if let Some(right) = magics.iter().find_map(|magic| fits(other, *magic)) {
                return Some(right);
            }
        }
    }
    None
}

/// A walk over the frames of this round of the log.
struct Frames<'f> {
    file: &'f File,
    salts: [u8; 8],
    big: bool,
    /// The checksum that the next frame continues.
    before: (u32, u32),
    number: u64,
}

impl<'f> Frames<'f> {
    fn new(file: &'f File, header: &[u8; HEADER]) -> Self {
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        Self {
            file,
            salts,
            big: word(header, 0) & 1 == 1,
            before: (word(header, 24), word(header, 28)),
            number: 0,
        }
    }

    fn read(&self, number: u64) -> Option<[u8; FRAME]> {
        let mut frame = [0; FRAME];
        let at = HEADER as u64 + number * FRAME as u64;
        self.file.read_exact_at(&mut frame, at).ok()?;
        Some(frame)
    }

    fn walk(&mut self, mend: Mend, page: &mut TakePage<'_>, log: &mut Log) -> std::io::Result<()> {
        // Behind damage that stays, SQLite reads nothing; only a salvage goes on.
        let mut broken = false;
        let mut pending: Vec<[u8; FRAME]> = Vec::new();
        while let Some(mut frame) = self.read(self.number) {
            let mut sound = self.continues(&frame);
            if !sound && (!broken || mend == Mend::Behind) {
                match self.mend(&frame) {
                    Some(right) => {
                        frame = right;
                        sound = true;
                        self.keep_mended(mend, &frame)?;
                        log.mended += 1;
                    }
                    None => {
                        broken = true;
                        log.broken |= frame[8..16] == self.salts;
                    }
                }
            }
            self.number += 1;
            self.before = written(&frame);
            // Frames of an earlier round of the log have other salts.
            let ends_commit = frame[8..16] == self.salts && word(&frame, 4) != 0;
            if ends_commit {
                log.commits.push(self.number);
            }
            if sound && mend == Mend::Behind {
                pending.push(frame);
                if ends_commit {
                    for frame in pending.drain(..) {
                        page(word(&frame, 0), &frame[FRAME_HEAD..])?;
                    }
                }
            }
        }
        Ok(())
    }

    fn keep_mended(&self, mend: Mend, frame: &[u8; FRAME]) -> std::io::Result<()> {
        if mend != Mend::InPlace {
            return Ok(());
        }
        let at = HEADER as u64 + self.number * FRAME as u64;
        self.file.write_all_at(frame, at)?;
        self.file.sync_data()
    }

    fn continues(&self, frame: &[u8; FRAME]) -> bool {
        frame[8..16] == self.salts && frame_sums(self.before, frame, self.big) == written(frame)
    }

    /// The frame with one byte put right, where the next frame shows that this one was whole when it was written. Else the
    /// log ends here: a group that was cut off was never acknowledged.
    fn mend(&self, frame: &[u8; FRAME]) -> Option<[u8; FRAME]> {
        let next = self.read(self.number + 1)?;
        if next[8..16] != self.salts {
            return None;
        }
        let goes_on = |sum| frame_sums(sum, &next, self.big) == written(&next);
        let mut right = *frame;
        right[8..16].copy_from_slice(&self.salts);
        let sum = frame_sums(self.before, &right, self.big);
        if goes_on(sum) {
            // The salts, or the checksum itself.
            right[16..20].copy_from_slice(&sum.0.to_be_bytes());
            right[20..24].copy_from_slice(&sum.1.to_be_bytes());
            return Some(right);
        }
        if !goes_on(written(frame)) {
            return None;
        }
        let (at, byte) = wrong_byte(sum, written(frame), &covered(&right), self.big)?;
        let place = if at < 8 { at } else { FRAME_HEAD + at - 8 };
        right[place] = byte;
        (frame_sums(self.before, &right, self.big) == written(frame)).then_some(right)
    }
}

/// What a frame's checksum covers: page number, size, and the page.
fn covered(frame: &[u8; FRAME]) -> Vec<u8> {
    [&frame[..8], &frame[FRAME_HEAD..]].concat()
}

fn frame_sums(before: (u32, u32), frame: &[u8; FRAME], big: bool) -> (u32, u32) {
    sums(sums(before, &frame[..8], big), &frame[FRAME_HEAD..], big)
}

fn written(frame: &[u8; FRAME]) -> (u32, u32) {
    (word(frame, 16), word(frame, 20))
}

/// SQLite's checksum, continued.
fn sums(before: (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    let (mut one, mut two) = before;
    for pair in bytes.chunks_exact(8) {
        one = one.wrapping_add(number(pair, 0, big)).wrapping_add(two);
        two = two.wrapping_add(number(pair, 4, big)).wrapping_add(one);
    }
    (one, two)
}

/// The one byte that is wrong, as place and right value. A change of a word by `d` changes both sums by `d` times two
/// neighbours of Fibonacci's numbers, of which one is odd: so `d` can be divided out.
fn wrong_byte(sum: (u32, u32), right: (u32, u32), bytes: &[u8], big: bool) -> Option<(usize, u8)> {
    let off = (right.0.wrapping_sub(sum.0), right.1.wrapping_sub(sum.1));
    // What one more in the last word adds to both sums; the word before it: what one more in `one` adds.
    let mut factors = (0_u32, 1_u32);
    for word in (0..bytes.len() / 4).rev() {
        let change = match (factors.0 & 1, factors.1 & 1) {
            (1, _) => off.0.wrapping_mul(inverse(factors.0)),
            _ => off.1.wrapping_mul(inverse(factors.1)),
        };
        let fits =
            factors.0.wrapping_mul(change) == off.0 && factors.1.wrapping_mul(change) == off.1;
        let at = 4 * word;
        let was = number(bytes, at, big);
        let differs = was ^ was.wrapping_add(change);
        let byte = (0..4).find(|byte| differs & !(0xff << (8 * byte)) == 0);
        if fits
            && differs != 0
            && let Some(byte) = byte
        {
            let value = (was.wrapping_add(change) >> (8 * byte)) as u8;
            return Some((at + if big { 3 - byte } else { byte }, value));
        }
        // One word further to the front.
        factors = (factors.1, factors.0.wrapping_add(factors.1));
    }
    None
}

/// The inverse of an odd number among the numbers of 32 bits.
fn inverse(odd: u32) -> u32 {
    // Each step doubles the bits that are right, beginning with three.
    (0..4).fold(odd, |inverse, _| {
        inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)))
    })
}

fn number(bytes: &[u8], at: usize, big: bool) -> u32 {
    let word = word(bytes, at);
    if big { word } else { word.swap_bytes() }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::{sums, wrong_byte};

    #[test]
    fn one_wrong_byte_is_computed() {
        let bytes: Vec<u8> = (0..64_u8).map(|n| n.wrapping_mul(37)).collect();
        for big in [false, true] {
            let right = sums((3, 4), &bytes, big);
            for at in 0..bytes.len() {
                let mut wrong = bytes.clone();
                wrong[at] ^= 0x81;
                let found = wrong_byte(sums((3, 4), &wrong, big), right, &wrong, big);
                assert_eq!(found, Some((at, bytes[at])), "{at} {big}");
            }
            let mut wrong = bytes.clone();
            wrong[9] ^= 1;
            wrong[33] ^= 1;
            let found = wrong_byte(sums((3, 4), &wrong, big), right, &wrong, big);
            assert_eq!(found, None);
        }
    }
}
