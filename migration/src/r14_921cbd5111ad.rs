//! Revision 14, `921cbd5111ad`, of 2025-11-21. Parent: `88f7a5fba343`.
//!
//! `llm_interactions.response_metadata`: what the model's provider returned besides the answer.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "921cbd5111ad", table: "llm_interactions", columns: &[("response_metadata", "JSON")] };
