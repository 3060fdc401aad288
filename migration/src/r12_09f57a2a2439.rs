//! Revision 12, `09f57a2a2439`, of 2025-11-14. Parent: `11b500f06df2`.
//!
//! `stage_executions.current_iteration`: where a paused stage continues.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "09f57a2a2439", table: "stage_executions", columns: &[("current_iteration", "INTEGER")] };
