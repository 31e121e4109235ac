//! Opening the directory: what must be looked at before the first group.

use std::fs::TryLockError;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use crate::budget::Budget;
use crate::events::keep::Segments;
use crate::events::table;
use crate::failing::Failing;
use crate::lane_store::{behind_routed, former_position};
use crate::leftovers::Leftovers;
use crate::mark::Mark;
use crate::meta::Meta;
use crate::packs::Packs;
use crate::quarantine::Quarantine;
use crate::schema;
use crate::seen::Seen;
use crate::settings::{IDS_MAX, OpenError};
use crate::shared::Shared;
use crate::store::{Trouble, get, open_writer, prepare_schema, private_file, raise_format};
use crate::verify::verify;
use crate::wal::{self, Log};
use crate::writer::Writer;

/// SQLite needs a little space for its log and the index of that.
const SPACE_TO_OPEN: u64 = 1 << 20;
/// The index of the log is shared memory. On a file system of small blocks SQLite would be killed (SIGBUS) where a block of it
/// finds no room, so with less than this it is not tried.
const SPACE_FOR_INDEX: u64 = 64 << 10;

/// Opens everything and gives the writer, ready to run.
pub(crate) fn open(shared: &Arc<Shared>) -> Result<Writer, OpenError> {
    let needed = SPACE_TO_OPEN + shared.settings.limits().start_reserve;
    let full = || OpenError::Full {
        dir: shared.settings.dir.display().to_string(),
        needed,
    };
    let opened = match open_in_room(shared) {
        Err(OpenError::Database { reason, .. }) if mend_schema(shared, &reason) => {
            open_in_room(shared)
        }
        opened => opened,
    };
    match opened {
        // Whatever SQLite calls it: "disk I/O error", "unable to open database file".
        Err(OpenError::Directory { .. } | OpenError::Database { .. })
            if free(shared) < SPACE_TO_OPEN =>
        {
            Err(full())
        }
        Err(OpenError::Directory { reason, .. }) if is_full(&reason) => Err(full()),
        opened => opened,
    }
}

/// Whether there was something to put right, so that the database may be opened now.
fn mend_schema(shared: &Shared, reason: &str) -> bool {
    // What fails here is told by the opening.
    let mended = schema::mend_rows(&shared.paths.database).unwrap_or(0);
    note_mended(shared, mended, reason);
    mended > 0
}

fn note_mended(shared: &Shared, mended: u64, what: &str) {
    if mended > 0 {
        (shared.gauge.rows_mended).fetch_add(mended, Ordering::Relaxed);
        tracing::error!(
            what,
            "one bit of spool.db was wrong and is put right; the disk damages files"
        );
    }
}

fn open_in_room(shared: &Arc<Shared>) -> Result<Writer, OpenError> {
    let paths = &shared.paths;
    let dir = || shared.settings.dir.display().to_string();
    let failed = |reason| OpenError::Directory { dir: dir(), reason };
    if let Some(remains) = paths.remains() {
        return Err(OpenError::Missing {
            dir: dir(),
            remains,
        });
    }
    paths.make(&*shared.disk).map_err(failed)?;
    let lock = private_file().open(&paths.lock).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    make_space(shared).map_err(failed)?;
    let log = wal::look(&paths.wal).map_err(failed)?;
    if log.headless {
        return Err(OpenError::Log { dir: dir() });
    }
    let (mark, reserved) = Mark::open(&paths.mark).map_err(failed)?;
    let database = |trouble| match trouble {
        Trouble::Full => failed(std::io::ErrorKind::StorageFull.into()),
        Trouble::InUse => failed(std::io::ErrorKind::ResourceBusy.into()),
        Trouble::Io(reason) => OpenError::Database { dir: dir(), reason },
    };
    // SQLite opens a database whose head is wrong in places, and then finds every page broken.
    let has_log = std::fs::metadata(&paths.wal).is_ok_and(|log| log.len() > 0);
    let mended = schema::mend_head(&paths.database, has_log).unwrap_or(0);
    note_mended(shared, mended, "the head of the file");
    let conn = open_writer(paths, shared.settings.limits(), &shared.log_pages)
        .map_err(|error| database(error.into()))?;
    note_lost_groups(shared, &conn, &log).map_err(|error| database(error.into()))?;
    prepare_schema(&conn, &shared.settings)?;
    let findings = verify(&conn).map_err(database)?;
    shared.found(findings);
    // The log's name is durable before numbers are reserved: else a power cut in the first group would look as if a log with
    // events in it had gone.
    let _ = shared.disk.sync_dir(&paths.dir);
    note_missing(shared, &conn, &log, reserved).map_err(|error| database(error.into()))?;
    let has_format = match raise_format(&conn).map_err(Trouble::from) {
        // The group with the first event raises it.
        Err(Trouble::Full) => false,
        raised => raised.map(|()| true).map_err(database)?,
    };
    let mut segments = Segments::open(shared).map_err(failed)?;
    segments.has_format = has_format;
    note_missing_end(shared, &conn, &segments, reserved).map_err(|error| database(error.into()))?;
    let seen = Seen::load(&conn, shared.events.clone(), IDS_MAX);
    let seen = seen.map_err(|error| database(error.into()))?;
    let files = Files {
        mark,
        reserved: reserved.unwrap_or(0),
        lock,
    };
    load(shared, conn, files, seen, segments).map_err(database)
}

fn free(shared: &Shared) -> u64 {
    let free = shared.disk.free(&shared.settings.dir);
    free.unwrap_or(u64::MAX)
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}

/// A full disk must not keep the gateway from starting: it has to deliver to become less full.
fn make_space(shared: &Shared) -> std::io::Result<()> {
    for reserve in [&shared.paths.ballast, &shared.paths.start_reserve] {
        if free(shared) < SPACE_TO_OPEN && std::fs::remove_file(reserve).is_ok() {
            tracing::warn!(
                reserve = %reserve.display(),
                "the disk is full; a reserve is given up so that the gateway can start"
            );
        }
    }
    // SQLite cuts the index of before to nothing and makes it again.
    let index = std::fs::metadata(&shared.paths.shm).map_or(0, |file| file.len());
    if free(shared).saturating_add(index) < SPACE_FOR_INDEX {
        return Err(std::io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

/// Finds out which number comes next, so that none is given out twice.
fn settle_numbers(
    shared: &Shared,
    conn: &Connection,
    meta: &mut Meta,
    seen: &Seen,
    reserved: u64,
) -> Result<(), Trouble> {
    let one = |sql: &str| conn.query_row(sql, [], |row| get(row, 0));
    // A damaged number is no reason to skip what comes behind it.
    let bound = meta.next.max(seen.newest() + 1).max(reserved);
    let last = table::last_below(conn, bound)?;
    let held = one("SELECT coalesce(max(seq), 0) FROM held")?;
    let verified = crate::lane_store::verify(conn)?;
    let (damaged, mended) = (&shared.readers.damaged, &shared.gauge.rows_mended);
    damaged.fetch_add(verified.damaged, Ordering::Relaxed);
    mended.fetch_add(verified.mended, Ordering::Relaxed);
    let routed = behind_routed(conn)?;
    let position = former_position(conn)?;
    let behind = [
        last + 1,
        held + 1,
        seen.newest() + 1,
        routed,
        position,
        reserved,
    ];
    meta.next = behind.into_iter().fold(meta.next, u64::max);
    Ok(())
}

/// The small files beside the database.
struct Files {
    mark: Mark,
    /// Numbers below this may have been given out.
    reserved: u64,
    lock: std::fs::File,
}

fn load(
    shared: &Arc<Shared>,
    conn: Connection,
    files: Files,
    seen: Seen,
    mut segments: Segments,
) -> Result<Writer, Trouble> {
    let Files {
        mark,
        reserved,
        lock,
    } = files;
    let settings = &shared.settings;
    let limits = settings.limits();
    let mut meta = Meta::read(&conn)?;
    let mut packs = Packs::load(
        &conn,
        shared.paths.images.clone(),
        limits.pack,
        settings.images,
    )?;
    meta.next = meta.next.max(segments.writer.next_seq());
    settle_numbers(shared, &conn, &mut meta, &seen, reserved)?;
    segments.skip_to(meta.next);
    // Also of an event that may have left the log, or that may come back from the buried ones.
    shared.publish(meta.next - 1);
    packs.all_named_before(meta.next);
    let newest = table::newest_time(&conn)?;
    shared.ages.begin(&conn, &meta, newest, &*shared.clock)?;
    let quarantined = conn.query_row("SELECT count(*) FROM quarantine", [], |row| get(row, 0))?;
    shared
        .gauge
        .quarantined
        .store(quarantined, Ordering::Relaxed);
    let quarantine = Quarantine::load(&conn, settings.quarantine_bytes_max)?;
    let mut budget = Budget::new(settings);
    budget.set_quarantine(quarantine.bytes());
    budget.set_segment_bytes(segments.segment_bytes);
    budget.set_segments(&segments.writer);
    budget.measure_pages(&conn)?;
    budget.measure_log(&shared.paths);
    budget.measure(&shared.paths, packs.bytes(), &*shared.disk)?;
    budget.make_reserves(&shared.paths, &shared.gauge);
    let mut writer = Writer {
        shared: Arc::clone(shared),
        conn: Some(conn),
        mark,
        meta,
        seen,
        packs,
        quarantine,
        budget,
        known: None,
        uncertain: None,
        leftovers: Leftovers::begin(),
        segments,
        ticked: None,
        more: false,
        failing: Failing::default(),
        fold_after: None,
        _lock: lock,
    };
    writer.report();
    Ok(writer)
}

/// SQLite drops what lies behind a bad byte of its write-ahead log and says nothing. A reading of the log can.
fn note_lost_groups(shared: &Shared, conn: &Connection, log: &Log) -> rusqlite::Result<()> {
    if log.mended > 0 {
        shared
            .gauge
            .rows_mended
            .fetch_add(log.mended, Ordering::Relaxed);
        tracing::warn!(
            frames = log.mended,
            "the write-ahead log was damaged and put right: one byte in each of these frames was wrong"
        );
    }
    let frames: i64 = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))?;
    let read = frames.max(0).cast_unsigned();
    let lost = log.commits.iter().filter(|commit| **commit > read).count() as u64;
    if lost > 0 {
        shared.gauge.groups_lost.fetch_add(lost, Ordering::Relaxed);
        tracing::error!(
            groups = lost,
            "the write-ahead log is damaged: groups behind the damage are lost (one may be a group that was cut off \
             by a power failure and never acknowledged)"
        );
    }
    Ok(())
}

/// The newest segment has no other one behind it that would tell that it is missing. After an orderly end the numbers do.
fn note_missing_end(
    shared: &Shared,
    conn: &Connection,
    segments: &Segments,
    reserved: Option<u64>,
) -> rusqlite::Result<()> {
    let next = Meta::read(conn)?.next;
    let found = segments.writer.next_seq();
    let end: Option<i64> = conn.query_row("SELECT log_end FROM meta", [], |row| row.get(0))?;
    let end = end.map_or(0, i64::cast_unsigned);
    // After a crash it is that of an earlier run.
    if reserved == Some(next) && found < end {
        shared.gauge.groups_lost.fetch_add(1, Ordering::Relaxed);
        shared.gauge.set_missing(Some(u64::MAX));
        tracing::error!(
            from_seq = found,
            through_seq = end - 1,
            "the end of the log is missing. Where the newest file NNN.seg of the directory `log` was moved or left out of a \
             copy, stop, put it back, and start again"
        );
    }
    Ok(())
}

/// What was there at the end of the last run and is not any more.
fn note_missing(
    shared: &Shared,
    conn: &Connection,
    log: &Log,
    reserved: Option<u64>,
) -> rusqlite::Result<()> {
    let next = Meta::read(conn)?.next;
    match reserved {
        // Numbers stay reserved only where the gateway was cut off, and then SQLite left its log.
        Some(reserved) if reserved != next && !log.exists => {
            shared.gauge.groups_lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                "spool.db-wal is missing although the gateway was not stopped in order: events that were accepted last \
                 may be lost. Where that file was moved or left out of a copy, stop, put it back, and start again"
            );
        }
        None if next > 1 => {
            shared.gauge.rows_damaged.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                "the file `sequence` is missing or damaged; sequence numbers go on above all that are known"
            );
        }
        _ => {}
    }
    Ok(())
}
