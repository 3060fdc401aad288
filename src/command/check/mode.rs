//! What the flags of `check` ask for.

use crate::cli::check::Check;

/// How much of the data is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What the database knows without reading every row.
    Quick,
    /// Every row.
    Deep,
}

/// What sessions past the retention are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnOverdue {
    Warn,
    Fail,
}

impl Depth {
    pub(crate) fn of(arguments: &Check) -> Self {
        if arguments.deep { Self::Deep } else { Self::Quick }
    }
}

impl OnOverdue {
    pub(crate) fn of(arguments: &Check) -> Self {
        if arguments.fail_if_overdue { Self::Fail } else { Self::Warn }
    }
}
