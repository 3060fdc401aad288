//! The arguments of `init`.

use std::time::Duration;

use clap::Args;
use migration::Revision;

use super::parser::{duration, revision, role};

/// The arguments of `init`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "Examples:
    tarsy-db init
    DATABASE_URL=postgresql://tarsy@db/tarsy tarsy-db init --wait=2m
    tarsy-db init --to head --dry-run
    tarsy-db init --to head --sql > upgrade.sql
    tarsy-db init --to head --create-database --app-role tarsy_backend")]
pub(crate) struct Init {
    /// The revision to upgrade to: `head`, `baseline`, an id or its beginning, or a number from 1 to 23
    /// [env: TARSY_DB_SCHEMA] [default: baseline].
    #[arg(long, value_name = "REVISION", value_parser = revision(), hide_possible_values = true)]
    pub(crate) to: Option<Revision>,

    /// Give this existing role what TARSy's backend needs, and nothing that changes the schema. PostgreSQL only.
    ///
    /// The role may then connect, read and write TARSy's tables, use their sequences, and read `alembic_version`. This
    /// also holds for tables that their owner creates later. Only what is missing is granted. Such a backend cannot
    /// upgrade the schema, so bring it to the backend's revision with `--to`.
    #[arg(long, value_name = "ROLE", value_parser = role())]
    pub(crate) app_role: Option<String>,

    /// First create the database of the URL if it does not exist, with the encoding UTF8.
    ///
    /// The role of the URL needs CREATEDB, and becomes the owner. A SQLite file is created without this flag.
    #[arg(long, conflicts_with = "sql")]
    pub(crate) create_database: bool,

    /// Print what would be done and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print the SQL that would be run and change nothing.
    #[arg(long)]
    pub(crate) sql: bool,

    /// First wait up to this long until the database is usable [default with the flag: 5m].
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "5m",
          value_parser = duration)]
    pub(crate) wait: Option<Duration>,

    /// How long to wait for a lock that another session or program holds.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) lock_timeout: Duration,

    /// Fail with exit code 5 if the schema is newer than the revisions that this version knows.
    #[arg(long)]
    pub(crate) strict: bool,
}
