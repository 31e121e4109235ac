//! Eight bytes at a time: most texts of a message are so short that this is quicker than a search by vectors, which has to begin
//! first.

const ONES: u64 = u64::MAX / 255;
const HIGHEST: u64 = ONES << 7;

/// The highest bit of each byte that is `byte`, in a word whose first byte is its lowest. Only the lowest of these bits is sure,
/// and that there is none.
#[inline(always)]
pub(crate) const fn find(word: u64, byte: u8) -> u64 {
    let differences = word ^ (ONES * byte as u64);
    differences.wrapping_sub(ONES) & !differences & HIGHEST
}

/// The same of each byte that is below `limit`, which is 128 at most.
#[inline(always)]
pub(crate) const fn find_below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64) & !word & HIGHEST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{find, find_below};

    /// Where the first byte is, by the word's lowest bit.
    fn first(bits: u64) -> Option<usize> {
        (bits != 0).then(|| bits.trailing_zeros() as usize / 8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn the_first_is_found(bytes in prop::array::uniform8(prop::sample::select(b"\x00\x1f\x20\x21\x22\x23\x5b\x5c\x5d\x7f\x80\xa2\xff".to_vec())), sought: u8) {
            let word = u64::from_le_bytes(bytes);
            for sought in [sought, b'"', b'\\', 0, 0xff] {
                let place = bytes.iter().position(|byte| *byte == sought);
                prop_assert_eq!(first(find(word, sought)), place);
            }
            for limit in [0, 1, 0x20, 0x80] {
                let place = bytes.iter().position(|byte| *byte < limit);
                prop_assert_eq!(first(find_below(word, limit)), place);
            }
        }
    }
}
