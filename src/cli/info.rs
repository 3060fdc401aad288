//! The arguments of `info`.

use clap::Args;

/// The arguments of `info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db info
    tarsy-db info --exact --output json")]
pub(crate) struct Info {
    /// Count rows exactly instead of using PostgreSQL's estimate, without a time limit.
    ///
    /// Without this flag a query that takes longer than 30s is cancelled and its part of the output is skipped.
    #[arg(long)]
    pub(crate) exact: bool,
}
