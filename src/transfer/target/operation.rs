//! What is to be done with the target.

/// What is to be done with the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A history comes into empty tables, which nobody else uses meanwhile.
    Move,
    /// Rows come to others, while everybody goes on.
    Append,
}
