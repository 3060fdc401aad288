//! Revision 16, `aedb48dd0326`, of 2025-12-01. Parent: `01b89ac17a5e`.
//!
//! `alert_sessions.final_analysis_summary`: a summary of the final analysis.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "aedb48dd0326", table: "alert_sessions", columns: &[("final_analysis_summary", "VARCHAR")] };
