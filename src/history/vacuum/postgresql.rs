//! Vacuums PostgreSQL's tables while other sessions use them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::freed::{Freed, FreedPart};
use crate::database::connection::Connection;
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::writable::require_primary;
use crate::history::space::postgresql::{TableSpace, tables};
use crate::schema::model::Schema;

/// The limit for the lock of a vacuum. It blocks neither readers nor writers, also while it waits for another vacuum or
/// the creation of an index.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Vacuums the tables that the role may vacuum.
pub(super) async fn vacuum(connection: &Connection, schema: &Schema) -> Result<Freed, DatabaseError> {
    // The server counts the removed rows of a session only some seconds later, unless asked, and after a vacuum as rows
    // that it has kept. Servers before 15 lack the function.
    connection.execute_in_free_sessions("SELECT pg_catalog.pg_stat_force_next_flush()").await;
    let look = (Verb::Measure, "the reclaimable space");
    let before = connection.reading(async |reading| tables(reading, schema).await).await.context(look)?;
    let (permitted, forbidden): (Vec<_>, Vec<_>) = before.into_iter().partition(|table| table.may_vacuum);
    require_primary(connection).await.context((Verb::Vacuum, "the tables"))?;
    let not_analyzed = match permitted.is_empty() {
        true => Vec::new(),
        false => vacuum_each(connection, &permitted).await?,
    };
    let mut after: BTreeMap<_, _> = connection
        .reading(async |reading| tables(reading, schema).await)
        .await
        .context(look)?
        .into_iter()
        .map(|table| (table.table.clone(), table))
        .collect();
    let parts = permitted.into_iter().filter_map(|before| Some(freed(&before, &after.remove(&before.table)?)));
    Ok(Freed {
        parts: parts.collect(),
        not_permitted: forbidden.into_iter().map(|table| table.table).collect(),
        not_analyzed,
        is_held_up: false,
    })
}

/// Returns the tables that could not be analyzed, each with the reason.
async fn vacuum_each(connection: &Connection, tables: &[TableSpace]) -> Result<Vec<String>, DatabaseError> {
    let action = (Verb::Vacuum, "the tables");
    let namespace = connection.namespace().await.context(action)?;
    let mut own = connection.open_own(Some(LOCK_TIMEOUT)).await.context(action)?;
    let mut not_analyzed = Vec::new();
    for TableSpace { table, .. } in tables {
        let (place, action) = (namespace.table(table), (Verb::Vacuum, table.clone()));
        match own.execute(&format!("VACUUM (ANALYZE) {place}")).await.map_err(DatabaseCause::from) {
            // Other than VACUUM, ANALYZE calls the functions of indexes, which may need another path than the empty one.
            Err(cause) if cause.class == ErrorClass::Other => {
                own.execute(&format!("VACUUM {place}")).await.context(action)?;
                not_analyzed.push(format!("{table}: {cause}"));
            }
            done => done.context(action)?,
        }
    }
    own.close().await;
    Ok(not_analyzed)
}

fn freed(before: &TableSpace, after: &TableSpace) -> FreedPart {
    let returned = before.bytes.saturating_sub(after.bytes);
    FreedPart {
        name: before.table.clone(),
        bytes_before: before.bytes,
        bytes_after: after.bytes,
        reusable_bytes: before.reclaimable_bytes.saturating_sub(after.reclaimable_bytes).saturating_sub(returned),
        dead_rows_kept: after.dead_rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::space::table;

    #[test]
    fn what_stays_inside_a_table_is_what_neither_left_nor_is_still_dead() {
        let before = TableSpace { dead_rows: 9, ..table("events", 500, 1000) };
        let after = TableSpace { dead_rows: 2, ..table("events", 100, 900) };
        let part = freed(&before, &after);
        assert_eq!(
            (part.bytes_before, part.bytes_after, part.reusable_bytes, part.dead_rows_kept),
            (1000, 900, 300, 2)
        );
    }
}
