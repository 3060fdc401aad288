//! The arguments of `check`.

use clap::Args;

use super::parser::role;

/// The arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db check
    tarsy-db check --deep --output json
    tarsy-db check --fail-if-overdue
    tarsy-db check --as-role tarsy_backend
    tarsy-db check --fix")]
pub(crate) struct Check {
    /// Create missing indexes, rebuild invalid ones and advance sequences that are behind their data, then run the checks.
    ///
    /// Nothing else is changed: a missing table or column is reported, not created.
    #[arg(long)]
    pub(crate) fix: bool,

    /// Also check every row: SQLite's `integrity_check`; on PostgreSQL rows without a parent, from their keys and numbers alone.
    ///
    /// Without this flag a query that takes longer than 30s is cancelled and its check is reported as skipped.
    #[arg(long)]
    pub(crate) deep: bool,

    /// Fail with exit code 6, instead of a warning, if sessions are more than a day past the retention.
    ///
    /// This detects retention that silently stopped: `prune` did not run, or did not finish. Only sessions that `prune`
    /// would remove are counted; open sessions are not.
    #[arg(long)]
    pub(crate) fail_if_overdue: bool,

    /// Also check whether this role has what TARSy's backend needs. PostgreSQL only.
    ///
    /// Fails with exit code 77 and the statements that grant what is missing. `init --app-role` runs them.
    #[arg(long, value_name = "ROLE", value_parser = role())]
    pub(crate) as_role: Option<String>,
}
