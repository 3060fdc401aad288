//! Revision 22, `c4d5e6f7g8h9`, of 2026-01-21. Parent: `b31503eedb30`.
//!
//! `alert_sessions.executive_summary_error`: why there is no summary.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "c4d5e6f7g8h9", table: "alert_sessions", columns: &[("executive_summary_error", "VARCHAR")] };
