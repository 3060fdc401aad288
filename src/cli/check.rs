//! The arguments of `check`.

use clap::Args;

/// The arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db check
    tarsy-db check --deep --output json
    tarsy-db check --fail-if-overdue
    tarsy-db check --fix")]
pub(crate) struct Check {
    /// Create indexes that are missing and put sequences behind their data, then check.
    #[arg(long)]
    pub(crate) fix: bool,

    /// Also look at every row: SQLite's `integrity_check`, PostgreSQL's rows without a parent.
    ///
    /// Without it a query is given up after 30 s, and its check is skipped.
    #[arg(long)]
    pub(crate) deep: bool,

    /// Fail with exit code 6 if sessions are past the retention by more than a day, instead of warning of them.
    ///
    /// Retention that stopped without a word is what this finds: `prune` has not run, or has not come to its end.
    /// Only sessions count that `prune` would remove; those that are not over never do.
    #[arg(long)]
    pub(crate) fail_if_overdue: bool,
}
