//! The sequences of columns, and whether they are ahead of the data. SQLite has none.

use migration::Revision;
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use crate::database::connection::Connection;
use crate::database::connection::{row, rows};
use crate::database::mark;
use crate::database::quote::quoted;
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
        let [table, column] = [&self.table, &self.column].map(|name| quoted(name));
        let name = &self.name;
        let transaction = connection.begin(SearchPath::Role, "").await?;
        transaction.execute_unprepared(&mark::transaction()).await?;
        // Writers queue behind a session that waits for a lock.
        transaction.execute_unprepared(&format!("{EVERY_ROW}; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")).await?;
        transaction.execute_unprepared(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await?;
        let sql = format!(
            "SELECT setval({}, greatest((SELECT max({column}) FROM {table}), (SELECT last_value FROM {name})))",
            crate::database::quote::literal(name)
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
    // The columns are found by their default, because the owner of the sequence may have changed.
    let sql = format!(
        "SELECT t.relname::text AS table_name, a.attname::text AS column_name, s.seqrelid::regclass::text AS sequence_name,
                has_sequence_privilege(s.seqrelid, 'SELECT') AND has_table_privilege(t.oid, 'SELECT') AS readable,
                s.seqincrement AS increment, t.relname IN ('{}') AS is_tarsys
         FROM pg_sequence s
         JOIN (SELECT i.objid AS sequence, i.refobjid AS relation, i.refobjsubid AS number FROM pg_depend i
               WHERE i.classid = 'pg_class'::regclass AND i.deptype IN ('a', 'i')
               UNION SELECT f.refobjid, d.adrelid, d.adnum
               FROM pg_depend f JOIN pg_attrdef d ON f.classid = 'pg_attrdef'::regclass AND f.objid = d.oid
               JOIN pg_class c ON c.oid = d.adrelid AND c.relname IN ('{0}')) u ON u.sequence = s.seqrelid
         JOIN pg_class t ON t.oid = u.relation AND t.relkind IN ('r', 'p')
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.number
         WHERE pg_table_is_visible(t.oid) AND t.relnamespace <> 'pg_catalog'::regnamespace
           AND s.seqincrement > 0 AND NOT s.seqcycle
           AND a.atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)",
        Revision::HEAD.tables().join("', '")
    );
    let mut sequences = Vec::new();
    for owned in rows(connection, &sql).await? {
        let text = |name: &str| owned.try_get::<String>("", name);
        let (table, column, name) = (text("table_name")?, text("column_name")?, text("sequence_name")?);
        let largest = format!("SELECT max({})::bigint AS largest FROM {}", quoted(&column), quoted(&table));
        let next = format!(
            "SELECT CASE WHEN is_called THEN last_value + {} ELSE last_value END AS next FROM {}",
            owned.try_get::<i64>("", "increment")?,
            name
        );
        let readable: bool = owned.try_get("", "readable")?;
        sequences.push(Sequence {
            largest: if readable { row(connection, &largest).await?.try_get("", "largest")? } else { None },
            next: if readable { Some(row(connection, &next).await?.try_get("", "next")?) } else { None },
            is_tarsys: owned.try_get("", "is_tarsys")?,
            name,
            table,
            column,
        });
    }
    Ok(sequences)
}
