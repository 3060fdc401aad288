//! Revision 05, `3d5f7251e766`, of 2025-10-10. Parent: `9d8fd988188d`.
//!
//! `alert_sessions.pod_id` and `last_interaction_at`: the replica that works on a session, and the time of its last
//! interaction. Filled as TARSy does it, in every run: an unknown pod, idle since the start.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::alter::{add_column, create_indexes, optional, require_plain_updates};
use crate::manager::Manager;
use crate::step::Step;

pub(crate) struct Migration;

#[async_trait::async_trait]
impl Step for Migration {
    fn id(&self) -> &'static str {
        "3d5f7251e766"
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        add_column(manager, "alert_sessions", optional("pod_id", "VARCHAR(255)")).await?;
        add_column(manager, "alert_sessions", optional("last_interaction_at", "BIGINT")).await?;
        let columns = &["status", "last_interaction_at"];
        create_indexes(manager, &[("ix_alert_sessions_status_last_interaction", "alert_sessions", columns)]).await?;
        require_plain_updates(manager, "alert_sessions").await?;
        let now_us = match manager.backend() {
            DbBackend::Postgres => {
                "(extract(epoch FROM pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000)::bigint"
            }
            // `unixepoch('subsec')` is NULL before SQLite 3.42, which may run the printed SQL.
            _ => "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
        };
        let fill = format!(
            "UPDATE alert_sessions SET pod_id = coalesce(pod_id, 'unknown'),
                    last_interaction_at = coalesce(last_interaction_at, started_at_us, {now_us})
             WHERE pod_id IS NULL OR last_interaction_at IS NULL"
        );
        manager.execute(fill).await
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        vec![("alert_sessions", "pod_id"), ("alert_sessions", "last_interaction_at")]
    }

    fn filled_table(&self) -> Option<&'static str> {
        Some("alert_sessions")
    }
}
