//! The schemas of all revisions as a replay on PostgreSQL found them, for servers on which nothing can be replayed.
//!
//! `make generate` writes the file, and a test compares it with a replay on the server of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use migration::Revision;
use serde_json::Value;

use super::model::{Schema, Table};

/// For each revision the tables that it creates or changes.
static RECORDED: LazyLock<BTreeMap<String, BTreeMap<String, Table>>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("recorded.json")).expect("a test compares the file with what is written here")
});

/// The schemas of the `wanted` revisions.
#[must_use]
pub(crate) fn schemas(wanted: &BTreeSet<Revision>) -> BTreeMap<Revision, Schema> {
    let (mut schema, mut schemas) = (Schema::default(), BTreeMap::new());
    for revision in wanted.last().into_iter().flat_map(|last| last.since(None)) {
        let changed = RECORDED.get(revision.id()).into_iter().flatten();
        schema.tables.extend(changed.map(|(name, table)| (name.clone(), table.clone())));
        if wanted.contains(&revision) {
            schemas.insert(revision, schema.clone());
        }
    }
    schemas
}

/// The text of the file for these schemas: a line for each table. No revision drops a table.
#[must_use]
pub(crate) fn text(schemas: &BTreeMap<Revision, Schema>) -> String {
    let mut before = BTreeMap::new();
    let mut revisions = Vec::new();
    for (revision, schema) in schemas {
        let mut lines = Vec::new();
        for (name, table) in &schema.tables {
            let table = serde_json::to_value(table).unwrap_or_default();
            if before.get(name) != Some(&table) {
                lines.push(format!("{}: {table}", Value::from(name.as_str())));
                before.insert(name.clone(), table);
            }
        }
        revisions.push(format!("{}: {{\n{}\n}}", Value::from(revision.id()), lines.join(",\n")));
    }
    format!("{{\n{}\n}}\n", revisions.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let all = schemas(&Revision::all().collect());
        assert_eq!(text(&all), include_str!("recorded.json"));
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), Revision::all().collect::<Vec<_>>());
        for (revision, schema) in &all {
            let tables: BTreeSet<_> = schema.tables.keys().map(String::as_str).collect();
            assert_eq!(tables, revision.tables().into_iter().collect(), "{revision}");
        }
    }
}
