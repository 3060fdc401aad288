//! The settings of the command line.

use std::path::PathBuf;

use crate::database::url::Secret;

/// The settings of the command line.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    /// `--to` of a command that has a target.
    pub target: Option<Secret>,
    /// `--database-url`.
    pub database_url: Option<Secret>,
    /// `--direct-url`.
    pub direct_url: Option<Secret>,
    /// `--config`.
    pub config: Option<PathBuf>,
}
