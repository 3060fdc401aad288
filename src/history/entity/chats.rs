//! Chats about sessions, since revision 11.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "chats")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub chat_id: String,
    pub session_id: String,
    /// In microseconds since the epoch.
    pub last_interaction_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(
        belongs_to = "super::alert_sessions::Entity",
        from = "Column::SessionId",
        to = "super::alert_sessions::Column::SessionId"
    )]
    Session,
}

impl ActiveModelBehavior for ActiveModel {}
