//! The flags of `check` as enums.

use crate::cli::check::Check;

/// How much of the data is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Not every row.
    Quick,
    /// Every row.
    Deep,
}

/// The result of the check if sessions are past the retention.
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
