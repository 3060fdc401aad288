//! Revision 19, `f0dd17b71ce2`, of 2025-12-10. Parent: `d7e8f9a0b1c2`.
//!
//! `stage_executions.expected_parallel_count`; drops both indexes of the revision before.

use sea_orm_migration::prelude::*;

use crate::alter::{add_column, drop_index, optional};
use crate::manager::Manager;
use crate::r18_d7e8f9a0b1c2::INDEXES;
use crate::step::Step;

pub(crate) struct Migration;

#[async_trait::async_trait]
impl Step for Migration {
    fn id(&self) -> &'static str {
        "f0dd17b71ce2"
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        add_column(manager, "stage_executions", optional("expected_parallel_count", "INTEGER")).await?;
        for (name, ..) in INDEXES {
            drop_index(manager, name).await?;
        }
        Ok(())
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        vec![("stage_executions", "expected_parallel_count")]
    }
}
