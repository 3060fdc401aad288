//! The sequences of columns, and whether they are ahead of the data. SQLite has none.

use migration::Revision;
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::visible;
use crate::database::connection::Connection;
use crate::database::connection::row;
use crate::database::mark;
use crate::database::quote::{literal, quoted};
use crate::database::read_transaction::EVERY_ROW;
use crate::database::transaction::SearchPath;
use crate::database::transaction::Transaction;

/// How long to wait for the writers of a sequence's table.
const LOCK_TIMEOUT: &str = "2s";

/// A sequence from which a column takes its default.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    /// Its name, quoted and with its schema if needed.
    pub name: String,
    /// The sequence and the table in SQL, with quotes and schemas.
    pub place: String,
    pub table_place: String,
    /// Whether the column belongs to TARSy.
    pub is_tarsys: bool,
    pub table: String,
    pub column: String,
    /// The largest number in the column.
    pub largest: Option<i64>,
    /// The next number of the sequence; `None` if the role may not read it.
    pub next: Option<i64>,
}

impl Sequence {
    /// The fault, if the next number may already be in use.
    #[must_use]
    pub(crate) fn fault(&self) -> Option<String> {
        let (largest, next) = (self.largest?, self.next?);
        let Self { name, table, column, .. } = self;
        (next <= largest)
            .then(|| format!("the next value of `{name}` is {next}, but `{table}.{column}` goes up to {largest}"))
    }

    /// Advances the sequence past the data. Writers of the table wait, so that no number is used twice.
    pub(crate) async fn advance(&self, connection: &Connection) -> Result<(), DbErr> {
        let (name, table, column) = (&self.place, &self.table_place, quoted(&self.column));
        let transaction = connection.begin(SearchPath::Empty, &mark::transaction()).await?;
        // Writers queue behind a session that waits for a lock.
        transaction.execute_unprepared(&format!("{EVERY_ROW}; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")).await?;
        transaction.execute_unprepared(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await?;
        let sql = format!(
            "SELECT setval({}, greatest((SELECT max({column}) FROM {table}), (SELECT last_value FROM {name})))",
            literal(name)
        );
        transaction.execute_unprepared(&sql).await?;
        transaction.commit().await
    }
}

/// Reads the sequences of all visible tables, also of those that are not TARSy's.
pub(crate) async fn read(connection: &Transaction) -> Result<Vec<Sequence>, DbErr> {
    if connection.backend() != DbBackend::Postgres {
        return Ok(Vec::new());
    }
    let tables = visible::texts(&Revision::HEAD.tables());
    let mut sequences = Vec::new();
    for found in visible::rows(connection, include_str!("sequences.sql"), [tables]).await? {
        let text = |name: &str| found.try_get::<String>("", name);
        let (place, table_place, column) = (text("sequence_place")?, text("table_place")?, text("column_name")?);
        let largest = format!("SELECT max({})::bigint AS largest FROM {table_place}", quoted(&column));
        let next = format!(
            "SELECT CASE WHEN is_called THEN last_value + {} ELSE last_value END AS next FROM {place}",
            found.try_get::<i64>("", "increment")?,
        );
        let readable: bool = found.try_get("", "readable")?;
        sequences.push(Sequence {
            largest: if readable { row(connection, &largest).await?.try_get("", "largest")? } else { None },
            next: if readable { Some(row(connection, &next).await?.try_get("", "next")?) } else { None },
            is_tarsys: found.try_get("", "is_tarsys")?,
            name: text("sequence_name")?,
            place,
            table: text("table_name")?,
            table_place,
            column,
        });
    }
    Ok(sequences)
}
