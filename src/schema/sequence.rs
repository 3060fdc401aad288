//! The sequences of columns, and whether they are ahead of the data. SQLite has none.

use migration::Revision;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

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
    /// Its number in the catalog.
    pub number: i64,
    /// The sequence and the table in SQL, with quotes and schemas.
    pub place: String,
    pub table_place: String,
    /// Whether the column belongs to TARSy.
    pub is_tarsys: bool,
    pub table: String,
    pub column: String,
    /// The largest number in the column.
    pub largest: Option<i64>,
    /// The next number of the sequence, which may be beyond the largest one of 64 bits; `None` if the role may not read the
    /// sequence, or it was replaced.
    pub next: Option<i128>,
    /// The largest number that the sequence gives and the column can hold.
    pub largest_possible: i64,
}

impl Sequence {
    /// The fault, if the next number may already be in use.
    #[must_use]
    pub(crate) fn fault(&self) -> Option<String> {
        let (largest, next) = (self.largest?, self.next?);
        let Self { name, table, column, .. } = self;
        (next <= largest.into())
            .then(|| format!("the next value of `{name}` is {next}, but `{table}.{column}` goes up to {largest}"))
    }

    /// Whether no number is left: the next insert fails.
    #[must_use]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.next.is_some_and(|next| next > self.largest_possible.into())
    }

    /// Whether nine tenths of the numbers or more are used, but not all.
    #[must_use]
    pub(crate) fn is_nearly_exhausted(&self) -> bool {
        !self.is_exhausted() && self.next.is_some_and(|next| is_nearly_full(next - 1, self.largest_possible))
    }

    /// Locks the sequence and its table before they are read, as [`visible::hold`]. False if one was replaced.
    async fn hold(&self, connection: &Transaction) -> Result<bool, DbErr> {
        if !visible::hold(connection, &self.table_place).await?.is_table {
            return Ok(false);
        }
        let query = |sql: &str, values: Vec<Value>| Statement::from_sql_and_values(connection.backend(), sql, values);
        // LOCK TABLE refuses a sequence; to read its last value by its number locks it.
        let lock = query("SELECT pg_sequence_last_value($1::oid)", vec![self.number.into()]);
        connection.query_one_raw(lock).await?;
        let sql = "SELECT FROM pg_class WHERE oid = $1::oid AND oid = to_regclass($2) AND relkind = 'S'";
        let same = query(sql, vec![self.number.into(), self.place.as_str().into()]);
        Ok(connection.query_one_raw(same).await?.is_some())
    }

    /// Reads the largest number of the column and the next one of the sequence.
    async fn read_numbers(&mut self, connection: &Transaction, increment: i64) -> Result<(), DbErr> {
        let Self { place, table_place, column, .. } = self;
        let largest = format!("SELECT max({})::bigint AS largest FROM {table_place}", quoted(column));
        let next =
            format!("SELECT last_value, CASE WHEN is_called THEN {increment} ELSE 0 END::bigint AS step FROM {place}");
        self.largest = row(connection, &largest).await?.try_get("", "largest")?;
        let read = row(connection, &next).await?;
        let [last, step] = ["last_value", "step"].map(|name| read.try_get::<i64>("", name));
        self.next = Some(i128::from(last?) + i128::from(step?));
        Ok(())
    }

    /// Advances the sequence past the data. Writers of the table wait, so that no number is used twice.
    pub(crate) async fn advance(&self, connection: &Connection) -> Result<(), DbErr> {
        let (name, table, column) = (&self.place, &self.table_place, quoted(&self.column));
        let transaction = connection.begin(SearchPath::Empty, &mark::transaction()).await?;
        // Writers queue behind a session that waits for a lock.
        transaction.execute_unprepared(&format!("{EVERY_ROW}; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")).await?;
        transaction.execute_unprepared(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await?;
        if !self.hold(&transaction).await? {
            return Err(DbErr::Custom(format!("{name} or {table} was replaced")));
        }
        let sql = format!(
            "SELECT setval({}, greatest((SELECT max({column}) FROM {table}), (SELECT last_value FROM {name})))",
            literal(name)
        );
        transaction.execute_unprepared(&sql).await?;
        transaction.commit().await
    }
}

/// Whether a number is at least nine tenths of the largest possible one.
#[must_use]
pub(crate) fn is_nearly_full(number: impl Into<i128>, largest_possible: i64) -> bool {
    number.into() * 10 >= i128::from(largest_possible) * 9
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
        let mut sequence = Sequence {
            name: text("sequence_name")?,
            number: found.try_get("", "number")?,
            place: text("sequence_place")?,
            is_tarsys: found.try_get("", "is_tarsys")?,
            table: text("table_name")?,
            table_place: text("table_place")?,
            column: text("column_name")?,
            largest: None,
            next: None,
            largest_possible: found.try_get("", "largest_possible")?,
        };
        if found.try_get("", "readable")? && sequence.hold(connection).await? {
            sequence.read_numbers(connection, found.try_get("", "increment")?).await?;
        }
        sequences.push(sequence);
    }
    Ok(sequences)
}
