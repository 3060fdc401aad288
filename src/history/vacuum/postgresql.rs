//! Vacuums PostgreSQL's tables while other sessions use them.

use std::collections::BTreeMap;

use super::freed::{Freed, FreedPart};
use crate::database::connection::Connection;
use crate::database::connection::{require_primary, rows};
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::mark;
use crate::database::quote::quoted;
use crate::history::space::postgresql::{TableSpace, tables};
use crate::schema::model::Schema;

/// Removes the role's limits, which are too short for a vacuum. The lock of a vacuum blocks neither readers nor
/// writers, also while it waits for another vacuum or the creation of an index.
const LIMITS: &str = "
    SELECT set_config(name, CASE name WHEN 'lock_timeout' THEN '30s' ELSE '0' END, false) AS value FROM pg_settings
    WHERE name IN ('lock_timeout', 'statement_timeout', 'transaction_timeout')";

/// Vacuums the tables that the role may vacuum.
pub(super) async fn vacuum(connection: &Connection, schema: &Schema) -> Result<Freed, DatabaseError> {
    // The server counts this session's removed rows only some seconds later, unless asked. Servers before 15 lack the
    // function.
    connection.execute_alone("SELECT pg_stat_force_next_flush()").await.ok();
    let look = (Verb::Measure, "the reclaimable space");
    let before = connection.reading(async |reading| tables(reading, schema).await).await.context(look)?;
    let (permitted, forbidden): (Vec<_>, Vec<_>) = before.into_iter().partition(|table| table.may_vacuum);
    connection.reading(async |reading| require_primary(reading).await).await.context((Verb::Vacuum, "the tables"))?;
    connection
        .reading(async |reading| rows(reading, LIMITS).await)
        .await
        .context((Verb::Reset, "the statement timeouts"))?;
    for TableSpace { table, .. } in &permitted {
        let sql = format!("VACUUM (ANALYZE) {}", quoted(table));
        connection.execute_alone(&mark::statement(&sql)).await.context((Verb::Vacuum, table.clone()))?;
    }
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
        is_held_up: false,
    })
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
