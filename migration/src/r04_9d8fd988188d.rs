//! Revision 04, `9d8fd988188d`, of 2025-10-10. Parent: `3eafea61046d`.
//!
//! `alert_sessions.alert_id` goes, and its values with it.

use sea_orm_migration::prelude::*;

use crate::alter::{Step, drop_index, has_column};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "9d8fd988188d"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(elided_lifetimes_in_paths, reason = "the macro wants the trait's own signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "ix_alert_sessions_alert_id").await?;
        if has_column(manager, "alert_sessions", "alert_id").await? {
            manager.alter_table(Table::alter().table("alert_sessions").drop_column("alert_id").take()).await?;
        }
        Ok(())
    }
}

impl Step for Migration {
    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}
