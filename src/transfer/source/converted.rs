//! Values as the target will have them, in SQL on the source. Keys are compared by them: a policy may make two different
//! values equal, and a value stored as another class is the same on the target.

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSqlOutput, Value};

use super::row_converter::convert_for;
use crate::database::failure::DatabaseCause;
use crate::database::quote::{literal, quoted};
use crate::database::sqlite_value::SqliteValue;
use crate::transfer::plan::TablePlan;
use crate::transfer::value::convert::Converted;
use crate::transfer::value::digest::RowDigester;
use crate::transfer::value::pg_value::PgValue;
use crate::transfer::value::policy::{Class, Policies};

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
