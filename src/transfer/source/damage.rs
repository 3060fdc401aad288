//! SQLite's integrity check of the source, before the first row is copied.
//!
//! Reading rows does not reveal all damage: a misplaced page or an index that does not match its table may hide rows,
//! or have the only intact copy of a value. Damage in any table counts, also in one that an operator added: its cause
//! may have damaged other pages, and the values inside a page have no checksum. Findings about values that a table does
//! not allow are not damage; they become [`crate::transfer::value::hazard`]s. CHECK constraints are not examined:
//! SQLite does not read them from a file that it may not write, and the target does not have them.

use std::collections::BTreeMap;

use rusqlite::{Connection, ErrorCode};
use serde::Serialize;

use crate::database::failure::DatabaseCause;
use crate::database::integrity_finding::{self, RECOVER, ValueFinding, about_values};
use crate::database::quote::literal;
use crate::diagnostic::{Details, Diagnostic, document};
use crate::exit_code::ExitCode;
use crate::format::counted;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::hazard::{self, Hazard, Refusal, RefusedValues};
use crate::transfer::value::hazard_list::HazardList;
use crate::transfer::value::policy::{Class, Policies, Policy};

/// The maximum number of named findings; the others are only counted.
const NAMED: usize = 1000;
/// With the largest limit: by default the check stops at 100 findings, and those about values alone may be more.
const EVERYTHING: &str = "PRAGMA integrity_check(2147483647)";

/// The result of the integrity check.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Examination {
    /// Damaged pages and indexes.
    pub damage: Damage,
    /// Values that the source's own tables do not allow.
    pub values: Vec<RefusedValues>,
    /// The tables that this SQLite cannot check.
    pub unchecked: Vec<Unchecked>,
}

/// Pages that are damaged, and indexes that do not match their tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The first findings, in SQLite's words.
    pub findings: Vec<String>,
    /// The number of all findings.
    pub total: usize,
}

impl Damage {
    /// Whether no damage was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// One line for each finding, and one for the number of the others.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let more = self.total - self.findings.len();
        let more = (more > 0).then(|| format!("and {more} more"));
        self.findings.iter().cloned().chain(more).collect()
    }

    fn add(&mut self, finding: &str) {
        self.total += 1;
        if self.findings.len() < NAMED {
            self.findings.push(finding.to_owned());
        }
    }
}

/// The source's file is damaged, and `--accept-damage` was not given.
#[derive(Debug, thiserror::Error)]
#[error("the source {path} is damaged: {} of SQLite's integrity check; nothing was written", counted(.damage.total as u64, "finding"))]
pub(crate) struct DamageError {
    pub path: String,
    /// What was found.
    pub damage: Damage,
}

impl Diagnostic for DamageError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::InputOutput
    }

    fn hint(&self) -> Option<String> {
        Some(format!(
            "{RECOVER} and move that; `--accept-damage --report FILE` moves the readable rows of this file, but an \
             unknown number of rows or values may be missing or wrong"
        ))
    }

    fn details(&self) -> Details {
        Details { lines: self.damage.lines(), document: document(&self.damage), counts: None }
    }
}

/// A table that needs an extension which this SQLite does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unchecked {
    pub table: String,
    /// SQLite's error.
    pub reason: String,
}

impl Examination {
    /// Whether queries must not rely on indexes: something is damaged or was not checked, or a unique index has
    /// duplicates.
    #[must_use]
    pub fn doubts_indexes(&self) -> bool {
        let is_twice = self.values.iter().any(|values| values.kind == Refusal::Duplicate);
        is_twice || !self.damage.is_empty() || !self.unchecked.is_empty()
    }

    /// The values in `values` that are in a copied column of these tables.
    pub fn values_of<'e, T: AsRef<TablePlan>>(&'e self, tables: &'e [T]) -> impl Iterator<Item = &'e RefusedValues> {
        self.values.iter().filter(|values| {
            let table = tables.iter().map(AsRef::as_ref).find(|table| table.name == values.table);
            // A column that is not copied may have any value.
            let is_copied =
                |table: &TablePlan| values.column.as_ref().is_none_or(|name| table.position(name).is_some());
            table.is_some_and(is_copied)
        })
    }

    /// The hazards that the conversion of every value did not find, because the target would accept these values.
    #[must_use]
    pub(crate) fn other_hazards<T: AsRef<TablePlan>>(
        &self,
        tables: &[T],
        policies: &Policies,
        found: &HazardList,
    ) -> Vec<Hazard> {
        let is_explained = |values: &&RefusedValues| match values.kind {
            Refusal::Duplicate => found.has(&values.table, |_, class| class == Class::DuplicateRow),
            // The policy converts each of these values.
            Refusal::StorageClass if policies.of(Class::StorageClass) != Policy::Fail => true,
            Refusal::Null | Refusal::StorageClass => {
                found.has(&values.table, |column, _| Some(column) == values.column.as_deref())
            }
        };
        let others = self.values_of(tables).filter(|values| !is_explained(values));
        others.map(hazard::refused_by_source).collect()
    }
}

/// Runs the integrity check on the whole file, or table by table if that fails.
pub(crate) fn examine(connection: &Connection) -> Result<Examination, DatabaseCause> {
    let mut report = Findings::new(connection);
    match report.run(connection, EVERYTHING) {
        Ok(()) => {}
        Err(error) if is_unknown_to_sqlite(&error) => {
            tracing::debug!("cannot check the whole source, checking it table by table: {error}");
            report.by_table(connection)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(report.examination)
}

/// Whether the statement could not be prepared: an index needs a collation or a function, or a virtual table needs a
/// module, that is not built in.
fn is_unknown_to_sqlite(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), None | Some(ErrorCode::Unknown))
}

struct Findings {
    examination: Examination,
    /// The positions of the findings about values, by text.
    values: BTreeMap<String, usize>,
    tables: Vec<String>,
    /// The table of each index.
    indexes: BTreeMap<String, String>,
}

impl Findings {
    fn new(connection: &Connection) -> Self {
        let names = |sql: &str| -> Result<Vec<(String, String)>, rusqlite::Error> {
            connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        // If this fails, the check reports why.
        let tables = names("SELECT name, name FROM sqlite_schema WHERE type = 'table'").unwrap_or_default();
        let indexes = names("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'").unwrap_or_default();
        Self {
            examination: Examination::default(),
            values: BTreeMap::new(),
            tables: tables.into_iter().map(|(name, _)| name).collect(),
            indexes: indexes.into_iter().collect(),
        }
    }

    /// Runs a check. If damage makes the statement fail, the error is a finding too.
    fn run(&mut self, connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
        match self.read(connection, sql) {
            Err(error) if is_corrupt(&error) => {
                self.examination.damage.add(&DatabaseCause::from(error).to_string());
                Ok(())
            }
            result => result,
        }
    }

    fn read(&mut self, connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text = String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default()).into_owned();
            integrity_finding::lines(&text).for_each(|line| self.add(line));
        }
        Ok(())
    }

    /// Checks each table, and records those that cannot be checked.
    fn by_table(&mut self, connection: &Connection) -> Result<(), DatabaseCause> {
        let tables = std::iter::once("sqlite_schema".to_owned()).chain(self.tables.clone());
        for table in tables {
            match self.run(connection, &format!("PRAGMA integrity_check({})", literal(&table))) {
                Ok(()) => {}
                Err(error) if is_unknown_to_sqlite(&error) => {
                    let reason = DatabaseCause::from(error).to_string();
                    self.examination.unchecked.push(Unchecked { table, reason });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn add(&mut self, finding: &str) {
        if let Some(known) = self.values.get(finding) {
            self.examination.values[*known].count += 1;
            return;
        }
        match self.about_values(finding) {
            None => self.examination.damage.add(finding),
            Some((kind, table, column)) => {
                let finding = finding.to_owned();
                self.values.insert(finding.clone(), self.examination.values.len());
                self.examination.values.push(RefusedValues { finding, count: 1, table, column, kind });
            }
        }
    }

    /// The kind, table and column of a finding about values of a known table.
    fn about_values(&self, finding: &str) -> Option<(Refusal, String, Option<String>)> {
        let (kind, place) = match about_values(finding)? {
            ValueFinding::Duplicate { index } => {
                return Some((Refusal::Duplicate, self.indexes.get(index)?.clone(), None));
            }
            ValueFinding::Null { place } => (Refusal::Null, place),
            ValueFinding::StorageClass { place } => (Refusal::StorageClass, place),
        };
        let of_table = |table: &&String| place.strip_prefix(table.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let table = self.tables.iter().filter(of_table).max_by_key(|table| table.len())?;
        Some((kind, table.clone(), Some(place[table.len() + 1..].to_owned())))
    }
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
