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
    /// Whether the command needs a session of the server, and so the direct URL.
    pub needs_session: bool,
    /// `--config`.
    pub config: Option<PathBuf>,
}
