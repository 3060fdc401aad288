//! Columns that a database has before the revision that brings them.
//!
//! TARSy's backend creates a new database from its newest models, and at some releases these were ahead of the
//! migrations: a history born at revision 04, 12, 14 or 18 has the columns of the next revision already. On SQLite an
//! interrupted upgrade of the backend's leaves the same. The revision that brings such a column finds it there and
//! leaves it as it is, its values included.

use std::collections::{BTreeMap, BTreeSet};

use migration::Revision;

use super::model::Schema;

/// A column of a later revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EarlyColumn {
    /// The revision that brings it.
    pub revision: Revision,
    /// The table.
    pub table: &'static str,
    /// The column's name.
    pub name: &'static str,
}

/// Finds the columns of later revisions that a database at `revision` has already.
#[must_use]
pub(crate) fn columns(revision: Revision, found: &Schema) -> Vec<EarlyColumn> {
    let mut known: BTreeSet<_> = revision.added_columns().collect();
    let mut early = Vec::new();
    for later in Revision::HEAD.since(Some(revision)) {
        for (table, name) in later.added_columns().filter(|place| known.insert(*place)) {
            if found.has_column(table, name) {
                early.push(EarlyColumn { revision: later, table, name });
            }
        }
    }
    early
}

/// The revisions to replay for these columns to be defined at `revision`.
pub(crate) fn revisions<'e>(
    revision: Revision,
    early: impl IntoIterator<Item = &'e EarlyColumn>,
) -> BTreeSet<Revision> {
    early.into_iter().map(|column| column.revision).chain([revision]).collect()
}

/// Gives a schema those of the columns that it lacks, as the revisions that bring them define them.
pub(crate) fn add(schema: &mut Schema, early: &[EarlyColumn], replayed: &BTreeMap<Revision, Schema>) {
    for EarlyColumn { revision, table, name } in early {
        let defined = replayed.get(revision).and_then(|schema| schema.tables.get(*table)?.columns.get(*name));
        if let (Some(defined), Some(table)) = (defined, schema.tables.get_mut(*table)) {
            table.columns.entry((*name).to_owned()).or_insert_with(|| defined.clone());
        }
    }
}

/// A schema in which the columns are those of a database that was found.
#[must_use]
pub(crate) fn as_found(schema: &Schema, early: &[EarlyColumn], found: &Schema) -> Schema {
    let mut schema = schema.clone();
    for EarlyColumn { table, name, .. } in early {
        let own = found.tables.get(*table).and_then(|table| table.columns.get(*name));
        if let (Some(column), Some(own)) = (schema.column_mut(table, name), own) {
            column.clone_from(own);
        }
    }
    schema
}
