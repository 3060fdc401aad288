//! Whether the indexes of a SQLite file match its tables.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::integrity_finding::about_values;
use crate::database::transaction::Transaction;

/// How many findings a message lists.
const MOST_NAMED: usize = 5;

/// Makes sure that the indexes of these tables match them. An orphan is a row whose parent is not in an index: if an
/// index lost entries, intact rows look like orphans.
///
/// # Errors
/// [`ErrorClass::Corrupt`] with SQLite's findings, or the database's error. Findings about values, such as NULL or
/// duplicates, are ignored.
pub(crate) async fn require_matching_indexes(connection: &Transaction, tables: &[&str]) -> Result<(), DatabaseCause> {
    if connection.backend() != DbBackend::Sqlite {
        return Ok(());
    }
    let mut findings = Vec::new();
    for table in tables {
        let sql = "SELECT integrity_check AS finding FROM pragma_integrity_check(?)";
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [(*table).into()]);
        for row in connection.query_all_raw(statement).await? {
            findings.push(row.try_get("", "finding")?);
        }
    }
    damage(findings).map_or(Ok(()), Err)
}

/// The findings of damage, as an error.
fn damage(findings: Vec<String>) -> Option<DatabaseCause> {
    let is_damage = |finding: &String| finding != "ok" && about_values(finding).is_none();
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

    fn message(findings: &[&str]) -> Option<String> {
        damage(findings.iter().map(|finding| (*finding).to_owned()).collect()).map(|cause| cause.to_string())
    }

    #[test]
    fn what_is_about_values_is_no_damage() {
        assert_eq!(message(&["ok"]), None);
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
