//! Revision 08, `ab12cd34ef56`, of 2025-10-22. Parent: `8bc629164789`.
//!
//! `alert_sessions.author`: who sent the alert.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "ab12cd34ef56", table: "alert_sessions", columns: &[("author", "VARCHAR(255)")] };
