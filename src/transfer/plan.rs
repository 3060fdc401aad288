//! Which columns are copied: those that both sides have, by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use migration::Revision;

use super::value::column::ColumnPlan;
use super::value::column_type::ColumnType;
use crate::database::namespace::Namespace;
use crate::database::quote::quoted;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::schema::column_kind::ColumnKind;
use crate::schema::model::{ForeignKey, IndexMethod, Schema, Table};
use crate::schema::variant::{self, Variant};

/// Why nothing can be copied from the source to the target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the source is not a TARSy history: {0}")]
    Source(String),
    #[error(
        "the column `{table}.{column}` of the target has type {kind}, to which no value of the source can be converted"
    )]
    TargetType { table: String, column: String, kind: ColumnKind },
}

impl Diagnostic for PlanError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Drift
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(_) => None,
            Self::TargetType { .. } => Some(
                "`tarsy-db check` of the target names the differences between its tables and their revision; nothing was \
                 changed"
                    .into(),
            ),
        }
    }
}

/// What a move copies.
#[derive(Debug, Clone)]
pub(crate) struct TransferPlan {
    /// The revision of both sides.
    pub revision: Revision,
    /// Where the target's tables are.
    pub namespace: Arc<Namespace>,
    /// The tables, parents before children.
    pub tables: Vec<Arc<TablePlan>>,
    /// The statements that relax the target's columns so that they accept the source's values.
    pub alterations: Vec<String>,
}

/// One table to copy.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// Its name on both sides.
    pub name: String,
    /// Its quoted name on the target, with its schema.
    pub qualified_name: String,
    /// The columns that both sides have.
    pub columns: Vec<ColumnPlan>,
    /// The primary key, as positions in `columns`.
    pub primary_key: Vec<usize>,
    /// The target's foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// The target's unique keys, its primary key included.
    pub unique_keys: Vec<UniqueKey>,
    /// The columns of each of the target's b-trees that has a text column: their entries have a maximum length.
    pub b_trees: BTreeSet<Vec<String>>,
    /// The method of each of the target's indexes, its primary key included.
    pub index_methods: Vec<IndexMethod>,
}

/// A unique key of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    pub columns: Vec<String>,
    /// Whether the source has the same unique key.
    pub is_unique_in_source: bool,
}

impl TablePlan {
    /// The quoted columns in the order of the COPY.
    #[must_use]
    pub fn column_list(&self) -> String {
        self.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// The same table with its primary key and only those of the other columns that are needed.
    #[must_use]
    pub(crate) fn with_columns(&self, is_needed: impl Fn(&str) -> bool) -> Self {
        let keys: Vec<_> = self.key_names().collect();
        let is_kept = |column: &&ColumnPlan| keys.contains(&column.name.as_str()) || is_needed(&column.name);
        let columns: Vec<_> = self.columns.iter().filter(is_kept).cloned().collect();
        let position = |key: &&str| columns.iter().position(|column| column.name == **key);
        Self { primary_key: keys.iter().filter_map(position).collect(), columns, ..self.clone() }
    }

    /// The columns of the primary key.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.primary_key.iter().map(|index| self.columns[*index].name.as_str())
    }

    /// The columns of the primary key, joined for display.
    #[must_use]
    pub fn key_columns(&self) -> String {
        self.key_names().collect::<Vec<_>>().join(", ")
    }

    /// How many of the target's indexes use a method.
    #[must_use]
    pub fn index_count(&self, method: &IndexMethod) -> u64 {
        self.index_methods.iter().filter(|own| *own == method).count() as u64
    }

    /// The position of a column in `columns`, if it is copied.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|own| own.name == column)
    }

    /// Whether a column is copied, and is text on the target.
    #[must_use]
    pub(crate) fn is_text(&self, column: &str) -> bool {
        self.position(column).is_some_and(|index| matches!(self.columns[index].target, ColumnType::Text(_)))
    }
}

/// The PostgreSQL schema for a SQLite schema `expected`, relaxed to accept the source's rows: for `--check-only`, which
/// has no target.
#[must_use]
pub(crate) fn assumed_target(expected: &Schema, variant: Variant) -> Schema {
    let mut assumed = expected.clone();
    variant::relax(&mut assumed, variant);
    for table in assumed.tables.values_mut() {
        for (name, column) in &mut table.columns {
            column.kind = match column.kind.clone() {
                ColumnKind::Json if name == "conversation" => ColumnKind::Jsonb,
                ColumnKind::Float => ColumnKind::DoublePrecision,
                ColumnKind::Datetime => ColumnKind::Timestamp,
                other => other,
            };
        }
    }
    assumed
}

/// Plans the copy of `tables`, parents before children. Columns that only the source has are left to
/// [`crate::transfer::source::unmapped`]. `namespace` is the target's.
///
/// # Errors
/// [`PlanError`] if the source lacks a table or a required column, or a column of the target has a type that TARSy's have not.
pub(crate) fn plan(
    tables: &[&str],
    source: &Schema,
    target: &Schema,
    namespace: &Namespace,
) -> Result<Vec<Arc<TablePlan>>, PlanError> {
    let plan = |name: &&str| table_plan(name, source, target, namespace.table(name)).map(Arc::new);
    tables.iter().map(plan).collect()
}

fn table_plan(name: &str, source: &Schema, target: &Schema, qualified_name: String) -> Result<TablePlan, PlanError> {
    let (Some(from), Some(to)) = (source.tables.get(name), target.tables.get(name)) else {
        return Err(PlanError::Source(format!("it has no table `{name}`")));
    };
    let mut columns = Vec::new();
    for (column, found) in to.columns.iter().filter(|(column, _)| from.columns.contains_key(*column)) {
        let Some(target) = ColumnType::of(&found.kind) else {
            let (table, column, kind) = (name.to_owned(), column.clone(), found.kind.clone());
            return Err(PlanError::TargetType { table, column, kind });
        };
        columns.push(ColumnPlan { name: column.clone(), target, nullable: found.nullable });
    }
    let needed = to
        .columns
        .iter()
        .find(|(column, found)| !found.nullable && found.default.is_none() && !from.columns.contains_key(*column));
    if let Some((column, _)) = needed {
        return Err(PlanError::Source(format!("it has no column `{name}.{column}`, which is NOT NULL on the target")));
    }
    let position = |key: &String| columns.iter().position(|column| column.name == *key);
    let is_copied = |keys: &[String]| keys.iter().all(|key| position(key).is_some());
    let unique_keys = unique_keys(to)
        .filter(|key| is_copied(key))
        .map(|key| UniqueKey { is_unique_in_source: unique_keys(from).any(|own| own == key), columns: key.to_vec() });
    let is_text =
        |key: &String| position(key).is_some_and(|index| matches!(columns[index].target, ColumnType::Text(_)));
    let b_trees = to.indexes.values().filter(|index| index.method == IndexMethod::BTree).map(|index| &index.columns);
    let b_trees = b_trees.chain([&to.primary_key]).filter(|keys| is_copied(keys) && keys.iter().any(is_text));
    Ok(TablePlan {
        name: name.to_owned(),
        qualified_name,
        primary_key: to.primary_key.iter().filter_map(position).collect(),
        foreign_keys: to.foreign_keys.clone(),
        unique_keys: unique_keys.collect(),
        b_trees: b_trees.cloned().collect(),
        index_methods: to.indexes.values().map(|index| index.method.clone()).chain([IndexMethod::BTree]).collect(),
        columns,
    })
}

/// The primary key and the unique indexes that have no predicate.
fn unique_keys(table: &Table) -> impl Iterator<Item = &[String]> {
    let indexes = table.indexes.values().filter(|index| index.unique && index.predicate.is_none());
    [table.primary_key.as_slice()].into_iter().chain(indexes.map(|index| index.columns.as_slice()))
}
