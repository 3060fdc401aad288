//! The arguments of `completions`.

use clap::Args;

/// The arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
    tarsy-db completions bash > /etc/bash_completion.d/tarsy-db")]
pub(crate) struct Completions {
    /// The shell to print completions for.
    pub(crate) shell: clap_complete::Shell,
}
