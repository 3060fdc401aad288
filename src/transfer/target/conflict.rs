//! Why staged rows cannot be appended: the target has a row with the same primary key and other values, another row has
//! the same unique key, or a referenced row is missing on both sides.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::task::yield_now;

use super::error::WriteError;
use super::staging::{place, same};
use crate::database::failure::{Action, ResultExt, Verb};
use crate::database::quote::{literal, quoted};
use crate::database::sqlite_value::{SHOWN_CHARACTERS, SqliteValue};
use crate::diagnostic::{Counts, Details, Diagnostic, NAMED};
use crate::exit_code::ExitCode;
use crate::format::counted;
use crate::schema::model::ForeignKey;
use crate::transfer::plan::{TablePlan, TransferPlan};
use crate::transfer::report::{Findings, ReportError};
use crate::transfer::source::constraints::foreign_keys;
use crate::transfer::value::column::ColumnPlan;
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::hazard::{Fault, Hazard, Reason, Values};
use crate::transfer::value::hazard_list::HazardList;

/// A row of the source that conflicts with one of the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Conflict {
    /// The table of both rows.
    pub table: String,
    /// The primary key of the source's row.
    pub primary_key: String,
    /// The primary key of the target's row; the same if only other columns differ.
    pub target_primary_key: String,
    /// The columns that differ, or the unique key that the target's row already has.
    pub columns: Vec<String>,
}

impl Conflict {
    /// Whether both rows have the same primary key and differ in other columns.
    #[must_use]
    pub(crate) fn is_difference(&self) -> bool {
        self.primary_key == self.target_primary_key
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, primary_key, target_primary_key, columns } = self;
        let columns = columns.join(", ");
        match self.is_difference() {
            true => write!(f, "{table} `{primary_key}`: exists with another value of {columns}"),
            false => write!(f, "{table} `{primary_key}`: `{target_primary_key}` has the same {columns}"),
        }
    }
}

/// Receives a conflict; an error ends the run.
pub(crate) type ConflictSink<'s> = dyn Fn(&Conflict) -> Result<(), ReportError> + 's;

/// The conflicts that were found so far. There may be as many as rows, so that only the report has all.
#[derive(Debug, Default)]
pub(crate) struct ConflictList {
    /// At most [`NAMED`].
    first: Vec<Conflict>,
    /// By table.
    counts: BTreeMap<String, u64>,
    /// How many rows exist on the target with other values.
    different: u64,
    /// How many others have a unique key of a row of the target.
    duplicates: u64,
    /// Table and primary key of the last row.
    last: Option<(String, String)>,
}

impl ConflictList {
    /// Adds a conflict. Those of one row follow each other, with the difference as the first.
    pub(crate) fn add(&mut self, conflict: Conflict) {
        let row = (conflict.table.clone(), conflict.primary_key.clone());
        if self.last.as_ref() != Some(&row) {
            let rows = if conflict.is_difference() { &mut self.different } else { &mut self.duplicates };
            *rows += 1;
            self.last = Some(row);
        }
        *self.counts.entry(conflict.table.clone()).or_default() += 1;
        if self.first.len() < NAMED {
            self.first.push(conflict);
        }
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// Rows conflict with rows of the target.
#[derive(Debug, thiserror::Error)]
#[error("{} with rows of the target; nothing was changed ({insertable} more could be inserted, {identical} already exist)", conflicting(*.rows))]
pub(crate) struct ConflictError {
    /// The first conflicts, one or more for each row.
    first: Vec<Conflict>,
    /// How many conflicts there are, by table.
    counts: Counts,
    /// How many rows conflict.
    rows: u64,
    /// How many rows could be inserted.
    insertable: u64,
    /// How many rows already exist and are identical.
    identical: u64,
}

impl Diagnostic for ConflictError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Refused
    }

    fn hint(&self) -> Option<String> {
        Some(
            "compare the rows with these keys on both sides; `--append` never changes rows of the target; to append the \
             other rows, delete the conflicting ones from a copy of the source and append the copy"
                .into(),
        )
    }

    fn details(&self) -> Details {
        Details { counts: Some(self.counts.clone()), ..Details::of(&self.first) }
    }
}

fn conflicting(rows: u64) -> String {
    format!("{} {}", counted(rows, "row"), if rows == 1 { "conflicts" } else { "conflict" })
}

impl ConflictError {
    /// From the number of rows to append, and of those whose primary key exists on the target.
    pub(crate) fn of(conflicts: ConflictList, rows: u64, present: u64) -> Self {
        let ConflictList { first, counts, different, duplicates, .. } = conflicts;
        let identical = present.saturating_sub(different);
        let insertable = rows.saturating_sub(present + duplicates);
        Self { first, counts: Counts::of(counts.into_iter()), rows: different + duplicates, insertable, identical }
    }
}

/// Finds the rows of a table that conflict.
pub(crate) async fn find_conflicts(
    connection: &mut PgConnection,
    table: &TablePlan,
    found: &mut ConflictList,
    sink: &ConflictSink<'_>,
) -> Result<(), WriteError> {
    let action = Action::from((Verb::Compare, format!("the rows of {}", table.name)));
    let mut rows = sqlx::query(AssertSqlSafe(conflicts_of(table))).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await.context(&action)? {
        let conflict = Conflict {
            table: table.name.clone(),
            primary_key: row.try_get(0).context(&action)?,
            target_primary_key: row.try_get(1).context(&action)?,
            columns: row.try_get(2).context(&action)?,
        };
        sink(&conflict)?;
        found.add(conflict);
        // Rows are often ready at once: without this a signal would not be handled before the last one.
        yield_now().await;
    }
    Ok(())
}

/// Finds the rows of a table that reference a row which neither the source nor the target has.
pub(crate) async fn find_orphans(
    connection: &mut PgConnection,
    table: &TablePlan,
    plan: &TransferPlan,
    values: Values,
    (found, findings): (&mut HazardList, &dyn Findings),
) -> Result<(), WriteError> {
    let action = Action::from((Verb::Find, format!("orphans in {}", table.name)));
    for key in foreign_keys(table) {
        let column = key.columns.join(", ");
        let query = sqlx::query(AssertSqlSafe(parentless(table, key, plan))).persistent(false);
        let mut rows = query.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await.context(&action)? {
            let hazard =
                Hazard::new(&table.name, row.try_get(0).context(&action)?, &column, &Fault::whole(Reason::Orphan));
            let value: Option<String> = row.try_get(1).context(&action)?;
            let value = value.and_then(|value| values.show(SqliteValue::Text(value.as_bytes())));
            let hazard = Hazard { value, ..hazard };
            findings.hazards(std::slice::from_ref(&hazard))?;
            found.add(&[hazard]);
            yield_now().await;
        }
    }
    Ok(())
}

/// Selects the conflicts of a table: those of one row follow each other, with the difference as the first.
fn conflicts_of(table: &TablePlan) -> String {
    let other_keys = table.unique_keys.iter().filter(|key| !table.key_names().eq(&key.columns));
    let kinds = std::iter::once(differing(table)).chain(other_keys.map(|key| duplicates(table, &key.columns)));
    let kinds = kinds.enumerate().map(|(nth, query)| format!("SELECT *, {nth} AS nth FROM ({query}) AS kind"));
    format!(
        "SELECT row_key, target_key, differing FROM ({}) AS conflict ORDER BY row_key COLLATE \"C\", nth",
        kinds.collect::<Vec<_>>().join(" UNION ALL ")
    )
}

/// Selects the rows that exist on the target with other values.
fn differing(table: &TablePlan) -> String {
    let differences: Vec<_> = table.columns.iter().map(|column| (literal(&column.name), differs(column))).collect();
    let named = differences.iter().map(|(name, differs)| format!("CASE WHEN {differs} THEN {name} END"));
    format!(
        "SELECT {staged_key} AS row_key, {target_key} AS target_key,
             array_remove(ARRAY[{named}]::text[], NULL) AS differing
         FROM ONLY {name} AS there JOIN {place} AS staged ON {same} WHERE {differ}",
        staged_key = shown_key(table, "staged"),
        target_key = shown_key(table, "there"),
        named = named.collect::<Vec<_>>().join(", "),
        name = table.qualified_name,
        place = place(table),
        same = same(table.key_names()),
        differ = differences.iter().map(|(_, differs)| differs.as_str()).collect::<Vec<_>>().join(" OR "),
    )
}

/// Selects the rows whose unique key another row of the target already has.
fn duplicates(table: &TablePlan, key: &[String]) -> String {
    let names = key.iter().map(|column| literal(column)).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT {staged_key} AS row_key, {target_key} AS target_key, ARRAY[{names}]::text[] AS differing
         FROM ONLY {name} AS there JOIN {place} AS staged ON {same_values} WHERE NOT ({same_row})",
        staged_key = shown_key(table, "staged"),
        target_key = shown_key(table, "there"),
        name = table.qualified_name,
        place = place(table),
        same_values = same(key.iter().map(String::as_str)),
        same_row = same(table.key_names()),
    )
}

/// Selects the rows that reference a missing row, and the beginning of the reference if it is one value.
fn parentless(table: &TablePlan, key: &ForeignKey, plan: &TransferPlan) -> String {
    let parent = plan.tables.iter().find(|parent| parent.name == key.referenced_table);
    let on_target = plan.namespace.table(&key.referenced_table);
    let places = std::iter::once(format!("ONLY {on_target}")).chain(parent.map(|parent| place(parent)));
    let pairs = key.columns.iter().zip(&key.referenced_columns);
    let pairs = pairs.map(|(from, to)| format!("parent.{} = staged.{}", quoted(to), quoted(from)));
    let matching = pairs.collect::<Vec<_>>().join(" AND ");
    let given = key.columns.iter().map(|column| format!("staged.{} IS NOT NULL", quoted(column)));
    let absent = places.map(|place| format!("NOT EXISTS (SELECT FROM {place} AS parent WHERE {matching})"));
    let value = match key.columns.as_slice() {
        [column] => format!("pg_catalog.left(staged.{}::text, {SHOWN_CHARACTERS})", quoted(column)),
        _ => "NULL::text".to_owned(),
    };
    format!(
        "SELECT {key}, {value} FROM {place} AS staged WHERE {conditions} ORDER BY 1",
        key = shown_key(table, "staged"),
        place = place(table),
        conditions = given.chain(absent).collect::<Vec<_>>().join(" AND ")
    )
}

/// The primary key as text.
fn shown_key(table: &TablePlan, row: &str) -> String {
    let parts = table.key_names().map(|column| format!("{row}.{}::text", quoted(column)));
    format!("concat_ws(', ', {})", parts.collect::<Vec<_>>().join(", "))
}

/// The condition that the target's value differs from the staged one, as exactly as the digests compare them.
fn differs(column: &ColumnPlan) -> String {
    let [there, staged] = ["there", "staged"].map(|row| {
        let value = format!("{row}.{}", quoted(&column.name));
        match column.target {
            // Compares bytes, also under a collation that treats different texts as equal.
            ColumnType::Text(_) => format!("{value} COLLATE \"C\""),
            ColumnType::Json => format!("{value}::text COLLATE \"C\""),
            // Negative zero equals zero, and one NaN the other.
            ColumnType::Double => format!("pg_catalog.float8send({value})"),
            ColumnType::Jsonb
            | ColumnType::BigInt
            | ColumnType::Integer
            | ColumnType::Boolean
            | ColumnType::Timestamp => value,
        }
    });
    format!("{there} IS DISTINCT FROM {staged}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(target_primary_key: &str, columns: &[&str]) -> String {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        let (table, primary_key) = ("alert_sessions".to_owned(), "one".to_owned());
        Conflict { table, primary_key, target_primary_key: target_primary_key.to_owned(), columns }.to_string()
    }

    fn list(conflicts: impl Iterator<Item = (String, String)>) -> ConflictList {
        let mut list = ConflictList::default();
        for (primary_key, target_primary_key) in conflicts {
            let (table, columns) = ("alert_sessions".to_owned(), Vec::new());
            list.add(Conflict { table, primary_key, target_primary_key, columns });
        }
        list
    }

    #[test]
    fn a_refusal_counts_rows_and_not_conflicts() {
        // Of ten rows six exist on the target; "one" has other values there, and shares a unique key with "two".
        let conflicts = [("one", "one"), ("one", "two"), ("three", "two"), ("three", "four")];
        let conflicts = conflicts.into_iter().map(|(row, target)| (row.to_owned(), target.to_owned()));
        let error = ConflictError::of(list(conflicts), 10, 6);
        assert_eq!((error.insertable, error.identical), (3, 5));
        assert!(error.to_string().starts_with("2 rows conflict with rows of the target"), "{error}");
    }

    #[test]
    fn of_many_conflicts_the_first_are_kept_and_all_are_counted() {
        let rows = (0..10 * NAMED).map(|row| (row.to_string(), row.to_string()));
        let error = ConflictError::of(list(rows), 20_000, 15_000);
        assert_eq!((error.first.len(), error.identical, error.insertable), (NAMED, 5_000, 5_000));
        let counts = error.details().counts.expect("counts");
        assert_eq!(counts.groups().collect::<Vec<_>>(), [("alert_sessions", 10_000)]);
    }

    #[test]
    fn a_conflict_names_the_row_of_the_target_and_the_columns() {
        assert_eq!(
            shown("one", &["author", "status"]),
            "alert_sessions `one`: exists with another value of author, status"
        );
        assert_eq!(shown("two", &["alert_id"]), "alert_sessions `one`: `two` has the same alert_id");
    }
}
