//! What sets one schema apart from the one it should be.

use std::fmt;

use migration::ledger;

use super::{ForeignKey, Index, Schema, Table};

/// One difference, in a sentence that names the place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Difference {
    /// How much it matters.
    pub weight: Weight,
    /// For instance `missing index ix_alert_sessions_status on alert_sessions(status)`.
    pub text: String,
}

/// How much a difference matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Something is missing or altered: the backend may fail or be slow because of it.
    Drift,
    /// Something of the operator's own that may refuse rows of the backend's.
    Restriction,
    /// Something of the operator's own, which harms nobody.
    Addition,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Compares `found` with `expected`, drift first. The ledger is nobody's addition.
#[must_use]
pub fn between(expected: &Schema, found: &Schema) -> Vec<Difference> {
    let mut report = Report(Vec::new());
    for (name, table) in &expected.tables {
        match found.tables.get(name) {
            Some(found) => report.table(name, table, found),
            None => report.drift(format!("missing table {name}")),
        }
    }
    for name in found.tables.keys().filter(|name| !expected.tables.contains_key(*name) && *name != ledger::TABLE) {
        report.addition(format!("additional table {name}"));
    }
    report.0.sort();
    report.0
}

struct Report(Vec<Difference>);

impl Report {
    fn drift(&mut self, text: String) {
        self.0.push(Difference { weight: Weight::Drift, text });
    }

    fn restriction(&mut self, text: String) {
        self.0.push(Difference { weight: Weight::Restriction, text });
    }

    fn addition(&mut self, text: String) {
        self.0.push(Difference { weight: Weight::Addition, text });
    }

    fn table(&mut self, table: &str, expected: &Table, found: &Table) {
        self.columns(table, expected, found);
        if expected.primary_key != found.primary_key {
            let [is, should] = [found, expected].map(|table| table.primary_key.join(", "));
            self.drift(format!("{table} has the primary key ({is}), expected ({should})"));
        }
        self.indexes(table, expected, found);
        self.foreign_keys(table, expected, found);
        for condition in found.checks.difference(&expected.checks) {
            self.restriction(format!("additional condition on {table}: {condition}"));
        }
    }

    fn columns(&mut self, table: &str, expected: &Table, found: &Table) {
        for (name, column) in &expected.columns {
            let Some(found) = found.columns.get(name) else {
                self.drift(format!("missing column {table}.{name} ({})", column.kind));
                continue;
            };
            if found.kind != column.kind {
                self.drift(format!("{table}.{name} is {}, expected {}", found.kind, column.kind));
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
                true => self.addition(format!("additional column {table}.{name} ({})", column.kind)),
                false => self.restriction(format!(
                    "additional column {table}.{name} ({}) is NOT NULL without a default: the backend cannot insert",
                    column.kind
                )),
            }
        }
    }

    fn indexes(&mut self, table: &str, expected: &Table, found: &Table) {
        for (name, index) in &expected.indexes {
            match found.indexes.get(name) {
                None => self.drift(format!("missing index {name} on {table}({})", index.columns.join(", "))),
                Some(found) if !found.valid => self.drift(format!("index {name} on {table} is invalid")),
                Some(found) if found != index => {
                    self.drift(format!("index {name} is {}, expected {}", described(found), described(index)));
                }
                Some(_) => {}
            }
        }
        for (name, index) in found.indexes.iter().filter(|(name, _)| !expected.indexes.contains_key(*name)) {
            match index.unique {
                false => self.addition(format!("additional index {name} on {table}({})", index.columns.join(", "))),
                // It may refuse rows that the backend writes.
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
        // SQLite's keys have no names, and PostgreSQL's name says nothing that the rest does not.
        let shape = |key: &ForeignKey| ForeignKey { name: None, validated: true, ..key.clone() };
        for key in &expected.foreign_keys {
            let columns = key.columns.join(", ");
            match found.foreign_keys.iter().find(|found| shape(found) == shape(key)) {
                Some(found) if !found.validated => {
                    self.drift(format!(
                        "the foreign key on {table}({columns}) is NOT VALID: old rows were not looked at"
                    ));
                }
                Some(_) => {}
                None => {
                    let target = format!("{}({})", key.referenced_table, key.referenced_columns.join(", "));
                    let action = &key.on_delete;
                    self.drift(format!("missing foreign key {table}({columns}) to {target} with {action} on delete"));
                }
            }
        }
        for key in found.foreign_keys.iter().filter(|key| !expected.foreign_keys.iter().any(|e| shape(e) == shape(key)))
        {
            let (columns, to) = (key.columns.join(", "), &key.referenced_table);
            let actions = format!("{} on delete and {} on update", key.on_delete, key.on_update);
            self.restriction(format!("additional foreign key {table}({columns}) to {to} with {actions}"));
        }
    }
}

fn described(index: &Index) -> String {
    let unique = if index.unique { "unique " } else { "" };
    let columns = index.columns.iter().zip(&index.operator_classes);
    let columns: Vec<_> = columns.map(|(column, class)| format!("{column} {class}").trim_end().to_owned()).collect();
    let condition = index.predicate.as_ref().map(|predicate| format!(" where {predicate}")).unwrap_or_default();
    format!("{unique}{}({}){condition}", index.method, columns.join(", "))
}
