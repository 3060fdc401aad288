//! The tables and columns of an archive, and the statements that write and read them.

use std::collections::BTreeMap;

use super::error::ArchiveError;
use super::value;
use crate::database::quote::quoted;
use crate::database::sqlite_value::SqliteValue;
use crate::database::url::Backend;
use crate::history::tables::session_tables;
use crate::schema::column_kind::ColumnKind;
use crate::schema::model::{Schema, Table};

/// By name.
pub(crate) type ArchivedTables = BTreeMap<&'static str, ArchivedTable>;

/// A table of the archive, and how a row of the database is written to it.
#[derive(Debug)]
pub(crate) struct ArchivedTable {
    /// The positions of the primary key's columns.
    key: Vec<usize>,
    pub(crate) columns: Vec<String>,
    /// The expressions that select a row of the database in the form of the archive.
    pub(crate) returning: String,
    /// Inserts a row, unless a row with the same key exists.
    pub(super) insert: String,
    /// Selects the row with the same key.
    pub(super) select: String,
    /// Selects a row by its rowid.
    pub(super) select_new: String,
}

/// Matches the tables of a database with those of its archive.
///
/// # Errors
/// [`ArchiveError::Lacking`] for tables and columns that the archive lacks.
pub(crate) fn matching(backend: Backend, found: &Schema, archive: &Schema) -> Result<ArchivedTables, ArchiveError> {
    let mut tables = ArchivedTables::new();
    let mut lacking = Vec::new();
    for name in session_tables() {
        let Some(table) = found.tables.get(name) else { continue };
        let Some(kept) = archive.tables.get(name) else {
            lacking.push(name.to_owned());
            continue;
        };
        match ArchivedTable::matching(backend, name, table, kept) {
            Ok(table) => drop(tables.insert(name, table)),
            Err(columns) => lacking.extend(columns),
        }
    }
    if lacking.is_empty() { Ok(tables) } else { Err(ArchiveError::Lacking { names: lacking }) }
}

impl ArchivedTable {
    /// Matches a table of a database with that of its archive. The error lists the columns that the archive lacks.
    fn matching(backend: Backend, name: &str, found: &Table, kept: &Table) -> Result<Self, Vec<String>> {
        let (mut columns, mut returning, mut lacking) = (Vec::new(), Vec::new(), Vec::new());
        for (column, definition) in &found.columns {
            let expression = returned(backend, column, &definition.kind);
            match expression.filter(|_| kept.columns.contains_key(column)) {
                None => lacking.push(format!("{name}.{column}")),
                Some(expression) => {
                    columns.push(column.clone());
                    returning.push(expression);
                }
            }
        }
        if !lacking.is_empty() {
            return Err(lacking);
        }
        let place = |key: &String| columns.iter().position(|column| column == key);
        Ok(Self {
            key: kept.primary_key.iter().filter_map(place).collect(),
            insert: insert(name, &columns, &kept.primary_key),
            select: select(name, &columns, &kept.primary_key),
            select_new: format!("SELECT {} FROM {} WHERE rowid = ?1", names(&columns), quoted(name)),
            returning: returning.join(", "),
            columns,
        })
    }

    /// The columns of the primary key, with their values in a row.
    pub(crate) fn key<'v>(&self, values: &[SqliteValue<'v>]) -> impl Iterator<Item = (&str, SqliteValue<'v>)> {
        self.key.iter().map(|place| (self.columns[*place].as_str(), values[*place]))
    }

    /// The key of a row for messages.
    pub(crate) fn shown_key(&self, values: &[SqliteValue<'_>]) -> String {
        self.key(values).map(|(_, value)| value::shown(&value)).collect::<Vec<_>>().join(", ")
    }
}

/// The expression that converts a column's value to one that SQLite can store; `None` for a type that TARSy does not
/// have.
fn returned(backend: Backend, column: &str, kind: &ColumnKind) -> Option<String> {
    let name = quoted(column);
    if backend == Backend::Sqlite {
        return Some(name);
    }
    Some(match kind {
        ColumnKind::Boolean => format!("{name}::int::bigint"),
        ColumnKind::BigInt | ColumnKind::Integer | ColumnKind::SmallInt => format!("{name}::bigint"),
        ColumnKind::DoublePrecision => format!("{name}::float8"),
        ColumnKind::Json | ColumnKind::Jsonb | ColumnKind::Text(..) => format!("{name}::text"),
        // An array of them.
        ColumnKind::Other(kind) if kind.starts_with("character varying") => format!("{name}::text"),
        _ => return None,
    })
}

/// An existing row stays.
fn insert(table: &str, columns: &[String], key: &[String]) -> String {
    let values: Vec<_> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
    format!(
        "INSERT INTO {table} ({names}) VALUES ({values}) ON CONFLICT ({key}) DO NOTHING",
        table = quoted(table),
        names = names(columns),
        values = values.join(", "),
        key = names(key),
    )
}

/// The statement that selects the row with a given key.
fn select(table: &str, columns: &[String], key: &[String]) -> String {
    let conditions: Vec<_> =
        key.iter().zip(1..).map(|(name, number)| format!("{} = ?{number}", quoted(name))).collect();
    format!("SELECT {} FROM {} WHERE {}", names(columns), quoted(table), conditions.join(" AND "))
}

fn names(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::column_kind::ColumnKind;
    use crate::schema::model::Column;

    /// A table of chats, and columns with their types.
    fn chats(columns: &[(&str, &str)]) -> Schema {
        let column = |kind: &str| Column { kind: ColumnKind::of(kind), nullable: true, default: None };
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), column(kind))).collect();
        let table = Table { columns, primary_key: vec!["chat_id".to_owned()], ..Table::default() };
        Schema { tables: BTreeMap::from([("chats".to_owned(), table)]) }
    }

    #[test]
    fn each_column_of_the_database_has_a_place_in_the_archive() {
        let archive = chats(&[("chat_id", "varchar"), ("created_by", "varchar"), ("added", "varchar")]);
        let found = chats(&[("chat_id", "character varying"), ("created_by", "text")]);
        let tables = matching(Backend::Postgresql, &found, &archive).expect("there is a place for all");
        assert_eq!(tables["chats"].returning, "\"chat_id\"::text, \"created_by\"::text");

        let found = chats(&[("chat_id", "text"), ("created_by", "uuid"), ("own", "text")]);
        let lacking = matching(Backend::Postgresql, &found, &archive).expect_err("columns are lacking");
        let expected = "the archive has no table or column for `chats.created_by`, `chats.own`";
        assert_eq!(lacking.to_string(), expected);
        let lacking = matching(Backend::Sqlite, &found, &Schema::default()).expect_err("the table is lacking");
        assert_eq!(lacking.to_string(), "the archive has no table or column for `chats`");
    }

    #[test]
    fn a_row_is_inserted_unless_its_key_exists_and_read_back_by_its_key() {
        let schema = chats(&[("chat_id", "varchar"), ("created_by", "varchar")]);
        let tables = matching(Backend::Sqlite, &schema, &schema).expect("there is a place for all");
        let chats = &tables["chats"];
        let expected = "INSERT INTO \"chats\" (\"chat_id\", \"created_by\") VALUES (?1, ?2) \
                        ON CONFLICT (\"chat_id\") DO NOTHING";
        assert_eq!(chats.insert, expected);
        assert_eq!(chats.select, "SELECT \"chat_id\", \"created_by\" FROM \"chats\" WHERE \"chat_id\" = ?1");
        assert_eq!(chats.select_new, "SELECT \"chat_id\", \"created_by\" FROM \"chats\" WHERE rowid = ?1");
        let values = [SqliteValue::Text(b"c"), SqliteValue::Null];
        assert_eq!(chats.key(&values).collect::<Vec<_>>(), [("chat_id", SqliteValue::Text(b"c"))]);
    }
}
