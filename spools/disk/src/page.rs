//! Pages of a list that goes from the newest entry to the oldest.

use faceway_core::Page;

/// Bytes of texts that one page of a list holds; a list of larger entries has more pages.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// The number below which the page begins, and how many entries it has at the most.
pub(crate) fn bounds(page: Page) -> (i64, i64) {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let before = page.before.map_or(i64::MAX, number);
    (before, number(page.max as u64))
}

/// Takes entries as long as there is room for their texts, but at least one.
pub(crate) fn of_a_page<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    bytes: impl Fn(&T) -> usize,
) -> rusqlite::Result<Vec<T>> {
    let (mut list, mut total) = (Vec::new(), 0);
    for row in rows {
        let entry = row?;
        total += bytes(&entry) + size_of::<T>();
        list.push(entry);
        if total >= PAGE_BYTES_MAX {
            break;
        }
    }
    Ok(list)
}
