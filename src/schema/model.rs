//! Tables, columns, indexes and keys, as data.

use std::collections::{BTreeMap, BTreeSet};

/// The tables of one database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// By name.
    pub tables: BTreeMap<String, Table>,
}

impl Schema {
    /// Whether there is a table with a column of that name.
    #[must_use]
    pub fn has_column(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.columns.contains_key(column))
    }

    pub(crate) fn column_mut(&mut self, table: &str, column: &str) -> Option<&mut Column> {
        self.tables.get_mut(table)?.columns.get_mut(column)
    }
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// By name; their order differs between databases of the same revision and means nothing.
    pub columns: BTreeMap<String, Column>,
    /// The columns of the primary key, in its order.
    pub primary_key: Vec<String>,
    /// By name, without the primary key's.
    pub indexes: BTreeMap<String, Index>,
    /// In the order of their names on PostgreSQL, of their definition on SQLite: two readings of one table are equal.
    pub foreign_keys: Vec<ForeignKey>,
    /// Those that may be there or not; a schema that was read has none.
    pub optional_foreign_keys: Vec<ForeignKey>,
    /// Whether a crash of the server empties it.
    pub is_unlogged: bool,
    /// What does something of its own when rows are written or read: triggers, rules, row policies.
    pub hooks: BTreeSet<String>,
    /// The conditions that rows have to fulfil: name and definition. SQLite does not list its own.
    pub checks: BTreeSet<String>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The type in the backend's own words, lower case.
    pub kind: String,
    /// Whether SQL NULL is allowed.
    pub nullable: bool,
    /// The default as an SQL expression.
    pub default: Option<String>,
}

/// One index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Columns or expressions, in order.
    pub columns: Vec<String>,
    /// Whether it refuses duplicates.
    pub unique: bool,
    /// `btree`, `gin` and so on.
    pub method: String,
    /// One per column; empty where it is the type's default.
    pub operator_classes: Vec<String>,
    /// The condition of a partial index.
    pub predicate: Option<String>,
    /// False after a failed `CREATE INDEX CONCURRENTLY`.
    pub valid: bool,
}

/// One foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The constraint's name; SQLite's have mostly none.
    pub name: Option<String>,
    /// The referencing columns.
    pub columns: Vec<String>,
    /// The table they point to.
    pub referenced_table: String,
    /// The columns they point to.
    pub referenced_columns: Vec<String>,
    /// `NO ACTION`, `CASCADE` and so on.
    pub on_delete: String,
    /// As `on_delete`.
    pub on_update: String,
    /// False for `NOT VALID`: old rows were never looked at.
    pub validated: bool,
    /// Whether it may be checked at the end of a transaction only.
    pub is_deferrable: bool,
}

impl ForeignKey {
    /// Whether both say the same. SQLite's keys have no names, and PostgreSQL's name says nothing that the rest
    /// does not.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let shape = |key: &Self| Self { name: None, validated: true, ..key.clone() };
        shape(self) == shape(other)
    }
}
