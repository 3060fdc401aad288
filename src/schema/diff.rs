//! The differences between two schemas.

use std::fmt;

use migration::ledger;

use super::column_kind::ColumnKind;
use super::model::{ForeignKey, ForeignKeyAction, Index, Schema, Table};
use super::repair::Repair;

/// How many differences a message lists.
const NAMED: usize = 10;

/// One difference, as a sentence that names the object.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Difference {
    pub weight: Severity,
    /// For instance `missing index ix_alert_sessions_status on alert_sessions(status)`.
    pub text: String,
    /// The repair, if a safe one exists.
    #[serde(skip)]
    pub repair: Option<Repair>,
}

/// The severity of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// An object is missing or altered: the backend may fail or become slow.
    Drift,
    /// An object of the operator's that may refuse the backend's rows.
    Restriction,
    /// An object of the operator's that is harmless.
    Addition,
}

impl PartialEq for Difference {
    fn eq(&self, other: &Self) -> bool {
        (self.weight, &self.text) == (other.weight, &other.text)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Compares `found` with `expected`; drift comes first. The ledger is not an addition, and is not part of `expected`.
#[must_use]
pub(crate) fn between(expected: &Schema, found: &Schema) -> Vec<Difference> {
    let mut report = Differences(Vec::new());
    for (name, table) in &expected.tables {
        match found.tables.get(name) {
            Some(found) => report.table(name, table, found),
            None => report.drift(format!("missing table {name}")),
        }
    }
    if found.tables.get(ledger::TABLE).is_some_and(|ledger| ledger.is_unlogged) {
        report.unlogged(ledger::TABLE);
    }
    for name in found.tables.keys().filter(|name| !expected.tables.contains_key(*name) && *name != ledger::TABLE) {
        report.addition(format!("additional table {name}"));
    }
    report.0.sort_by(|a, b| (a.weight, &a.text).cmp(&(b.weight, &b.text)));
    report.0
}

struct Differences(Vec<Difference>);

impl Differences {
    fn drift(&mut self, text: String) {
        self.add(Severity::Drift, text, None);
    }

    fn restriction(&mut self, text: String) {
        self.add(Severity::Restriction, text, None);
    }

    fn addition(&mut self, text: String) {
        self.add(Severity::Addition, text, None);
    }

    fn add(&mut self, weight: Severity, text: String, repair: Option<Repair>) {
        self.0.push(Difference { weight, text, repair });
    }

    fn unlogged(&mut self, table: &str) {
        self.drift(format!("{table} is UNLOGGED: a crash of the server empties it"));
    }

    fn table(&mut self, table: &str, expected: &Table, found: &Table) {
        if found.is_unlogged && !expected.is_unlogged {
            self.unlogged(table);
        }
        self.columns(table, expected, found);
        if expected.primary_key != found.primary_key {
            let [is, should] = [found, expected].map(|table| table.primary_key.join(", "));
            self.drift(format!("{table} has the primary key ({is}), expected ({should})"));
        }
        self.indexes(table, expected, found);
        self.foreign_keys(table, expected, found);
        for hook in found.hooks.difference(&expected.hooks) {
            self.addition(format!("additional {hook} on {table}"));
        }
        for condition in found.checks.difference(&expected.checks) {
            self.restriction(format!("additional constraint on {table}: {condition}"));
        }
    }

    fn columns(&mut self, table: &str, expected: &Table, found: &Table) {
        for (name, column) in &expected.columns {
            if !column.nullable && found.unvalidated_not_nulls.contains(name) {
                self.drift(format!("NOT NULL of {table}.{name} is NOT VALID: older rows were never checked"));
            }
            let Some(found) = found.columns.get(name) else {
                self.drift(format!("missing column {table}.{name} ({})", short(&column.kind)));
                continue;
            };
            if found.kind != column.kind {
                self.drift(format!("{table}.{name} is {}, expected {}", short(&found.kind), short(&column.kind)));
            }
            if found.nullable != column.nullable {
                let word = |nullable| if nullable { "nullable" } else { "NOT NULL" };
                let (is, should) = (word(found.nullable), word(column.nullable));
                self.drift(format!("{table}.{name} is {is}, expected {should}"));
            }
            if found.default != column.default {
                let word = |default: &Option<String>| default.clone().unwrap_or_else(|| "none".to_owned());
                let (is, should) = (word(&found.default), word(&column.default));
                self.drift(format!("{table}.{name} has the default {is}, expected {should}"));
            }
        }
        for (name, column) in found.columns.iter().filter(|(name, _)| !expected.columns.contains_key(*name)) {
            match column.nullable || column.default.is_some() {
                true => self.addition(format!("additional column {table}.{name} ({})", short(&column.kind))),
                false => self.restriction(format!(
                    "additional column {table}.{name} ({}) is NOT NULL without a default: the backend cannot insert",
                    short(&column.kind)
                )),
            }
        }
    }

    fn indexes(&mut self, table: &str, expected: &Table, found: &Table) {
        for (name, index) in &expected.indexes {
            match found.indexes.get(name) {
                None => {
                    let text = format!("missing index {name} on {table}({})", index.columns.join(", "));
                    let (name, table, index) = (name.clone(), table.to_owned(), index.clone());
                    // SQLite would read the name of a missing column as a string, and index that.
                    let can_be_created = index.columns.iter().all(|column| found.columns.contains_key(column));
                    let repair = Repair::CreateIndex { name, table, index };
                    self.add(Severity::Drift, text, can_be_created.then_some(repair));
                }
                Some(found) if !found.valid => {
                    let repair = Repair::RebuildIndex { name: name.clone(), table: table.to_owned() };
                    self.add(Severity::Drift, format!("index {name} on {table} is invalid"), Some(repair));
                }
                Some(found) if found != index => {
                    self.drift(format!("index {name} is {}, expected {}", described(found), described(index)));
                }
                Some(_) => {}
            }
        }
        for (name, index) in found.indexes.iter().filter(|(name, _)| !expected.indexes.contains_key(*name)) {
            match index.unique {
                false => self.addition(format!("additional index {name} on {table}({})", index.columns.join(", "))),
                // It may refuse the backend's rows.
                true => {
                    self.restriction(format!(
                        "additional unique index {name} on {table}({})",
                        index.columns.join(", ")
                    ));
                }
            }
        }
    }

    fn foreign_keys(&mut self, table: &str, expected: &Table, found: &Table) {
        let known = || expected.foreign_keys.iter().chain(&expected.optional_foreign_keys);
        let mut altered = Vec::new();
        for key in &expected.foreign_keys {
            let columns = key.columns.join(", ");
            if let Some(found) = found.foreign_keys.iter().find(|found| found.is_like(key)) {
                if let Some(text) = unchecked(found) {
                    self.drift(format!("the foreign key on {table}({columns}) {text}"));
                }
                continue;
            }
            let target = format!("{}({})", key.referenced_table, key.referenced_columns.join(", "));
            let same_place = found.foreign_keys.iter().find(|found| {
                !known().any(|key| key.is_like(found))
                    && (&found.columns, &found.referenced_table, &found.referenced_columns)
                        == (&key.columns, &key.referenced_table, &key.referenced_columns)
            });
            if let Some(found) = same_place {
                let [is, should] = [found, key].map(actions);
                self.drift(format!("the foreign key {table}({columns}) to {target} has {is}, expected {should}"));
                altered.push(found);
            } else {
                let actions = actions(key);
                self.drift(format!("missing foreign key {table}({columns}) to {target} with {actions}"));
            }
        }
        for key in found.foreign_keys.iter().filter(|key| !known().any(|known| known.is_like(key))) {
            if altered.contains(&key) {
                continue;
            }
            let (columns, to) = (key.columns.join(", "), &key.referenced_table);
            self.restriction(format!("additional foreign key {table}({columns}) to {to} with {}", actions(key)));
        }
    }
}

/// What a foreign key that is not valid leaves unchecked.
fn unchecked(key: &ForeignKey) -> Option<&'static str> {
    match (key.is_not_enforced, key.validated) {
        (true, _) => Some("is NOT ENFORCED: neither older nor new rows are checked"),
        (false, false) => Some("is NOT VALID: older rows were never checked"),
        (false, true) => None,
    }
}

fn actions(key: &ForeignKey) -> String {
    let deferrable = if key.is_deferrable { ", deferrable" } else { "" };
    match key.on_update {
        ForeignKeyAction::NoAction => format!("{} on delete{deferrable}", key.on_delete),
        on_update => format!("{} on delete and {on_update} on update{deferrable}", key.on_delete),
    }
}

/// The first differences as texts, and how many more there are.
#[must_use]
pub(crate) fn texts<'d>(differences: impl Iterator<Item = &'d Difference>) -> Vec<String> {
    first_of(differences.map(ToString::to_string).collect())
}

/// The first texts, and how many more there are.
#[must_use]
pub(crate) fn first_of(mut texts: Vec<String>) -> Vec<String> {
    let more = texts.len().saturating_sub(NAMED);
    if more > 0 {
        texts.truncate(NAMED);
        texts.push(format!("and {more} more"));
    }
    texts
}

/// The type with PostgreSQL's short names.
fn short(kind: &ColumnKind) -> String {
    kind.to_string().replace("character varying", "varchar").replace("timestamp without time zone", "timestamp")
}

fn described(index: &Index) -> String {
    let unique = if index.unique { "unique " } else { "" };
    let columns = index.columns.iter().zip(&index.operator_classes);
    let columns: Vec<_> = columns.map(|(column, class)| format!("{column} {class}").trim_end().to_owned()).collect();
    let condition = index.predicate.as_ref().map(|predicate| format!(" where {predicate}")).unwrap_or_default();
    format!("{unique}{}({}){condition}", index.method, columns.join(", "))
}
