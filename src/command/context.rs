//! What a command takes from the process it runs in.

use chrono::{DateTime, Utc};

use crate::progress::Progress;
use crate::settings::Environment;

/// What a command takes from the process it runs in.
pub(crate) struct Context {
    /// The environment variables.
    pub environment: Environment,
    /// The clock, read once.
    pub now: DateTime<Utc>,
    /// Who is told how far the work is.
    pub progress: Box<dyn Progress>,
}
