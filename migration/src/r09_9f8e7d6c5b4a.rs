//! Revision 09, `9f8e7d6c5b4a`, of 2025-10-24. Parent: `ab12cd34ef56`.
//!
//! `alert_sessions.runbook_url`: the runbook that the alert came with.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "9f8e7d6c5b4a", table: "alert_sessions", columns: &[("runbook_url", "VARCHAR")] };
