//! Removes rows of a SQLite file in chunks, and returns them for the archive.
//!
//! `DELETE ... RETURNING` would first delete all rows and keep them in a temporary file, and the driver would copy fifty
//! of them into memory, however large they are.

use std::sync::Arc;

use rusqlite::types::{Value as Parameter, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{DbBackend, Statement, StatementBuilder, Value};

use super::batch_error::reindex;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::quote::quoted;
use crate::database::sqlite_cache::with_small_cache;
use crate::database::sqlite_value::SqliteValue;
use crate::database::transaction::Transaction;
use crate::history::archive::row::{CopiedRow, DeletedRow, size_of};
use crate::history::archive::tables::{ArchivedTable, ArchivedTables};
use crate::history::archive::transaction::{CHUNK, LARGE, table_of};

/// Removed rows.
pub(crate) struct RemovedChunk {
    pub(crate) rows: Vec<DeletedRow>,
    pub(crate) bytes: usize,
    /// Whether no row is left.
    pub(crate) is_last: bool,
}

/// The rows of a table that are to be removed.
#[derive(Clone)]
pub(crate) struct FileRows {
    tables: Arc<ArchivedTables>,
    name: &'static str,
    select: Arc<Statement>,
}

impl FileRows {
    /// The rows that meet a condition.
    pub(crate) fn new(
        tables: &Arc<ArchivedTables>,
        name: &'static str,
        condition: Expr,
    ) -> Result<Self, DatabaseCause> {
        let columns = Expr::cust(table_of(tables, name)?.returning.clone());
        let select = Query::select().expr(columns).from(name).and_where(condition).to_owned();
        let select = Arc::new(StatementBuilder::build(&select, &DbBackend::Sqlite));
        Ok(Self { tables: Arc::clone(tables), name, select })
    }

    /// Removes as many of them as fit in a chunk, at least one.
    pub(crate) async fn remove_chunk(&self, transaction: &Transaction) -> Result<RemovedChunk, DatabaseCause> {
        let rows = self.clone();
        transaction.on_sqlite_thread(move |file| rows.remove(file)).await
    }

    fn remove(&self, file: &Connection) -> Result<RemovedChunk, DatabaseCause> {
        let table = table_of(&self.tables, self.name)?;
        let chunk = self.read(file, table)?;
        if chunk.bytes < LARGE {
            self.delete(file, table, &chunk)?;
        } else {
            // The pages of a large value would be in memory once more.
            with_small_cache(file, || self.delete(file, table, &chunk))?;
        }
        Ok(chunk)
    }

    /// Deletes the rows of a chunk, each by its key.
    fn delete(&self, file: &Connection, table: &ArchivedTable, chunk: &RemovedChunk) -> Result<(), DatabaseCause> {
        let mut delete = None;
        for row in &chunk.rows {
            let values = row.values(table.columns.len())?;
            let (columns, key): (Vec<_>, Vec<_>) = table.key(&values).unzip();
            let delete = match &mut delete {
                Some(delete) => delete,
                None => delete.insert(file.prepare(&delete_by(self.name, &columns))?),
            };
            match delete.execute(params_from_iter(key.into_iter().map(of_value))).map_err(not_deleted)? {
                1 => {}
                0 => return Err(kept(self.name, &table.shown_key(&values), has_triggers(file, self.name)?)),
                rows => return Err(doubled(self.name, &table.shown_key(&values), rows)),
            }
        }
        Ok(())
    }

    fn read(&self, file: &Connection, table: &ArchivedTable) -> Result<RemovedChunk, DatabaseCause> {
        let parameters = self.select.values.iter().flat_map(|values| &values.0).map(parameter);
        let parameters = parameters.collect::<Result<Vec<_>, _>>()?;
        let mut select = file.prepare(&self.select.sql)?;
        let mut found = select.query(params_from_iter(parameters))?;
        let mut chunk = RemovedChunk { rows: Vec::new(), bytes: 0, is_last: false };
        while chunk.bytes < CHUNK {
            let Some(row) = found.next()? else {
                chunk.is_last = true;
                break;
            };
            let values = (0..table.columns.len()).map(|index| Ok(row.get_ref(index)?.into()));
            let values = values.collect::<rusqlite::Result<Vec<_>>>()?;
            chunk.bytes += size_of(&values);
            chunk.rows.push(DeletedRow::Copied(CopiedRow::of(&values)));
        }
        Ok(chunk)
    }
}

/// The statement that deletes the row with a key. A key of SQLite's may be NULL.
fn delete_by(table: &str, key: &[&str]) -> String {
    let key: Vec<_> = key.iter().zip(1..).map(|(name, place)| format!("{} IS ?{place}", quoted(name))).collect();
    format!("DELETE FROM {} WHERE {}", quoted(table), key.join(" AND "))
}

/// A DELETE needs room beside the file, and a query for temporary files.
fn not_deleted(error: rusqlite::Error) -> DatabaseCause {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => DatabaseCause::new(ErrorClass::DiskFull, "database or disk is full"),
        _ => error.into(),
    }
}

/// Whether a table has triggers, whatever they fire at.
fn has_triggers(file: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = ?1)";
    file.query_row(sql, [table], |row| row.get(0))
}

/// Without an error the next chunk would find the row again, forever.
fn kept(table: &str, key: &str, has_triggers: bool) -> DatabaseCause {
    if has_triggers {
        let message = format!("{table} {key}: the database kept this row, perhaps because of a trigger");
        return DatabaseCause::new(ErrorClass::Constraint, message);
    }
    let message = format!("{table} {key}: this row is not found by its key: an index of {table} is damaged");
    DatabaseCause::new(ErrorClass::Corrupt, message).with_remedy(reindex(table))
}

/// SQLite allows NULL in a key, also in several rows: the others would go without being archived.
fn doubled(table: &str, key: &str, rows: usize) -> DatabaseCause {
    DatabaseCause::new(ErrorClass::Data, format!("{table} {key}: {rows} rows have this key"))
}

fn of_value(value: SqliteValue<'_>) -> rusqlite::types::ToSqlOutput<'_> {
    rusqlite::types::ToSqlOutput::Borrowed(match value {
        SqliteValue::Null => ValueRef::Null,
        SqliteValue::Integer(number) => ValueRef::Integer(number),
        SqliteValue::Real(number) => ValueRef::Real(number),
        SqliteValue::Text(bytes) => ValueRef::Text(bytes),
        SqliteValue::Blob(bytes) => ValueRef::Blob(bytes),
    })
}

/// A bound value of a condition.
fn parameter(value: &Value) -> Result<Parameter, DatabaseCause> {
    match value {
        Value::String(Some(text)) => Ok(Parameter::Text(text.clone())),
        Value::BigInt(Some(number)) => Ok(Parameter::Integer(*number)),
        Value::Int(Some(number)) => Ok(Parameter::Integer((*number).into())),
        other => Err(DatabaseCause::new(ErrorClass::Other, format!("no condition has a value like {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::ConnectionTrait;
    use sea_orm::sea_query::ExprTrait;

    use crate::database::connection::Connection;
    use crate::database::transaction::SearchPath;
    use crate::database::url::Backend;
    use crate::history::archive::tables;
    use crate::schema;

    /// Chats with conversations of these lengths, in a transaction that may remove them.
    async fn chats(lengths: &[usize]) -> (Transaction, FileRows) {
        let connection = Connection::in_memory().await;
        let table = "CREATE TABLE chats (chat_id VARCHAR PRIMARY KEY, conversation_history VARCHAR)";
        connection.execute_alone(table).await.expect("sound SQL");
        for length in lengths {
            let insert =
                format!("INSERT INTO chats SELECT count(*), replace(hex(zeroblob({length})), '00', 'x') FROM chats");
            connection.execute_alone(&insert).await.expect("sound SQL");
        }
        let schema = connection.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema");
        let tables = tables::matching(Backend::Sqlite, &schema, &schema).expect("the same tables");
        let rows = FileRows::new(&Arc::new(tables), "chats", Expr::col("chat_id").is_in(["0", "1", "2", "3"]));
        let transaction = connection.begin(SearchPath::Empty, "").await.expect("a transaction");
        (transaction, rows.expect("it is archived"))
    }

    #[tokio::test]
    async fn a_chunk_has_few_rows_or_one_large_one() {
        let (transaction, rows) = chats(&[CHUNK / 2, CHUNK / 2, CHUNK * 9, 7, 1]).await;
        let mut found = Vec::new();
        loop {
            let chunk = rows.remove_chunk(&transaction).await.expect("it can be removed");
            found.push((chunk.rows.len(), chunk.bytes / CHUNK));
            if chunk.is_last {
                break;
            }
        }
        assert_eq!(found, [(2, 1), (1, 9), (1, 0)], "the fifth row does not meet the condition");
        let left = transaction.query_all_raw(Statement::from_string(DbBackend::Sqlite, "SELECT chat_id FROM chats"));
        assert_eq!(left.await.expect("an answer").len(), 1);
    }

    #[tokio::test]
    async fn a_row_does_not_take_another_one_with_its_key_along() {
        let connection = Connection::in_memory().await;
        for sql in ["CREATE TABLE chats (chat_id VARCHAR PRIMARY KEY)", "INSERT INTO chats VALUES (NULL), (NULL)"] {
            connection.execute_alone(sql).await.expect("sound SQL");
        }
        let schema = connection.reading(async |reading| schema::read::schema(reading).await).await.expect("a schema");
        let tables = tables::matching(Backend::Sqlite, &schema, &schema).expect("the same tables");
        let rows = FileRows::new(&Arc::new(tables), "chats", Expr::col("chat_id").is_null()).expect("it is archived");
        let transaction = connection.begin(SearchPath::Empty, "").await.expect("a transaction");
        let error = rows.remove_chunk(&transaction).await.err().expect("two rows have the key");
        assert!(error.to_string().ends_with("2 rows have this key"), "{error}");
    }
}
