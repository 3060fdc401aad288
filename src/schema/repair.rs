//! What can be mended while the backend works, without touching a row: indexes and sequences.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};

use super::model::Index;
use super::sequence::{self, Sequence};
use super::sql::quoted;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::mark;

/// One thing to mend.
#[derive(Debug, Clone)]
pub(crate) enum Repair {
    /// Create an index that is missing.
    CreateIndex {
        /// Its name.
        name: String,
        /// The table.
        table: String,
        /// What it should be.
        index: Index,
    },
    /// Build an index that is invalid again.
    RebuildIndex {
        /// Its name.
        name: String,
    },
    /// Put a sequence behind the data.
    AdvanceSequence(Sequence),
}

impl Repair {
    /// What is done, as in `created index ix_mine`.
    #[must_use]
    pub(crate) fn done(&self) -> String {
        match self {
            Repair::CreateIndex { name, .. } => format!("created index {name}"),
            Repair::RebuildIndex { name } => format!("built index {name} again"),
            Repair::AdvanceSequence(sequence) => format!("put sequence {} behind the data", sequence.name),
        }
    }

    /// Does it. On PostgreSQL indexes are built while others write; an interruption leaves an invalid one, which the
    /// next run builds again.
    ///
    /// # Errors
    /// [`DatabaseError`]; nothing but that invalid index remains.
    pub(crate) async fn apply(&self, connection: &DatabaseConnection) -> Result<(), DatabaseError> {
        let backend = connection.get_database_backend();
        match self {
            Repair::CreateIndex { name, table, index } => {
                let done =
                    build(connection, &create_index(backend, name, table, index)).await.map_err(DatabaseCause::from);
                // What is there already is somebody else's, who may be building it now.
                let is_ours = |cause: &DatabaseCause| cause.class != ErrorClass::AlreadyExists;
                if backend == DbBackend::Postgres && done.as_ref().is_err_and(is_ours) {
                    let leftover = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", quoted(name));
                    connection.execute_unprepared(&mark::statement(&leftover)).await.ok();
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

/// Lists what can be mended: what the differences say, and sequences behind their data.
///
/// # Errors
/// Whatever the database answers.
pub(crate) async fn plan(
    connection: &impl ConnectionTrait,
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

/// Building waits for every older transaction, but nobody waits for it: it may take its time.
async fn build(connection: &DatabaseConnection, sql: &str) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        connection.execute_unprepared("SET lock_timeout = 0; SET statement_timeout = 0").await?;
    }
    connection.execute_unprepared(&mark::statement(sql)).await.map(|_| ())
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
