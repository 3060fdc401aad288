//! Revision 13, `88f7a5fba343`, of 2025-11-14. Parent: `09f57a2a2439`.
//!
//! `alert_sessions.pause_metadata`: why a session is paused.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "88f7a5fba343", table: "alert_sessions", columns: &[("pause_metadata", "JSON")] };
