//! The command line. The doc comments are the manual.
//!
//! | module | what it is for |
//! |---|---|
//! | [`global`] | the options that all commands share |
//! | [`init`] | the arguments of `init` |
//! | [`wait`] | the arguments of `wait` |
//! | [`check`] | the arguments of `check` |
//! | [`info`] | the arguments of `info` |
//! | [`prune`] | the arguments of `prune` |
//! | [`migrate`] | the arguments of `migrate-sqlite-to-postgres` |
//! | [`completions`] | the arguments of `completions` |
//! | [`parser`] | parsers of the values of flags |

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod global;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod migrate;
pub(crate) mod parser;
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

/// Creates, checks, prunes and migrates the database of TARSy's alert history.
///
/// The scheme of the database URL selects SQLite (the default) or PostgreSQL. A flag overrides an environment variable,
/// which overrides the `.env` file, the settings file and the default, in this order. `tarsy-db info` shows every
/// setting with its source.
#[derive(Debug, Parser)]
#[command(name = "tarsy-db", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// The options that all commands share.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command to run.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes:
    0  done, or nothing to do          65  values that the target cannot hold
    1  internal error                  69  server unavailable
    2  wrong command line              73  a file cannot be created
    3  schema pending: run `init`      74  input/output error, disk full, damaged file
    4  drift, or a check failed        75  busy: try again
    5  schema newer than this version  77  authentication or privilege
    6  old sessions remain             78  configuration
    7  refused                        124  deadline exceeded
    8  verification mismatch          129, 130, 143  stopped by a signal";

impl Command {
    /// The name on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Wait(_) => "wait",
            Self::Check(_) => "check",
            Self::Info(_) => "info",
            Self::Prune(_) => "prune",
            Self::MigrateSqliteToPostgres(_) => "migrate-sqlite-to-postgres",
            Self::Completions(_) => "completions",
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the schema, or upgrade it.
    ///
    /// Upgrades the database to a revision of TARSy's schema [default: the baseline, ae85467a75d2]. Every TARSy release
    /// can start on the baseline and upgrade it. All pending revisions are applied in one transaction under a lock and
    /// recorded in TARSy's own table `alembic_version`, so several replicas may run `init` at the same time.
    ///
    /// If the database is already at this revision or a later one, `init` says so and changes nothing. Tables without
    /// `alembic_version` are adopted: the table definitions determine the revision, which is then recorded. A schema
    /// that matches no revision is refused with the differences (exit code 4). On SQLite a missing file is created with
    /// its directory, in WAL mode. Downgrades are not supported.
    Init(Init),
    /// Wait until the database is usable, then exit or run a command.
    ///
    /// Connects and logs in, again and again, until the database is usable. Between two attempts it checks every 100ms
    /// whether the server accepts connections, and then tries again at once. It prints a line only when the reason for
    /// waiting changes.
    ///
    /// A failure that needs an operator (wrong password, no such database, TLS) ends the wait after 10s.
    ///
    /// The exit code is 0 when the database is usable, 124 when `--timeout` is over, otherwise that of the last failure.
    Wait(Wait),
    /// Check that connection, schema and data are sound.
    ///
    /// Runs named checks: connection, protection, server version, encoding, time zone, collation, writable, write-ahead log,
    /// capacity, privileges, backend role (`--as-role`), row policies, replica identity, revision, schema, indexes, locks,
    /// foreign keys, integrity, sequences, integers, retention. The schema is compared with the definition of the revision that
    /// `alembic_version` records. Without `--fix` nothing is changed and a role with SELECT is enough.
    ///
    /// The exit code is 0 if all checks pass, 3 if `init` is needed, 4 on drift or damage, 5 if the schema is newer than
    /// this version, 6 if retention stopped (`--fail-if-overdue`), and 69, 74, 75, 77 or 78 if something cannot be reached
    /// or read: `tarsy-db --help` names them.
    Check(Check),
    /// Show the contents of the database and the settings in force.
    ///
    /// Shows backend, server, role, revision and size; rows and bytes of each table; the space that can be reclaimed and
    /// the command that does so; sessions by status and by week; the sessions that the retention would remove; and every
    /// setting with its source. Nothing is changed.
    Info(Info),
    /// Remove old sessions.
    ///
    /// Removes the sessions that started before the cutoff, each with all rows that belong to it. Each batch is one
    /// transaction. Batches are short while other sessions use the database, so that TARSy's backend keeps working. If a
    /// run ends early, each session is either complete or removed, and the next run removes the rest.
    ///
    /// Kept and listed: sessions that are still open (unless `--include-active`), sessions that were used after the
    /// cutoff, for example in a chat, and sessions whose stages another session refers to. Terminal statuses are
    /// completed, failed, cancelled and timed_out. Sessions without a start time are never old. Events and orphans are
    /// removed only with `--events` and `--orphans`. `--archive` keeps a copy of the removed rows.
    ///
    /// On a terminal `prune` asks before it deletes; without one it needs `--yes`. A signal ends the run after the
    /// current batch; a second signal, or 10s, rolls that batch back. A session that cannot be removed is listed with
    /// the reason, and the others are still removed.
    ///
    /// The exit code is 0 when done, when `--max-duration` is over, and when another `prune` is running; 6 if old
    /// sessions remain (`--fail-if-remaining`); 7 when refused (`--max-share` exceeded, not confirmed, or the archive
    /// belongs to another history); 78 if no retention is set; 69 or 75 when `--retry-for` is over; 129, 130 or 143
    /// after a signal. If a session cannot be removed, the exit code is that of the first failure.
    Prune(Prune),
    /// Migrate a history from SQLite to PostgreSQL, completely or not at all.
    ///
    /// Copies every row of a SQLite database into an empty PostgreSQL database, reads it back, compares every value and
    /// then commits. All of this is one transaction. The source is not changed.
    ///
    /// First SQLite checks the source: every page, and every index against its table. That takes about 3s for 1 GB of
    /// values. A damaged source is refused with its findings (exit code 74).
    ///
    /// The target is upgraded to the source's revision first. If the source holds values that PostgreSQL cannot hold,
    /// all of them are listed, nothing is written and the exit code is 65.
    ///
    /// With `--append` the rows are inserted into a target that already holds rows, while TARSy's backend keeps running.
    MigrateSqliteToPostgres(MigrateSqliteToPostgres),
    /// Print the completions for a shell to standard output.
    Completions(Completions),
}
