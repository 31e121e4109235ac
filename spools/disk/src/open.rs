//! Opening the directory: what must be looked at before the first group.

use std::collections::HashMap;
use std::fs::TryLockError;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension as _};

use crate::blocks::Blocks;
use crate::budget::Budget;
use crate::lanes;
use crate::leftovers::Leftovers;
use crate::mark::{Mark, commits_in_wal};
use crate::packs::Packs;
use crate::row::Published;
use crate::seen::Seen;
use crate::settings::{IDS_MAX, OpenError};
use crate::shared::Shared;
use crate::store::{Meta, Trouble, get, open_writer, prepare_schema, private_file};
use crate::writer::Writer;

/// SQLite needs a little space for the index of its log.
const SPACE_TO_OPEN: u64 = 1 << 20;

/// Opens everything and gives the writer, ready to run.
pub(crate) fn open(shared: &Arc<Shared>) -> Result<Writer, OpenError> {
    let dir = || shared.settings.dir.display().to_string();
    let failed = |reason| OpenError::Directory { dir: dir(), reason };
    shared.paths.make().map_err(failed)?;
    let lock = private_file().open(&shared.paths.lock).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    if shared
        .disk
        .free(&shared.settings.dir)
        .is_ok_and(|free| free < SPACE_TO_OPEN)
    {
        // A full disk must not keep the gateway from starting: it has to deliver to become less full.
        let _ = std::fs::remove_file(&shared.paths.ballast);
    }
    let commits = commits_in_wal(&shared.paths.wal).map_err(failed)?;
    let (mark, reserved) = Mark::open(&shared.paths.mark).map_err(failed)?;
    let database = |trouble| match trouble {
        Trouble::Full => failed(std::io::ErrorKind::StorageFull.into()),
        Trouble::Io(reason) => OpenError::Database { dir: dir(), reason },
    };
    let conn = open_writer(&shared.paths, shared.settings.limits())
        .map_err(|error| database(error.into()))?;
    note_lost_groups(shared, &conn, &commits).map_err(|error| database(error.into()))?;
    prepare_schema(&conn, &shared.settings)?;
    load(shared, conn, mark, reserved, lock).map_err(database)
}

fn load(
    shared: &Arc<Shared>,
    conn: Connection,
    mark: Mark,
    reserved: u64,
    lock: std::fs::File,
) -> Result<Writer, Trouble> {
    let settings = &shared.settings;
    let limits = settings.limits();
    let mut meta = Meta::read(&conn)?;
    let seen = Seen::load(&conn, IDS_MAX)?;
    let mut packs = Packs::load(
        &conn,
        shared.paths.images.clone(),
        limits.pack,
        settings.images,
        meta.is_stale,
    )?;
    let mut needs = HashMap::new();
    for lane in lanes::load(&conn, meta.total)? {
        meta.next = meta.next.max(lane.lock().position());
        needs.insert(lane.id, lane.lock().need_from());
        shared.lanes.insert(lane);
    }
    let one = |sql: &str| conn.query_row(sql, [], |row| get(row, 0));
    let last = one("SELECT coalesce(max(seq), 0) FROM event")?;
    let held = one("SELECT coalesce(max(seq), 0) FROM held")?;
    meta.next = [meta.next, last + 1, held + 1, seen.newest() + 1, reserved]
        .into_iter()
        .max()
        .unwrap_or(1);
    shared.set_given_out(meta.next - 1);
    packs.all_named_before(meta.next);
    let newest = "SELECT at FROM event ORDER BY seq DESC LIMIT 1";
    let newest = (conn.query_row(newest, [], |row| row.get(0))).optional()?;
    shared.ages.begin(&conn, &meta, newest, &*shared.clock)?;
    shared.publish(Published {
        last,
        total: meta.total,
    });
    let quarantined = one("SELECT count(*) FROM quarantine")?;
    shared
        .gauge
        .quarantined
        .store(quarantined, Ordering::Relaxed);
    let mut budget = Budget::new(settings);
    budget.measure(&conn, &shared.paths, packs.bytes(), &*shared.disk)?;
    budget.make_ballast(&shared.paths.ballast);
    let mut writer = Writer {
        shared: Arc::clone(shared),
        conn: Some(conn),
        mark,
        meta,
        seen,
        packs,
        budget,
        needs,
        uncertain: None,
        leftovers: Leftovers::begin(),
        blocks: Blocks::default(),
        ticked: None,
        more: false,
        _lock: lock,
    };
    writer.report();
    Ok(writer)
}

/// SQLite drops what lies behind a bad byte of its write-ahead log and says nothing. Whoever reads the log can.
fn note_lost_groups(shared: &Shared, conn: &Connection, commits: &[u64]) -> rusqlite::Result<()> {
    let frames: i64 = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))?;
    let read = frames.max(0).cast_unsigned();
    let lost = commits.iter().filter(|commit| **commit > read).count() as u64;
    if lost > 0 {
        shared.gauge.groups_lost.store(lost, Ordering::Relaxed);
        tracing::error!(
            groups = lost,
            "the write-ahead log is damaged: groups behind the damage are lost (one may be a group that was cut off \
             by a power failure and never acknowledged)"
        );
    }
    Ok(())
}
