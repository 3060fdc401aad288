//! The sequences that columns take their numbers from, and whether they are ahead of the data. SQLite counts
//! by itself.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, IsolationLevel, TransactionTrait};

use super::quoted;
use crate::connection::{row, rows};

/// How long the writers of a sequence's table are waited for.
const LOCK_TIMEOUT: &str = "2s";

/// A sequence that a column takes its numbers from.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// The table of the column.
    pub table: String,
    /// The column.
    pub column: String,
    /// The largest number in the column.
    pub largest: Option<i64>,
    /// The number that it would give out next; `None` if the role may not know.
    pub next: Option<i64>,
}

impl Sequence {
    /// Says what is wrong if the next number may be there already.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let (largest, next) = (self.largest?, self.next?);
        let Self { name, table, column, .. } = self;
        (next <= largest).then(|| format!("{name} gives out {next} next, but {table}.{column} goes up to {largest}"))
    }

    /// Puts the sequence behind the data. The table's writers wait meanwhile, so that no number is given out twice.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn advance(&self, connection: &DatabaseConnection) -> Result<(), DbErr> {
        let [name, table, column] = [&self.name, &self.table, &self.column].map(|name| quoted(name));
        let transaction = connection.begin_with_config(Some(IsolationLevel::ReadCommitted), None).await?;
        // Writers queue up behind whoever waits for a lock.
        transaction.execute_unprepared(&format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")).await?;
        transaction.execute_unprepared(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await?;
        let sql = format!(
            "SELECT setval({}, greatest((SELECT max({column}) FROM {table}), (SELECT last_value FROM {name})))",
            super::literal(&name)
        );
        transaction.execute_unprepared(&sql).await?;
        transaction.commit().await
    }
}

/// Reads the sequences of all tables that unqualified names lead to, the operator's own as well.
///
/// # Errors
/// Whatever the database answers.
pub async fn read(connection: &impl ConnectionTrait) -> Result<Vec<Sequence>, DbErr> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(Vec::new());
    }
    // A column takes its numbers from a sequence by its default or as an identity, whoever owns the sequence.
    let sql = "
         SELECT t.relname::text AS table_name, a.attname::text AS column_name, c.relname::text AS sequence_name,
                has_sequence_privilege(s.seqrelid, 'SELECT') AND has_table_privilege(t.oid, 'SELECT') AS readable,
                s.seqincrement AS increment
         FROM pg_sequence s
         JOIN pg_class c ON c.oid = s.seqrelid
         JOIN (SELECT f.refobjid AS sequence, d.adrelid AS relation, d.adnum AS number
               FROM pg_depend f JOIN pg_attrdef d ON f.classid = 'pg_attrdef'::regclass AND f.objid = d.oid
               UNION SELECT i.objid, i.refobjid, i.refobjsubid FROM pg_depend i
               WHERE i.classid = 'pg_class'::regclass AND i.deptype = 'i') u ON u.sequence = s.seqrelid
         JOIN pg_class t ON t.oid = u.relation
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.number
         WHERE pg_table_is_visible(t.oid) AND t.relnamespace <> 'pg_catalog'::regnamespace AND s.seqincrement > 0
           AND a.atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)";
    let mut sequences = Vec::new();
    for owned in rows(connection, sql).await? {
        let text = |name: &str| owned.try_get::<String>("", name);
        let (table, column, name) = (text("table_name")?, text("column_name")?, text("sequence_name")?);
        let largest = format!("SELECT max({})::bigint AS largest FROM {}", quoted(&column), quoted(&table));
        let next = format!(
            "SELECT CASE WHEN is_called THEN last_value + {} ELSE last_value END AS next FROM {}",
            owned.try_get::<i64>("", "increment")?,
            quoted(&name)
        );
        let readable: bool = owned.try_get("", "readable")?;
        sequences.push(Sequence {
            largest: if readable { row(connection, &largest).await?.try_get("", "largest")? } else { None },
            next: if readable { Some(row(connection, &next).await?.try_get("", "next")?) } else { None },
            name,
            table,
            column,
        });
    }
    Ok(sequences)
}
