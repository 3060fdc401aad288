//! Revision 10, `da4300b74d0e`, of 2025-11-03. Parent: `9f8e7d6c5b4a`.
//!
//! `alert_sessions.mcp_selection`: the selected servers and tools of the session.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "da4300b74d0e", table: "alert_sessions", columns: &[("mcp_selection", "JSON")] };
