//! The sequences of columns, and whether they are ahead of the data. SQLite has none.

use migration::Revision;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::visible;
use crate::database::connection::Connection;
use crate::database::connection::row;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::mark;
use crate::database::quote::{literal, quoted};
use crate::database::read_transaction::EVERY_ROW;
use crate::database::transaction::SearchPath;
use crate::database::transaction::Transaction;

/// How long to wait for the writers of a sequence's table.
const LOCK_TIMEOUT: &str = "2s";

/// Whose sequences are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applications {
    /// Those of TARSy's tables.
    Tarsy,
    /// Those of all visible tables; TARSy's come first.
    All,
}

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
    /// Whether it belongs to the table, so that `TRUNCATE ... RESTART IDENTITY` restarts it.
    pub is_owned: bool,
    pub privileges: Privileges,
    pub persistence: Persistence,
    /// The distance of its numbers; negative if it counts down.
    pub increment: i64,
    /// Whether it begins again after its last number.
    pub is_cycle: bool,
    /// The smallest and the largest number that it gives.
    pub given: [i64; 2],
    /// Those of them that the column can hold.
    pub possible: [i64; 2],
    /// The number in the column that it would reach last.
    pub farthest: Option<i64>,
    /// The next number of the sequence, which may be beyond those of 64 bits; `None` if it is not known.
    pub next: Option<i128>,
    /// Whether the column has the next number; `None` unless the sequence begins again.
    pub is_next_used: Option<bool>,
    /// Why the numbers are not all known.
    pub unread: Option<DatabaseCause>,
}

/// What a crash of the server leaves of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    Permanent,
    /// It begins anew. From PostgreSQL 15 on.
    Unlogged,
}

/// What the role may read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Privileges {
    pub column: bool,
    /// All of the sequence.
    pub sequence: bool,
    /// The last number that the sequence has given.
    pub last_number: bool,
}

impl Sequence {
    /// The sequence of a row of the catalog, whose numbers are not read yet.
    fn of(found: &QueryResult) -> Result<Self, DbErr> {
        let text = |name: &str| found.try_get::<String>("", name);
        let number = |name: &str| found.try_get::<i64>("", name);
        let is = |name: &str| found.try_get::<bool>("", name);
        Ok(Self {
            name: text("sequence_name")?,
            number: number("number")?,
            place: text("sequence_place")?,
            table_place: text("table_place")?,
            is_tarsys: is("is_tarsys")?,
            table: text("table_name")?,
            column: text("column_name")?,
            is_owned: is("is_owned")?,
            privileges: Privileges {
                column: is("may_read_column")?,
                sequence: is("may_read_sequence")?,
                last_number: is("may_read_last_number")?,
            },
            persistence: if is("is_unlogged")? { Persistence::Unlogged } else { Persistence::Permanent },
            increment: number("increment")?,
            is_cycle: is("is_cycle")?,
            given: [number("smallest")?, number("largest")?],
            possible: [number("smallest_possible")?, number("largest_possible")?],
            farthest: None,
            next: None,
            is_next_used: None,
            unread: None,
        })
    }

    /// The fault, if the next number is or may be in use already.
    #[must_use]
    pub(crate) fn fault(&self) -> Option<String> {
        let (farthest, next) = (self.farthest?, self.next?);
        let Self { name, table, column, .. } = self;
        match self.is_cycle {
            _ if self.is_exhausted() => None,
            true => self
                .is_next_used?
                .then(|| format!("the next value of `{name}` is {next}, which `{table}.{column}` already has")),
            false => (!self.is_past(next, farthest)).then(|| {
                let way = if self.is_ascending() { "up" } else { "down" };
                format!("the next value of `{name}` is {next}, but `{table}.{column}` goes {way} to {farthest}")
            }),
        }
    }

    /// Whether no number is left: the next insert fails.
    #[must_use]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.next.is_some_and(|next| self.is_past(next, self.last_possible()))
    }

    /// Whether nine tenths of the numbers or more are used, but not all.
    #[must_use]
    pub(crate) fn is_nearly_exhausted(&self) -> bool {
        let [smallest, largest] = self.possible.map(i128::from);
        let is_nearly_full = |next| match self.is_ascending() {
            true => is_nearly_full(next - 1, largest),
            false => is_nearly_full(largest - next, largest - smallest),
        };
        !self.is_cycle && !self.is_exhausted() && self.next.is_some_and(is_nearly_full)
    }

    /// The last number that the sequence gives and the column can hold.
    #[must_use]
    pub(crate) fn last_possible(&self) -> i64 {
        self.possible[usize::from(self.is_ascending())]
    }

    /// The first number past those in the column, if one is left.
    #[must_use]
    pub(crate) fn free_number(&self) -> Option<i128> {
        let free = i128::from(self.farthest?) + i128::from(self.increment);
        (!self.is_past(free, self.last_possible())).then_some(free)
    }

    /// Whether [`advance`](Self::advance) removes the fault, and does no harm.
    #[must_use]
    pub(crate) fn can_be_advanced(&self) -> bool {
        self.is_tarsys
            && self.is_ascending()
            && !self.is_cycle
            && self.fault().is_some()
            && self.free_number().is_some()
    }

    #[must_use]
    pub(crate) fn is_ascending(&self) -> bool {
        self.increment > 0
    }

    /// Whether the sequence gives the other number before this one.
    fn is_past(&self, number: i128, other: i64) -> bool {
        if self.is_ascending() { number > other.into() } else { number < other.into() }
    }

    /// Reads the numbers as far as possible. No lock remains.
    ///
    /// # Errors
    /// The database's error, if the transaction cannot continue.
    async fn read_numbers(&mut self, connection: &Transaction) -> Result<(), DbErr> {
        let mut is_table_read = false;
        let read = connection.attempt(async || {
            self.read_farthest(connection).await?;
            is_table_read = true;
            self.read_next(connection).await?;
            self.read_use_of_next(connection).await
        });
        self.unread = read.await?.err();
        // Of a table that cannot be read the sequence may be exhausted nevertheless.
        if self.unread.is_some() && !is_table_read {
            connection.attempt(async || self.read_next(connection).await).await?.ok();
        }
        Ok(())
    }

    async fn read_farthest(&mut self, connection: &Transaction) -> Result<(), DatabaseCause> {
        let Self { table_place, column, .. } = &*self;
        self.set_patience(connection).await?;
        if !self.privileges.column {
            return Err(denied("table", &self.table));
        }
        if !visible::hold(connection, table_place).await?.is_table {
            return Err(replaced(table_place));
        }
        let farthest = if self.is_ascending() { "max" } else { "min" };
        let sql = format!("SELECT {farthest}({})::bigint AS farthest FROM {table_place}", quoted(column));
        self.farthest = row(connection, &sql).await?.try_get("", "farthest")?;
        Ok(())
    }

    /// Another application's table is not waited for.
    async fn set_patience(&self, connection: &Transaction) -> Result<(), DbErr> {
        if !self.is_tarsys {
            connection.execute_unprepared("SET LOCAL lock_timeout = '10ms'").await?;
        }
        Ok(())
    }

    async fn read_next(&mut self, connection: &Transaction) -> Result<(), DatabaseCause> {
        self.set_patience(connection).await?;
        if !self.privileges.last_number {
            return Err(denied("sequence", &self.name));
        }
        let given = self.hold(connection).await?.ok_or_else(|| replaced(&self.place))?;
        let next = match given {
            _ if self.privileges.sequence => {
                let sql = format!("SELECT last_value, is_called FROM {}", self.place);
                let read = row(connection, &sql).await?;
                let last: i64 = read.try_get("", "last_value")?;
                if read.try_get("", "is_called")? { self.after(last) } else { last.into() }
            }
            Some(last) => self.after(last),
            // It has given no number yet, and does not tell which one is the first.
            None if self.farthest.is_none() => return Ok(()),
            None => return Err(denied("sequence", &self.name)),
        };
        self.next = Some(next);
        Ok(())
    }

    /// The number that the sequence gives after this one.
    fn after(&self, last: i64) -> i128 {
        let [smallest, largest] = self.given.map(i128::from);
        match i128::from(last) + i128::from(self.increment) {
            next if self.is_cycle && next > largest => smallest,
            next if self.is_cycle && next < smallest => largest,
            next => next,
        }
    }

    /// A number that another application uses again may be no fault, such as that of a slot.
    async fn read_use_of_next(&mut self, connection: &Transaction) -> Result<(), DatabaseCause> {
        let Self { table_place, column, .. } = &*self;
        if let (true, Some(next)) = (self.is_cycle && self.is_tarsys, self.next) {
            let sql = format!("SELECT EXISTS (SELECT FROM {table_place} WHERE {} = {next}) AS used", quoted(column));
            self.is_next_used = row(connection, &sql).await?.try_get("", "used")?;
        }
        Ok(())
    }

    /// Locks the sequence before it is read, and gives its last number, if it has given one. `None` if it was replaced.
    async fn hold(&self, connection: &Transaction) -> Result<Option<Option<i64>>, DbErr> {
        let query = |sql: &str, values: Vec<Value>| Statement::from_sql_and_values(connection.backend(), sql, values);
        // LOCK TABLE refuses a sequence; to read its last value by its number locks it.
        let lock = query("SELECT pg_sequence_last_value($1::oid) AS last", vec![self.number.into()]);
        let last = connection.query_one_raw(lock).await?.map(|row| row.try_get("", "last")).transpose()?;
        let sql = "SELECT FROM pg_class WHERE oid = $1::oid AND oid = to_regclass($2) AND relkind = 'S'";
        let same = query(sql, vec![self.number.into(), self.place.as_str().into()]);
        Ok(connection.query_one_raw(same).await?.and(last))
    }

    /// Advances the sequence past the data, unless no number would be left. Writers of the table wait, so that no number is
    /// used twice.
    pub(crate) async fn advance(&self, connection: &Connection) -> Result<(), DbErr> {
        let (name, table, column) = (&self.place, &self.table_place, quoted(&self.column));
        let transaction = connection.begin(SearchPath::Empty, &mark::transaction()).await?;
        // Writers queue behind a session that waits for a lock.
        transaction.execute_unprepared(&format!("{EVERY_ROW}; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")).await?;
        transaction.execute_unprepared(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await?;
        let is_table = visible::hold(&transaction, table).await?.is_table;
        if !is_table || self.hold(&transaction).await?.is_none() {
            return Err(DbErr::Custom(format!("{name} or {table} was replaced")));
        }
        let sql = format!(
            "SELECT setval({}, past) AS past
             FROM (SELECT greatest((SELECT max({column}) FROM {table}), (SELECT last_value FROM {name})) AS past) numbers
             WHERE past <= {}",
            literal(name),
            i128::from(self.last_possible()) - i128::from(self.increment)
        );
        let set = Statement::from_string(transaction.backend(), sql);
        if transaction.query_one_raw(set).await?.is_none() {
            return Err(DbErr::Custom(format!("no number is left past those in {table}")));
        }
        transaction.commit().await
    }
}

/// Whether a number is at least nine tenths of the largest possible one.
#[must_use]
pub(crate) fn is_nearly_full(number: impl Into<i128>, largest_possible: impl Into<i128>) -> bool {
    number.into() * 10 >= largest_possible.into() * 9
}

/// Reads the sequences of visible tables, each for itself: one that cannot be read has the reason.
///
/// # Errors
/// The database's error, if the transaction cannot continue.
pub(crate) async fn read(connection: &Transaction, of: Applications) -> Result<Vec<Sequence>, DbErr> {
    if connection.backend() != DbBackend::Postgres {
        return Ok(Vec::new());
    }
    let tables = visible::texts(&Revision::HEAD.tables());
    let mut sequences = Vec::new();
    for found in visible::rows(connection, include_str!("sequences.sql"), [tables]).await? {
        let mut sequence = Sequence::of(&found)?;
        if of == Applications::All || sequence.is_tarsys {
            sequence.read_numbers(connection).await?;
            sequences.push(sequence);
        }
    }
    Ok(sequences)
}

fn denied(kind: &str, name: &str) -> DatabaseCause {
    DatabaseCause::new(ErrorClass::Privilege, format!("permission denied for {kind} {name}"))
}

fn replaced(place: &str) -> DatabaseCause {
    DatabaseCause::new(ErrorClass::Conflict, format!("another session has replaced {place}"))
}
