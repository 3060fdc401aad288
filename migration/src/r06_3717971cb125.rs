//! Revision 06, `3717971cb125`, of 2025-10-13. Parent: `3d5f7251e766`.
//!
//! The five foreign keys to sessions and stages cascade: deleting a session or a stage deletes the rows that refer to
//! it.

use sea_orm_migration::prelude::*;

use crate::foreign_key::{Key, OnDelete};
use crate::manager::Manager;
use crate::step::Step;

pub(crate) struct Migration;

#[async_trait::async_trait]
impl Step for Migration {
    fn id(&self) -> &'static str {
        "3717971cb125"
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        for key in KEYS {
            key.replace_others(manager).await?;
        }
        Ok(())
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

const KEYS: [Key; 5] = [
    SESSION_OF_STAGE,
    to_session("fk_llm_interactions_session_id", "llm_interactions"),
    to_stage("fk_llm_interactions_stage_execution_id", "llm_interactions"),
    to_session("fk_mcp_communications_session_id", "mcp_communications"),
    to_stage("fk_mcp_communications_stage_execution_id", "mcp_communications"),
];

pub(crate) const SESSION_OF_STAGE: Key = to_session("fk_stage_executions_session_id", "stage_executions");

const fn to_session(name: &'static str, table: &'static str) -> Key {
    let (column, referenced_table, referenced_column) = ("session_id", "alert_sessions", "session_id");
    Key { name, table, column, referenced_table, referenced_column, on_delete: OnDelete::Cascade }
}

const fn to_stage(name: &'static str, table: &'static str) -> Key {
    let (column, referenced_table, referenced_column) = ("stage_execution_id", "stage_executions", "execution_id");
    Key { name, table, column, referenced_table, referenced_column, on_delete: OnDelete::Cascade }
}
