//! Revision 18, `d7e8f9a0b1c2`, of 2025-12-06. Parent: `c2f1e3d4a5b6`.
//!
//! Parallel stages: `stage_executions.parent_stage_execution_id`, `parallel_index`, `parallel_type`. TARSy creates the
//! foreign key to the parent only on PostgreSQL; here SQLite has it as well. TARSy's own rebuild of the table on SQLite
//! drops the doubled foreign key to the session, and so does this one.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::alter::{add_column, create_indexes, optional, required};
use crate::foreign_key::{Key, OnDelete};
use crate::manager::Manager;
use crate::r06_3717971cb125::SESSION_OF_STAGE;
use crate::step::Step;

pub(crate) struct Migration;

#[async_trait::async_trait]
impl Step for Migration {
    fn id(&self) -> &'static str {
        "d7e8f9a0b1c2"
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        if manager.backend() != DbBackend::Postgres {
            SESSION_OF_STAGE.replace_others(manager).await?;
        }
        add_column(manager, TABLE, optional(PARENT, "VARCHAR")).await?;
        add_column(manager, TABLE, required("parallel_index", "INTEGER").default(0).take()).await?;
        add_column(manager, TABLE, required("parallel_type", "VARCHAR").default("single").take()).await?;
        create_indexes(manager, &INDEXES).await?;
        match manager.backend() {
            DbBackend::Postgres if KEY.is_there(manager).await? => {}
            DbBackend::Postgres => KEY.add(manager).await?,
            _ => KEY.replace_others(manager).await?,
        }
        Ok(())
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        vec![
            ("stage_executions", "parent_stage_execution_id"),
            ("stage_executions", "parallel_index"),
            ("stage_executions", "parallel_type"),
        ]
    }
}

const TABLE: &str = "stage_executions";
const PARENT: &str = "parent_stage_execution_id";
const KEY: Key = Key {
    name: "fk_stage_executions_parent",
    table: TABLE,
    column: PARENT,
    referenced_table: TABLE,
    referenced_column: "execution_id",
    on_delete: OnDelete::NoAction,
};

/// The next revision drops them again.
pub(crate) const INDEXES: [(&str, &str, &[&str]); 2] = [
    ("ix_stage_executions_parent_stage_execution_id", TABLE, &[PARENT]),
    ("ix_stage_executions_session_parent", TABLE, &["session_id", PARENT]),
];
