//! What each operation writes.

use std::collections::HashSet;

use faceway_core::{AppendError, Batch, NewEvent, Receipt, Sha256};
use rusqlite::Connection;

use crate::budget::Wanted;
use crate::events::encoded;
use crate::group::Group;
use crate::inbox::{Ask, Done, Op};
use crate::packs::place::Place;
use crate::quarantine;
use crate::row::Row;
use crate::rules;
use crate::store::{Trouble, raise_format, unless_corrupt};
use crate::writer::Writer;

impl Ask {
    /// The room that it needs.
    pub(crate) fn wanted(&self) -> Wanted {
        match self {
            Self::Append { batch, .. } => batch_wanted(batch),
            _ => Wanted::default(),
        }
    }
}

impl Writer {
    /// Does what is asked and notes the answer for after the commit.
    pub(crate) fn serve(
        &mut self,
        conn: &Connection,
        group: &mut Group,
        op: Op,
    ) -> Result<(), Trouble> {
        let Op { mut ask, answer } = op;
        let done = match &mut ask {
            Ask::Append { batch, permit, .. } => {
                group.permits.extend(permit.take());
                self.append(conn, group, batch)
            }
            Ask::Rules { text, expected } => {
                let next_seq = self.segments.writer.next_seq();
                rules::write(conn, group, (text, *expected), next_seq)
            }
            Ask::ForgetPicture(sha256, place) => self.forget_picture(conn, group, *sha256, *place),
            Ask::DropQuarantined(numbers) => {
                self.quarantine.drop_some(conn, group, numbers.as_deref())
            }
            Ask::Find(id) => self
                .seen
                .find(conn, *id)
                .map(Done::Found)
                .map_err(Trouble::from),
            Ask::NewestOf(records) => {
                let newest = records
                    .iter()
                    .map(|record| self.seen.newest_of(conn, *record));
                newest
                    .collect::<Result<_, _>>()
                    .map(Done::Newest)
                    .map_err(Trouble::from)
            }
            Ask::Lane(request) => self.serve_lane(conn, group, request),
            Ask::Sync => Ok(Done::Nothing),
        };
        match done {
            Ok(done) => {
                group.answer(answer, done);
                Ok(())
            }
            Err(trouble) => {
                // It fails with the rest of its group.
                group.answer(answer, Done::Nothing);
                Err(trouble)
            }
        }
    }

    fn append(
        &mut self,
        conn: &Connection,
        group: &mut Group,
        batch: &Batch,
    ) -> Result<Done, Trouble> {
        let wanted = group.wanted + batch_wanted(batch);
        if !batch.events.is_empty() && !self.budget.fits(wanted) {
            self.budget.refuse(batch_wanted(batch));
            self.shared.gauge.set_accepting(Err(AppendError::Full));
            return Ok(Done::Refused(AppendError::Full));
        }
        if let Some(error) = self.refusal_of_unreadable(batch, wanted) {
            return Ok(Done::Refused(error));
        }
        group.wanted = wanted;
        group.dirty |= !batch.unreadable.is_empty();
        let mut receipts = Vec::with_capacity(batch.events.len());
        let first = group.rows.len();
        for event in &batch.events {
            let known = self.seen.look(conn, event.id)?;
            if known.seq.is_some() {
                receipts.push(Receipt::Duplicate);
                continue;
            }
            self.raise_format(conn, group)?;
            let seq = encoded(event, |event| self.segments.writer.push(event))?;
            group.meta.next = self.segments.writer.next_seq();
            group.meta.total += 1;
            group.dirty |= !event.images.is_empty();
            self.seen.add(seq, event.id);
            group.rows.push(row(seq, event));
            receipts.push(match known.has_another {
                true => Receipt::Conflict(seq),
                false => Receipt::Appended(seq),
            });
        }
        if first < group.rows.len() {
            group.pictures |= !batch.pictures.is_empty();
            self.keep_pictures(conn, batch, &receipts)?;
        }
        self.quarantine.keep(conn, &batch.unreadable)?;
        if !batch.unreadable.is_empty() {
            group.quarantined += batch.unreadable.len() as i64;
        }
        Ok(Done::Receipts(receipts))
    }

    /// The disk was too full for it when the spool was opened.
    fn raise_format(&self, conn: &Connection, group: &mut Group) -> Result<(), Trouble> {
        if !self.segments.has_format && !group.raises_format {
            raise_format(conn)?;
            group.raises_format = true;
            group.dirty = true;
        }
        Ok(())
    }

    /// Why what could not be read is not kept. That refuses the whole batch and says nothing of others: honest records find
    /// the room that they would find without it.
    fn refusal_of_unreadable(&self, batch: &Batch, wanted: Wanted) -> Option<AppendError> {
        if batch.unreadable.is_empty() {
            return None;
        }
        if !self.quarantine.fits(&batch.unreadable) {
            return Some(AppendError::QuarantineFull);
        }
        let more = quarantine::wanted(&batch.unreadable);
        (!self.budget.fits_on_disk(wanted + more)).then_some(AppendError::Full)
    }

    /// Keeps the pictures that new events name. Those of duplicates are there already, or were removed by age.
    fn keep_pictures(
        &mut self,
        conn: &Connection,
        batch: &Batch,
        receipts: &[Receipt],
    ) -> Result<(), Trouble> {
        let age = self.shared.ages.now(&*self.shared.clock);
        let mut kept: HashSet<Sha256> = HashSet::new();
        for (event, receipt) in batch.events.iter().zip(receipts) {
            let Some(seq) = receipt.seq() else {
                continue;
            };
            for sha256 in &event.images {
                let picture = batch
                    .pictures
                    .iter()
                    .find(|picture| picture.sha256 == *sha256);
                match picture {
                    Some(picture) if kept.insert(*sha256) => {
                        self.packs.keep(conn, picture, seq, age)?;
                    }
                    _ => {
                        self.packs.name(conn, *sha256, seq)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn forget_picture(
        &mut self,
        conn: &Connection,
        group: &mut Group,
        sha256: Sha256,
        place: Place,
    ) -> Result<Done, Trouble> {
        let changed = unless_corrupt(conn, || self.packs.forget(conn, sha256, place))?;
        let changed = changed.unwrap_or(false);
        group.dirty |= changed;
        Ok(Done::Nothing)
    }
}

/// What its events and pictures need; what could not be read has a share of its own. Lengths only: the fence stays shut.
fn batch_wanted(batch: &Batch) -> Wanted {
    let mut wanted = Wanted::default();
    for event in &batch.events {
        let trace = event.trace_context.as_ref();
        let trace = trace.map_or(0, |context| context.as_stored().len());
        wanted.add_event(event.body.reveal().len() + event.images.len() * 32 + trace);
    }
    for picture in &batch.pictures {
        wanted.pictures += picture.bytes.reveal().len() as u64;
        wanted.rows += 256;
    }
    wanted
}

fn row(seq: u64, event: &NewEvent) -> Row {
    Row {
        seq,
        at: event.received_at.as_millis(),
        id: event.id,
        device: event.device.0,
        trace_context: event.trace_context.clone(),
        body: event.body.clone(),
    }
}
