//! The steps of sessions.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stage_executions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub execution_id: String,
    pub session_id: String,
    /// That of a parallel stage, since revision 18.
    pub parent_stage_execution_id: Option<String>,
    pub status: String,
    /// In microseconds since the epoch.
    pub started_at_us: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(
        belongs_to = "super::alert_sessions::Entity",
        from = "Column::SessionId",
        to = "super::alert_sessions::Column::SessionId"
    )]
    Session,
    #[sea_orm(belongs_to = "Entity", from = "Column::ParentStageExecutionId", to = "Column::ExecutionId")]
    Parent,
}

impl ActiveModelBehavior for ActiveModel {}
