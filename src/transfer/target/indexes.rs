//! Drops indexes, primary keys and foreign keys for the load and recreates them afterwards: building a b-tree from all
//! rows at once takes a fraction of the time of growing it row by row.

use std::sync::Arc;

use sqlx::{PgConnection, Row};

use super::error::WriteError;
use super::session::{execute, table_list};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::progress::{Amount, Phase, Progress};
use crate::transfer::plan::TablePlan;

/// The dropped indexes and keys with their definitions, including those that an operator added.
pub(crate) struct DroppedIndexes {
    rebuild: Vec<Rebuild>,
}

struct Rebuild {
    name: String,
    phase: Phase,
    sql: String,
}

impl DroppedIndexes {
    pub(crate) async fn take(connection: &mut PgConnection, plan: &[Arc<TablePlan>]) -> Result<Self, DatabaseError> {
        let names: Vec<String> = plan.iter().map(|table| table.qualified_name.clone()).collect();
        let rows = sqlx::query(LIST_INDEXES)
            .persistent(false)
            .bind(names)
            .fetch_all(&mut *connection)
            .await
            .context((Verb::List, "the indexes"))?;
        let mut rebuild = Vec::new();
        for row in rows {
            let text = |column: &str| row.try_get::<String, _>(column).context((Verb::List, "the indexes"));
            let name = text("name")?;
            execute(connection, text("drop_statement")?).await.context((Verb::Drop, format!("{name} for the load")))?;
            let verb = if text("kind")? == "foreign key" { "checking" } else { "indexing" };
            let phase = Phase {
                verb,
                subject: text("table_name")?,
                part: Some(format!("{} {}", text("kind")?, text("object")?)),
            };
            rebuild.push(Rebuild { name, phase, sql: text("create_statement")? });
        }
        // FREEZE, which saves a second write of each row, requires a table that this transaction truncated. RESTART
        // IDENTITY gives new sequences: setting an old one is not undone by a rollback.
        execute(connection, format!("TRUNCATE {} RESTART IDENTITY", table_list(plan)))
            .await
            .context((Verb::Truncate, "the empty tables"))?;
        // Foreign keys are dropped first and recreated last.
        rebuild.reverse();
        Ok(Self { rebuild })
    }

    pub(crate) async fn rebuild(
        self,
        connection: &mut PgConnection,
        progress: &dyn Progress,
    ) -> Result<(), WriteError> {
        for Rebuild { name, phase, sql } in self.rebuild {
            let meter = progress.begin(phase, Amount::default());
            let action = Action::from((Verb::Recreate, name));
            execute(connection, sql).await.map_err(|error| WriteError::of(action, error))?;
            meter.finish();
        }
        Ok(())
    }
}

const LIST_INDEXES: &str = include_str!("indexes.sql");
