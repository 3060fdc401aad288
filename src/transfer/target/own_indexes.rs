//! The indexes of an operator that may reject rows which TARSy's own indexes take.

use sqlx::{PgConnection, Row};

use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::transfer::plan::TablePlan;

/// An index of the target that only the server can say about whether it takes the rows.
pub(crate) struct OwnIndex {
    pub(crate) name: String,
    /// Whether it compares rows with each other, as a unique index does.
    pub(crate) compares_rows: bool,
    /// The columns that its entries are made of.
    columns: Vec<String>,
    /// Creates the same index on a temporary table.
    pub(crate) statement: String,
    /// Gives the temporary table to the owner of the index. Otherwise functions of that owner would run with the privileges
    /// of this role.
    pub(crate) change_owner: String,
}

impl OwnIndex {
    /// Lists those of a table, with statements for the table `place`. There are none if the table does not exist yet.
    pub(crate) async fn list(
        connection: &mut PgConnection,
        table: &TablePlan,
        place: &str,
    ) -> Result<Vec<Self>, DatabaseError> {
        let read = async {
            let query = sqlx::query(include_str!("own_indexes.sql")).persistent(false);
            let rows = query.bind(&table.qualified_name).bind(place).fetch_all(connection).await?;
            let own = rows.iter().map(|row| {
                Ok(Self {
                    name: row.try_get("name")?,
                    compares_rows: row.try_get("compares_rows")?,
                    columns: row.try_get("columns")?,
                    statement: row.try_get("statement")?,
                    change_owner: row.try_get("change_owner")?,
                })
            });
            own.collect::<Result<_, sqlx::Error>>()
        };
        read.await.context((Verb::List, "the indexes"))
    }

    /// Whether it can be created on the temporary table: the source has all of its columns, and the statement no longer
    /// names the table itself.
    pub(crate) fn can_be_asked(&self, table: &TablePlan, place: &str) -> bool {
        self.columns.iter().all(|column| table.position(column).is_some())
            && self.statement.contains(&format!(" {place} "))
    }

    pub(crate) fn uses(&self, column: &str) -> bool {
        self.columns.iter().any(|own| own == column)
    }
}
