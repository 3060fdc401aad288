//! Move or append.

/// How rows reach the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Into empty tables, which are locked against all other sessions.
    Move,
    /// Into tables with rows, while other sessions read and write.
    Append,
}
