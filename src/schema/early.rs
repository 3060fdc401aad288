//! Columns that exist before the revision that adds them.
//!
//! TARSy's backend creates a new database from its newest models, and at some releases these were ahead of the
//! migrations: a history created at revision 04, 12, 14 or 18 already has the columns of the next revision. An
//! interrupted upgrade by the backend on SQLite has the same effect. The revision that adds such a column leaves it
//! unchanged, with its values.

use std::collections::{BTreeMap, BTreeSet};

use migration::Revision;

use super::model::Schema;

/// A column of a later revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EarlyColumn {
    /// The revision that adds it.
    pub revision: Revision,
    pub table: &'static str,
    pub name: &'static str,
}

/// Finds the columns of later revisions that a database at `revision` already has.
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

/// The revisions to replay so that these columns are defined at `revision`.
pub(crate) fn revisions<'e>(
    revision: Revision,
    early: impl IntoIterator<Item = &'e EarlyColumn>,
) -> BTreeSet<Revision> {
    early.into_iter().map(|column| column.revision).chain([revision]).collect()
}

/// Adds the missing ones of these columns to a schema, as the later revisions define them.
pub(crate) fn add(schema: &mut Schema, early: &[EarlyColumn], replayed: &BTreeMap<Revision, Schema>) {
    for EarlyColumn { revision, table, name } in early {
        let defined = replayed.get(revision).and_then(|schema| schema.tables.get(*table)?.columns.get(*name));
        if let (Some(defined), Some(table)) = (defined, schema.tables.get_mut(*table)) {
            table.columns.entry((*name).to_owned()).or_insert_with(|| defined.clone());
        }
    }
}

/// A schema in which these columns are defined as in the database.
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
