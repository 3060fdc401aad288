//! What the policy for orphans decides before the first row is copied: which rows are left out, and which placeholders
//! are made for missing parents. Both may be as many as rows, so that they are in temporary tables of the connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::constraints::{all_converted, foreign_keys, from_orphans, has_parents, latest_start, parents};
use super::missing::{self, Parents};
use super::placeholder::{Content, contents};
use super::table::{RowId, rows_of};
use crate::database::failure::DatabaseCause;
use crate::database::quote::quoted;
use crate::schema::model::ForeignKey;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::policy::{Class, Policies, Policy};

/// The rows to leave out and the placeholders to add. Empty unless the operator chose a policy for orphans.
#[derive(Debug, Default)]
pub struct Orphans {
    /// The tables of which rows are left out, with what identifies their rows.
    dropped: BTreeMap<String, RowId>,
    /// By table: what its placeholders have, in the order of the plan's columns.
    placeholders: BTreeMap<String, Vec<Content>>,
    /// The start of a placeholder whose children have none, in microseconds since the epoch.
    start_us: i64,
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
        if policies.of(Class::Orphan) == Policy::Adopt {
            missing::find(connection, tables, Parents::InSource)?;
            while missing::find_of_placeholders(connection, tables, Parents::InSource)? {}
        }
        Self::apply(connection, tables, policies, Parents::InSource, now_us)
    }

    /// Adds the keys of the rows that may be left out to those for which the target is asked: if it has one, rows that
    /// reference the key have a parent there.
    pub(crate) fn ask_for_dropped(connection: &Connection, tables: &[Arc<TablePlan>]) -> Result<(), DatabaseCause> {
        let mut dropping = Dropping { connection, tables, parents: Parents::OnEitherSide, dropped: BTreeMap::new() };
        dropping.drop_orphans()?;
        for key in tables.iter().flat_map(|table| foreign_keys(table)).filter(|key| missing::is_asked_for(key)) {
            let parent = tables.iter().find(|parent| parent.name == key.referenced_table);
            if let Some((parent, id)) = parent.and_then(|parent| Some((parent, dropping.dropped.get(&parent.name)?))) {
                missing::add(connection, key, &from_dropped(parent, id))?;
            }
        }
        for table in tables.iter().filter(|table| dropping.dropped.contains_key(&table.name)) {
            connection.execute_batch(&format!("DROP TABLE {}", dropped_rows(table)))?;
        }
        Ok(())
    }

    /// Applies the policy to the orphans. Which rows are missing is known, unless those without a parent in the source
    /// are dropped.
    pub(crate) fn apply(
        connection: &Connection,
        tables: &[Arc<TablePlan>],
        policies: &Policies,
        parents: Parents,
        now_us: i64,
    ) -> Result<Self, DatabaseCause> {
        match policies.of(Class::Orphan) {
            Policy::Drop => {
                let mut dropping = Dropping { connection, tables, parents, dropped: BTreeMap::new() };
                dropping.drop_orphans()?;
                Ok(Self { dropped: dropping.dropped, ..Self::default() })
            }
            Policy::Adopt => {
                let placeholders = tables.iter().map(|table| (table.name.clone(), contents(table, tables))).collect();
                // Not the current time: a later `--verify-only` must make the same placeholder.
                let start_us = latest_start(connection)?.unwrap_or(now_us);
                Ok(Self { placeholders, start_us, ..Self::default() })
            }
            _ => Ok(Self::default()),
        }
    }

    /// An expression that is true for a row of a table that is left out, if there are any.
    pub(crate) fn is_dropped(&self, table: &TablePlan) -> Option<String> {
        let RowId { expression, .. } = self.dropped.get(&table.name)?;
        Some(format!("{expression} IN (SELECT id FROM {})", dropped_rows(table)))
    }

    /// Calls `visit` with each placeholder for a table.
    pub(crate) fn for_each_placeholder(
        &self,
        connection: &Connection,
        table: &TablePlan,
        mut visit: impl FnMut(&[Value]) -> Result<(), DatabaseCause>,
    ) -> Result<(), DatabaseCause> {
        let Some(contents) = self.placeholders.get(&table.name) else { return Ok(()) };
        missing::for_each(connection, &table.name, |row| {
            let values: Vec<_> = contents.iter().map(|content| content.value(&row, self.start_us)).collect();
            visit(&values)
        })
    }
}

/// The search for the rows to leave out.
struct Dropping<'d> {
    connection: &'d Connection,
    tables: &'d [Arc<TablePlan>],
    parents: Parents,
    /// The tables of which rows are left out so far.
    dropped: BTreeMap<String, RowId>,
}

impl Dropping<'_> {
    /// Finds the orphans and, round by round, the rows that reference those of the round before.
    fn drop_orphans(&mut self) -> Result<(), DatabaseCause> {
        for table in self.tables {
            for key in foreign_keys(table) {
                if let Some(orphans) = self.orphans(table, key) {
                    self.drop_rows(table, 0, &orphans)?;
                }
            }
        }
        let mut round = 0;
        while self.drop_children(round)? {
            round += 1;
        }
        Ok(())
    }

    fn drop_children(&mut self, round: u32) -> Result<bool, DatabaseCause> {
        let mut has_more = false;
        for table in self.tables {
            for key in foreign_keys(table) {
                let parent = self.tables.iter().find(|parent| parent.name == key.referenced_table);
                let parent = parent.and_then(|parent| Some((parent, self.dropped.get(&parent.name)?)));
                if let Some((parent, id)) = parent {
                    let mut children = children(table, key, (parent, id), round);
                    if self.parents == Parents::OnEitherSide {
                        children.extend(missing::is_absent(table, key).map(|is_absent| format!(" AND {is_absent}")));
                    }
                    has_more |= self.drop_rows(table, round + 1, &children)?;
                }
            }
        }
        Ok(has_more)
    }

    /// Leaves out the rows of a FROM clause. Returns whether any of them was not yet.
    fn drop_rows(&mut self, table: &TablePlan, round: u32, from: &str) -> Result<bool, DatabaseCause> {
        let name = dropped_rows(table);
        let id = match self.dropped.get(&table.name) {
            Some(id) => id.clone(),
            None => RowId::of(self.connection, table)?,
        };
        let RowId { expression, column } = &id;
        self.connection
            .execute_batch(&format!("CREATE TABLE IF NOT EXISTS {name} (id {column}, round INTEGER NOT NULL)"))?;
        let sql = format!("INSERT OR IGNORE INTO {name} SELECT {expression}, {round} {from}");
        let is_new = self.connection.execute(&sql, [])? > 0;
        if is_new {
            self.dropped.insert(table.name.clone(), id);
        }
        Ok(is_new)
    }

    /// The rows of a table whose parent is missing, if that is known.
    fn orphans(&self, table: &TablePlan, key: &ForeignKey) -> Option<String> {
        if !has_parents(self.connection, key) {
            return None;
        }
        let from = from_orphans(table, key);
        match self.parents {
            Parents::InSource => Some(from),
            Parents::OnEitherSide => missing::is_absent(table, key).map(|is_absent| format!("{from} AND {is_absent}")),
        }
    }
}

/// The rows of a table that reference a row of `parent` which was left out in a round, if no other row with that key is
/// copied: a source without a unique index may have several.
fn children(table: &TablePlan, key: &ForeignKey, (parent, id): (&TablePlan, &RowId), round: u32) -> String {
    format!(
        "FROM {children} WHERE ({columns}) IN (
             SELECT {referenced} {from} WHERE dropped.round = {round})
         AND ({columns}) NOT IN ({parents} AND {id} NOT IN (SELECT id FROM {dropped}))",
        children = rows_of(&table.name),
        columns = all_converted(&table.name, &key.columns).join(", "),
        referenced = all_converted(&parent.name, &key.referenced_columns).join(", "),
        dropped = dropped_rows(parent),
        from = from_dropped(parent, id),
        parents = parents(key),
        id = id.expression,
    )
}

/// The rows of a table that are left out.
fn from_dropped(table: &TablePlan, id: &RowId) -> String {
    let (dropped, rows) = (dropped_rows(table), rows_of(&table.name));
    format!("FROM {dropped} AS dropped CROSS JOIN {rows} ON {} = dropped.id", id.expression)
}

/// The temporary table with the identities of the rows of a table that are left out.
fn dropped_rows(table: &TablePlan) -> String {
    format!("temp.{}", quoted(&format!("tarsy_db_dropped_{}", table.name)))
}
