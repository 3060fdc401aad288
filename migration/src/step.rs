//! What a revision is in this crate, and the form that most of them have.

use sea_orm_migration::prelude::*;

use crate::alter::{add_column, optional};
use crate::manager::Manager;

/// The change of a revision, and the columns by which it is recognised.
#[async_trait::async_trait]
pub(crate) trait Step: Sync {
    /// The id in the ledger.
    fn id(&self) -> &'static str;

    /// Applies the change to a database at the revision before. On PostgreSQL it names functions, types and operators
    /// with their schema, because TARSy's schema is in the search path, where a role may have planted better matches.
    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr>;

    /// The columns (table, column) that it adds to existing tables.
    fn added_columns(&self) -> Vec<(&'static str, &'static str)>;

    /// The table whose existing rows it reads and fills one by one.
    fn filled_table(&self) -> Option<&'static str> {
        None
    }
}

/// A revision that only adds columns to one table.
pub(crate) struct AddColumns {
    pub(crate) id: &'static str,
    pub(crate) table: &'static str,
    /// Name and type; all columns may be NULL.
    pub(crate) columns: &'static [(&'static str, &'static str)],
}

#[async_trait::async_trait]
impl Step for AddColumns {
    fn id(&self) -> &'static str {
        self.id
    }

    async fn up(&self, manager: &Manager<'_>) -> Result<(), DbErr> {
        for (name, kind) in self.columns {
            add_column(manager, self.table, optional(name, kind)).await?;
        }
        Ok(())
    }

    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        self.columns.iter().map(|(name, _)| (self.table, *name)).collect()
    }
}
