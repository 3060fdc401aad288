//! Finds rows of the source that the target's keys would reject: orphans and duplicates. The source may lack these keys,
//! and SQLite does not always enforce its own.

use rusqlite::Connection;
use sea_orm::IdenStatic;

use super::converted::converted;
use super::row::AnyRow;
use super::table::rows_of;
use crate::database::failure::DatabaseCause;
use crate::database::quote::quoted;
use crate::history::entity::alert_sessions;
use crate::history::tables::SESSIONS;
use crate::schema::model::ForeignKey;
use crate::transfer::plan::{TablePlan, UniqueKey};
use crate::transfer::value::hazard::{Fault, Hazard, Reason, Values};

/// Receives a hazard; an error ends the search.
pub(crate) type HazardSink<'s> = dyn FnMut(Hazard) -> Result<(), DatabaseCause> + 's;

/// A search for the rows of a table that the target would reject.
#[derive(Clone, Copy)]
pub(crate) struct Search<'s> {
    pub(crate) connection: &'s Connection,
    pub(crate) table: &'s TablePlan,
    pub(crate) values: Values,
    /// An expression that is true for a row that a policy leaves out, if there are any.
    pub(crate) left_out: Option<&'s str>,
}

impl Search<'_> {
    /// Finds the rows that reference a missing row.
    pub(crate) fn orphans(self, sink: &mut HazardSink<'_>) -> Result<(), DatabaseCause> {
        for key in foreign_keys(self.table).filter(|key| has_parents(self.connection, key)) {
            self.each(&key.columns, Reason::Orphan, &from_orphans(self.table, key), sink)?;
        }
        Ok(())
    }

    /// Finds the rows that violate a unique index of the target.
    pub(crate) fn duplicates(self, indexes: Indexes, sink: &mut HazardSink<'_>) -> Result<(), DatabaseCause> {
        for key in &self.table.unique_keys {
            // The source enforces the same key on the same values.
            let is_unique = key.is_unique_in_source && indexes == Indexes::Sound;
            if is_unique && !is_converted(self.connection, self.table, key)? {
                continue;
            }
            self.each(&key.columns, Reason::DuplicateRow, &self.of_duplicates(key), sink)?;
        }
        Ok(())
    }

    /// The FROM clause for rows that have the same unique key as another row.
    fn of_duplicates(self, key: &UniqueKey) -> String {
        let values = all_converted(&self.table.name, &key.columns);
        let (given, values) = (all_given(&values), values.join(", "));
        let (name, is_copied) = (rows_of(&self.table.name), self.is_copied());
        format!(
            "FROM {name} WHERE ({values}) IN (
                 SELECT {values} FROM {name} WHERE {given} AND {is_copied} GROUP BY {values} HAVING count(*) > 1)
             AND {is_copied}"
        )
    }

    /// The condition for the rows that are copied.
    pub(crate) fn is_copied(self) -> String {
        self.left_out.map_or("TRUE".to_owned(), |left_out| format!("NOT ({left_out})"))
    }

    /// Reads the rows of a FROM clause, each of which is a hazard of these columns.
    pub(crate) fn each(
        self,
        columns: &[String],
        reason: Reason,
        from: &str,
        sink: &mut HazardSink<'_>,
    ) -> Result<(), DatabaseCause> {
        let (table, keys) = (self.table, self.table.primary_key.len());
        let shown = columns.join(", ");
        let sql = format!("SELECT {}, {} {from}", primary_key_list(table), column_list(columns));
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let row = AnyRow::Stored(row);
            // The hazard of several values is none of one value.
            let value = if columns.len() == 1 { self.values.show(row.stored(keys)) } else { None };
            let hazard = Hazard::new(&table.name, row.shown_key(0..keys), &shown, &Fault::whole(reason));
            sink(Hazard { value, ..hazard })?;
        }
        Ok(())
    }
}

/// The start of the latest session, in microseconds since the epoch.
pub(crate) fn latest_start(connection: &Connection) -> Result<Option<i64>, DatabaseCause> {
    let (sessions, start) = (rows_of(SESSIONS), quoted(alert_sessions::Column::StartedAtUs.as_str()));
    let sql = format!("SELECT max({start}) FROM {sessions} WHERE typeof({start}) = 'integer'");
    Ok(connection.query_row(&sql, [], |row| row.get(0))?)
}

/// SQLite collects the parents once and looks up each child among them.
pub(crate) fn from_orphans(table: &TablePlan, key: &ForeignKey) -> String {
    let columns = all_converted(&table.name, &key.columns);
    format!(
        "FROM {children} WHERE {given} AND ({columns}) NOT IN ({parents})",
        children = rows_of(&table.name),
        given = all_given(&columns),
        columns = columns.join(", "),
        parents = parents(key),
    )
}

/// The keys that a foreign key may reference.
pub(crate) fn parents(key: &ForeignKey) -> String {
    let columns = all_converted(&key.referenced_table, &key.referenced_columns);
    let rows = rows_of(&key.referenced_table);
    format!("SELECT {} FROM {rows} WHERE {}", columns.join(", "), all_given(&columns))
}

/// Whether the source has the columns that a key references. Of a table of the operator's own on the target the server
/// decides.
pub(crate) fn has_parents(connection: &Connection, key: &ForeignKey) -> bool {
    connection.prepare(&parents(key)).is_ok()
}

/// Columns that are compared as PostgreSQL compares them: a function's value has no collation of the source.
pub(crate) fn all_converted(table: &str, columns: &[String]) -> Vec<String> {
    columns.iter().map(|column| converted(table, column)).collect()
}

fn all_given(columns: &[String]) -> String {
    columns.iter().map(|column| format!("{column} IS NOT NULL")).collect::<Vec<_>>().join(" AND ")
}

/// The foreign keys of a table whose columns are all copied.
pub(crate) fn foreign_keys(table: &TablePlan) -> impl Iterator<Item = &ForeignKey> {
    table.foreign_keys.iter().filter(|key| key.columns.iter().all(|column| table.position(column).is_some()))
}

/// Whether queries may rely on the indexes of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexes {
    /// The integrity check found no problem.
    Sound,
    /// The integrity check found problems, or could not check everything.
    Doubted,
}

/// Whether a value of a key will be another one on the target.
fn is_converted(connection: &Connection, table: &TablePlan, key: &UniqueKey) -> Result<bool, DatabaseCause> {
    let differs = |column: &String| format!("{} IS NOT {}", converted(&table.name, column), quoted(column));
    let differs = key.columns.iter().map(differs).collect::<Vec<_>>().join(" OR ");
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {differs})", rows_of(&table.name));
    Ok(connection.query_row(&sql, [], |row| row.get(0))?)
}

fn column_list(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

pub(crate) fn primary_key_list(table: &TablePlan) -> String {
    table.primary_key.iter().map(|index| quoted(&table.columns[*index].name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::schema::model::ForeignKeyAction;
    use crate::transfer::source::converted::define;
    use crate::transfer::value::column::ColumnPlan;
    use crate::transfer::value::column_type::ColumnType;
    use crate::transfer::value::policy::Policies;

    #[test]
    fn parents_are_collected_once_and_without_an_index() {
        let connection = Connection::open_in_memory().expect("a database");
        let tables = "CREATE TABLE parents (id VARCHAR NOT NULL PRIMARY KEY, name TEXT);
                      CREATE TABLE children (id INTEGER PRIMARY KEY, parent VARCHAR NOT NULL);
                      CREATE INDEX by_parent ON children (parent)";
        connection.execute_batch(tables).expect("tables");
        define(&connection, &[], &Policies::default()).expect("the function");
        let column = |name: &str| ColumnPlan { name: name.to_owned(), target: ColumnType::BigInt, nullable: false };
        let children = TablePlan {
            name: "children".to_owned(),
            qualified_name: String::new(),
            columns: vec![column("id"), column("parent")],
            primary_key: vec![0],
            foreign_keys: Vec::new(),
            unique_keys: Vec::new(),
            b_trees: BTreeSet::new(),
            index_methods: Vec::new(),
        };
        let key = ForeignKey {
            columns: vec!["parent".to_owned()],
            referenced_table: "parents".to_owned(),
            referenced_place: "\"parents\"".to_owned(),
            operators: Vec::new(),
            referenced_columns: vec!["id".to_owned()],
            name: None,
            on_delete: ForeignKeyAction::NoAction,
            on_update: ForeignKeyAction::NoAction,
            validated: true,
            is_not_enforced: false,
            is_deferrable: false,
        };
        let sql = format!("EXPLAIN QUERY PLAN SELECT id {}", from_orphans(&children, &key));
        let mut statement = connection.prepare(&sql).expect("a query");
        let steps = statement.query_map([], |row| row.get::<_, String>(3)).expect("a plan");
        let steps: Vec<_> = steps.collect::<Result<_, _>>().expect("steps");
        assert!(
            steps.starts_with(&["SCAN children", "LIST SUBQUERY 1", "SCAN parents"].map(str::to_owned)),
            "{steps:?}"
        );
    }
}
