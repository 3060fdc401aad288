//! Revision 03, `3eafea61046d`, of 2025-10-08. Parent: `7c617b3e7c2c`.
//!
//! Table `events`: messages between the backend's replicas and to the dashboards.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::alter::{create_indexes, optional, required};
use crate::manager::Manager;
use crate::step::Step;

pub(crate) struct Migration;

#[async_trait::async_trait]
impl Step for Migration {
    fn id(&self) -> &'static str {
        "3eafea61046d"
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        let (id, timestamp, now) = match manager.backend() {
            DbBackend::Postgres => ("SERIAL", "TIMESTAMP WITHOUT TIME ZONE", "pg_catalog.now()"),
            _ => ("INTEGER", "DATETIME", "CURRENT_TIMESTAMP"),
        };
        let table = Table::create()
            .if_not_exists()
            .table("events")
            .col(required("id", id))
            .col(required("channel", "VARCHAR(100)"))
            .col(optional("payload", "JSON"))
            .col(required("created_at", timestamp).default(Expr::cust(now)))
            .primary_key(Index::create().col("id"))
            .take();
        manager.create_table(table).await?;
        create_indexes(
            manager,
            &[
                ("idx_events_created_at", "events", &["created_at"]),
                ("idx_events_channel_id", "events", &["channel", "id"]),
                ("ix_events_channel", "events", &["channel"]),
            ],
        )
        .await
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}
