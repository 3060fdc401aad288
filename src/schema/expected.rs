//! The schema that a revision should have, from a replay of its migrations.

use std::collections::{BTreeMap, BTreeSet};

use log::LevelFilter;
use migration::Revision;
use sea_orm::{DbBackend, DbErr};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::early::{self, EarlyColumn};
use super::model::Schema;
use super::privilege::require_temporary;
use super::read::{postgresql, sqlite};
use super::recorded;
use crate::database::connection::Connection;
use crate::database::failure::DatabaseCause;
use crate::database::mark;
use crate::database::transaction::{SearchPath, Transaction};
use crate::database::writable::is_standby;

/// Replays all migrations up to the last of the `wanted` revisions, and reads the schema after each of those: TARSy's
/// tables without the ledger.
///
/// On SQLite the replay runs in memory. On PostgreSQL it runs with temporary tables in a transaction that is rolled
/// back; the role needs only `TEMPORARY` on the database. A standby has no temporary tables, so there the schemas are
/// those that another server recorded.
///
/// # Errors
/// [`crate::database::failure::ErrorClass::Privilege`], or the database's error.
pub(crate) async fn replay(
    connection: &Connection,
    wanted: &BTreeSet<Revision>,
) -> Result<BTreeMap<Revision, Schema>, DatabaseCause> {
    unlogged(replay_all(connection, wanted)).await
}

/// Runs work on a copy of the schema without log lines: its statements would look like changes of the database.
pub(crate) async fn unlogged<T>(work: impl Future<Output = T>) -> T {
    work.with_subscriber(NoSubscriber::default()).await
}

async fn replay_all(
    connection: &Connection,
    wanted: &BTreeSet<Revision>,
) -> Result<BTreeMap<Revision, Schema>, DatabaseCause> {
    let last = wanted.last().copied().unwrap_or(Revision::BASELINE);
    let mut schemas = BTreeMap::new();
    if is_standby(connection).await? {
        return Ok(recorded::schemas(wanted));
    }
    if connection.backend() == DbBackend::Postgres {
        let transaction = begin_temporary(connection).await?;
        for revision in last.since(None) {
            revision.apply(&transaction).await?;
            if wanted.contains(&revision) {
                schemas.insert(revision, postgresql::read(&transaction).await?);
            }
        }
        transaction.rollback().await?;
        return Ok(schemas);
    }
    let scratch = memory().await?.begin_reading(SearchPath::Empty, "").await?;
    for revision in last.since(None) {
        revision.apply(&scratch).await?;
        if wanted.contains(&revision) {
            schemas.insert(revision, sqlite::read(&scratch).await?);
        }
    }
    Ok(schemas)
}

/// Replays one revision, with columns of later revisions as those define them.
pub(crate) async fn replay_with_early(
    connection: &Connection,
    revision: Revision,
    early: &[EarlyColumn],
) -> Result<Schema, DatabaseCause> {
    let replayed = replay(connection, &early::revisions(revision, early)).await?;
    Ok(with_early(revision, early, &replayed))
}

/// The same as another PostgreSQL server recorded it; `None` for SQLite, where a replay takes no time.
pub(crate) fn recorded_with_early(
    connection: &Connection,
    revision: Revision,
    early: &[EarlyColumn],
) -> Option<Schema> {
    let recorded = || with_early(revision, early, &recorded::schemas(&early::revisions(revision, early)));
    (connection.backend() == DbBackend::Postgres).then(recorded)
}

fn with_early(revision: Revision, early: &[EarlyColumn], schemas: &BTreeMap<Revision, Schema>) -> Schema {
    let mut expected = schemas[&revision].clone();
    early::add(&mut expected, early, schemas);
    expected
}

/// The text of the file with the recorded schemas, from a replay on this server.
///
/// # Errors
/// The database's error.
pub async fn record(connection: &Connection) -> Result<String, DatabaseCause> {
    Ok(recorded::text(&replay(connection, &Revision::all().collect()).await?))
}

/// Begins a transaction in which unqualified names are those of temporary tables, which a standby does not have. The
/// caller rolls it back.
pub(crate) async fn begin_temporary(connection: &Connection) -> Result<Transaction, DatabaseCause> {
    connection.reading(async |reading| require_temporary(reading).await).await?;
    Ok(connection.begin_reading(SearchPath::Temporary, &mark::transaction()).await?)
}

/// A SQLite database in memory.
pub(crate) async fn memory() -> Result<Connection, DbErr> {
    let options = SqlitePoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = options
        .connect_with(SqliteConnectOptions::new().in_memory(true).log_statements(LevelFilter::Off))
        .await
        .map_err(|error| DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())))?;
    Ok(Connection::of_sqlite(pool))
}

#[cfg(test)]
mod tests {
    use sea_orm_migration::{MigrationTrait, MigratorTrait};

    use super::*;

    struct OfSeaOrm;

    impl MigratorTrait for OfSeaOrm {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            Revision::all().map(|revision| Box::new(revision) as Box<dyn MigrationTrait>).collect()
        }
    }

    #[tokio::test]
    async fn the_migrator_of_seaorm_makes_the_same_schema() {
        let connection = memory().await.expect("memory");
        OfSeaOrm::up(connection.pool(), None).await.expect("all revisions");
        let reading = connection.begin_reading(SearchPath::Empty, "").await.expect("a connection");
        let mut migrated = sqlite::read(&reading).await.expect("a schema");
        assert!(migrated.tables.remove("seaql_migrations").is_some());
        let replayed = replay(&memory().await.expect("memory"), &BTreeSet::from([Revision::HEAD])).await;
        assert_eq!(migrated, replayed.expect("a replay")[&Revision::HEAD]);
    }

    #[test]
    fn the_columns_that_a_revision_declares_are_those_that_it_adds() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let all: BTreeSet<_> = Revision::all().collect();
        let schemas = runtime
            .block_on(async { replay(&memory().await.map_err(DatabaseCause::from)?, &all).await })
            .expect("the chain can be replayed");
        let columns = |schema: &Schema| -> BTreeSet<(String, String)> {
            let columns = |(table, found): (&String, &crate::schema::model::Table)| {
                found.columns.keys().map(|column| (table.clone(), column.clone())).collect::<Vec<_>>()
            };
            schema.tables.iter().flat_map(columns).collect()
        };
        for (before, after) in all.iter().zip(all.iter().skip(1)) {
            let [old, new] = [before, after].map(|revision| columns(&schemas[revision]));
            let is_of_old_table = |(table, _): &&(String, String)| schemas[before].tables.contains_key(table);
            let added: BTreeSet<_> = new.difference(&old).filter(is_of_old_table).cloned().collect();
            let added_here = after.added_columns().map(|(table, column)| (table.to_owned(), column.to_owned()));
            let before: BTreeSet<_> = before.added_columns().collect();
            let added_here = added_here.filter(|(table, column)| !before.contains(&(table.as_str(), column.as_str())));
            assert_eq!(added_here.collect::<BTreeSet<_>>(), added, "{after}");
        }
    }
}
