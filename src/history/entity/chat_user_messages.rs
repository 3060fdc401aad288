//! The messages of persons in chats, since revision 11.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "chat_user_messages")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub message_id: String,
    pub chat_id: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(belongs_to = "super::chats::Entity", from = "Column::ChatId", to = "super::chats::Column::ChatId")]
    Chat,
}

impl ActiveModelBehavior for ActiveModel {}
