//! A column of the target.

use super::column_type::ColumnType;

/// One column to copy.
#[derive(Debug, Clone)]
pub struct ColumnPlan {
    /// Its name on both sides.
    pub name: String,
    /// Its type on the target.
    pub target: ColumnType,
    /// Whether the target allows SQL NULL.
    pub nullable: bool,
}
