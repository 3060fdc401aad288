//! The missing rows that rows of the source reference, in a temporary table of the connection: there may be as many as
//! rows.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::constraints::{foreign_keys, from_orphans, parents};
use super::converted::converted;
use super::placeholder::{MissingRow, contents, time_column};
use crate::database::failure::DatabaseCause;
use crate::database::quote::{literal, quoted};
use crate::history::tables::{primary_key, session_column};
use crate::schema::model::ForeignKey;
use crate::transfer::plan::TablePlan;

/// Where the parents of the source's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parents {
    /// In the source: rows without one are orphans.
    InSource,
    /// In the source or on the target, which only the target can tell.
    OnEitherSide,
}

/// A row is `new`, then `current` while its placeholder is looked at, which may need parents, too, then `done`; or it is
/// `present` on the target, and so not missing.
const CREATE: &str = "CREATE TEMPORARY TABLE tarsy_db_missing (
    id INTEGER PRIMARY KEY, parent TEXT NOT NULL, key TEXT NOT NULL, session TEXT, earliest_us INTEGER,
    state TEXT NOT NULL DEFAULT 'new', UNIQUE (parent, key))";

/// Collects the missing rows. Only for keys of one column, as all of TARSy's are.
pub(crate) fn find(connection: &Connection, tables: &[Arc<TablePlan>], side: Parents) -> Result<(), DatabaseCause> {
    connection.execute_batch(CREATE)?;
    // Children before parents, because the first child decides about the session.
    for table in tables.iter().rev() {
        let mut keys: Vec<_> = references(table, tables, side).collect();
        // Keys within the same table first: such a placeholder may need a parent as well.
        keys.sort_by_key(|(key, _)| key.referenced_table != table.name);
        let session = session_column(&table.name).filter(|name| table.position(name).is_some());
        for (key, column) in keys {
            let sql = format!(
                "INSERT INTO temp.tarsy_db_missing (parent, key, session, earliest_us)
                 SELECT {parent}, CAST({column} AS TEXT), min(CAST({session} AS TEXT)), min(CAST({time} AS INTEGER)) {from}
                 GROUP BY 2 COLLATE BINARY
                 ON CONFLICT (parent, key) DO UPDATE SET earliest_us =
                     coalesce(min(earliest_us, excluded.earliest_us), earliest_us, excluded.earliest_us)",
                parent = literal(&key.referenced_table),
                column = converted(&table.name, column),
                session = session.map_or("NULL".to_owned(), |name| converted(&table.name, name)),
                time = time_column(table).map_or("NULL".to_owned(), quoted),
                from = from_orphans(table, key),
            );
            connection.execute(&sql, [])?;
        }
    }
    Ok(())
}

/// Collects the missing parents of the placeholders for the rows that were found since the last call. Returns whether
/// there are any.
pub(crate) fn find_of_placeholders(
    connection: &Connection,
    tables: &[Arc<TablePlan>],
    side: Parents,
) -> Result<bool, DatabaseCause> {
    connection.execute("UPDATE temp.tarsy_db_missing SET state = 'current' WHERE state = 'new'", [])?;
    for table in tables.iter().rev() {
        let contents = contents(table, tables);
        for (key, column) in references(table, tables, side) {
            let Some(value) = table.position(column).and_then(|place| contents[place].expression()) else { continue };
            let sql = format!(
                "INSERT OR IGNORE INTO temp.tarsy_db_missing (parent, key)
                 SELECT DISTINCT {}, {value} FROM temp.tarsy_db_missing
                 WHERE parent = {} AND state = 'current' AND {value} NOT IN ({})",
                literal(&key.referenced_table),
                literal(&table.name),
                parents(key),
            );
            connection.execute(&sql, [])?;
        }
    }
    connection.execute("UPDATE temp.tarsy_db_missing SET state = 'done' WHERE state = 'current'", [])?;
    let sql = "SELECT EXISTS (SELECT 1 FROM temp.tarsy_db_missing WHERE state = 'new')";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// The id of a missing row and its key: `None` if it is not a text that the target can have.
pub(crate) type MissingKey = (i64, Option<String>);

/// The next missing rows of a table, after this one, for which the target was not asked.
pub(crate) fn next_keys(
    connection: &Connection,
    parent: &str,
    after: i64,
    limit: u32,
) -> Result<Vec<MissingKey>, DatabaseCause> {
    let sql = "SELECT id, key FROM temp.tarsy_db_missing WHERE parent = ?1 AND state = 'new' AND id > ?2 ORDER BY id LIMIT ?3";
    let mut statement = connection.prepare(sql)?;
    let keys = statement.query_map(params![parent, after, limit], |row| {
        let key = row.get_ref(1)?.as_str().ok().filter(|key| !key.contains('\0'));
        Ok((row.get(0)?, key.map(str::to_owned)))
    })?;
    Ok(keys.collect::<Result<_, _>>()?)
}

/// Records that the target has these rows.
pub(crate) fn mark_present(connection: &Connection, ids: &[i64]) -> Result<(), DatabaseCause> {
    let mut statement = connection.prepare("UPDATE temp.tarsy_db_missing SET state = 'present' WHERE id = ?1")?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}

/// Calls `visit` with each missing row of a table, in the order of their keys.
pub(crate) fn for_each(
    connection: &Connection,
    parent: &str,
    mut visit: impl FnMut(MissingRow) -> Result<(), DatabaseCause>,
) -> Result<(), DatabaseCause> {
    let sql = "SELECT key, session, earliest_us FROM temp.tarsy_db_missing
               WHERE parent = ?1 AND state <> 'present' ORDER BY key";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([parent])?;
    while let Some(row) = rows.next()? {
        let text =
            |index| Ok::<_, rusqlite::Error>(row.get_ref(index)?.as_bytes_or_null()?.map(String::from_utf8_lossy));
        // Without a policy, bytes that are not UTF-8 are hazards of the children; the policy replaces them likewise.
        let (key, session) = (text(0)?.unwrap_or_default().into_owned(), text(1)?.map(Cow::into_owned));
        visit(MissingRow { key, session, earliest_us: row.get(2)? })?;
    }
    Ok(())
}

/// Adds the rows of a FROM clause that a key references to those that the target is asked for.
pub(crate) fn add(connection: &Connection, key: &ForeignKey, from: &str) -> Result<(), DatabaseCause> {
    let parent = &key.referenced_table;
    for column in &key.referenced_columns {
        let sql = format!(
            "INSERT OR IGNORE INTO temp.tarsy_db_missing (parent, key) SELECT {}, CAST({} AS TEXT) {from}",
            literal(parent),
            converted(parent, column)
        );
        connection.execute(&sql, [])?;
    }
    Ok(())
}

/// The condition that the target does not have the row that a key references. `None` if the target is not asked for it.
pub(crate) fn is_absent(table: &TablePlan, key: &ForeignKey) -> Option<String> {
    let [column] = key.columns.as_slice() else { return None };
    is_asked_for(key).then(|| {
        format!(
            "CAST({} AS TEXT) NOT IN (SELECT key FROM temp.tarsy_db_missing WHERE parent = {} AND state = 'present')",
            converted(&table.name, column),
            literal(&key.referenced_table)
        )
    })
}

/// Whether the target can be asked for the rows that a key references. Others are keys of the operator's.
pub(crate) fn is_asked_for(key: &ForeignKey) -> bool {
    key.columns.len() == 1 && primary_key(&key.referenced_table).is_some_and(|own| key.referenced_columns == [own])
}

/// The foreign keys of one column to tables that are copied, with that column. Only those of which is known what both
/// sides have.
fn references<'t>(
    table: &'t TablePlan,
    tables: &[Arc<TablePlan>],
    side: Parents,
) -> impl Iterator<Item = (&'t ForeignKey, &'t str)> {
    let keys = foreign_keys(table).filter(|key| tables.iter().any(|parent| parent.name == key.referenced_table));
    let keys = keys.filter(move |key| side == Parents::InSource || is_asked_for(key));
    keys.filter_map(|key| match key.columns.as_slice() {
        [column] => Some((key, column.as_str())),
        _ => None,
    })
}
