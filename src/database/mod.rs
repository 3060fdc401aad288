//! Connections to both backends, and their errors.
//!
//! | module | what it is for |
//! |---|---|
//! | [`watchdog`] | detects a server that stopped responding, and ends this process's sessions there |
//! | [`read_transaction`] | short read transactions with limits |
//! | [`writable`] | whether a server accepts writes |
//! | [`connection`] | connections to both backends |
//! | [`transaction`] | statements in transactions whose settings end with them |
//! | [`session`] | a transaction of a connection of the pool on PostgreSQL |
//! | [`namespace`] | where a role's unqualified names lead on PostgreSQL |
//! | [`readiness`] | whether a PostgreSQL server accepts connections, without a login |
//! | [`sqlite_holder`] | which process has locked a SQLite file |
//! | [`sqlite_file`] | a SQLite file seen without SQLite: its header and the files beside it |
//! | [`mark`] | marks by which this process's work can be found on a server |
//! | [`time_limits`] | lifts the time limits of a role for a transaction |
//! | [`sqlite_thread`] | work on a thread with SQLite's handle |
//! | [`sqlite_cache`] | a small page cache for the time of some work |
//! | [`sqlite_digest`] | digests of many rows as functions of SQLite's |
//! | [`sqlite_statement`] | a statement of SQLite's that copies no value |
//! | [`failure`] | the database's errors: classes, hints, and whether to retry |
//! | [`url`] | SQLAlchemy URLs, with hidden passwords |
//! | [`sqlite_value`] | a value as SQLite stores it |
//! | [`quote`] | quotes names and values in built SQL |
//! | [`integrity_finding`] | the findings of SQLite's check: which are about values |

pub(crate) mod connection;
pub(crate) mod failure;
pub(crate) mod integrity_finding;
pub(crate) mod mark;
pub(crate) mod namespace;
pub(crate) mod quote;
pub(crate) mod read_transaction;
pub(crate) mod readiness;
pub(crate) mod session;
pub(crate) mod sqlite_cache;
pub(crate) mod sqlite_digest;
pub(crate) mod sqlite_file;
pub(crate) mod sqlite_holder;
pub(crate) mod sqlite_statement;
pub(crate) mod sqlite_thread;
pub(crate) mod sqlite_value;
pub(crate) mod time_limits;
pub(crate) mod transaction;
pub(crate) mod url;
pub(crate) mod watchdog;
pub(crate) mod writable;
