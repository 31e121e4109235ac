//! The embedded spool engine: one directory, SQLite.
