//! Values of archived rows: read from either backend, and compared.

use sea_orm::{DbErr, QueryResult};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row, Sqlite, TypeInfo, ValueRef};

use crate::database::failure::DatabaseCause;
use crate::database::sqlite_value::SqliteValue;

/// The first values of a row of either backend.
pub(super) fn of_row(row: &QueryResult, columns: usize) -> Result<Vec<SqliteValue<'_>>, DatabaseCause> {
    let value = |index| match row.try_as_sqlite_row() {
        Some(row) => of_sqlite(row, index).map_err(DatabaseCause::from),
        None => of_postgresql(row, index).map_err(DatabaseCause::from),
    };
    (0..columns).map(value).collect()
}

fn of_sqlite(row: &SqliteRow, index: usize) -> Result<SqliteValue<'_>, sqlx::Error> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(SqliteValue::Null);
    }
    let class = value.type_info().into_owned();
    let decoded = match class.name() {
        "INTEGER" => <i64 as Decode<'_, Sqlite>>::decode(value).map(SqliteValue::Integer),
        "REAL" => <f64 as Decode<'_, Sqlite>>::decode(value).map(SqliteValue::Real),
        "TEXT" => <&[u8] as Decode<'_, Sqlite>>::decode(value).map(SqliteValue::Text),
        _ => <&[u8] as Decode<'_, Sqlite>>::decode(value).map(SqliteValue::Blob),
    };
    decoded.map_err(sqlx::Error::Decode)
}

fn of_postgresql(row: &QueryResult, index: usize) -> Result<SqliteValue<'_>, DbErr> {
    let Some(row) = row.try_as_pg_row() else { return Err(DbErr::Custom("a row of neither backend".to_owned())) };
    let failed = |error: sqlx::Error| DbErr::Query(sea_orm::RuntimeErr::SqlxError(error.into()));
    let value = row.try_get_raw(index).map_err(failed)?;
    if value.is_null() {
        return Ok(SqliteValue::Null);
    }
    let kind = value.type_info().into_owned();
    let decoded = match kind.name() {
        "INT8" => <i64 as Decode<'_, Postgres>>::decode(value).map(SqliteValue::Integer),
        "FLOAT8" => <f64 as Decode<'_, Postgres>>::decode(value).map(SqliteValue::Real),
        _ => <&str as Decode<'_, Postgres>>::decode(value).map(|text| SqliteValue::Text(text.as_bytes())),
    };
    decoded.map_err(|error| failed(sqlx::Error::Decode(error)))
}

/// Whether the stored value is the same. JSON's whole numbers are also the same as SQLite's INTEGER.
pub(super) fn is_kept_as(sent: &SqliteValue<'_>, kept: &SqliteValue<'_>) -> bool {
    match (sent, kept) {
        (SqliteValue::Real(sent), SqliteValue::Real(kept)) => sent.to_bits() == kept.to_bits(),
        (SqliteValue::Text(text), SqliteValue::Integer(number)) => *text == number.to_string().as_bytes(),
        (sent, kept) => sent == kept,
    }
}

/// The value of a key for messages. Values that no TARSy key has are shown by their storage class.
pub(super) fn shown(value: &SqliteValue<'_>) -> String {
    match value {
        SqliteValue::Text(_) | SqliteValue::Integer(_) => value.shown().into_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::SqliteValue::{Blob, Integer, Null, Real, Text};
    use super::*;

    #[test]
    fn only_a_whole_number_of_json_may_be_kept_as_another_class() {
        assert!(is_kept_as(&Text(b"17"), &Integer(17)) && is_kept_as(&Text(b"17"), &Text(b"17")));
        for (sent, kept) in
            [(Text(b"017"), Integer(17)), (Integer(17), Text(b"17")), (Text(b"a"), Blob(b"a")), (Null, Text(b""))]
        {
            assert!(!is_kept_as(&sent, &kept), "{sent:?} {kept:?}");
        }
        assert!(is_kept_as(&Real(f64::NAN), &Real(f64::NAN)) && !is_kept_as(&Real(0.0), &Real(-0.0)));
    }

    #[test]
    fn a_key_of_another_storage_class_shows_it() {
        let keys = [Text(b"a\xff"), Integer(7), Real(1.5), Blob(b"a"), Null];
        assert_eq!(keys.map(|key| shown(&key)), ["a\u{fffd}", "7", "Real(1.5)", "Blob([97])", "Null"]);
    }
}
