//! What a revision is to this crate, and the form that most of them have.

use sea_orm_migration::prelude::*;

use crate::alter::{add_column, optional};

/// A migration that tells by which columns it is recognised.
pub(crate) trait Step: MigrationTrait {
    /// The columns, as table and column, that it adds to tables that were there before.
    fn added_columns(&self) -> Vec<(&'static str, &'static str)>;
}

/// A revision that adds columns to one table and does nothing else.
pub(crate) struct AddColumns {
    pub(crate) id: &'static str,
    pub(crate) table: &'static str,
    /// Name and type; all of them may be NULL.
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
