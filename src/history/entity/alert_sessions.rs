//! Sessions: the processing of an alert.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_sessions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: String,
    pub agent_type: String,
    pub alert_type: Option<String>,
    pub status: String,
    /// In microseconds since the epoch, as all times.
    pub started_at_us: Option<i64>,
    /// Since revision 5.
    pub last_interaction_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
