//! Revision 23, `b67c135119d7`, of 2026-01-26. Parent: `c4d5e6f7g8h9`.
//!
//! `alert_sessions.slack_message_fingerprint`: the Slack message that a session belongs to.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "b67c135119d7", table: "alert_sessions", columns: &[("slack_message_fingerprint", "VARCHAR")] };
