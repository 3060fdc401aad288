//! Revision 02, `7c617b3e7c2c`, of 2025-10-03. Parent: `ae85467a75d2`.
//!
//! `llm_interactions.interaction_type`: the purpose of a call to the model. Existing rows are classified by the text of
//! their conversation, as TARSy does it; the marker of an analysis counts at any position.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::alter::{add_column, require_plain_updates, required};
use crate::manager::Manager;
use crate::step::Step;

pub(crate) struct Migration;

#[async_trait::async_trait]
impl Step for Migration {
    fn id(&self) -> &'static str {
        "7c617b3e7c2c"
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        let mut column = required("interaction_type", "VARCHAR(50)");
        // The column's default covers the rows that match neither marker.
        if add_column(manager, "llm_interactions", column.default("investigation").take()).await? {
            require_plain_updates(manager, "llm_interactions").await?;
            manager.execute(classify(manager.backend())).await?;
        }
        Ok(())
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        vec![("llm_interactions", "interaction_type")]
    }

    fn filled_table(&self) -> Option<&'static str> {
        Some("llm_interactions")
    }
}

/// SQLite's LIKE ignores the case of ASCII letters, PostgreSQL's does not, both in TARSy and here.
fn classify(backend: DbBackend) -> String {
    let kind = |like: &str| {
        format!(
            "CASE WHEN conversation {like} '%You are an expert at summarizing technical output%' THEN 'summarization'
                  WHEN conversation {like} '%Final Answer:%' THEN 'final_analysis' END"
        )
    };
    match backend {
        // OFFSET keeps the server from expanding the conversation once for each comparison.
        DbBackend::Postgres => format!(
            "UPDATE llm_interactions SET interaction_type = classified.kind
             FROM (SELECT interaction_id, {} AS kind
                   FROM (SELECT interaction_id, conversation::pg_catalog.text AS conversation
                         FROM llm_interactions OFFSET 0) texts
                  ) classified
             WHERE classified.interaction_id OPERATOR(pg_catalog.=) llm_interactions.interaction_id
               AND classified.kind IS NOT NULL",
            kind("OPERATOR(pg_catalog.~~)")
        ),
        _ => format!(
            "UPDATE llm_interactions SET interaction_type = {kind} WHERE {kind} IS NOT NULL",
            kind = kind("LIKE")
        ),
    }
}
