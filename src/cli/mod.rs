//! The command line. The doc comments are the manual.
//!
//! | module | what it is for |
//! |---|---|
//! | [`global`] | options that every command has |
//! | [`init`] | the arguments of `init` |
//! | [`wait`] | the arguments of `wait` |
//! | [`check`] | the arguments of `check` |
//! | [`info`] | the arguments of `info` |
//! | [`prune`] | the arguments of `prune` |
//! | [`migrate`] | the arguments of `migrate-sqlite-to-postgres` |
//! | [`completions`] | the arguments of `completions` |
//! | [`parser`] | parsers of values |

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod global;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod migrate;
mod parser;
pub(crate) mod prune;
pub(crate) mod wait;

use clap::{Parser, Subcommand};

use crate::cli::check::Check;
use crate::cli::completions::Completions;
use crate::cli::global::Global;
use crate::cli::info::Info;
use crate::cli::init::Init;
use crate::cli::migrate::MigrateSqliteToPostgres;
use crate::cli::prune::Prune;
use crate::cli::wait::Wait;

/// The database tool of TARSy's alert history.
///
/// Works on SQLite (the default, nothing to set up) and PostgreSQL; the URL's scheme decides.
/// Settings come from flags, the environment, a file and defaults, in this order; `tarsy-db info`
/// shows each with where it came from.
#[derive(Debug, Parser)]
#[command(name = "tarsy-db", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Options that every command has.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes:
    0  done, or nothing to do          65  values that the target cannot hold
    1  internal error                  69  unavailable
    2  usage                           73  a file cannot be created
    3  schema pending: run `init`      74  input/output error, disk full, damaged file
    4  drift, or a check failed        75  busy: try again
    5  schema newer than this tool     77  authentication or privilege
    6  rows past the cutoff remain     78  configuration
    7  refused                        124  deadline exceeded
    8  verification mismatch          130, 143  interrupted, terminated";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create or upgrade the schema, or make sure that it is there.
    ///
    /// Brings the database to a revision of TARSy's schema, by default the baseline (ae85467a75d2), on which
    /// every TARSy release can start and upgrade by itself. All that is pending is applied in one transaction
    /// under a lock, with TARSy's own ledger `alembic_version`: any number of replicas may start at once.
    ///
    /// A database that stands there or beyond is left alone. Tables without a ledger are adopted: their shape
    /// tells the revision, and the ledger is written. What is not as it should be is refused with the
    /// differences (4). On SQLite a missing file is created with its directory, in WAL mode.
    Init(Init),
    /// Wait until the database is usable, then exit or run a command.
    ///
    /// Tries to connect, authenticated, until the database is usable. Between attempts it looks every
    /// tenth of a second whether the server has begun to accept connections, so that it returns at once
    /// when it does.
    ///
    /// Prints changes of state only. What cannot heal by itself (wrong password, no such database, TLS)
    /// ends the wait after 10 seconds. Exit code 0 when usable, 124 at the deadline, else that of the
    /// last cause.
    Wait(Wait),
    /// Check that connection, schema and data are sound.
    ///
    /// Runs named checks: connection, server version, encoding, time zone, writability, privileges,
    /// ledger, schema, indexes, foreign keys, integrity, sequences, retention. The schema is compared with the shape
    /// that the ledger's revision should have. Reads only, but for `--fix`; a role that may only SELECT is enough.
    ///
    /// Exit code 0 when all is sound, 3 when `init` is needed, 4 on drift or damage, 5 when the schema is
    /// newer than this tool, 6 when retention stopped (`--fail-if-overdue`), 69, 77 or 78 when there is no
    /// connection.
    Check(Check),
    /// Show what is in the database and which settings are in force.
    ///
    /// Shows backend, server, role, revision and size; rows and bytes of each table; the space that removed rows
    /// left, with the command that gives it back where that is worth while; sessions by status and by week; what
    /// the retention would remove; every setting with its source. Reads only.
    Info(Info),
    /// Remove old history.
    ///
    /// Removes the sessions that started before the cutoff, each with all that hangs on it, in batches that are one
    /// transaction each. Batches are short while others use the database, so that TARSy's backend keeps working.
    /// Whatever ends a run, each session is there or gone as a whole, and the next run goes on.
    ///
    /// Sessions that are not in a terminal status (completed, failed, cancelled, timed_out) are kept and listed, and so
    /// are those that are in use (the last interaction, or the start of a stage that is not over, is after the cutoff,
    /// as in a chat) and those whose stages rows of other sessions refer to. Those without a start are never old.
    /// Events and orphans go with `--events` and `--orphans` only. `--archive` keeps a copy of what goes.
    ///
    /// Asks before it deletes; without a terminal `--yes` is needed. A signal ends the run after the batch in hand; a
    /// second one rolls that back, and so do 10 s more. A session that cannot be removed is listed with the reason and
    /// stops no other.
    ///
    /// Exit code 0 when done, when `--max-duration` is over, and when another prune is at work on the database; 6 when
    /// sessions from before the cutoff remain (`--fail-if-remaining`); 7 when refused (`--max-share`, not confirmed,
    /// no archive of this history); 78 where no retention of sessions is set; 130 or 143 after a signal; 69 or 75 when
    /// `--retry-for` is over. Where a session cannot be removed it is that of the first reason.
    Prune(Prune),
    /// Move a history from SQLite to PostgreSQL, completely or not at all.
    ///
    /// Copies every row of a SQLite history into an empty PostgreSQL database, reads it back, compares every
    /// value, and only then commits: one transaction, completely or not at all. The source is not changed,
    /// not even by one byte.
    ///
    /// Before a row moves, SQLite checks the source: every page, and every index against its table. That takes about
    /// 3 seconds for 1 GB of values. A damaged source is refused with its findings, and the exit code is 74.
    ///
    /// Brings the target to the source's revision first. Values that PostgreSQL cannot hold are all listed,
    /// nothing is written, and the exit code is 65.
    ///
    /// With `--append` the rows come to those that the target holds already, while TARSy's backend goes on.
    MigrateSqliteToPostgres(MigrateSqliteToPostgres),
    /// Print the completions for a shell to standard output.
    Completions(Completions),
}
