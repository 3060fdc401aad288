//! What a database looks like now, what a revision should look like, and the difference.
//!
//! The expected shape is never written down here: [`expected`] replays the migrations and reads
//! the result with the code that reads the live database.

pub mod difference;
pub mod early;
mod error;
pub mod expected;
mod inheritance;
pub mod lock;
mod postgresql;
pub mod privilege;
pub mod recommended;
pub mod repair;
pub mod row_policy;
pub mod script;
pub mod sequence;
pub mod shape;
mod sqlite;
pub mod standing;
pub mod survey;
pub mod upgrade;

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

pub use difference::Difference;
pub use error::{Drift, SchemaError};
pub use standing::Standing;

use crate::failure::Cause;

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

    fn column_mut(&mut self, table: &str, column: &str) -> Option<&mut Column> {
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

/// Reads the schema that unqualified names lead to.
///
/// # Errors
/// Whatever the database answers.
pub async fn read(connection: &impl ConnectionTrait) -> Result<Schema, DbErr> {
    match connection.get_database_backend() {
        DbBackend::Postgres => postgresql::read(connection, postgresql::Namespace::Visible).await,
        _ => sqlite::read(connection).await,
    }
}

/// Reads where the database stands, and the schema that belongs to it: an upgrade may end in between.
///
/// # Errors
/// As [`Standing::read`].
pub async fn read_standing(connection: &impl ConnectionTrait) -> Result<(Standing, Schema), Cause> {
    let mut standing = Standing::read(connection).await?;
    loop {
        let found = read(connection).await?;
        let after = Standing::read(connection).await?;
        if after == standing {
            return Ok((standing, found));
        }
        standing = after;
    }
}

/// Quotes a text for SQL that cannot be built otherwise.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Quotes an identifier for SQL that cannot be built otherwise. Every built statement uses it.
#[must_use]
pub fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
