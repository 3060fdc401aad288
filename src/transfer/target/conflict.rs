//! Why staged rows cannot come beside those of the target: their keys are there with other values, or other rows have
//! what may be there only once, or rows that they point to are nowhere.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::staging::{place, same};
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::format::counted;
use crate::schema::model::ForeignKey;
use crate::schema::sql::{literal, quoted};
use crate::transfer::plan::TablePlan;
use crate::transfer::source::constraints::foreign_keys;
use crate::transfer::value::column::ColumnPlan;
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::hazard::{Fault, Hazard, Reason};

/// A row of the source that cannot come beside those of the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Conflict {
    /// The table.
    pub table: String,
    /// The primary key of the row.
    pub primary_key: String,
    /// The primary key of the target's row that is in the way; the same where the row is there with other values.
    pub target_primary_key: String,
    /// The columns that differ, or those whose values another row has already.
    pub columns: Vec<String>,
}

impl Conflict {
    /// Whether the row is there, with other values.
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
            true => write!(f, "{table} `{primary_key}`: there with another {columns}"),
            false => write!(f, "{table} `{primary_key}`: `{target_primary_key}` is there with its {columns}"),
        }
    }
}

/// Rows that cannot come to those of the target, all of them.
#[derive(Debug, thiserror::Error)]
#[error("{} with the target's own; nothing was changed ({insertable} more could be inserted, {identical} are there already)", clashing_rows(.conflicts))]
pub(crate) struct ConflictError {
    /// All of them.
    pub conflicts: Vec<Conflict>,
    /// How many rows could be inserted.
    pub insertable: u64,
    /// How many rows are there, and the same.
    pub identical: u64,
}

impl Diagnostic for ConflictError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Refused
    }

    fn hint(&self) -> Option<String> {
        Some(
            "compare both by these keys: what the target holds is kept, and rows that are not wanted can be removed \
             from a copy of the source"
                .into(),
        )
    }

    fn details(&self) -> Details {
        Details::of(&self.conflicts)
    }
}

fn clashing_rows(conflicts: &[Conflict]) -> String {
    let rows: BTreeSet<_> = conflicts.iter().map(|conflict| (&conflict.table, &conflict.primary_key)).collect();
    format!("{} {}", counted(rows.len() as u64, "row"), if rows.len() == 1 { "clashes" } else { "clash" })
}

impl ConflictError {
    /// Of so many rows of which so many are there in some form.
    pub(crate) fn of(conflicts: Vec<Conflict>, rows: u64, present: u64) -> Self {
        let keys = |is_difference: bool| -> BTreeSet<(&str, &str)> {
            let conflicts = conflicts.iter().filter(|conflict| conflict.is_difference() == is_difference);
            conflicts.map(|conflict| (conflict.table.as_str(), conflict.primary_key.as_str())).collect()
        };
        let (different, taken) = (keys(true), keys(false));
        let kept_out = taken.difference(&different).count() as u64;
        let identical = present.saturating_sub(different.len() as u64);
        let insertable = rows.saturating_sub(present + kept_out);
        Self { conflicts, insertable, identical }
    }
}

/// Finds the rows of a table that clash.
pub(crate) async fn conflicts(
    connection: &mut PgConnection,
    table: &TablePlan,
) -> Result<Vec<Conflict>, DatabaseError> {
    let action = Action::from((Verb::Compare, format!("the rows of {}", table.name)));
    let other_keys = table.unique_keys.iter().filter(|key| !table.key_names().eq(&key.columns));
    let queries = std::iter::once(differing(table)).chain(other_keys.map(|key| taken(table, &key.columns)));
    let mut found = Vec::new();
    for sql in queries {
        for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await.context(&action)? {
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

/// Finds the rows of a table that point to one which neither the source nor the target has.
pub(crate) async fn orphans(
    connection: &mut PgConnection,
    table: &TablePlan,
    tables: &[Arc<TablePlan>],
) -> Result<Vec<Hazard>, DatabaseError> {
    let action = Action::from((Verb::Find, format!("orphans in {}", table.name)));
    let mut found = Vec::new();
    for key in foreign_keys(table) {
        let parent = tables.iter().find(|parent| parent.name == key.referenced_table);
        let query = sqlx::query_scalar(AssertSqlSafe(parentless(table, key, parent.map(Arc::as_ref))));
        let rows: Vec<String> = query.fetch_all(&mut *connection).await.context(&action)?;
        let column = key.columns.join(", ");
        let orphans = rows.into_iter().map(|row| Hazard::new(&table.name, row, &column, &Fault::whole(Reason::Orphan)));
        found.extend(orphans);
    }
    Ok(found)
}

/// The rows that are there with other values.
fn differing(table: &TablePlan) -> String {
    let differences: Vec<_> = table.columns.iter().map(|column| (literal(&column.name), differs(column))).collect();
    let named = differences.iter().map(|(name, differs)| format!("CASE WHEN {differs} THEN {name} END"));
    format!(
        "SELECT {staged_key}, {target_key}, array_remove(ARRAY[{named}]::text[], NULL)
         FROM ONLY {name} AS there JOIN {place} AS staged ON {same} WHERE {differ} ORDER BY 1",
        staged_key = shown_key(table, "staged"),
        target_key = shown_key(table, "there"),
        named = named.collect::<Vec<_>>().join(", "),
        name = quoted(&table.name),
        place = place(table),
        same = same(table.key_names()),
        differ = differences.iter().map(|(_, differs)| differs.as_str()).collect::<Vec<_>>().join(" OR "),
    )
}

/// The rows whose unique key another row has already.
fn taken(table: &TablePlan, key: &[String]) -> String {
    let names = key.iter().map(|column| literal(column)).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT {staged_key}, {target_key}, ARRAY[{names}]::text[]
         FROM ONLY {name} AS there JOIN {place} AS staged ON {same_values} WHERE NOT ({same_row}) ORDER BY 1",
        staged_key = shown_key(table, "staged"),
        target_key = shown_key(table, "there"),
        name = quoted(&table.name),
        place = place(table),
        same_values = same(key.iter().map(String::as_str)),
        same_row = same(table.key_names()),
    )
}

/// The rows whose foreign key leads nowhere.
fn parentless(table: &TablePlan, key: &ForeignKey, parent: Option<&TablePlan>) -> String {
    let places = std::iter::once(format!("ONLY {}", quoted(&key.referenced_table))).chain(parent.map(place));
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

/// The primary key as people read it.
fn shown_key(table: &TablePlan, row: &str) -> String {
    let parts = table.key_names().map(|column| format!("{row}.{}::text", quoted(column)));
    format!("concat_ws(', ', {})", parts.collect::<Vec<_>>().join(", "))
}

/// The condition that a value that is there is not the staged one, by what the digests of both ends tell apart.
fn differs(column: &ColumnPlan) -> String {
    let [there, staged] = ["there", "staged"].map(|row| {
        let value = format!("{row}.{}", quoted(&column.name));
        match column.target {
            // Whatever a collation takes for the same: bytes.
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

    fn clash(target_primary_key: &str, columns: &[&str]) -> String {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        let (table, primary_key) = ("alert_sessions".to_owned(), "one".to_owned());
        Conflict { table, primary_key, target_primary_key: target_primary_key.to_owned(), columns }.to_string()
    }

    #[test]
    fn a_refusal_counts_rows_and_not_clashes() {
        let clash = |primary_key: &str, target_primary_key: &str| Conflict {
            table: "alert_sessions".to_owned(),
            primary_key: primary_key.to_owned(),
            target_primary_key: target_primary_key.to_owned(),
            columns: Vec::new(),
        };
        // Of ten rows six are there: one with other values, which are also those of another row.
        let conflicts = vec![clash("one", "one"), clash("one", "two"), clash("three", "two")];
        let error = ConflictError::of(conflicts, 10, 6);
        assert_eq!((error.insertable, error.identical), (3, 5));
    }

    #[test]
    fn a_clash_says_which_row_of_the_target_is_in_the_way_and_by_what() {
        assert_eq!(clash("one", &["author", "status"]), "alert_sessions `one`: there with another author, status");
        assert_eq!(clash("two", &["alert_id"]), "alert_sessions `one`: `two` is there with its alert_id");
    }
}
