//! What SQLite's own check finds wrong with the source, before a row of it moves.
//!
//! Reading rows does not tell that a file is damaged: a page in the wrong place or an index that does not match its
//! table may hide rows, or hold the only sound copy of a value. Damage anywhere counts, also in an operator's own
//! tables: whatever damaged one page may have damaged others, and values in the middle of a page have no checksum.
//! What the check says of values that a table does not allow is no damage; it is left to the
//! [`crate::transfer::value::hazard`]s. Conditions (`CHECK`) are not looked at: SQLite does not even read them where it
//! may not write, and the target does not have them.

use std::collections::BTreeMap;

use rusqlite::{Connection, ErrorCode};
use serde::Serialize;

use crate::database::failure::DatabaseCause;
use crate::database::integrity_finding::{ValueFinding, about_values};
use crate::diagnostic::{Details, Diagnostic, document};
use crate::exit_code::ExitCode;
use crate::format::counted;
use crate::schema::sql::literal;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::hazard::{self, Hazard, Refusal, RefusedValues};
use crate::transfer::value::policy::{Class, Policies, Policy};

/// How many findings are named; the others are only counted.
const NAMED: usize = 1000;
/// As many findings as the check can be asked for. By default it ends at 100, and values alone may be more.
const EVERYTHING: &str = "PRAGMA integrity_check(2147483647)";

/// What the check found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Examination {
    /// Damage of the file.
    pub damage: Damage,
    /// Values that their own tables do not allow.
    pub values: Vec<RefusedValues>,
    /// What this SQLite cannot check.
    pub unchecked: Vec<Unchecked>,
}

/// Pages that are damaged, and indexes that do not match their tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The first findings, in SQLite's words.
    pub findings: Vec<String>,
    /// How many there are.
    pub total: usize,
}

impl Damage {
    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// One finding a line, and how many more there are.
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

/// The source's file is damaged, which was not accepted.
#[derive(Debug, thiserror::Error)]
#[error("the source {path} is damaged: {} of SQLite's integrity check; nothing was written", counted(.damage.total as u64, "finding"))]
pub(crate) struct DamageError {
    /// The file.
    pub path: String,
    /// What was found.
    pub damage: Damage,
}

impl Diagnostic for DamageError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::InputOutput
    }

    fn hint(&self) -> Option<String> {
        Some(
            "restore a backup, or recover what can be read into a new file (https://www.sqlite.org/recovery.html) \
             and move that; `--accept-damage --report FILE` moves what can be read of this one, and how many rows or \
             values are missing or altered then, cannot be known"
                .into(),
        )
    }

    fn details(&self) -> Details {
        Details { lines: self.damage.lines(), document: document(&self.damage) }
    }
}

/// A table with an index, or of a kind, that this SQLite does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unchecked {
    /// The table.
    pub table: String,
    /// Why not.
    pub reason: String,
}

impl Examination {
    /// Whether an index may prove nothing: where something is damaged or could not be checked, or a row is there twice
    /// under a unique index.
    #[must_use]
    pub fn doubts_indexes(&self) -> bool {
        let is_twice = self.values.iter().any(|values| values.kind == Refusal::Duplicate);
        is_twice || !self.damage.is_empty() || !self.unchecked.is_empty()
    }

    /// The values of these tables that their own definition refuses.
    pub fn values_of<'e, T: AsRef<TablePlan>>(&'e self, tables: &'e [T]) -> impl Iterator<Item = &'e RefusedValues> {
        self.values.iter().filter(|values| {
            let table = tables.iter().map(AsRef::as_ref).find(|table| table.name == values.table);
            // What stays behind may be what it is.
            let travels = |table: &TablePlan| values.column.as_ref().is_none_or(|name| table.position(name).is_some());
            table.is_some_and(travels)
        })
    }

    /// The hazards that looking at every value did not find, because the target would take these values.
    #[must_use]
    pub fn other_hazards<T: AsRef<TablePlan>>(
        &self,
        tables: &[T],
        policies: &Policies,
        found: &[Hazard],
    ) -> Vec<Hazard> {
        let is_explained = |values: &&RefusedValues| {
            let of_table = |hazard: &&Hazard| hazard.table == values.table;
            match values.kind {
                Refusal::Duplicate => found.iter().filter(of_table).any(|hazard| hazard.class == Class::DuplicateRow),
                // Each of these values is looked at, and converted where that was chosen.
                Refusal::StorageClass if policies.of(Class::StorageClass) != Policy::Fail => true,
                Refusal::Null | Refusal::StorageClass => {
                    found.iter().filter(of_table).any(|hazard| Some(&hazard.column) == values.column.as_ref())
                }
            }
        };
        let others = self.values_of(tables).filter(|values| !is_explained(values));
        others.map(hazard::refused_by_source).collect()
    }
}

/// Has SQLite check the whole file.
pub(crate) fn examine(connection: &Connection) -> Result<Examination, DatabaseCause> {
    let mut report = Findings::new(connection);
    match report.run(connection, EVERYTHING) {
        Ok(()) => {}
        Err(error) if is_unknown_to_sqlite(&error) => {
            tracing::debug!("the source cannot be checked as a whole: {error}");
            report.by_table(connection)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(report.examination)
}

/// Whether the statement could not even be prepared: an index needs a collation or a function, or a virtual table a
/// module, that is not built in.
fn is_unknown_to_sqlite(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), None | Some(ErrorCode::Unknown))
}

struct Findings {
    examination: Examination,
    /// By its text, where a finding about values is.
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
        // What cannot be read here is what the check will find.
        let tables = names("SELECT name, name FROM sqlite_schema WHERE type = 'table'").unwrap_or_default();
        let indexes = names("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'").unwrap_or_default();
        Self {
            examination: Examination::default(),
            values: BTreeMap::new(),
            tables: tables.into_iter().map(|(name, _)| name).collect(),
            indexes: indexes.into_iter().collect(),
        }
    }

    /// Runs a check. Where it fails at the damage itself, that is a finding as well.
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
            let lines = text.lines().filter(|line| *line != "ok" && !line.starts_with("*** in database"));
            lines.for_each(|line| self.add(line));
        }
        Ok(())
    }

    /// Checks one table after the other, as far as that goes.
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

    /// What a finding is about, if it is about values of a known table.
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
