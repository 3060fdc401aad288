//! The arguments of `migrate-sqlite-to-postgres`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::parser::{ChoiceParser, path, secret};
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
    /// The SQLite database, as a path or URL.
    #[arg(long, value_name = "PATH OR URL", default_value = "sqlite:///history.db", value_parser = secret)]
    pub(crate) from: Secret,

    /// The PostgreSQL database [default: the database URL].
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub(crate) to: Option<Secret>,

    /// Bring the rows to those that the target holds, for instance back from what `prune --archive` kept.
    ///
    /// Rows that are there already have to be the same, and are skipped. If one is there with other values, or
    /// another row has its unique key, all such rows are listed, nothing is written, and the exit code is 7.
    /// The target has to be at the source's revision. TARSy's backend may go on: only rows that both databases
    /// have are kept as they are until the end. A target without rows is filled as without this flag.
    #[arg(long, conflicts_with_all = ["check_only", "verify_only"])]
    pub(crate) append: bool,

    /// What is compared before the commit.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Verification::Full)]
    pub(crate) verify: Verification,

    /// Check the source's file, look at every value and list what PostgreSQL cannot hold; no target is needed, nothing
    /// is written.
    #[arg(long, conflicts_with_all = ["to", "verify", "toast"])]
    pub(crate) check_only: bool,

    /// Go as far as possible without moving a row: look at every value of the source and at what is in the way on the
    /// target, and say how large it will be and how long it will take; nothing is written.
    #[arg(long, conflicts_with_all = ["check_only", "verify_only"])]
    pub(crate) dry_run: bool,

    /// Compare the source with a target that holds it already, by whatever tool it was moved; nothing is written.
    #[arg(long, conflicts_with_all = ["check_only", "verify", "toast"])]
    pub(crate) verify_only: bool,

    /// What is done with a class of values that cannot be carried over exactly, instead of ending the move.
    ///
    /// Each change is recorded in the report with the original bytes.
    #[arg(long = "on", value_name = "CLASS=POLICY", requires = "report", value_parser = ChoiceParser)]
    pub(crate) policies: Vec<Choice>,

    /// Write a report in JSON: tables, digests, hazards, policies and every change that they made.
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(crate) report: Option<PathBuf>,

    /// Go on although SQLite's integrity check finds the source damaged, and record the findings in the report.
    ///
    /// Without this flag such a source is refused with exit code 74 before anything is written. With it, what can be
    /// read is moved: rows and values that the damage hides or alters are then missing or wrong on the target, and
    /// comparing both databases does not show that. Restore a backup or recover the file first, if there is a way to.
    #[arg(long, requires = "report", conflicts_with = "verify_only")]
    pub(crate) accept_damage: bool,

    /// Show the values that cannot be carried over, too: they may be confidential.
    #[arg(long)]
    pub(crate) show_values: bool,

    /// How PostgreSQL compresses long values of this load.
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = Toast::Lz4)]
    pub(crate) toast: Toast,

    /// How long to wait for somebody else's lock.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) lock_timeout: Duration,

    /// Leave out a table (`name`) or a column (`table.name`) of the source that the target lacks.
    #[arg(long, value_name = "NAME")]
    pub(crate) ignore: Vec<String>,
}

// The enums are those of the transfer, which knows no command line: what they are called here is said here.

impl ValueEnum for Verification {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Full, Self::Counts, Self::None]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Full => ("full", "Every value, read back from the target"),
            Self::Counts => ("counts", "The number of rows"),
            Self::None => ("none", "Nothing: the server took every row"),
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
            Self::Lz4 => ("lz4", "With LZ4, which is faster, where the server has it"),
            Self::Keep => ("keep", "As the server is set"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}
