//! Converts a row: its values for PostgreSQL, what policies changed, and its hazards.

use super::converted::convert_for;
use super::pass::{Pass, Purpose};
use super::row::AnyRow;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::change::Change;
use crate::transfer::value::convert::Converted;
use crate::transfer::value::digest::{RowDigester, bucket};
use crate::transfer::value::hazard::{Hazard, Values};
use crate::transfer::value::normalization::NormalizationCounts;
use crate::transfer::value::pg_value::PgValue;

/// A converted row.
#[derive(Default)]
pub(crate) struct ConvertedRow<'r> {
    pub(crate) values: Vec<PgValue<'r>>,
    pub(crate) changes: Vec<Change>,
    pub(crate) hazards: Vec<Hazard>,
    pub(crate) normalizations: NormalizationCounts,
    /// Incomplete if there are hazards.
    pub(crate) digester: RowDigester,
    /// The size of its values in the source, in bytes.
    pub(crate) bytes: u64,
}

/// Converts the rows of a pass.
pub(crate) struct RowConverter<'p> {
    pass: &'p Pass,
    values: Values,
}

impl<'p> RowConverter<'p> {
    pub(crate) fn new(pass: &'p Pass) -> Self {
        let values = match pass.purpose {
            Purpose::Copy => Values::Hidden,
            Purpose::Scan(values) => values,
        };
        Self { pass, values }
    }

    pub(crate) fn convert<'r>(&self, row: AnyRow<'r>) -> ConvertedRow<'r> {
        let columns = self.pass.table.columns.len();
        let mut converted = ConvertedRow { values: Vec::with_capacity(columns), ..ConvertedRow::default() };
        for index in 0..columns {
            self.add_value(row, index, &mut converted);
        }
        converted
    }

    fn add_value<'r>(&self, row: AnyRow<'r>, index: usize, converted: &mut ConvertedRow<'r>) {
        let (table, column) = (&self.pass.table, &self.pass.table.columns[index]);
        let stored = row.stored(index);
        let Converted { value, faults, changes, normalizations } =
            convert_for(table, index, &self.pass.policies, stored, &mut converted.digester);
        for (class, policy) in changes {
            let key = self.pass.shown_key(row);
            converted.changes.push(Change::of_value(&table.name, key, &column.name, class, policy, stored));
        }
        for fault in faults {
            let value = self.values.show(stored);
            converted
                .hazards
                .push(Hazard { value, ..Hazard::new(&table.name, self.pass.shown_key(row), &column.name, &fault) });
        }
        for normalization in normalizations.iter() {
            converted.normalizations[normalization as usize] += 1;
        }
        converted.bytes += stored.size() as u64;
        converted.values.push(value);
    }

    /// Converts a single value.
    pub(crate) fn value<'r>(&self, row: AnyRow<'r>, index: usize) -> PgValue<'r> {
        convert_for(&self.pass.table, index, &self.pass.policies, row.stored(index), &mut RowDigester::default()).value
    }
}

impl ConvertedRow<'_> {
    /// The bucket of the row in its table's digest.
    pub(crate) fn bucket(&self, table: &TablePlan) -> usize {
        bucket(table.primary_key.iter().map(|index| &self.values[*index]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use rusqlite::types::Value;

    use super::*;
    use crate::transfer::source::converted::SAFE_ENTRY;
    use crate::transfer::value::column::ColumnPlan;
    use crate::transfer::value::column_type::ColumnType;
    use crate::transfer::value::policy::{Class, Policies};

    fn pass(choices: &[&str]) -> Pass {
        let column = |name: &str, target| ColumnPlan { name: name.to_owned(), target, nullable: true };
        let table = TablePlan {
            name: "alert_sessions".to_owned(),
            qualified_name: String::new(),
            columns: vec![column("session_id", ColumnType::Text(None)), column("status", ColumnType::Text(None))],
            primary_key: vec![0],
            foreign_keys: Vec::new(),
            unique_keys: Vec::new(),
            b_trees: BTreeSet::from([vec!["status".to_owned()]]),
            index_methods: Vec::new(),
        };
        let choices: Vec<_> = choices.iter().map(|choice| choice.parse().expect("a choice")).collect();
        Pass {
            table: Arc::new(table),
            only: None,
            policies: Arc::new(Policies::new(&choices).expect("no contradiction")),
            orphans: Arc::default(),
            purpose: Purpose::Scan(Values::Hidden),
        }
    }

    fn row(status: &str) -> [Value; 2] {
        [Value::Text("one".to_owned()), Value::Text(status.to_owned())]
    }

    #[test]
    fn a_hazard_names_its_row_and_column() {
        let (pass, row) = (pass(&[]), row("a\0b"));
        let converted = RowConverter::new(&pass).convert(AnyRow::Placeholder(&row));
        let places: Vec<_> = converted.hazards.iter().map(|hazard| (&*hazard.primary_key, &*hazard.column)).collect();
        assert_eq!((places, converted.bytes), (vec![("one", "status")], 6));
        assert!(converted.changes.is_empty());
    }

    #[test]
    fn a_text_too_long_for_an_index_is_cut_and_its_original_recorded() {
        let (pass, row) = (pass(&["index-entry=truncate", "nul=strip"]), row(&"\0x".repeat(2 * SAFE_ENTRY)));
        let converted = RowConverter::new(&pass).convert(AnyRow::Placeholder(&row));
        let classes: Vec<_> = converted.changes.iter().map(|change| change.class).collect();
        assert_eq!(classes, [Class::IndexEntry, Class::Nul]);
        assert_eq!(converted.values[1], PgValue::Bytes("x".repeat(SAFE_ENTRY).into_bytes().into()));
        let [cut, stripped] = converted.changes.as_slice() else { panic!("two changes") };
        assert_eq!(cut.original, stripped.original);
        assert!(cut.original.len() > 4 * SAFE_ENTRY);
    }

    #[test]
    fn only_a_text_that_is_too_long_after_the_other_policies_is_cut() {
        let cases = [
            ("nul=strip", "\0x".repeat(SAFE_ENTRY), vec![Class::Nul], SAFE_ENTRY),
            ("nul=replace", "\0".repeat(SAFE_ENTRY / 2), vec![Class::IndexEntry, Class::Nul], SAFE_ENTRY - 2),
            ("nul=fail", "\0x".repeat(SAFE_ENTRY), vec![], 0),
        ];
        for (choice, text, expected, length) in cases {
            let (pass, row) = (pass(&["index-entry=truncate", choice]), row(&text));
            let converted = RowConverter::new(&pass).convert(AnyRow::Placeholder(&row));
            let classes: Vec<_> = converted.changes.iter().map(|change| change.class).collect();
            assert_eq!(classes, expected, "{choice}");
            let PgValue::Bytes(text) = &converted.values[1] else { panic!("a text") };
            assert!(!converted.hazards.is_empty() || text.len() == length, "{choice}: {}", text.len());
        }
    }
}
