//! Tables, columns, indexes and keys, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::column_kind::ColumnKind;

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
    /// The type.
    pub kind: ColumnKind,
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
    /// What it is built as.
    pub method: IndexMethod,
    /// One per column; empty where it is the type's default.
    pub operator_classes: Vec<String>,
    /// The condition of a partial index.
    pub predicate: Option<String>,
    /// False after a failed `CREATE INDEX CONCURRENTLY`.
    pub valid: bool,
}

/// An access method, as PostgreSQL calls it; SQLite has b-trees alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexMethod {
    /// What TARSy's indexes are, but for one.
    BTree,
    /// For equality alone.
    Hash,
    /// For what is inside of a value, as of a document.
    Gin,
    /// Of the operator's own, or of an extension.
    Other(String),
}

impl From<String> for IndexMethod {
    fn from(name: String) -> Self {
        [Self::BTree, Self::Hash, Self::Gin].into_iter().find(|known| known.name() == name).unwrap_or(Self::Other(name))
    }
}

impl IndexMethod {
    fn name(&self) -> &str {
        match self {
            IndexMethod::BTree => "btree",
            IndexMethod::Hash => "hash",
            IndexMethod::Gin => "gin",
            IndexMethod::Other(name) => name,
        }
    }
}

impl fmt::Display for IndexMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What becomes of rows when the one that they refer to is deleted, or its key changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKeyAction {
    /// They keep that from being done, at the end of the statement or the transaction.
    NoAction,
    /// They go, or change, as well.
    Cascade,
    /// Their column becomes NULL.
    SetNull,
    /// Their column becomes its default.
    SetDefault,
    /// They keep that from being done, at once.
    Restrict,
}

impl ForeignKeyAction {
    const ALL: [Self; 5] = [Self::NoAction, Self::Cascade, Self::SetNull, Self::SetDefault, Self::Restrict];

    /// The action of that name in SQL, which both backends give; there are no others.
    #[must_use]
    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|action| action.name() == name).unwrap_or(Self::Restrict)
    }

    fn name(self) -> &'static str {
        match self {
            ForeignKeyAction::NoAction => "NO ACTION",
            ForeignKeyAction::Cascade => "CASCADE",
            ForeignKeyAction::SetNull => "SET NULL",
            ForeignKeyAction::SetDefault => "SET DEFAULT",
            ForeignKeyAction::Restrict => "RESTRICT",
        }
    }
}

impl fmt::Display for ForeignKeyAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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
    /// What becomes of its rows when the referenced one is deleted.
    pub on_delete: ForeignKeyAction,
    /// As `on_delete`, when the referenced key changes.
    pub on_update: ForeignKeyAction,
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
        let variant = |key: &Self| Self { name: None, validated: true, ..key.clone() };
        variant(self) == variant(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_methods_are_shown_as_they_are_read() {
        for action in ForeignKeyAction::ALL {
            assert_eq!(ForeignKeyAction::named(&action.to_string()), action);
        }
        for name in ["btree", "hash", "gin", "hnsw"] {
            assert_eq!(IndexMethod::from(name.to_owned()).to_string(), name);
        }
        assert_eq!(IndexMethod::from("btree".to_owned()), IndexMethod::BTree);
    }
}
