//! Revision 01, `ae85467a75d2`, of 2025-10-02. Parent: none.
//!
//! The baseline: the four tables of EP-0020 as SQLAlchemy's `create_all` created them at that time.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::alter::{optional, required};
use crate::manager::Manager;
use crate::step::Step;

pub(crate) struct Migration;

#[async_trait::async_trait]
impl Step for Migration {
    fn id(&self) -> &'static str {
        "ae85467a75d2"
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        for mut table in [alert_sessions(), stage_executions(), llm_interactions(manager), mcp_communications()] {
            manager.create_table(table.take()).await?;
        }
        for (name, table, columns) in INDEXES {
            let mut index = Index::create().name(name).table(table).take();
            for column in columns {
                index.col(*column);
            }
            if name == "ix_alert_sessions_alert_id" {
                index.unique();
            }
            manager.create_index(index).await?;
        }
        manager.create_index(conversation_index(manager)).await
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

const INDEXES: [(&str, &str, &[&str]); 14] = [
    ("ix_alert_sessions_agent_type", "alert_sessions", &["agent_type"]),
    ("ix_alert_sessions_alert_id", "alert_sessions", &["alert_id"]),
    ("ix_alert_sessions_alert_type", "alert_sessions", &["alert_type"]),
    ("ix_alert_sessions_started_at_us", "alert_sessions", &["started_at_us"]),
    ("ix_alert_sessions_status", "alert_sessions", &["status"]),
    ("ix_alert_sessions_status_started_at", "alert_sessions", &["status", "started_at_us"]),
    ("ix_stage_executions_session_id", "stage_executions", &["session_id"]),
    ("ix_stage_executions_stage_index", "stage_executions", &["stage_index"]),
    ("ix_llm_interactions_session_id", "llm_interactions", &["session_id"]),
    ("ix_llm_interactions_stage_execution_id", "llm_interactions", &["stage_execution_id"]),
    ("ix_llm_interactions_timestamp_us", "llm_interactions", &["timestamp_us"]),
    ("ix_mcp_communications_session_id", "mcp_communications", &["session_id"]),
    ("ix_mcp_communications_stage_execution_id", "mcp_communications", &["stage_execution_id"]),
    ("ix_mcp_communications_timestamp_us", "mcp_communications", &["timestamp_us"]),
];

/// The index on conversations: GIN on PostgreSQL, a b-tree on SQLite.
fn conversation_index(manager: &Manager<'_>) -> IndexCreateStatement {
    let mut index = Index::create().name("ix_llm_interactions_conversation").table("llm_interactions").take();
    match manager.backend() {
        DbBackend::Postgres => index
            .index_type(IndexType::Custom("gin".into()))
            .col(IndexColumn::from("conversation").with_operator_class("jsonb_path_ops")),
        _ => index.col("conversation"),
    }
    .take()
}

fn alert_sessions() -> TableCreateStatement {
    Table::create()
        .table("alert_sessions")
        .col(required("session_id", "VARCHAR"))
        .col(required("alert_id", "VARCHAR"))
        .col(optional("alert_data", "JSON"))
        .col(required("agent_type", "VARCHAR"))
        .col(optional("alert_type", "VARCHAR"))
        .col(required("status", "VARCHAR"))
        .col(optional("started_at_us", "BIGINT"))
        .col(optional("completed_at_us", "BIGINT"))
        .col(optional("error_message", "VARCHAR"))
        .col(optional("final_analysis", "VARCHAR"))
        .col(optional("session_metadata", "JSON"))
        .col(required("chain_id", "VARCHAR"))
        .col(optional("chain_definition", "JSON"))
        .col(optional("current_stage_index", "INTEGER"))
        .col(optional("current_stage_id", "VARCHAR"))
        .primary_key(Index::create().col("session_id"))
        .take()
}

fn stage_executions() -> TableCreateStatement {
    Table::create()
        .table("stage_executions")
        .col(required("execution_id", "VARCHAR"))
        .col(required("session_id", "VARCHAR"))
        .col(required("stage_id", "VARCHAR"))
        .col(required("stage_index", "INTEGER"))
        .col(required("stage_name", "VARCHAR"))
        .col(required("agent", "VARCHAR"))
        .col(required("status", "VARCHAR"))
        .col(optional("started_at_us", "BIGINT"))
        .col(optional("completed_at_us", "BIGINT"))
        .col(optional("duration_ms", "INTEGER"))
        .col(optional("stage_output", "JSON"))
        .col(optional("error_message", "VARCHAR"))
        .primary_key(Index::create().col("execution_id"))
        .foreign_key(&mut to_session("stage_executions"))
        .take()
}

fn llm_interactions(manager: &Manager<'_>) -> TableCreateStatement {
    let conversation = match manager.backend() {
        DbBackend::Postgres => "JSONB",
        _ => "JSON",
    };
    Table::create()
        .table("llm_interactions")
        .col(required("interaction_id", "VARCHAR"))
        .col(required("session_id", "VARCHAR"))
        .col(optional("stage_execution_id", "VARCHAR"))
        .col(optional("timestamp_us", "BIGINT"))
        .col(required("duration_ms", "INTEGER"))
        .col(required("success", "BOOLEAN"))
        .col(optional("error_message", "VARCHAR"))
        .col(required("model_name", "VARCHAR"))
        .col(optional("provider", "VARCHAR"))
        .col(optional("temperature", "FLOAT"))
        .col(optional("conversation", conversation))
        .col(optional("input_tokens", "INTEGER"))
        .col(optional("output_tokens", "INTEGER"))
        .col(optional("total_tokens", "INTEGER"))
        .primary_key(Index::create().col("interaction_id"))
        .foreign_key(&mut to_session("llm_interactions"))
        .foreign_key(&mut to_stage("llm_interactions"))
        .take()
}

fn mcp_communications() -> TableCreateStatement {
    Table::create()
        .table("mcp_communications")
        .col(required("communication_id", "VARCHAR"))
        .col(required("step_description", "VARCHAR"))
        .col(required("request_id", "VARCHAR"))
        .col(required("session_id", "VARCHAR"))
        .col(optional("stage_execution_id", "VARCHAR"))
        .col(optional("timestamp_us", "BIGINT"))
        .col(required("duration_ms", "INTEGER"))
        .col(required("success", "BOOLEAN"))
        .col(optional("error_message", "VARCHAR"))
        .col(required("server_name", "VARCHAR"))
        .col(required("communication_type", "VARCHAR"))
        .col(optional("tool_name", "VARCHAR"))
        .col(optional("tool_arguments", "JSON"))
        .col(optional("tool_result", "JSON"))
        .col(optional("available_tools", "JSON"))
        .col(optional("start_time_us", "BIGINT"))
        .col(optional("end_time_us", "BIGINT"))
        .primary_key(Index::create().col("communication_id"))
        .foreign_key(&mut to_session("mcp_communications"))
        .foreign_key(&mut to_stage("mcp_communications"))
        .take()
}

fn to_session(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, "session_id").to("alert_sessions", "session_id").take()
}

fn to_stage(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, "stage_execution_id").to("stage_executions", "execution_id").take()
}
