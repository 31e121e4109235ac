//! The database file: how it is opened, and what its errors mean.

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::disk::Disk;
use crate::settings::{DiskSettings, Limits, OpenError, PAGE};

/// The format of a new directory.
pub(crate) const VERSION: i64 = 1;
/// The format once lanes of the first were taken over (lane_store/take_over.rs).
pub(crate) const TAKEN_OVER: i64 = 2;
/// The format once new events stand in segments: the newest that this program reads.
pub(crate) const SEGMENTS: i64 = 3;
/// Whether the lanes of a directory are those of this contract, of its row of `meta`.
pub(crate) const IS_TAKEN_OVER: &str = "(version >= 2 AND former_lanes IS NULL)";

/// Names of the files in the directory.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) dir: PathBuf,
    pub(crate) database: PathBuf,
    pub(crate) wal: PathBuf,
    pub(crate) ballast: PathBuf,
    pub(crate) start_reserve: PathBuf,
    pub(crate) shm: PathBuf,
    pub(crate) mark: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) images: PathBuf,
    /// The segments.
    pub(crate) log: PathBuf,
}

impl Paths {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            database: dir.join("spool.db"),
            wal: dir.join("spool.db-wal"),
            ballast: dir.join("ballast"),
            start_reserve: dir.join("start-reserve"),
            shm: dir.join("spool.db-shm"),
            mark: dir.join("sequence"),
            lock: dir.join("lock"),
            images: dir.join("images"),
            log: dir.join("log"),
        }
    }

    /// Makes the directories and the database file, for their owner's eyes only: they hold pictures and secrets.
    pub(crate) fn make(&self, disk: &dyn Disk) -> std::io::Result<()> {
        for dir in [&self.dir, &self.images, &self.log] {
            make_dir(dir, disk)?;
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
        }
        if self.database.exists() {
            return Ok(());
        }
        // SQLite gives its -wal and -shm files the permissions of the database.
        private_file().open(&self.database)?;
        disk.sync_dir(&self.dir)
    }

    /// What shows that a spool was here, although its database is missing or empty; `None` when nothing does.
    pub(crate) fn remains(&self) -> Option<String> {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        if size(&self.database) > 0 {
            return None;
        }
        let mut remains = Vec::new();
        for (path, name) in [(&self.mark, "sequence"), (&self.wal, "spool.db-wal")] {
            if size(path) > 0 {
                remains.push(name.to_owned());
            }
        }
        let images = std::fs::read_dir(&self.images).into_iter().flatten();
        let packs = images.flatten().filter(|entry| {
            let path = entry.path();
            path.extension().is_some_and(|end| end == "pack") && size(&path) > 0
        });
        match packs.count() {
            0 => {}
            1 => remains.push("a pack of pictures".into()),
            packs => remains.push(format!("{packs} packs of pictures")),
        }
        let log = std::fs::read_dir(&self.log).into_iter().flatten();
        let mut log = log.flatten().map(|entry| entry.path());
        if log.any(|path| path.extension().is_some_and(|end| end == "seg")) {
            remains.push("segments of the log".into());
        }
        (!remains.is_empty()).then(|| remains.join(", "))
    }
}

/// Makes a directory and those above it that are missing. Each name is durable before anything is put below it: else a power
/// cut could take all of it away.
fn make_dir(dir: &Path, disk: &dyn Disk) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = match dir.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    make_dir(above, disk)?;
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made?,
    }
    disk.sync_dir(above)
}

/// Opens for reading and writing, makes the file for its owner only.
pub(crate) fn private_file() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// Why a group was not kept.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No space left.
    Full,
    /// A reader keeps the write-ahead log.
    InUse,
    /// Anything else of the disk or the database.
    Io(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            // The text of a constraint or of a type error names columns, never values.
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::Full,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// Whether SQLite found its own pages broken.
pub(crate) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Does what is only tidying up: where SQLite finds a page broken, it is undone and `None`, and fails no group. Without the
/// savepoint a statement that breaks off half way would leave its trees worse than they were.
pub(crate) fn unless_corrupt<T>(
    conn: &Connection,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    conn.prepare_cached("SAVEPOINT tidy")?.execute([])?;
    let result = match work() {
        Ok(value) => Some(value),
        Err(error) if is_corrupt(&error) => {
            conn.prepare_cached("ROLLBACK TO tidy")?.execute([])?;
            None
        }
        Err(error) => return Err(error),
    };
    conn.prepare_cached("RELEASE tidy")?.execute([])?;
    Ok(result)
}

/// Whether an error means that what is stored there is damaged, not that the disk does not answer: a broken page, or a field
/// of a type that was never written.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
    };
    let of_a_field = matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..)
    );
    of_a_field || is_corrupt(error)
}

/// The one connection that writes.
/// `log_pages` is told how long the write-ahead log has become; the writer folds it in, as SQLite would not say that it failed.
pub(crate) fn open_writer(
    paths: &Paths,
    limits: Limits,
    log_pages: &Arc<AtomicU64>,
) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(&paths.database, flags)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    // Counts only for a database without tables.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    // NORMAL loses acknowledged groups at a power cut.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // The log goes at an orderly end only, so that one that is missing is noticed.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    plan_once(&conn)?;
    let log_pages = Arc::clone(log_pages);
    log_pages.store(0, Ordering::Relaxed);
    conn.wal_hook(Some(move |_: &mut Wal, pages: i32| {
        log_pages.store(pages.unsigned_abs().into(), Ordering::Relaxed);
        Ok(())
    }))?;
    let wal_bytes = limits.wal_pages * PAGE * 2;
    conn.pragma_update(None, "journal_size_limit", wal_bytes.cast_signed())?;
    Ok(conn)
}

/// Folds all of the log into the database and empties it.
pub(crate) fn fold(conn: &Connection) -> Result<(), Trouble> {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: i64 = conn.query_row(sql, [], |row| row.get(0))?;
    match busy {
        0 => Ok(()),
        _ => Err(Trouble::InUse),
    }
}

/// A connection that only reads.
pub(crate) fn open_reader(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(database, flags)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    plan_once(&conn)?;
    Ok(conn)
}

/// Else SQLite plans some statements anew for every other value that is bound, which costs more than it takes to run them.
fn plan_once(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Makes the tables in a new database, and refuses one of a later program.
pub(crate) fn prepare_schema(conn: &Connection, settings: &DiskSettings) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| database_error(settings, &error);
    let exists = "SELECT count(*) FROM sqlite_master WHERE name = 'meta'";
    let tables: i64 = conn
        .query_row(exists, [], |row| row.get(0))
        .map_err(failed)?;
    if tables == 0 {
        let rows = format!(
            "INSERT INTO meta (version, next, total, trimmed, groups) VALUES ({VERSION}, 1, 0, 1, 0);"
        );
        let schema = include_str!("schema.sql");
        conn.execute_batch(&format!("BEGIN IMMEDIATE; {schema} {rows} COMMIT;"))
            .map_err(failed)?;
    }
    let version = conn.query_row("SELECT version FROM meta", [], |row| row.get(0));
    match version.map_err(failed)? {
        found if found > SEGMENTS => Err(OpenError::Newer {
            dir: settings.dir.display().to_string(),
            found,
            known: SEGMENTS,
        }),
        _ => {
            add_tables(conn).map_err(failed)?;
            add_columns(conn).map_err(failed)
        }
    }
}

/// Tables that came after the first ones.
fn add_tables(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("added.sql"))?;
    conn.execute_batch(include_str!("lane_store/tables.sql"))
}

/// All tables of a new database, without the columns that came later.
pub(crate) fn make_tables(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(include_str!("schema.sql"))?;
    add_tables(conn)
}

/// Columns that came after the first ones. An earlier program does not look at them, and leaves them empty.
pub(crate) fn add_columns(conn: &Connection) -> rusqlite::Result<()> {
    // The trace that the device's request belongs to: no part of the event, so no part of its checksum, which an earlier
    // program would then find wrong. What breaks its grammar is as none.
    for table in ["event", "buried"] {
        add_column(conn, table, "trace", "TEXT")?;
    }
    // The row's checksum; an earlier program writes none.
    let checked = [
        "meta",
        "lane",
        "held",
        "range",
        "once",
        "gone",
        "buried",
        "quarantine",
    ];
    for table in checked {
        add_column(conn, table, "row_crc", "INTEGER")?;
    }
    add_numbers(conn)
}

fn add_column(conn: &Connection, table: &str, column: &str, kind: &str) -> rusqlite::Result<()> {
    if !conn.column_exists(None, table, column)? {
        conn.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))?;
    }
    Ok(())
}

/// Numbers that came later.
fn add_numbers(conn: &Connection) -> rusqlite::Result<()> {
    for (table, column) in [
        // How far the sweep has come (packs.rs), and in which group: when another wrote since, it is looked for anew.
        ("meta", "swept"),
        // Lanes of format 1 wait for the takeover, in a directory that has segments already.
        ("meta", "former_lanes"),
        ("meta", "swept_groups"),
        // Where the log ends after an orderly end: the number behind its last one.
        ("meta", "log_end"),
        // The scale of ages and the wall clock (ages.rs) at the last group.
        ("meta", "age"),
        ("meta", "wall"),
        // The highest event that names a picture, since when it is free, and the checksum of its place (packs.rs).
        ("image", "last"),
        ("image", "free"),
        ("image", "crc"),
    ] {
        if !conn.column_exists(None, table, column)? {
            let sql = format!("ALTER TABLE {table} ADD COLUMN {column} INTEGER");
            conn.execute_batch(&sql)?;
        }
    }
    conn.execute_batch(
        "CREATE INDEX IF NOT EXISTS image_free ON image (free, last) WHERE free IS NOT NULL",
    )
}

/// What SQLite said, for the operator.
pub(crate) fn database_error(settings: &DiskSettings, error: &rusqlite::Error) -> OpenError {
    OpenError::Database {
        dir: settings.dir.display().to_string(),
        reason: error.to_string(),
    }
}

/// Raises the format of a directory before its first segment is made: an earlier program would not find the events there.
/// Lanes of format 1 stay as they are until their takeover.
pub(crate) fn raise_format(conn: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE meta SET former_lanes = iif(version < ?1 AND EXISTS (SELECT 1 FROM lane), 1, NULL), version = ?2 \
               WHERE version < ?2";
    conn.execute(sql, [TAKEN_OVER, SEGMENTS])?;
    Ok(())
}

/// A number of 64 bits; SQLite has only signed ones, so the bits are what is kept.
pub(crate) fn get(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
