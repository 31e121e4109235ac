//! Where in the log the events of a time stand.

use faceway_core::{ReadMax, Span, Timestamp};

use crate::client::Failure;
use crate::lock;
use crate::shared::Shared;

use super::known::BLOCK;

/// A part of a block.
const PART: ReadMax = ReadMax {
    entries: BLOCK as usize,
    bytes: 4 * 1024 * 1024,
};

impl Shared {
    /// Blocks that lie within the time are counted; those at its ends are read.
    pub(crate) async fn span(&self, since: Timestamp, until: Timestamp) -> Result<Span, Failure> {
        let time = since.as_millis()..until.as_millis();
        let (blocks, first_block) = {
            let known = lock(&self.known);
            let first = known.blocks().next().map(|(number, _)| number);
            (known.blocks_of(&time), first)
        };
        let mut span = Span::default();
        let mut add = |first: u64, last: u64, events: u64| {
            if span.events == 0 {
                span.first_seq = first;
            }
            span.through_seq = last;
            span.events += events;
        };
        for (number, block, is_whole) in blocks {
            let (first, last) = (number * BLOCK, number * BLOCK + BLOCK - 1);
            // A part of the first block may have left the log.
            if is_whole && Some(number) != first_block {
                add(first, last.min(self.seen()), block.events);
                continue;
            }
            let mut after = first.saturating_sub(1);
            while after < last {
                let stretch = self.read(after, last, PART).await?;
                let within = stretch
                    .entries
                    .iter()
                    .filter(|entry| time.contains(&entry.received_at.as_millis()));
                within.for_each(|entry| add(entry.seq, entry.seq, 1));
                if stretch.through_seq <= after {
                    break;
                }
                after = stretch.through_seq;
                if after >= self.seen() {
                    break;
                }
            }
        }
        Ok(span)
    }
}
