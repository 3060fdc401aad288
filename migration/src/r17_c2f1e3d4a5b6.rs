//! Revision 17, `c2f1e3d4a5b6`, of 2025-12-04. Parent: `aedb48dd0326`.
//!
//! `llm_interactions.thinking_content`: the model's thoughts before the answer.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "c2f1e3d4a5b6", table: "llm_interactions", columns: &[("thinking_content", "VARCHAR")] };
