//! The database tool of TARSy's alert history, on SQLite and PostgreSQL.
//!
//! Arrows point downward only: a module imports what stands below it in this table, and within a folder what stands
//! below it in the table of the folder's `mod.rs`. A test holds the imports against these tables.
//!
//! | module | what it is for |
//! |---|---|
//! | [`process`] | the process: arguments, environment, streams, and how it ends |
//! | [`logging`] | log lines on standard error |
//! | [`command`] | one folder or file per subcommand: resolve, plan, act, report, try again |
//! | [`cli`] | clap types; their doc comments are the manual |
//! | [`output`] | a report is data; here it becomes a table or JSON |
//! | [`error`] | one error that gathers the others |
//! | [`settings`] | flag > environment > file > default, each value with its source |
//! | [`metrics`] | what a run of `prune` did, for Prometheus |
//! | [`transfer`] | rows on their way from SQLite to PostgreSQL |
//! | [`history`] | what the tables mean: sessions and what hangs on them, events, retention, archives, space |
//! | [`schema`] | what a database looks like, what it should look like, the difference |
//! | [`database`] | URLs, connections to both backends, what a server answered and whether trying again can help |
//! | [`fs`] | files that are in their place completely or not at all, and what file systems have room for |
//! | [`interrupt`] | SIGINT and SIGTERM, as something to ask and to wait for |
//! | [`diagnostic`] | what an error says beside its message: exit code, hint, details |
//! | [`exit_code`] | the one place where the number of an exit code stands |
//! | [`progress`] | work reports what it did; bars, log lines or silence |
//! | [`mod@format`] | figures and times as text |
//! | [`mutex`] | what threads share and a panic does not make wrong |
//! | [`visible`] | control characters as something to see |

#![allow(rustdoc::private_intra_doc_links, reason = "the map is for those who read the source")]

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
mod metrics;
mod mutex;
mod output;
mod process;
mod progress;
mod schema;
mod settings;
mod transfer;
mod visible;

pub use cli::Cli;
pub use exit_code::ExitCode;
pub use process::main;

/// What the tests and the generator of histories reach into the library for. This is no interface: it changes with the
/// code.
#[doc(hidden)]
pub mod internals {
    pub use crate::database::connection::{Access, open};
    pub use crate::database::failure::{DatabaseError, ErrorClass};
    pub use crate::database::sqlite_value::SqliteValue;
    pub use crate::database::url::DatabaseUrl;
    pub use crate::history::space::sqlite::AutoVacuum;
    pub use crate::history::space::{Space, reclaimable};
    pub use crate::history::vacuum::freed::Freed;
    pub use crate::history::vacuum::vacuum;
    pub use crate::progress::{Amount, Meter, Phase, Progress, Silence};
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
