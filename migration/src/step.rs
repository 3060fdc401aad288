//! What a revision is in this crate, and the form that most of them have.

use sea_orm_migration::prelude::*;

use crate::alter::{add_column, optional};

/// A migration that declares the columns by which it is recognised.
pub(crate) trait Step: MigrationTrait {
    /// The columns (table, column) that it adds to existing tables.
    fn added_columns(&self) -> Vec<(&'static str, &'static str)>;
}

/// A revision that only adds columns to one table.
pub(crate) struct AddColumns {
    pub(crate) id: &'static str,
    pub(crate) table: &'static str,
    /// Name and type; all columns may be NULL.
    pub(crate) columns: &'static [(&'static str, &'static str)],
}

impl MigrationName for AddColumns {
    fn name(&self) -> &'static str {
        self.id
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AddColumns {
    #[expect(elided_lifetimes_in_paths, reason = "the macro wants the trait's own signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, kind) in self.columns {
            add_column(manager, self.table, optional(name, kind)).await?;
        }
        Ok(())
    }
}

impl Step for AddColumns {
    fn added_columns(&self) -> Vec<(&'static str, &'static str)> {
        self.columns.iter().map(|(name, _)| (self.table, *name)).collect()
    }
}
