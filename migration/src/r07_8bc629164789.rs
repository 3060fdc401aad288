//! Revision 07, `8bc629164789`, of 2025-10-20. Parent: `3717971cb125`.
//!
//! `llm_interactions.mcp_event_id`: the tool call that a summary belongs to.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "8bc629164789", table: "llm_interactions", columns: &[("mcp_event_id", "VARCHAR")] };
