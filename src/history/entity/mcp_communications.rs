//! Exchanges with MCP servers.

use sea_orm::entity::prelude::*;

#[expect(clippy::struct_field_names, reason = "they are the names of the columns")]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mcp_communications")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub communication_id: String,
    pub session_id: String,
    pub stage_execution_id: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(
        belongs_to = "super::alert_sessions::Entity",
        from = "Column::SessionId",
        to = "super::alert_sessions::Column::SessionId"
    )]
    Session,
    #[sea_orm(
        belongs_to = "super::stage_executions::Entity",
        from = "Column::StageExecutionId",
        to = "super::stage_executions::Column::ExecutionId"
    )]
    Stage,
}

impl ActiveModelBehavior for ActiveModel {}
