//! The arguments of `info`.

use clap::Args;

/// The arguments of `info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db info
    tarsy-db info --exact --output json")]
pub(crate) struct Info {
    /// Count rows instead of taking PostgreSQL's estimate, and take as long as it takes.
    ///
    /// Without it a query is given up after 30 s, and what it would have shown is skipped.
    #[arg(long)]
    pub(crate) exact: bool,
}
