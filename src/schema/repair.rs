//! Repairs that change no row and work while the backend runs: indexes and sequences.

use sea_orm::{DbBackend, DbErr};

use super::model::Index;
use super::sequence::{self, Sequence};
use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::mark;
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;

#[derive(Debug, Clone)]
pub(crate) enum Repair {
    /// Create a missing index.
    CreateIndex { name: String, table: String, index: Index },
    /// Rebuild an invalid index.
    RebuildIndex { name: String },
    /// Advance a sequence past the data.
    AdvanceSequence(Sequence),
}

impl Repair {
    /// What was done, as in `created index ix_mine`.
    #[must_use]
    pub(crate) fn done(&self) -> String {
        match self {
            Repair::CreateIndex { name, .. } => format!("created index {name}"),
            Repair::RebuildIndex { name } => format!("rebuilt index {name}"),
            Repair::AdvanceSequence(sequence) => format!("advanced sequence {} past the data", sequence.name),
        }
    }

    /// Applies the repair. On PostgreSQL writers are not blocked while an index is built; an interruption leaves an
    /// invalid index, which the next run rebuilds.
    ///
    /// # Errors
    /// [`DatabaseError`]; nothing but that invalid index remains.
    pub(crate) async fn apply(&self, connection: &Connection) -> Result<(), DatabaseError> {
        let backend = connection.backend();
        match self {
            Repair::CreateIndex { name, table, index } => {
                let done =
                    build(connection, &create_index(backend, name, table, index)).await.map_err(DatabaseCause::from);
                // An index that already exists belongs to another session, which may be building it.
                let is_ours = |cause: &DatabaseCause| cause.class != ErrorClass::AlreadyExists;
                if backend == DbBackend::Postgres && done.as_ref().is_err_and(is_ours) {
                    let leftover = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", quoted(name));
                    connection.execute_alone(&mark::statement(&leftover)).await.ok();
                }
                done.context((Verb::Create, format!("index {name}")))
            }
            Repair::RebuildIndex { name } => {
                let sql = format!("REINDEX INDEX CONCURRENTLY {}", quoted(name));
                build(connection, &sql).await.context((Verb::Recreate, format!("index {name}")))
            }
            Repair::AdvanceSequence(sequence) => {
                sequence.advance(connection).await.context((Verb::Set, format!("sequence {}", sequence.name)))
            }
        }
    }
}

/// Lists the possible repairs: those of the differences, and of sequences behind their data.
pub(crate) async fn plan(
    connection: &Transaction,
    of_differences: impl IntoIterator<Item = Repair>,
) -> Result<Vec<Repair>, DbErr> {
    let mut repairs: Vec<_> = of_differences.into_iter().collect();
    let behind = sequence::read(connection)
        .await?
        .into_iter()
        .filter(|sequence| sequence.is_tarsys && sequence.fault().is_some());
    repairs.extend(behind.map(Repair::AdvanceSequence));
    Ok(repairs)
}

/// The build waits for every older transaction, but blocks no session: it may take long.
async fn build(connection: &Connection, sql: &str) -> Result<(), DbErr> {
    if connection.backend() == DbBackend::Postgres {
        connection.execute_alone("SET lock_timeout = 0; SET statement_timeout = 0").await?;
    }
    connection.execute_alone(&mark::statement(sql)).await.map(|_| ())
}

fn create_index(backend: DbBackend, name: &str, table: &str, index: &Index) -> String {
    let columns = index.columns.iter().zip(&index.operator_classes);
    let columns: Vec<_> =
        columns.map(|(column, class)| format!("{} {class}", quoted(column)).trim_end().to_owned()).collect();
    let unique = if index.unique { "UNIQUE " } else { "" };
    let (how, method) = match backend {
        DbBackend::Postgres => ("CONCURRENTLY ", format!(" USING {}", index.method)),
        _ => ("", String::new()),
    };
    format!("CREATE {unique}INDEX {how}{} ON {}{method} ({})", quoted(name), quoted(table), columns.join(", "))
}
