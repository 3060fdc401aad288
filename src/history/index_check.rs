//! Whether the indexes of a SQLite file that a search for orphans reads match its tables.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::database::connection::row;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::integrity_finding::{self, about_values};
use crate::database::quote::quoted;
use crate::database::sqlite_digest::{self, DIGEST, ORDERED_DIGEST};
use crate::database::transaction::Transaction;
use crate::history::places::tables_without_rowid;

/// How many findings a message lists.
const MOST_NAMED: usize = 5;

/// The tables that a search reads, with the columns by which it finds rows.
pub(crate) type Searched = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// Makes sure that the indexes of these columns match their tables. An orphan is a row whose parent is not in an index: if
/// an index lost entries, intact rows look like orphans.
///
/// SQLite's own check looks each row up in each index of its table, which takes longer than the removal. So each of these
/// indexes is compared as a whole with one scan of its table, and only if they differ SQLite's check says how.
///
/// # Errors
/// [`ErrorClass::Corrupt`] with SQLite's findings, or the database's error. Findings about values, such as NULL or
/// duplicates, are ignored.
pub(crate) async fn require_matching_indexes(
    connection: &Transaction,
    searched: &Searched,
) -> Result<(), DatabaseCause> {
    if connection.backend() != DbBackend::Sqlite {
        return Ok(());
    }
    connection.on_sqlite_handle(|handle| Ok(sqlite_digest::define(handle)?)).await?;
    let mut findings = Vec::new();
    for (table, columns) in searched {
        if !have_same_entries(connection, table, columns).await? {
            findings.extend(integrity_check(connection, table).await?);
        }
    }
    damage(findings).map_or(Ok(()), Err)
}

/// Whether all indexes of a table that have one of these columns have an entry for each row of the table, and no other,
/// in their order. False if that is not known.
async fn have_same_entries(
    connection: &Transaction,
    table: &str,
    columns: &BTreeSet<&'static str>,
) -> Result<bool, DatabaseCause> {
    let indexes = indexes(connection, table).await?;
    let is_read = |index: &&Index| index.columns.iter().flatten().any(|column| columns.contains(column.as_str()));
    let read: Vec<_> = indexes.iter().filter(is_read).collect();
    if read.is_empty() {
        return Ok(true);
    }
    if read.iter().any(|index| !index.is_plain) || !has_rowid(connection, table).await? {
        return Ok(false);
    }
    let digests = row(connection, &comparison(table, &read)).await?;
    Ok(digests.try_get::<Option<i32>>("", "is_same")? == Some(1))
}

/// The statement that compares indexes with their table, in one state of the database.
fn comparison(table: &str, indexes: &[&Index]) -> String {
    let name = quoted(table);
    let values = |index: &Index| {
        let columns = index.columns.iter().flatten().map(|column| quoted(column));
        columns.chain(["_rowid_".to_owned()]).collect::<Vec<_>>().join(", ")
    };
    let of_table = indexes.iter().enumerate().map(|(place, index)| format!("{DIGEST}({}) AS d{place}", values(index)));
    let of_indexes = indexes.iter().enumerate().map(|(place, index)| {
        let digest = format!("{ORDERED_DIGEST}({})", values(index));
        format!("d{place} = (SELECT {digest} FROM {name} INDEXED BY {})", quoted(&index.name))
    });
    let (of_table, of_indexes): (Vec<_>, Vec<_>) = (of_table.collect(), of_indexes.collect());
    format!(
        "SELECT {} AS is_same FROM (SELECT {} FROM {name} NOT INDEXED)",
        of_indexes.join(" AND "),
        of_table.join(", ")
    )
}

/// An index of a table.
struct Index {
    name: String,
    /// `None` for an expression.
    columns: Vec<Option<String>>,
    /// Whether it has all rows of the table, ordered by nothing but their columns, ascending and by their bytes.
    is_plain: bool,
}

async fn indexes(connection: &Transaction, table: &str) -> Result<Vec<Index>, DbErr> {
    let sql = "SELECT list.name, info.name AS column_name,
                      NOT list.partial AND info.cid >= 0 AND NOT info.\"desc\" AND info.coll = 'BINARY' AS is_plain
               FROM pragma_index_list(?) AS list JOIN pragma_index_xinfo(list.name) AS info
               WHERE info.\"key\" ORDER BY list.name, info.seqno";
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [table.into()]);
    let mut indexes: Vec<Index> = Vec::new();
    for row in connection.query_all_raw(statement).await? {
        let name: String = row.try_get("", "name")?;
        if indexes.last().is_none_or(|index| index.name != name) {
            indexes.push(Index { name, columns: Vec::new(), is_plain: true });
        }
        if let Some(index) = indexes.last_mut() {
            index.columns.push(row.try_get("", "column_name")?);
            index.is_plain &= row.try_get::<i32>("", "is_plain")? != 0;
        }
    }
    Ok(indexes)
}

/// Whether `_rowid_` is what identifies a row of a table.
async fn has_rowid(connection: &Transaction, table: &str) -> Result<bool, DbErr> {
    Ok(!tables_without_rowid(connection).await?.iter().any(|without| without == table))
}

/// What SQLite's own check finds in a table and its indexes.
async fn integrity_check(connection: &Transaction, table: &str) -> Result<Vec<String>, DbErr> {
    let sql = "SELECT integrity_check AS finding FROM pragma_integrity_check(?)";
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [table.into()]);
    let mut findings = Vec::new();
    for row in connection.query_all_raw(statement).await? {
        let text: String = row.try_get("", "finding")?;
        findings.extend(integrity_finding::lines(&text).map(str::to_owned));
    }
    Ok(findings)
}

/// The findings of damage, as an error.
fn damage(findings: Vec<String>) -> Option<DatabaseCause> {
    let is_damage = |finding: &String| about_values(finding).is_none();
    let mut damage: Vec<_> = findings.into_iter().filter(is_damage).collect();
    if damage.is_empty() {
        return None;
    }
    let more = damage.len().saturating_sub(MOST_NAMED);
    damage.truncate(MOST_NAMED);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let message = format!(
        "SQLite's integrity check reports `{}`{more}: rows that look like orphans may have a parent. If only indexes \
         are damaged, `REINDEX` in sqlite3 rebuilds them",
        damage.join("`; `")
    );
    Some(DatabaseCause::new(ErrorClass::Corrupt, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::connection::rows;

    /// What is found in a file whose index `by_key` has the entries of `entries`, another index.
    async fn found(indexes: &str, entries: Option<&str>) -> Option<String> {
        let connection = Transaction::in_memory().await;
        let rows = "VALUES ('a', 'x', 1), ('b', 'y', 2), (NULL, 'z', 3), (CAST(x'ff' AS TEXT), x'00', 1.5)";
        let sql = format!(
            "CREATE TABLE chats (chat_id VARCHAR, session_id VARCHAR, number INTEGER); INSERT INTO chats {rows};
             CREATE TABLE others (chat_id VARCHAR, session_id VARCHAR, number INTEGER); INSERT INTO others {rows};
             {indexes}"
        );
        connection.execute_unprepared(&sql).await.expect("sound SQL");
        if let Some(entries) = entries {
            let sql = format!(
                "PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = '{entries}')
                 WHERE name = 'by_key';
                 DELETE FROM sqlite_schema WHERE name = '{entries}';
                 PRAGMA writable_schema = RESET"
            );
            connection.execute_unprepared(&sql).await.expect("sound SQL");
        }
        let searched = Searched::from([("chats", BTreeSet::from(["chat_id"]))]);
        require_matching_indexes(&connection, &searched).await.err().map(|cause| cause.to_string())
    }

    const BY_KEY: &str = "CREATE INDEX by_key ON chats (chat_id);";

    #[tokio::test]
    async fn an_index_with_the_entries_of_its_table_is_sound() {
        let others = "CREATE INDEX by_both ON chats (number, chat_id); CREATE INDEX of_others ON others (session_id)";
        assert_eq!(found(&format!("{BY_KEY} {others}"), None).await, None);
        let not_plain =
            "CREATE INDEX newest ON chats (chat_id DESC); CREATE INDEX cased ON chats (lower(chat_id), chat_id);
            CREATE INDEX some ON chats (chat_id) WHERE number > 1";
        assert_eq!(found(&format!("{BY_KEY} {not_plain}"), None).await, None);
    }

    #[tokio::test]
    async fn an_index_with_other_entries_is_damaged() {
        for entries in ["others (session_id)", "others (number)", "others (chat_id) WHERE chat_id <> 'a'"] {
            let damaged = found(&format!("{BY_KEY} CREATE INDEX of_others ON {entries}"), Some("of_others")).await;
            assert!(damaged.is_some_and(|damaged| damaged.contains("by_key")), "{entries}");
        }
    }

    #[tokio::test]
    async fn indexes_of_other_columns_are_not_read() {
        let other = "CREATE INDEX by_key ON chats (session_id); CREATE INDEX of_others ON others (chat_id)";
        assert_eq!(found(other, Some("of_others")).await, None);
    }

    #[tokio::test]
    async fn sound_indexes_are_compared_without_a_look_up() {
        let connection = Transaction::in_memory().await;
        let sql = "CREATE TABLE chats (chat_id VARCHAR PRIMARY KEY, session_id VARCHAR);
                   CREATE INDEX by_session ON chats (session_id);
                   INSERT INTO chats VALUES ('a', 'x'), ('b', 'x'), (NULL, NULL), (1, x'00')";
        connection.execute_unprepared(sql).await.expect("sound SQL");
        connection.on_sqlite_handle(|handle| Ok(sqlite_digest::define(handle)?)).await.expect("functions");
        let columns = BTreeSet::from(["chat_id", "session_id"]);
        assert!(have_same_entries(&connection, "chats", &columns).await.expect("an answer"));
        let indexes = indexes(&connection, "chats").await.expect("indexes");
        let plan = format!("EXPLAIN QUERY PLAN {}", comparison("chats", &indexes.iter().collect::<Vec<_>>()));
        let steps = rows(&connection, &plan).await.expect("steps");
        let steps = steps.iter().map(|row| row.try_get::<String>("", "detail").expect("a text"));
        let steps = steps.collect::<Vec<_>>().join("\n");
        assert_eq!(steps.matches("SCAN chats").count(), 3, "{steps}");
        assert_eq!(steps.matches("SCAN chats USING COVERING INDEX").count(), 2, "{steps}");
        assert!(!steps.contains("SEARCH"), "{steps}");
    }

    fn message(findings: &[&str]) -> Option<String> {
        damage(findings.iter().map(|finding| (*finding).to_owned()).collect()).map(|cause| cause.to_string())
    }

    #[test]
    fn what_is_about_values_is_no_damage() {
        assert_eq!(message(&["NULL value in chats.session_id", "non-unique entry in index ix_chats"]), None);
    }

    #[test]
    fn the_first_findings_of_damage_are_named() {
        let found =
            message(&["row 1 missing from index a", "NULL value in chats.chat_id", "wrong # of entries in index a"]);
        let expected = "SQLite's integrity check reports `row 1 missing from index a`; `wrong # of entries in index a`: \
                        rows that look like orphans may have a parent. If only indexes are damaged, `REINDEX` in sqlite3 \
                        rebuilds them";
        assert_eq!(found.as_deref(), Some(expected));
        let found = message(&["row 1 missing from index a"; MOST_NAMED + 2]).expect("there is damage");
        assert!(found.contains("`row 1 missing from index a`; and 2 more: "), "{found}");
    }
}
