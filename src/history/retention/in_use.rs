//! Sessions in a terminal status that are still in use, for example by a chat.
//!
//! A session is in use if its last interaction, that of its chat, or the start of an open stage is not older than the
//! cutoff. A stage that a crash left open long ago does not count.

use sea_orm::DbBackend;

use crate::database::connection::rows;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::transaction::Transaction;
use crate::history::tables::{CHATS, SESSIONS, STAGES, TERMINAL_STATUSES};
use crate::schema::model::Schema;

/// When the session or its chat was last used, in microseconds since the epoch. Older revisions lack one or both
/// columns.
const LAST: &str = "last_interaction_at";

/// The query for the sessions in use, as `session_id`, among those that meet a condition on `session_id`.
pub(crate) fn query(schema: &Schema, cutoff_us: i64, is_meant: &str) -> String {
    let statuses = TERMINAL_STATUSES.join("', '");
    let mut parts = vec![format!(
        "SELECT session_id FROM {STAGES}
         WHERE started_at_us >= {cutoff_us} AND status NOT IN ('{statuses}') AND {is_meant}"
    )];
    for table in [SESSIONS, CHATS].into_iter().filter(|table| schema.has_column(table, LAST)) {
        // In SQLite text is greater than any number: a value that is not a time counts as in use.
        parts.push(format!("SELECT session_id FROM {table} WHERE {LAST} >= {cutoff_us} AND {is_meant}"));
    }
    parts.join(" UNION ")
}

/// The sessions in use among those that meet a condition. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn find(
    connection: &Transaction,
    schema: &Schema,
    cutoff_us: i64,
    is_removable: &str,
) -> Result<Vec<String>, DatabaseError> {
    // With the plus SQLite scans the stages once, instead of looking up those of each session.
    let plus = if connection.backend() == DbBackend::Postgres { "" } else { "+" };
    let is_meant = format!("{plus}session_id IN (SELECT session_id FROM {SESSIONS} WHERE {is_removable})");
    let action = (Verb::Find, "the sessions in use");
    let found = rows(connection, &query(schema, cutoff_us, &is_meant)).await.context(action)?;
    found.iter().map(|row| row.try_get("", "session_id").context(action)).collect()
}
