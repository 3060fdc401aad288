//! Revision 11, `11b500f06df2`, of 2025-11-05. Parent: `da4300b74d0e`.
//!
//! Tables `chats` and `chat_user_messages`: questions about a finished session, answered by stages of their own. The
//! foreign key from chats to sessions does not cascade.

use sea_orm_migration::prelude::*;

use crate::alter::{add_column, create_indexes, optional, required};
use crate::manager::Manager;
use crate::step::Step;

pub(crate) struct Migration;

#[async_trait::async_trait]
impl Step for Migration {
    fn id(&self) -> &'static str {
        "11b500f06df2"
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        manager.create_table(chats()).await?;
        manager.create_table(chat_user_messages()).await?;
        create_indexes(manager, &INDEXES).await?;
        add_column(manager, "stage_executions", optional("chat_id", "VARCHAR")).await?;
        add_column(manager, "stage_executions", optional("chat_user_message_id", "VARCHAR")).await?;
        Ok(())
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        vec![("stage_executions", "chat_id"), ("stage_executions", "chat_user_message_id")]
    }
}

const INDEXES: [(&str, &str, &[&str]); 5] = [
    ("ix_chats_session_id", "chats", &["session_id"]),
    ("ix_chats_created_at", "chats", &["created_at_us"]),
    ("ix_chats_pod_last_interaction", "chats", &["pod_id", "last_interaction_at"]),
    ("ix_chat_user_messages_chat_id", "chat_user_messages", &["chat_id"]),
    ("ix_chat_user_messages_created_at", "chat_user_messages", &["created_at_us"]),
];

fn chats() -> TableCreateStatement {
    Table::create()
        .if_not_exists()
        .table("chats")
        .col(required("chat_id", "VARCHAR"))
        .col(optional("session_id", "VARCHAR"))
        .col(optional("created_at_us", "BIGINT"))
        .col(optional("created_by", "VARCHAR"))
        .col(required("conversation_history", "VARCHAR"))
        .col(required("chain_id", "VARCHAR"))
        .col(optional("mcp_selection", "JSON"))
        .col(optional("context_captured_at_us", "BIGINT"))
        .col(optional("pod_id", "VARCHAR"))
        .col(optional("last_interaction_at", "BIGINT"))
        .primary_key(Index::create().col("chat_id"))
        .foreign_key(ForeignKey::create().from("chats", "session_id").to("alert_sessions", "session_id"))
        .take()
}

fn chat_user_messages() -> TableCreateStatement {
    let to_chat = ForeignKey::create()
        .from("chat_user_messages", "chat_id")
        .to("chats", "chat_id")
        .on_delete(ForeignKeyAction::Cascade)
        .take();
    Table::create()
        .if_not_exists()
        .table("chat_user_messages")
        .col(required("message_id", "VARCHAR"))
        .col(optional("chat_id", "VARCHAR"))
        .col(required("content", "VARCHAR"))
        .col(required("author", "VARCHAR"))
        .col(optional("created_at_us", "BIGINT"))
        .primary_key(Index::create().col("message_id"))
        .foreign_key(&mut to_chat.clone())
        .take()
}
