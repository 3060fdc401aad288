//! Why staged rows cannot be appended: the target has a row with the same primary key and other values, another row has
//! the same unique key, or a referenced row is missing on both sides.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::staging::{place, same};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::quote::{literal, quoted};
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::format::counted;
use crate::schema::model::ForeignKey;
use crate::transfer::plan::{TablePlan, TransferPlan};
use crate::transfer::source::constraints::foreign_keys;
use crate::transfer::value::column::ColumnPlan;
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::hazard::{Fault, Hazard, Reason};

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

/// All rows that conflict with rows of the target.
#[derive(Debug, thiserror::Error)]
#[error("{} with rows of the target; nothing was changed ({insertable} more could be inserted, {identical} already exist)", conflicting_rows(.conflicts))]
pub(crate) struct ConflictError {
    /// One or more for each row.
    pub conflicts: Vec<Conflict>,
    /// How many rows could be inserted.
    pub insertable: u64,
    /// How many rows already exist and are identical.
    pub identical: u64,
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
        Details::of(&self.conflicts)
    }
}

fn conflicting_rows(conflicts: &[Conflict]) -> String {
    let rows: BTreeSet<_> = conflicts.iter().map(|conflict| (&conflict.table, &conflict.primary_key)).collect();
    format!("{} {}", counted(rows.len() as u64, "row"), if rows.len() == 1 { "conflicts" } else { "conflict" })
}

impl ConflictError {
    /// From the number of rows to append, and of those whose primary key exists on the target.
    pub(crate) fn of(conflicts: Vec<Conflict>, rows: u64, present: u64) -> Self {
        let keys = |is_difference: bool| -> BTreeSet<(&str, &str)> {
            let conflicts = conflicts.iter().filter(|conflict| conflict.is_difference() == is_difference);
            conflicts.map(|conflict| (conflict.table.as_str(), conflict.primary_key.as_str())).collect()
        };
        let (different, duplicate) = (keys(true), keys(false));
        let duplicates = duplicate.difference(&different).count() as u64;
        let identical = present.saturating_sub(different.len() as u64);
        let insertable = rows.saturating_sub(present + duplicates);
        Self { conflicts, insertable, identical }
    }
}

/// Finds the rows of a table that conflict.
pub(crate) async fn conflicts(
    connection: &mut PgConnection,
    table: &TablePlan,
) -> Result<Vec<Conflict>, DatabaseError> {
    let action = Action::from((Verb::Compare, format!("the rows of {}", table.name)));
    let other_keys = table.unique_keys.iter().filter(|key| !table.key_names().eq(&key.columns));
    let queries = std::iter::once(differing(table)).chain(other_keys.map(|key| duplicates(table, &key.columns)));
    let mut found = Vec::new();
    for sql in queries {
        for row in
            sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut *connection).await.context(&action)?
        {
            found.push(Conflict {
                table: table.name.clone(),
                primary_key: row.try_get(0).context(&action)?,
                target_primary_key: row.try_get(1).context(&action)?,
                columns: row.try_get(2).context(&action)?,
            });
        }
    }
    Ok(found)
}

/// Finds the rows of a table that reference a row which neither the source nor the target has.
pub(crate) async fn orphans(
    connection: &mut PgConnection,
    table: &TablePlan,
    plan: &TransferPlan,
) -> Result<Vec<Hazard>, DatabaseError> {
    let action = Action::from((Verb::Find, format!("orphans in {}", table.name)));
    let mut found = Vec::new();
    for key in foreign_keys(table) {
        let query = sqlx::query_scalar(AssertSqlSafe(parentless(table, key, plan))).persistent(false);
        let rows: Vec<String> = query.fetch_all(&mut *connection).await.context(&action)?;
        let column = key.columns.join(", ");
        let orphans = rows.into_iter().map(|row| Hazard::new(&table.name, row, &column, &Fault::whole(Reason::Orphan)));
        found.extend(orphans);
    }
    Ok(found)
}

/// Selects the rows that exist on the target with other values.
fn differing(table: &TablePlan) -> String {
    let differences: Vec<_> = table.columns.iter().map(|column| (literal(&column.name), differs(column))).collect();
    let named = differences.iter().map(|(name, differs)| format!("CASE WHEN {differs} THEN {name} END"));
    format!(
        "SELECT {staged_key}, {target_key}, array_remove(ARRAY[{named}]::text[], NULL)
         FROM ONLY {name} AS there JOIN {place} AS staged ON {same} WHERE {differ} ORDER BY 1",
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
        "SELECT {staged_key}, {target_key}, ARRAY[{names}]::text[]
         FROM ONLY {name} AS there JOIN {place} AS staged ON {same_values} WHERE NOT ({same_row}) ORDER BY 1",
        staged_key = shown_key(table, "staged"),
        target_key = shown_key(table, "there"),
        name = table.qualified_name,
        place = place(table),
        same_values = same(key.iter().map(String::as_str)),
        same_row = same(table.key_names()),
    )
}

/// Selects the rows that reference a missing row.
fn parentless(table: &TablePlan, key: &ForeignKey, plan: &TransferPlan) -> String {
    let parent = plan.tables.iter().find(|parent| parent.name == key.referenced_table);
    let on_target = plan.namespace.table(&key.referenced_table);
    let places = std::iter::once(format!("ONLY {on_target}")).chain(parent.map(|parent| place(parent)));
    let pairs = key.columns.iter().zip(&key.referenced_columns);
    let pairs = pairs.map(|(from, to)| format!("parent.{} = staged.{}", quoted(to), quoted(from)));
    let matching = pairs.collect::<Vec<_>>().join(" AND ");
    let given = key.columns.iter().map(|column| format!("staged.{} IS NOT NULL", quoted(column)));
    let absent = places.map(|place| format!("NOT EXISTS (SELECT FROM {place} AS parent WHERE {matching})"));
    format!(
        "SELECT {key} FROM {place} AS staged WHERE {conditions} ORDER BY 1",
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

    #[test]
    fn a_refusal_counts_rows_and_not_conflicts() {
        let conflict = |primary_key: &str, target_primary_key: &str| Conflict {
            table: "alert_sessions".to_owned(),
            primary_key: primary_key.to_owned(),
            target_primary_key: target_primary_key.to_owned(),
            columns: Vec::new(),
        };
        // Of ten rows six exist on the target; "one" has other values there, and shares a unique key with "two".
        let conflicts = vec![conflict("one", "one"), conflict("one", "two"), conflict("three", "two")];
        let error = ConflictError::of(conflicts, 10, 6);
        assert_eq!((error.insertable, error.identical), (3, 5));
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
