//! Repairs that change no row and work while the backend runs: indexes and sequences.

use std::time::Duration;

use sea_orm::DbBackend;

use super::model::Index;
use super::older_transactions;
use super::sequence::{self, Applications, Sequence};
use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;

#[derive(Debug, Clone)]
pub(crate) enum Repair {
    /// Create a missing index.
    CreateIndex { name: String, table: String, index: Index },
    /// Rebuild an invalid index.
    RebuildIndex { name: String, table: String },
    /// Advance a sequence past the data.
    AdvanceSequence(Sequence),
}

impl Repair {
    /// What was done, as in `created index ix_mine`.
    #[must_use]
    pub(crate) fn done(&self) -> String {
        match self {
            Repair::CreateIndex { name, .. } => format!("created index {name}"),
            Repair::RebuildIndex { name, .. } => format!("rebuilt index {name}"),
            Repair::AdvanceSequence(sequence) => format!("advanced sequence {} past the data", sequence.name),
        }
    }

    /// The name of the index or the sequence.
    #[must_use]
    pub(crate) fn subject(&self) -> &str {
        match self {
            Repair::CreateIndex { name, .. } | Repair::RebuildIndex { name, .. } => name,
            Repair::AdvanceSequence(sequence) => &sequence.name,
        }
    }

    /// Applies the repair. On PostgreSQL writers are not blocked while an index is built, on a connection of its own; an
    /// interruption leaves an invalid index, which the next run rebuilds. `left` is how long the repairs of one run may
    /// still wait for older transactions.
    ///
    /// # Errors
    /// [`DatabaseError`]; nothing but that invalid index remains.
    pub(crate) async fn apply(&self, connection: &Connection, left: &mut Duration) -> Result<(), DatabaseError> {
        match self {
            Repair::CreateIndex { name, table, index } => {
                let done = create(connection, name, table, index, left).await;
                done.context((Verb::Create, format!("index {name}")))
            }
            Repair::RebuildIndex { name, table } => {
                rebuild(connection, name, table, left).await.context((Verb::Recreate, format!("index {name}")))
            }
            Repair::AdvanceSequence(sequence) => {
                sequence.advance(connection).await.context((Verb::Set, format!("sequence {}", sequence.name)))
            }
        }
    }
}

/// Lists the possible repairs: those of the differences, and of sequences behind their data.
///
/// # Errors
/// The database's error, also if a sequence of TARSy's tables is locked.
pub(crate) async fn plan(
    connection: &Transaction,
    of_differences: impl IntoIterator<Item = Repair>,
) -> Result<Vec<Repair>, DatabaseCause> {
    let mut repairs: Vec<_> = of_differences.into_iter().collect();
    for sequence in sequence::read(connection, Applications::Tarsy).await? {
        match &sequence.unread {
            Some(cause) if cause.class != ErrorClass::Privilege => return Err(cause.clone()),
            _ if sequence.can_be_advanced() => repairs.push(Repair::AdvanceSequence(sequence)),
            _ => {}
        }
    }
    Ok(repairs)
}

async fn create(
    connection: &Connection,
    name: &str,
    table: &str,
    index: &Index,
    left: &mut Duration,
) -> Result<(), DatabaseCause> {
    let namespace = connection.namespace().await?;
    if connection.backend() != DbBackend::Postgres {
        return Ok(connection.execute_alone(&create_on_sqlite(name, table, index)).await?);
    }
    let place = namespace.table(table);
    older_transactions::wait_for_end(connection, &place, name, left).await?;
    // The build itself has no limit: it blocks no session, and may take long.
    let mut own = connection.open_own(None).await?;
    let sql = create_on_postgresql(name, &place, index);
    let done = own.execute(&sql).await.map_err(DatabaseCause::from);
    // An index that already exists belongs to another session, which may be building it.
    let is_ours = |cause: &DatabaseCause| cause.class != ErrorClass::AlreadyExists;
    if done.as_ref().is_err_and(is_ours) {
        let leftover = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index_of(&namespace, name, table));
        own.execute(&leftover).await.ok();
    }
    own.close().await;
    done
}

async fn rebuild(connection: &Connection, name: &str, table: &str, left: &mut Duration) -> Result<(), DatabaseCause> {
    let namespace = connection.namespace().await?;
    older_transactions::wait_for_end(connection, &namespace.table(table), name, left).await?;
    let sql = format!("REINDEX INDEX CONCURRENTLY {}", index_of(&namespace, name, table));
    let mut own = connection.open_own(None).await?;
    let done = own.execute(&sql).await;
    own.close().await;
    Ok(done?)
}

/// The name of a table's index in SQL. Both are in the same schema.
fn index_of(namespace: &Namespace, name: &str, table: &str) -> String {
    let schema = namespace.schema_of(table).map(|schema| format!("{}.", quoted(schema)));
    format!("{}{}", schema.unwrap_or_default(), quoted(name))
}

/// The statement that creates an index on SQLite.
pub(crate) fn create_on_sqlite(name: &str, table: &str, index: &Index) -> String {
    let columns: Vec<_> = index.columns.iter().map(|column| quoted(column)).collect();
    format!("CREATE {}INDEX {} ON {} ({})", unique(index), quoted(name), quoted(table), columns.join(", "))
}

/// The index is created in the schema of its table. Only PostgreSQL's own operator classes are expected.
fn create_on_postgresql(name: &str, table: &str, index: &Index) -> String {
    let columns = index.columns.iter().zip(&index.operator_classes).map(|(column, class)| match class.as_str() {
        "" => quoted(column),
        class => format!("{} pg_catalog.{}", quoted(column), quoted(class)),
    });
    let columns: Vec<_> = columns.collect();
    let (unique, method) = (unique(index), &index.method);
    format!("CREATE {unique}INDEX CONCURRENTLY {} ON {table} USING {method} ({})", quoted(name), columns.join(", "))
}

fn unique(index: &Index) -> &'static str {
    if index.unique { "UNIQUE " } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::model::IndexMethod;

    #[test]
    fn the_statements_name_the_schema() {
        let index = Index {
            columns: vec!["conversation".to_owned()],
            unique: true,
            method: IndexMethod::Gin,
            operator_classes: vec!["jsonb_path_ops".to_owned()],
            predicate: None,
            valid: true,
        };
        assert_eq!(
            create_on_postgresql("ix", r#""my own"."t""#, &index),
            r#"CREATE UNIQUE INDEX CONCURRENTLY "ix" ON "my own"."t" USING gin ("conversation" pg_catalog."jsonb_path_ops")"#
        );
        assert_eq!(create_on_sqlite("ix", "t", &index), r#"CREATE UNIQUE INDEX "ix" ON "t" ("conversation")"#);
        assert_eq!(index_of(&Namespace::temporary(), "ix", "t"), r#""pg_temp"."ix""#);
    }
}
