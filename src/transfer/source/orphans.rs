//! What the policy for orphans decides before the first row is copied: which rows are left out, and which placeholders
//! are made for missing parents.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::constraints::{self, MissingParent, foreign_keys};
use crate::database::failure::DatabaseCause;
use crate::schema::model::ForeignKey;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::column::ColumnPlan;
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::policy::{Class, Policies, Policy};

/// The `error_message` of a placeholder. It is stored: another text would make the rows of an earlier move differ.
const PLACEHOLDER_MESSAGE: &str = "placeholder made by tarsy-db: rows that belong to this one were there, it was not";

/// The rows to leave out and the placeholders to add. Empty unless the operator chose a policy for orphans.
#[derive(Debug, Default)]
pub struct Orphans {
    /// By table: the primary keys of the rows to leave out.
    dropped: BTreeMap<String, HashSet<String>>,
    /// By table and key: placeholders, in the order of the plan's columns.
    placeholders: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
}

impl Orphans {
    /// Finds the orphans of a source and applies the policy. `now_us`, in microseconds since the epoch, is the start of
    /// a placeholder if neither its children nor any session has one.
    pub(crate) fn decide(
        connection: &Connection,
        tables: &[Arc<TablePlan>],
        policies: &Policies,
        now_us: i64,
    ) -> Result<Self, DatabaseCause> {
        let mut orphans = Self::default();
        match policies.of(Class::Orphan) {
            Policy::Drop => orphans.drop_orphans(connection, tables)?,
            Policy::Adopt => orphans.adopt_orphans(connection, tables, now_us)?,
            _ => {}
        }
        Ok(orphans)
    }

    /// Whether a row is left out.
    pub(crate) fn drops(&self, table: &TablePlan, key: impl FnOnce() -> String) -> bool {
        self.dropped.get(&table.name).is_some_and(|keys| keys.contains(&key()))
    }

    /// The placeholders for a table.
    pub(crate) fn placeholders(&self, table: &TablePlan) -> impl Iterator<Item = &[Value]> {
        self.placeholders.get(&table.name).into_iter().flat_map(BTreeMap::values).map(Vec::as_slice)
    }

    /// Leaves out orphans and, transitively, the rows that reference them.
    fn drop_orphans(&mut self, connection: &Connection, tables: &[Arc<TablePlan>]) -> Result<(), DatabaseCause> {
        let keys_of = |table: &Arc<TablePlan>| foreign_keys(table).cloned().collect::<Vec<_>>();
        for table in tables {
            for key in keys_of(table) {
                let orphans = constraints::orphans(connection, table, &key)?;
                self.dropped.entry(table.name.clone()).or_default().extend(orphans);
            }
        }
        loop {
            let before: usize = self.dropped.values().map(HashSet::len).sum();
            for table in tables {
                for key in keys_of(table) {
                    if let Some(parents) = self.dropped.get(&key.referenced_table).filter(|keys| !keys.is_empty()) {
                        let children = constraints::children(connection, table, &key, parents)?;
                        self.dropped.entry(table.name.clone()).or_default().extend(children);
                    }
                }
            }
            if self.dropped.values().map(HashSet::len).sum::<usize>() == before {
                return Ok(());
            }
        }
    }

    /// Makes placeholders for the missing rows that orphans reference.
    fn adopt_orphans(
        &mut self,
        connection: &Connection,
        tables: &[Arc<TablePlan>],
        now_us: i64,
    ) -> Result<(), DatabaseCause> {
        // Not the current time: a later `--verify-only` must make the same placeholder.
        let time_us = constraints::latest_start(connection)?.unwrap_or(now_us);
        let mut missing = Vec::new();
        // The start of the earliest child of each missing row, by table and key: children may be in several tables.
        let mut earliest = BTreeMap::<(String, String), i64>::new();
        // Children before parents: a placeholder may itself need a parent.
        for table in tables.iter().rev() {
            let mut keys: Vec<_> = foreign_keys(table).collect();
            // Keys within the same table first: such a placeholder may need a parent as well.
            keys.sort_by_key(|key| key.referenced_table != table.name);
            for key in keys {
                let parents = constraints::missing_parents(connection, table, key)?;
                for MissingParent { missing, earliest_us, .. } in &parents {
                    if let Some(began) = *earliest_us {
                        let first = earliest.entry((key.referenced_table.clone(), missing.clone())).or_insert(began);
                        *first = began.min(*first);
                    }
                }
                missing.push((table, key, parents));
            }
        }
        for (table, key, mut parents) in missing {
            let Some(parent) = tables.iter().find(|parent| parent.name == key.referenced_table) else { continue };
            parents.extend(constraints::missing_parents_of(connection, table, key, self.placeholders(table))?);
            let placeholders = self.placeholders.entry(parent.name.clone()).or_default();
            for absent in parents {
                let began = earliest.get(&(parent.name.clone(), absent.missing.clone())).copied().unwrap_or(time_us);
                placeholders.entry(absent.missing.clone()).or_insert_with(|| placeholder(parent, key, &absent, began));
            }
        }
        Ok(())
    }
}

/// A row in place of a missing one: nullable columns are NULL, the others have values that mark it as a placeholder.
fn placeholder(table: &TablePlan, key: &ForeignKey, absent: &MissingParent, began_us: i64) -> Vec<Value> {
    let value = |column: &ColumnPlan| match (column.name.as_str(), column.target) {
        (name, _) if key.referenced_columns.iter().any(|referenced| referenced == name) => {
            absent.missing.clone().into()
        }
        ("session_id", _) => absent.session.clone().unwrap_or_else(|| absent.missing.clone()).into(),
        // A terminal status, so that `prune` can remove the row.
        ("status", _) => "failed".to_owned().into(),
        ("started_at_us" | "timestamp_us" | "created_at_us", ColumnType::BigInt) => began_us.into(),
        ("error_message", _) => PLACEHOLDER_MESSAGE.to_owned().into(),
        // The column is unique.
        ("alert_id", _) => absent.missing.clone().into(),
        _ if column.nullable => Value::Null,
        (_, ColumnType::Text(_)) => "unknown".to_owned().into(),
        (_, ColumnType::Json | ColumnType::Jsonb) => "{}".to_owned().into(),
        (_, ColumnType::Timestamp) => "1970-01-01 00:00:00".to_owned().into(),
        (_, ColumnType::BigInt | ColumnType::Integer | ColumnType::Boolean | ColumnType::Double) => 0.into(),
    };
    table.columns.iter().map(value).collect()
}
