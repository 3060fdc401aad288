//! What a command takes from the process it runs in.

use chrono::{DateTime, Utc};

use crate::progress::Progress;
use crate::settings::Environment;

/// What a command needs of the process.
pub(crate) struct Context {
    pub environment: Environment,
    /// The time at which the process started.
    pub now: DateTime<Utc>,
    pub progress: Box<dyn Progress>,
}
