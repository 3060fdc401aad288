//! Rows that only the server can accept or reject: their values are too long for an index entry unless the server can
//! compress them, or are JSON that may become too large as `jsonb`.

use serde::Serialize;

use super::constraints::{Search, primary_key_list};
use super::converted::{MAX_GROWTH, SAFE_ENTRY, converted};
use super::row::AnyRow;
use super::table::{RowId, rows_of};
use crate::database::failure::DatabaseCause;
use crate::database::quote::quoted;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::hazard::{Hazard, Reason};
use crate::transfer::value::policy::{Class, Policies, Policy};

/// Shorter JSON, in bytes, is never too large as `jsonb`. An array of more than 2^24 items is, as each needs 32 bytes
/// while the server reads it, and so is `jsonb` of 256 MB, of which each byte of text may need six.
const SAFE_JSONB: usize = 32 * 1024 * 1024;

/// How many rows with long index entries are sent together. After a rejection half as many are, and after none twice as many.
const ENTRIES_AT_ONCE: usize = 100;

/// Rows that only the server can decide about, for one reason.
#[derive(Debug, Serialize)]
pub(crate) struct Undecided {
    pub(crate) table: String,
    /// The columns that the reason is about.
    pub(crate) columns: Vec<String>,
    /// The class, for `--on`.
    pub(crate) class: Class,
    /// The number of rows, without those that another question about the same value counts.
    pub(crate) count: u64,
    /// The primary key of the first.
    pub(crate) example: String,
    #[serde(skip)]
    pub(crate) reason: Reason,
    /// The rowid of each; none if the rows have no rowid.
    #[serde(skip)]
    pub(crate) rows: Vec<i64>,
    /// What identifies a row in SQL.
    #[serde(skip)]
    id: String,
}

impl Undecided {
    /// Finds such rows of a table.
    pub(crate) fn find(search: Search<'_>, policies: &Policies) -> Result<Vec<Self>, DatabaseCause> {
        let table = search.table;
        let mut found = questions(table, policies);
        if found.is_empty() {
            return Ok(found);
        }
        let conditions: Vec<_> = found.iter().map(|question| question.condition(table)).collect();
        // Without a rowid a row cannot be named by a number.
        let id = RowId::of(search.connection, table).ok().map(|id| id.expression);
        let sql = format!(
            "SELECT {}, {}, {} FROM {} WHERE ({}) AND {}",
            primary_key_list(table),
            id.as_deref().unwrap_or("NULL"),
            conditions.join(", "),
            rows_of(&table.name),
            conditions.join(" OR "),
            search.is_copied()
        );
        let keys = table.primary_key.len();
        let mut statement = search.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut counted: Vec<Vec<String>> = Vec::new();
            for (index, question) in found.iter_mut().enumerate() {
                if !row.get(keys + 1 + index)? {
                    continue;
                }
                question.rows.extend(row.get_ref(keys)?.as_i64());
                if counted.iter().any(|columns| question.includes(columns)) {
                    continue;
                }
                if question.count == 0 {
                    question.example = AnyRow::Stored(row).shown_key(0..keys);
                }
                question.count += 1;
                counted.push(question.columns.clone());
            }
        }
        found.retain(|question| question.count > 0 || !question.rows.is_empty());
        for question in &mut found {
            question.id = id.clone().unwrap_or_default();
        }
        Ok(found)
    }

    fn new(table: &TablePlan, columns: Vec<String>, reason: Reason) -> Self {
        let (table, class) = (table.name.clone(), reason.class());
        Self { table, columns, class, count: 0, example: String::new(), reason, rows: Vec::new(), id: String::new() }
    }

    /// The same without the list of rows, which may be long.
    pub(crate) fn without_rows(&self) -> Self {
        let Self { table, columns, class, count, example, reason, id, .. } = self;
        Self {
            table: table.clone(),
            columns: columns.clone(),
            class: *class,
            count: *count,
            example: example.clone(),
            reason: *reason,
            rows: Vec::new(),
            id: id.clone(),
        }
    }

    /// Whether it is also about the value of these columns, because several indexes have it.
    pub(crate) fn includes(&self, columns: &[String]) -> bool {
        self.reason == Reason::IndexEntry && columns.iter().all(|column| self.columns.contains(column))
    }

    /// The condition that a row may be rejected.
    fn condition(&self, table: &TablePlan) -> String {
        let length = |of: &dyn Fn(&String) -> String| {
            // Of an entry, only texts may be long: a number has at most 8 bytes on the target, however it is stored.
            let columns =
                self.columns.iter().filter(|column| self.reason != Reason::IndexEntry || table.is_text(column));
            let lengths = columns.map(|column| format!("coalesce(octet_length({}), 0)", of(column)));
            lengths.collect::<Vec<_>>().join(" + ")
        };
        let stored = length(&|column| quoted(column));
        if self.reason != Reason::IndexEntry {
            return format!("{stored} > {SAFE_JSONB}");
        }
        // Policies may make a text longer or shorter. Few have to be converted to find out.
        let converted = length(&|column| converted(&table.name, column));
        format!("({stored}) * {MAX_GROWTH} > {SAFE_ENTRY} AND {converted} > {SAFE_ENTRY}")
    }

    /// The condition for some of its rows.
    pub(crate) fn are_rows(&self, rows: &[i64]) -> String {
        let rows: Vec<_> = rows.iter().map(i64::to_string).collect();
        format!("{} IN ({})", self.id, rows.join(", "))
    }

    /// How many of its rows the server is asked about in one statement.
    pub(crate) fn rows_at_once(&self) -> usize {
        // A document of the other questions has megabytes.
        if self.reason == Reason::IndexEntry { ENTRIES_AT_ONCE } else { 1 }
    }

    /// One of its rows as a hazard, after the server rejected it with this message.
    pub(crate) fn rejected(&self, search: Search<'_>, row: i64, message: &str) -> Result<Vec<Hazard>, DatabaseCause> {
        let from = format!("FROM {} WHERE {}", rows_of(&self.table), self.are_rows(&[row]));
        let mut found = Vec::new();
        search.each(&self.columns, self.reason, &from, &mut |hazard| {
            found.push(Hazard { postgresql: format!("rejects it: {message}"), ..hazard });
            Ok(())
        })?;
        Ok(found)
    }
}

/// What to ask about the rows of a table, without what a policy changes.
fn questions(table: &TablePlan, policies: &Policies) -> Vec<Undecided> {
    let entries = table.b_trees.iter().filter(|_| policies.of(Class::IndexEntry) == Policy::Fail);
    let mut entries: Vec<_> =
        entries.map(|columns| Undecided::new(table, columns.clone(), Reason::IndexEntry)).collect();
    // Of several indexes with a value the one with the fewest columns counts it.
    entries.sort_by_key(|question| question.columns.len());
    let documents = table.columns.iter().filter(|column| column.target == ColumnType::Jsonb);
    let documents = documents.map(|column| Undecided::new(table, vec![column.name.clone()], Reason::TooLargeJsonb));
    entries.into_iter().chain(documents).collect()
}
