//! The arguments of `migrate-sqlite-to-postgres`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::parser::{choice, duration, path, secret};
use crate::database::url::Secret;
use crate::transfer::job::load::{Toast, Verification};
use crate::transfer::value::policy::Choice;

/// The arguments of `migrate-sqlite-to-postgres`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "Examples:
    tarsy-db migrate-sqlite-to-postgres --from history.db --to postgresql://tarsy@db/tarsy
    tarsy-db migrate-sqlite-to-postgres --from history.db --check-only
    tarsy-db migrate-sqlite-to-postgres --from history.db --to postgresql://tarsy@db/tarsy --dry-run
    tarsy-db migrate-sqlite-to-postgres --from history.db --to postgresql://tarsy@db/tarsy --verify-only
    tarsy-db migrate-sqlite-to-postgres --from archive.db --to postgresql://tarsy@db/tarsy --append
    tarsy-db migrate-sqlite-to-postgres --on nul=replace --on orphan=adopt --report move.json
    DATABASE_URL=postgresql://tarsy@db/tarsy tarsy-db migrate-sqlite-to-postgres")]
pub(crate) struct MigrateSqliteToPostgres {
    /// The source: a SQLite database, as a path or URL.
    #[arg(long, value_name = "PATH OR URL", default_value = "sqlite:///history.db", value_parser = secret)]
    pub(crate) from: Secret,

    /// The target: a PostgreSQL database, as a URL [default: the database URL of the settings].
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub(crate) to: Option<Secret>,

    /// Insert the source's rows into a target that already holds rows, for example from an archive of `prune`.
    ///
    /// A row that already exists must be identical and is skipped, so running the command again changes nothing. If a
    /// row exists with other values, or another row has its unique key, all conflicts are listed, nothing is written
    /// and the exit code is 7. The target must be at the source's revision. TARSy's backend may keep running: only rows
    /// that exist in both databases are locked until the commit. An empty target is filled as without this flag.
    #[arg(long, conflicts_with_all = ["check_only", "verify_only"])]
    pub(crate) append: bool,

    /// What to compare before the commit.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Verification::Full)]
    pub(crate) verify: Verification,

    /// Check the source's file and list every value that PostgreSQL cannot hold. No target is needed, and nothing is
    /// written.
    #[arg(long, conflicts_with_all = ["to", "verify", "toast"])]
    pub(crate) check_only: bool,

    /// Check every value of the source and the target's readiness, and estimate size and duration. Nothing is written.
    #[arg(long, conflicts_with_all = ["check_only", "verify_only"])]
    pub(crate) dry_run: bool,

    /// Compare the source with a target that was filled earlier, by any tool. Nothing is written.
    #[arg(long, conflicts_with_all = ["check_only", "verify", "toast"])]
    pub(crate) verify_only: bool,

    /// What to do with a class of values that PostgreSQL cannot hold; without it the migration is refused.
    ///
    /// The report records each change with the original bytes.
    #[arg(long = "on", value_name = "CLASS=POLICY", requires = "report", value_parser = choice())]
    pub(crate) policies: Vec<Choice>,

    /// Write a JSON report to this file: tables, digests, values that need a policy, and every change made.
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(crate) report: Option<PathBuf>,

    /// Migrate although SQLite's integrity check finds the source damaged, and record the findings in the report.
    ///
    /// Without this flag a damaged source is refused with exit code 74 before anything is written. With it, all
    /// rows that SQLite returns are migrated. Rows and values that the damage hides or alters are then missing or wrong
    /// on the target, and the comparison of both databases does not detect that. If SQLite cannot read a table to its
    /// end, the migration still fails (74). If possible, restore a backup or recover the file instead.
    #[arg(long, requires = "report", conflicts_with = "verify_only")]
    pub(crate) accept_damage: bool,

    /// Also show the values that PostgreSQL cannot hold. They may be confidential.
    #[arg(long)]
    pub(crate) show_values: bool,

    /// How PostgreSQL compresses the long values that are written.
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = Toast::Lz4)]
    pub(crate) toast: Toast,

    /// How long to wait for a lock that another session or program holds.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) lock_timeout: Duration,

    /// Leave out a table (`name`) or a column (`table.name`) of the source that the target lacks; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) ignore: Vec<String>,
}

// The enums belong to the transfer, which does not depend on clap.

impl ValueEnum for Verification {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Full, Self::Counts, Self::None]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Full => ("full", "Every value, read back from the target"),
            Self::Counts => ("counts", "The number of rows"),
            Self::None => ("none", "Nothing"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

impl ValueEnum for Toast {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Lz4, Self::Keep]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Lz4 => ("lz4", "LZ4, which is faster, if the server supports it"),
            Self::Keep => ("keep", "The server's own setting"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}
