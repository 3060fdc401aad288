//! Values as the target will have them, also in SQL on the source. Keys are compared by them: a policy may make two different
//! values equal, and a value stored as another class is the same on the target.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSqlOutput, Value};

use crate::database::failure::DatabaseCause;
use crate::database::quote::{literal, quoted};
use crate::database::sqlite_value::SqliteValue;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::convert::{Converted, convert, truncated};
use crate::transfer::value::digest::RowDigester;
use crate::transfer::value::pg_value::PgValue;
use crate::transfer::value::policy::{Class, Policies, Policy};

/// The longest value, in bytes, that certainly fits into an entry of PostgreSQL's b-tree, which has 2704 bytes with its
/// header and padding. A longer one may fit after compression, which only the server can decide.
pub(crate) const SAFE_ENTRY: usize = 2600;
/// How many bytes a policy may make of one: U+FFFD has three.
pub(crate) const MAX_GROWTH: usize = 3;
/// A function of a table, a column of it, and a value stored there.
const FUNCTION: &str = "tarsy_db_converted";
/// The position of the value among the arguments.
const STORED: usize = 2;

/// Adds the function to a connection: every search for orphans, duplicates and long values calls it.
pub(crate) fn define(
    connection: &Connection,
    tables: &[Arc<TablePlan>],
    policies: &Policies,
) -> Result<(), DatabaseCause> {
    let (tables, policies) = (tables.to_vec(), *policies);
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(FUNCTION, 3, flags, move |arguments| {
        let [table, column] = [0, 1].map(|index| arguments.get_raw(index).as_str().unwrap_or_default());
        let table = tables.iter().find(|own| own.name == table);
        let place = table.and_then(|table| Some((table.as_ref(), table.position(column)?)));
        let value = place.and_then(|place| changed(place, &policies, arguments.get_raw(STORED).into()));
        Ok(value.map_or(ToSqlOutput::Arg(STORED), ToSqlOutput::Owned))
    })?;
    Ok(())
}

/// The expression for a column as the target will have it.
pub(crate) fn converted(table: &str, column: &str) -> String {
    format!("{FUNCTION}({}, {}, {}.{})", literal(table), literal(column), quoted(table), quoted(column))
}

/// The converted value if it differs from the stored one. A value that is a hazard stays as it is stored, unless it only
/// has to be stored as another class.
fn changed((table, index): (&TablePlan, usize), policies: &Policies, stored: SqliteValue<'_>) -> Option<Value> {
    let Converted { value, faults, .. } = convert_for(table, index, policies, stored, &mut RowDigester::default());
    if faults.iter().any(|fault| fault.class() != Class::StorageClass) {
        return None;
    }
    match value {
        PgValue::Null => Some(Value::Null),
        PgValue::Bytes(text) | PgValue::Jsonb(text) if stored == SqliteValue::Text(&text) => None,
        PgValue::Bytes(text) | PgValue::Jsonb(text) => String::from_utf8(text.into_owned()).ok().map(Value::Text),
        PgValue::BigInt(number) | PgValue::Timestamp(number) => Some(Value::Integer(number)),
        PgValue::Integer(number) => Some(Value::Integer(number.into())),
        PgValue::Boolean(truth) => Some(Value::Integer(truth.into())),
        PgValue::Double(number) => Some(Value::Real(number)),
    }
}

/// Converts a value for the column at this position. With the policy `index-entry=truncate` a text of a b-tree is cut
/// to what certainly fits.
pub(crate) fn convert_for<'r>(
    table: &TablePlan,
    index: usize,
    policies: &Policies,
    stored: SqliteValue<'r>,
    digester: &mut RowDigester,
) -> Converted<'r> {
    let column = &table.columns[index];
    let may_be_cut = policies.of(Class::IndexEntry) == Policy::Truncate
        && stored.size() * MAX_GROWTH > SAFE_ENTRY
        && matches!(column.target, ColumnType::Text(_))
        && table.b_trees.iter().flatten().any(|name| *name == column.name);
    if !may_be_cut {
        return convert(stored, column, policies, digester);
    }
    // Other policies may make it shorter, or NULL.
    let mut converted = convert(stored, column, policies, &mut RowDigester::default());
    if !converted.faults.is_empty() {
        return converted;
    }
    if let PgValue::Bytes(text) = &mut converted.value
        && text.len() > SAFE_ENTRY
    {
        let end = truncated(text, SAFE_ENTRY).len();
        match text {
            Cow::Borrowed(whole) => *whole = &whole[..end],
            Cow::Owned(whole) => whole.truncate(end),
        }
        converted.changes.insert(0, (Class::IndexEntry, Policy::Truncate));
    }
    digester.add(&converted.value).expect("only `jsonb` is parsed");
    converted
}
