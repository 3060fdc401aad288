//! The archive of what is pruned: a TARSy SQLite database at the same revision. The backend can open it, `sqlite3` can
//! query it, and `migrate-sqlite-to-postgres --append` brings it back.
//!
//! What a batch removes is read as it is removed, written, read back and compared, and is on the disk before the removal
//! is committed. A crash in between leaves both; the next run finds the same rows there.
//!
//! | module | what it is for |
//! |---|---|
//! | [`mod@file`] | the file: created, compressed, unpacked, one run at a time |
//! | [`error`] | why rows are not kept in an archive, or an archive is refused |

pub(crate) mod error;
pub(crate) mod file;

use crate::history::archive::error::ArchiveError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use migration::Revision;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait, Value,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, TypeInfo, ValueRef};

use self::file::ArchiveFile;
use crate::database::connection::{self, Access, row};
use crate::database::failure::{DatabaseCause, ErrorClass, ResultExt};
use crate::database::url::{Backend, DatabaseUrl};
use crate::schema::model::{Column, Schema};
use crate::schema::sql::quoted;
use crate::schema::{self, early, expected, upgrade, variant};

/// What SQLite's `application_id` says of an archive: `TRSA`.
const MARK: i32 = i32::from_be_bytes(*b"TRSA");

/// How long to wait for somebody who has the archive open.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// An archive that rows are added to.
pub(crate) struct Archive {
    connection: DatabaseConnection,
    file: ArchiveFile,
    tables: Arc<Tables>,
}

type Tables = BTreeMap<&'static str, ArchivedTable>;

/// A table of the archive, and how the database's rows get into it.
#[derive(Debug)]
struct ArchivedTable {
    /// The places of the primary key's columns.
    key: Vec<usize>,
    columns: Vec<String>,
    /// What a row of the database has to give, so that it can be written here.
    returning: String,
    /// The statement that writes a row and gives it back, unless one with its key is there.
    insert: String,
    /// The statement that reads the row with a key.
    select: String,
}

impl Archive {
    /// Opens the archive of a database, or creates it.
    ///
    /// # Errors
    /// [`ArchiveError`]; a file that is there is not changed.
    pub(crate) async fn open(
        path: &Path,
        database: &DatabaseUrl,
        revision: Option<Revision>,
        found: &Schema,
    ) -> Result<Self, ArchiveError> {
        let revision = revision.ok_or(ArchiveError::NoLedger)?;
        let file = ArchiveFile::take(path, database.sqlite_path())?;
        let url = DatabaseUrl::sqlite_file(file.path());
        let connection = connection::open(&url, Access::Write, LOCK_TIMEOUT).await?;
        let action = "read the schema of the archive";
        // Also one of which a crash left no more than the file.
        if schema::read::schema(&connection).await.context(action)?.tables.is_empty() {
            connection.execute_unprepared(&format!("PRAGMA application_id = {MARK}")).await.context(action)?;
            upgrade::upgrade(&connection, revision, LOCK_TIMEOUT, &|| ()).await?;
        }
        if !is_archive(&connection).await.context(action)? {
            let why = "it is a database that something else has created".to_owned();
            return Err(ArchiveError::Foreign { path: path.display().to_string(), why });
        }
        let (there, schema) = schema::read::schema_and_state(&connection).await.context(action)?;
        match there.revision() {
            Some(id) if id == revision.id() => {}
            Some(id) => {
                let (path, found) = (path.display().to_string(), id.to_owned());
                return Err(ArchiveError::OtherRevision { path, found, wanted: revision });
            }
            None => {
                let why = "it has no ledger any more".to_owned();
                return Err(ArchiveError::Foreign { path: path.display().to_string(), why });
            }
        }
        // Children are written before their parents.
        connection.execute_unprepared("PRAGMA foreign_keys = OFF").await.context(action)?;
        // With less, a loss of power could bring the journal of a transaction back after its rows are gone elsewhere.
        connection.execute_unprepared("PRAGMA synchronous = EXTRA").await.context(action)?;
        let wanted = with_early_columns(&connection, revision, found, &schema).await.context(action)?;
        let tables = Arc::new(tables(database.backend(), found, &wanted)?);
        for statement in variant::alterations(&schema, &wanted) {
            connection.execute_unprepared(&statement).await.context("give the archive the columns of the database")?;
        }
        Ok(Self { connection, file, tables })
    }

    /// Begins a transaction of the archive.
    pub(crate) async fn begin(&self) -> Result<ArchiveTransaction, DatabaseCause> {
        let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
        let transaction = self.connection.begin_with_options(options).await?;
        Ok(ArchiveTransaction { transaction, tables: Arc::clone(&self.tables) })
    }

    /// Closes it, and compresses it if that is asked for. Returns where it is.
    ///
    /// # Errors
    /// [`ArchiveError`]; what was written is in the file or in the `-wal` beside it.
    pub(crate) async fn close(self, compress: bool) -> Result<PathBuf, ArchiveError> {
        let action = format!("close the archive {}", self.file.path().display());
        self.connection.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.context(action.as_str())?;
        self.connection.close().await.context(action)?;
        if compress { self.file.compress() } else { Ok(self.file.path().to_owned()) }
    }
}

/// Whether a database is an archive.
///
/// # Errors
/// Whatever the database answers.
pub(crate) async fn is_archive(connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
    if connection.get_database_backend() != DbBackend::Sqlite {
        return Ok(false);
    }
    let mark = row(connection, "PRAGMA application_id").await?.try_get::<i32>("", "application_id")?;
    Ok(mark == MARK)
}

/// The schema that an archive needs for a database that has columns of later revisions already.
async fn with_early_columns(
    archive: &DatabaseConnection,
    revision: Revision,
    found: &Schema,
    schema: &Schema,
) -> Result<Schema, DatabaseCause> {
    let mut wanted = schema.clone();
    let early = early::columns(revision, found);
    if !early.is_empty() {
        let replayed = expected::replay(archive, &early::revisions(revision, &early)).await?;
        early::add(&mut wanted, &early, &replayed);
    }
    Ok(wanted)
}

/// Matches the tables of a database with those of its archive.
fn tables(backend: Backend, found: &Schema, archive: &Schema) -> Result<Tables, ArchiveError> {
    let mut tables = Tables::new();
    let mut lacking = Vec::new();
    let kept = crate::history::tables::DEPENDENTS
        .iter()
        .map(|dependent| dependent.table)
        .chain([crate::history::tables::SESSIONS]);
    for name in kept {
        let Some(table) = found.tables.get(name) else { continue };
        let Some(there) = archive.tables.get(name) else {
            lacking.push(name.to_owned());
            continue;
        };
        let mut columns = Vec::new();
        let mut returning = Vec::new();
        for (column, Column { kind, .. }) in &table.columns {
            match returned(backend, column, kind).filter(|_| there.columns.contains_key(column)) {
                None => lacking.push(format!("{name}.{column}")),
                Some(expression) => {
                    columns.push(column.clone());
                    returning.push(expression);
                }
            }
        }
        let place = |key: &String| columns.iter().position(|column| column == key);
        let key = there.primary_key.iter().filter_map(place).collect();
        let insert = insert(name, &columns, &there.primary_key);
        let select = select(name, &columns, &there.primary_key);
        tables.insert(name, ArchivedTable { key, columns, returning: returning.join(", "), insert, select });
    }
    if lacking.is_empty() { Ok(tables) } else { Err(ArchiveError::Lacking { names: lacking }) }
}

/// A row that is there already stays.
fn insert(table: &str, columns: &[String], key: &[String]) -> String {
    let names = names(columns);
    let values: Vec<_> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
    format!(
        "INSERT INTO {table} ({names}) VALUES ({values}) ON CONFLICT ({key}) DO NOTHING RETURNING {names}",
        table = quoted(table),
        values = values.join(", "),
        key = self::names(key),
    )
}

/// The statement that reads the row with a given key.
fn select(table: &str, columns: &[String], key: &[String]) -> String {
    let conditions: Vec<_> =
        key.iter().zip(1..).map(|(name, number)| format!("{} = ?{number}", quoted(name))).collect();
    format!("SELECT {} FROM {} WHERE {}", names(columns), quoted(table), conditions.join(" AND "))
}

fn names(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

/// A transaction of the archive. Dropped before it is committed, it is rolled back.
pub(crate) struct ArchiveTransaction {
    transaction: DatabaseTransaction,
    tables: Arc<Tables>,
}

impl ArchiveTransaction {
    fn table(&self, name: &str) -> Result<&ArchivedTable, DatabaseCause> {
        self.tables
            .get(name)
            .ok_or_else(|| DatabaseCause::new(ErrorClass::Other, format!("the archive has no table {name}")))
    }

    /// What a row of the database has to give, so that [`ArchiveTransaction::store`] can read it.
    pub(crate) fn returning(&self, table: &str) -> Result<&str, DatabaseCause> {
        Ok(&self.table(table)?.returning)
    }

    /// Writes a row and makes sure that it can be read back as it is.
    pub(crate) async fn store(&self, table: &str, row: &QueryResult) -> Result<(), DatabaseCause> {
        let columns = self.table(table)?;
        let values = values(row, columns.columns.len())?;
        let (mut sql, mut given) = (columns.insert.clone(), Vec::with_capacity(values.len()));
        for (index, value) in values.iter().enumerate() {
            given.push(value.given());
            if value.is_no_unicode() {
                // The driver takes no such text: its bytes are cast to one, which changes nothing.
                let number = index + 1;
                sql = sql.replacen(&format!("?{number},"), &format!("CAST(?{number} AS TEXT),"), 1);
                sql = sql.replacen(&format!("?{number})"), &format!("CAST(?{number} AS TEXT))"), 1);
            }
        }
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, given);
        let (written, is_new) = match self.transaction.query_one_raw(statement).await? {
            Some(written) => (written, true),
            None => (self.earlier(columns, &values).await?, false),
        };
        let written = self::values(&written, values.len())?;
        let changed = values.iter().zip(&written).position(|(sent, kept)| !sent.is_kept_as(kept));
        match changed {
            None => Ok(()),
            Some(index) => {
                let key: Vec<_> = columns.key.iter().map(|place| values[*place].shown()).collect();
                let (key, column) = (key.join(", "), &columns.columns[index]);
                let message = match is_new {
                    true => format!("{table} {key}: SQLite cannot hold `{column}` exactly in a column of that type"),
                    false => format!("{table} {key}: the archive has it with another `{column}`; use another file"),
                };
                Err(DatabaseCause::new(ErrorClass::Data, message))
            }
        }
    }

    /// The row of the archive that has the same key: a run that crashed wrote it, or it was brought back.
    async fn earlier(&self, table: &ArchivedTable, values: &[Stored]) -> Result<QueryResult, DatabaseCause> {
        let key = table.key.iter().map(|place| values[*place].given());
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, &table.select, key);
        let found = self.transaction.query_one_raw(statement).await?;
        Ok(found.ok_or_else(|| DbErr::RecordNotFound("the archive gave no row back".to_owned()))?)
    }

    /// Makes the rows last: they are on the disk.
    pub(crate) async fn commit(self) -> Result<(), DatabaseCause> {
        Ok(self.transaction.commit().await?)
    }
}

/// A column's value in one of the forms that SQLite has for what TARSy writes; `None` for what it has none for.
fn returned(backend: Backend, column: &str, kind: &str) -> Option<String> {
    let name = quoted(column);
    if backend == Backend::Sqlite {
        return Some(name);
    }
    Some(match kind {
        "boolean" => format!("{name}::int::bigint"),
        "bigint" | "integer" | "smallint" => format!("{name}::bigint"),
        "double precision" => format!("{name}::float8"),
        "json" | "jsonb" | "text" => format!("{name}::text"),
        _ if kind.starts_with("character varying") => format!("{name}::text"),
        _ => return None,
    })
}

/// A value as SQLite stores it.
#[derive(Debug, Clone, PartialEq)]
enum Stored {
    Null,
    Integer(i64),
    Real(f64),
    /// Its bytes may be anything.
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Stored {
    fn given(&self) -> Value {
        match self {
            Stored::Null => Value::BigInt(None),
            Stored::Integer(number) => (*number).into(),
            Stored::Real(number) => (*number).into(),
            Stored::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text.into(),
                Err(_) => bytes.clone().into(),
            },
            Stored::Blob(bytes) => bytes.clone().into(),
        }
    }

    fn is_no_unicode(&self) -> bool {
        matches!(self, Stored::Text(bytes) if std::str::from_utf8(bytes).is_err())
    }

    /// Whether nothing is lost: the same, or JSON's whole number, which SQLite keeps as one.
    fn is_kept_as(&self, kept: &Self) -> bool {
        match (self, kept) {
            (Stored::Real(sent), Stored::Real(kept)) => sent.to_bits() == kept.to_bits(),
            (Stored::Text(text), Stored::Integer(number)) => *text == number.to_string().into_bytes(),
            (sent, kept) => sent == kept,
        }
    }

    fn shown(&self) -> String {
        match self {
            Stored::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Stored::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        }
    }
}

/// The first values of a row of either backend.
fn values(row: &QueryResult, columns: usize) -> Result<Vec<Stored>, DatabaseCause> {
    let value = |index| match row.try_as_sqlite_row() {
        Some(row) => sqlite_value(row, index).map_err(DatabaseCause::from),
        None => postgresql_value(row, index).map_err(DatabaseCause::from),
    };
    (0..columns).map(value).collect()
}

fn sqlite_value(row: &SqliteRow, index: usize) -> Result<Stored, sqlx::Error> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(Stored::Null);
    }
    let kind = value.type_info().name().to_owned();
    let decoded = match kind.as_str() {
        "INTEGER" => <i64 as Decode<'_, Sqlite>>::decode(value).map(Stored::Integer),
        "REAL" => <f64 as Decode<'_, Sqlite>>::decode(value).map(Stored::Real),
        "TEXT" => <Vec<u8> as Decode<'_, Sqlite>>::decode(value).map(Stored::Text),
        _ => <Vec<u8> as Decode<'_, Sqlite>>::decode(value).map(Stored::Blob),
    };
    decoded.map_err(sqlx::Error::Decode)
}

fn postgresql_value(row: &QueryResult, index: usize) -> Result<Stored, DbErr> {
    let Some(row) = row.try_as_pg_row() else { return Err(DbErr::Custom("a row of neither backend".to_owned())) };
    let failed = |error: sqlx::Error| DbErr::Query(sea_orm::RuntimeErr::SqlxError(error.into()));
    let value = row.try_get_raw(index).map_err(failed)?;
    if value.is_null() {
        return Ok(Stored::Null);
    }
    let kind = value.type_info().name().to_owned();
    let value = match kind.as_str() {
        "INT8" => row.try_get(index).map(Stored::Integer),
        "FLOAT8" => row.try_get(index).map(Stored::Real),
        _ => row.try_get::<String, _>(index).map(|text| Stored::Text(text.into_bytes())),
    };
    value.map_err(failed)
}
