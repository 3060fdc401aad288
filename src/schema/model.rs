//! Tables, columns, indexes and keys, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::column_kind::ColumnKind;

/// The tables of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    pub tables: BTreeMap<String, Table>,
}

impl Schema {
    /// Whether a table has a column of that name.
    #[must_use]
    pub fn has_column(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.columns.contains_key(column))
    }

    pub(crate) fn column_mut(&mut self, table: &str, column: &str) -> Option<&mut Column> {
        self.tables.get_mut(table)?.columns.get_mut(column)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its schema on PostgreSQL.
    #[serde(skip)]
    pub schema: Option<String>,
    /// By name; their order differs between databases of the same revision and has no meaning.
    pub columns: BTreeMap<String, Column>,
    /// The columns whose NOT NULL is `NOT VALID`, which PostgreSQL 18 allows: older rows may hold NULL.
    #[serde(skip)]
    pub unvalidated_not_nulls: BTreeSet<String>,
    /// The columns of the primary key, in order.
    pub primary_key: Vec<String>,
    /// By name, without the primary key's index.
    pub indexes: BTreeMap<String, Index>,
    /// In the order of their names on PostgreSQL, of their definition on SQLite, so that two reads of one table are
    /// equal.
    pub foreign_keys: Vec<ForeignKey>,
    /// Foreign keys that may exist or not. Empty in a schema that was read.
    #[serde(skip)]
    pub optional_foreign_keys: Vec<ForeignKey>,
    /// Whether it is UNLOGGED, so that a crash of the server empties it.
    pub is_unlogged: bool,
    /// Objects that act when rows are written or read: triggers, rules, row policies.
    pub hooks: BTreeSet<String>,
    /// CHECK and EXCLUDE constraints by name and definition. SQLite does not list its own.
    pub checks: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub kind: ColumnKind,
    pub nullable: bool,
    /// The default as an SQL expression.
    pub default: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Columns or expressions, in order.
    pub columns: Vec<String>,
    pub unique: bool,
    pub method: IndexMethod,
    /// One per column; empty for the type's default.
    pub operator_classes: Vec<String>,
    /// The condition of a partial index.
    pub predicate: Option<String>,
    /// False after a failed `CREATE INDEX CONCURRENTLY`.
    pub valid: bool,
}

/// An access method, in PostgreSQL's terms; SQLite has only b-trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum IndexMethod {
    /// The method of all TARSy indexes but one.
    BTree,
    /// For equality only.
    Hash,
    /// For values inside a document.
    Gin,
    /// Of an extension.
    Other(String),
}

impl From<String> for IndexMethod {
    fn from(name: String) -> Self {
        [Self::BTree, Self::Hash, Self::Gin].into_iter().find(|known| known.name() == name).unwrap_or(Self::Other(name))
    }
}

impl From<IndexMethod> for String {
    fn from(method: IndexMethod) -> Self {
        method.to_string()
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

/// The action of a foreign key when the referenced row is deleted or its key changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKeyAction {
    /// Refused at the end of the statement or the transaction.
    NoAction,
    /// The referencing rows are deleted or changed as well.
    Cascade,
    /// The referencing column becomes NULL.
    SetNull,
    /// The referencing column becomes its default.
    SetDefault,
    /// Refused immediately.
    Restrict,
}

impl ForeignKeyAction {
    const ALL: [Self; 5] = [Self::NoAction, Self::Cascade, Self::SetNull, Self::SetDefault, Self::Restrict];

    /// Parses the SQL name, which both backends return.
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The constraint's name; most of SQLite's have none.
    pub name: Option<String>,
    pub columns: Vec<String>,
    pub referenced_table: String,
    /// The referenced table in SQL: with quotes, and on PostgreSQL with its schema.
    #[serde(skip)]
    pub referenced_place: String,
    /// The operators that compare the columns, in SQL with their schemas. Empty on SQLite, and where they or the types
    /// of the columns are not PostgreSQL's own: the owner of a type may have planted a cast that comparing would run.
    pub operators: Vec<String>,
    pub referenced_columns: Vec<String>,
    pub on_delete: ForeignKeyAction,
    pub on_update: ForeignKeyAction,
    /// False for `NOT VALID`: older rows were never checked.
    pub validated: bool,
    /// True for `NOT ENFORCED`, which PostgreSQL 18 allows: the server checks no row.
    #[serde(skip)]
    pub is_not_enforced: bool,
    /// Whether it can be checked at the end of a transaction.
    pub is_deferrable: bool,
}

impl ForeignKey {
    /// Whether both keys enforce the same. Their names are ignored, because SQLite's keys have none, and so are the
    /// schemas of the tables, which are temporary where they are expected.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let variant = |key: &Self| Self {
            name: None,
            validated: true,
            is_not_enforced: false,
            referenced_place: String::new(),
            operators: Vec::new(),
            ..key.clone()
        };
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
