//! Revision 20, `a1b2c3d4e5f6`, of 2025-12-16. Parent: `f0dd17b71ce2`.
//!
//! `stage_executions.paused_at_us`: when a stage was paused.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "a1b2c3d4e5f6", table: "stage_executions", columns: &[("paused_at_us", "BIGINT")] };
