//! The columns, triggers and rules of the tables, as a run found them and each of its batches has to find them: a column
//! that came later is not archived, and a trigger that came later may keep rows, which would be orphans.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::database::quote::literal;
use crate::database::transaction::Transaction;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definitions {
    tables: Vec<&'static str>,
    /// Another one if a column, a trigger or a rule was added.
    text: String,
}

impl Definitions {
    /// Reads those of tables. One that does not exist has none.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn read(connection: &Transaction, tables: Vec<&'static str>) -> Result<Self, DbErr> {
        let text = text(connection, &tables).await?;
        Ok(Self { tables, text })
    }

    /// Whether they are still the same.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn are_current(&self, connection: &Transaction) -> Result<bool, DbErr> {
        Ok(text(connection, &self.tables).await? == self.text)
    }
}

async fn text(connection: &Transaction, tables: &[&'static str]) -> Result<String, DbErr> {
    let sql = match connection.backend() {
        DbBackend::Postgres => of_postgresql(connection, tables),
        _ => of_sqlite(tables),
    };
    let row = connection.query_one_raw(Statement::from_string(connection.backend(), sql)).await?;
    row.map_or(Ok(String::new()), |row| row.try_get("", "definitions"))
}

/// PostgreSQL counts the columns that a table has ever had.
fn of_postgresql(connection: &Transaction, tables: &[&'static str]) -> String {
    let places = tables.iter().map(|table| format!("to_regclass({})", literal(&connection.namespace().table(table))));
    format!(
        "SELECT coalesce(string_agg(concat_ws(' ', c.oid, c.relkind, c.relnatts, c.relhasrules, (
                    SELECT string_agg(concat(t.oid, t.tgenabled), ',' ORDER BY t.oid)
                    FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)), '; ' ORDER BY c.oid), '') AS definitions
         FROM pg_class c WHERE c.oid = ANY (ARRAY[{}]::oid[])",
        places.collect::<Vec<_>>().join(", ")
    )
}

fn of_sqlite(tables: &[&'static str]) -> String {
    let names: Vec<_> = tables.iter().map(|table| literal(table)).collect();
    format!(
        "SELECT coalesce(group_concat(sql, '; '), '') AS definitions FROM (
             SELECT sql FROM sqlite_schema WHERE type IN ('table', 'trigger') AND lower(tbl_name) IN ({})
             ORDER BY type, name)",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::connection::Connection;
    use crate::database::transaction::SearchPath;

    #[tokio::test]
    async fn a_column_and_a_trigger_change_them_and_an_index_does_not() {
        let connection = Connection::in_memory().await;
        let transaction = connection.begin(SearchPath::Empty, "").await.expect("a transaction");
        let changed_by = async |sql: &str| {
            let read = async || Definitions::read(&transaction, vec!["events", "chats"]).await.expect("definitions");
            let before = read().await;
            transaction.execute_unprepared(sql).await.expect("it is valid");
            let is_current = before.are_current(&transaction).await.expect("definitions");
            assert_eq!(is_current, read().await == before);
            !is_current
        };
        assert!(changed_by("CREATE TABLE Events (id INTEGER)").await);
        assert!(!changed_by("CREATE INDEX i ON events (id)").await);
        assert!(changed_by("ALTER TABLE events ADD COLUMN note TEXT").await);
        assert!(changed_by("CREATE TRIGGER t BEFORE DELETE ON events BEGIN SELECT RAISE(IGNORE); END").await);
        assert!(!changed_by("CREATE TABLE mine (id INTEGER)").await);
    }
}
