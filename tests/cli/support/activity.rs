//! The binary's sessions on the server, and the locks that they wait for.

use super::Database;

/// The advisory lock of schema changes.
pub(crate) const LOCK_OF_THE_SCHEMA: &str = "SELECT pg_advisory_xact_lock(x'74617273792d6462'::bigint)";

/// Counts the sessions of the binary that wait for a lock of another session.
pub(crate) const WAITS_FOR_LOCK: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = 'tarsy' AND wait_event_type = 'Lock'";

/// Waits until the binary waits for a lock of another session.
#[track_caller]
pub(crate) fn wait_for_lock(database: &Database) {
    database.wait_until(WAITS_FOR_LOCK);
}

/// Waits until the server has closed the sessions of the client.
#[track_caller]
pub(crate) fn wait_for_no_session_of_the_tool(database: &Database) {
    if !database.is_sqlite() {
        database.wait_until(
            "SELECT (count(*) = 0)::int::bigint FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'tarsy'",
        );
    }
}
