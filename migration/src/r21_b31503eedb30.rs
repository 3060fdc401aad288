//! Revision 21, `b31503eedb30`, of 2026-01-09. Parent: `a1b2c3d4e5f6`.
//!
//! `stage_executions.iteration_strategy`: how a stage's agent iterates.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "b31503eedb30", table: "stage_executions", columns: &[("iteration_strategy", "VARCHAR")] };
