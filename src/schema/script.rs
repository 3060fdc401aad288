//! What an upgrade would run, as SQL: it is applied where nobody sees it, and written down.

use std::sync::{Arc, Mutex};

use migration::ledger::{self, Ledger};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};
use sea_orm_migration::SchemaManager;

use super::survey::Survey;
use super::{expected, lock};
use crate::connection::{row, rows};

/// The statements of an upgrade, without those that only look, in the transaction that they need.
///
/// On SQLite they are applied to a copy of the definitions in memory; on PostgreSQL to temporary tables in a
/// transaction that is rolled back.
///
/// # Errors
/// Whatever the database answers.
pub async fn of(connection: &mut DatabaseConnection, survey: &Survey) -> Result<Vec<String>, DbErr> {
    if survey.is_done() {
        return Ok(Vec::new());
    }
    let (mut script, statements) = match connection.get_database_backend() {
        DbBackend::Postgres => {
            let limit = "SET LOCAL lock_timeout = '5s'".to_owned();
            let begin = vec!["BEGIN".to_owned(), limit, format!("SELECT pg_advisory_xact_lock({})", lock::KEY)];
            (begin, on_postgresql(connection, survey).await?)
        }
        _ => (vec!["BEGIN IMMEDIATE".to_owned()], on_sqlite(connection, survey).await?),
    };
    script.extend(statements);
    script.push("COMMIT".to_owned());
    Ok(script)
}

async fn on_postgresql(connection: &mut DatabaseConnection, survey: &Survey) -> Result<Vec<String>, DbErr> {
    let recorder = Recorder::on(connection);
    let transaction = expected::begin_temporary(connection).await?;
    if let Some(start) = survey.known_start() {
        for revision in start.since(None) {
            revision.migration().up(&SchemaManager::new(&transaction)).await?;
        }
    }
    if *survey.ledger() != Ledger::Missing {
        ledger::write(&transaction, &Ledger::Missing, "").await?;
    }
    recorder.clear();
    pending(&transaction, survey).await?;
    let statements = recorder.statements();
    transaction.rollback().await?;
    Ok(statements)
}

async fn on_sqlite(connection: &DatabaseConnection, survey: &Survey) -> Result<Vec<String>, DbErr> {
    let mut scratch = expected::memory().await?;
    // What SQLite needs for itself comes by itself.
    let definitions = r"SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
                        ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END, rowid";
    for definition in rows(connection, definitions).await? {
        scratch.execute_unprepared(&definition.try_get::<String>("", "sql")?).await?;
    }
    let version: i32 = row(connection, "PRAGMA schema_version").await?.try_get("", "schema_version")?;
    scratch.execute_unprepared(&format!("PRAGMA schema_version = {version}")).await?;
    let recorder = Recorder::on(&mut scratch);
    pending(&scratch, survey).await?;
    Ok(recorder.statements())
}

async fn pending<'c, C>(connection: &'c C, survey: &Survey) -> Result<(), DbErr>
where
    C: ConnectionTrait,
    &'c C: sea_orm_migration::IntoSchemaManagerConnection<'c>,
{
    for revision in &survey.pending {
        revision.migration().up(&SchemaManager::new(connection)).await?;
    }
    ledger::write(connection, survey.ledger(), survey.revision()).await
}

/// Writes down what a connection runs.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn on(connection: &mut DatabaseConnection) -> Self {
        let recorder = Self::default();
        let ours = recorder.clone();
        connection.set_metric_callback(move |info| {
            let sql = info.statement.to_string();
            if !sql.trim_start().to_ascii_uppercase().starts_with("SELECT") {
                ours.log().push(sql);
            }
        });
        recorder
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().expect("nobody panics while writing down")
    }

    fn clear(&self) {
        self.log().clear();
    }

    fn statements(&self) -> Vec<String> {
        self.log().clone()
    }
}
