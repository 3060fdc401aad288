//! Which rows the target has that are missing in the source.

use std::collections::HashSet;

use sea_orm::sea_query::Query;
use sea_orm::{ConnectionTrait, DbErr};

use crate::database::transaction::Transaction;
use crate::history::id_set::IdSet;

/// Those of these keys that a table has in its column.
pub(crate) async fn present(
    reading: &Transaction,
    (table, column): (&'static str, &'static str),
    keys: Vec<String>,
) -> Result<HashSet<String>, DbErr> {
    let keys = IdSet::bound(reading.backend(), keys);
    let select = Query::select()
        .column(column)
        .from(reading.namespace().table_ref(table))
        .and_where(keys.contains(column))
        .to_owned();
    let rows = reading.query_all(&select).await?;
    rows.iter().map(|row| row.try_get("", column)).collect()
}
