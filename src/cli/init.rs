//! The arguments of `init`.

use std::time::Duration;

use clap::Args;
use migration::Revision;

use super::parser::duration;

/// The arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db init
    DATABASE_URL=postgresql://tarsy@db/tarsy tarsy-db init --wait=2m
    tarsy-db init --to head --dry-run
    tarsy-db init --to head --sql > upgrade.sql")]
pub(crate) struct Init {
    /// The revision to upgrade to: `head`, `baseline`, an id or its beginning, or a number from 1 to 23
    /// [env: TARSY_DB_SCHEMA] [default: baseline].
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<Revision>,

    /// Print what would be done and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print the SQL that would be run and change nothing.
    #[arg(long)]
    pub(crate) sql: bool,

    /// First wait up to this long until the database is usable [default with the flag: 5m].
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "5m",
          value_parser = duration)]
    pub(crate) wait: Option<Duration>,

    /// How long to wait for a lock that another session or program holds.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) lock_timeout: Duration,

    /// Fail with exit code 5 if the schema is newer than the revisions that this version knows.
    #[arg(long)]
    pub(crate) strict: bool,
}
