//! Revision 15, `01b89ac17a5e`, of 2025-11-21. Parent: `921cbd5111ad`.
//!
//! `llm_interactions.native_tools_config`: the enabled tools of the model's provider.

use crate::step::AddColumns;

pub(crate) const MIGRATION: AddColumns =
    AddColumns { id: "01b89ac17a5e", table: "llm_interactions", columns: &[("native_tools_config", "JSON")] };
