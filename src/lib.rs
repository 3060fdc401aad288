//! The database tool of TARSy's alert history, on SQLite and PostgreSQL.
//!
//! A module imports only modules that are below it in this table, and within a folder only those below it in the table
//! of the folder's `mod.rs`. A test checks the imports against these tables.
//!
//! | module | what it is for |
//! |---|---|
//! | [`process`] | the process: arguments, environment, streams, exit code |
//! | [`version`] | what the program was built from |
//! | [`logging`] | log lines on standard error |
//! | [`command`] | one folder or file per subcommand: resolve, plan, act, report, retry |
//! | [`cli`] | clap types; their doc comments are the manual |
//! | [`output`] | prints a report as tables or as JSON |
//! | [`error`] | one error that gathers the others |
//! | [`settings`] | flag > environment > file > default, each value with its source |
//! | [`metrics`] | metrics of a run of `prune`, for Prometheus |
//! | [`transfer`] | the migration of rows from SQLite to PostgreSQL |
//! | [`history`] | the meaning of the tables: sessions and their rows, events, retention, archives, space |
//! | [`schema`] | the actual schema, the expected schema, and the difference |
//! | [`database`] | URLs, connections to both backends, errors and whether a retry can help |
//! | [`fs`] | files that are written completely or not at all, and free space |
//! | [`interrupt`] | SIGINT, SIGTERM, SIGHUP and SIGXFSZ |
//! | [`diagnostic`] | what an error has beside its message: exit code, hint, details |
//! | [`exit_code`] | the exit codes and their meaning |
//! | [`progress`] | progress of long work: bars, log lines or nothing |
//! | [`mod@format`] | counts, sizes, percentages, durations, times and I/O errors as text |
//! | [`memory`] | what the allocator does with freed memory |
//! | [`name_service`] | where glibc looks up the names of hosts and users |
//! | [`mutex`] | locks for data that a panic cannot leave inconsistent |
//! | [`visible`] | escapes control characters |

#![allow(rustdoc::private_intra_doc_links, reason = "the map is for readers of the source")]

mod cli;
mod command;
mod database;
mod diagnostic;
mod error;
mod exit_code;
mod format;
mod fs;
mod history;
mod interrupt;
mod logging;
mod memory;
mod metrics;
mod mutex;
mod name_service;
mod output;
mod process;
mod progress;
mod schema;
mod settings;
mod transfer;
mod version;
mod visible;

pub use cli::Cli;
pub use exit_code::ExitCode;
pub use process::main;

/// What the tests and the generator of histories use of the library. This is no stable interface.
#[doc(hidden)]
pub mod internals {
    pub use crate::database::connection::{Access, Connection, PoolLimits, open};
    pub use crate::database::failure::{DatabaseError, ErrorClass};
    pub use crate::database::sqlite_value::SqliteValue;
    pub use crate::database::transaction::Transaction;
    pub use crate::database::url::DatabaseUrl;
    pub use crate::history::space::sqlite::AutoVacuum;
    pub use crate::history::space::{Space, reclaimable};
    pub use crate::history::vacuum::freed::Freed;
    pub use crate::history::vacuum::vacuum;
    pub use crate::progress::{Amount, Meter, Phase, Progress, Silence};
    pub use crate::schema::expected::record;
    pub use crate::schema::read::schema as read_schema;
    pub use crate::schema::upgrade::upgrade;
    pub use crate::settings::{Environment, Flags, KEYS, Settings};
    pub use crate::transfer::source::error::SourceError;
    pub use crate::transfer::source::origin::{CopyReason, Origin};
    pub use crate::transfer::source::scan::Source;
    pub use crate::transfer::source::snapshot::{Snapshot, SnapshotOptions};
    pub use crate::transfer::target::obstacle::{ObstacleKind, ObstacleSeverity};
    pub use crate::transfer::target::operation::Operation;
    pub use crate::transfer::target::preflight::{TargetTables, look};
    pub use crate::transfer::value::column::ColumnPlan;
    pub use crate::transfer::value::column_type::ColumnType;
    pub use crate::transfer::value::convert::{Converted, convert};
    pub use crate::transfer::value::copy_format::{field_parts, read_field};
    pub use crate::transfer::value::digest::RowDigester;
    pub use crate::transfer::value::hazard::Fault;
    pub use crate::transfer::value::pg_value::PgValue;
    pub use crate::transfer::value::policy::{Choice, Class, Policies, Policy};
}

#[cfg(test)]
mod error_snapshots;
#[cfg(test)]
mod map;
#[cfg(test)]
mod words;
