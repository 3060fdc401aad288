//! Marks what this process does on a PostgreSQL server, so that another connection finds it there: to ask whether the
//! server works on it, and to end it.
//!
//! A number of the session would not do: behind a pooler another client is served by the same session a moment later. A
//! mark ends with the transaction or the statement that it belongs to.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// The first half of the lock's key: `tars` in ASCII.
const CLASS: u32 = 0x7461_7273;

/// The second half: another one for each process.
fn process() -> u32 {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    *PROCESS.get_or_init(|| u32::try_from(RandomState::new().build_hasher().finish() >> 33).unwrap_or(1))
}

/// Statements that mark the transaction in which they run. From then on the server also notices within a second that
/// this process is gone, and ends what it was doing (PostgreSQL 14 and newer, on Linux).
#[must_use]
pub(crate) fn transaction() -> String {
    format!(
        "SELECT pg_advisory_xact_lock_shared({CLASS}, {});
         SELECT set_config('client_connection_check_interval', '1s', true)
         WHERE current_setting('client_connection_check_interval', true) = '0' AND version() LIKE '%linux%'",
        process()
    )
}

/// Marks a statement that cannot run in a transaction.
#[must_use]
pub(crate) fn statement(sql: &str) -> String {
    format!("{sql} {}", comment())
}

fn comment() -> String {
    format!("/* tarsy-db {} */", process())
}

/// The condition that a row of `pg_stat_activity`, which is called `a`, is a session that does something marked.
#[must_use]
pub(crate) fn condition() -> String {
    format!(
        "a.pid <> pg_backend_pid()
         AND (a.pid IN (SELECT l.pid FROM pg_locks l
                        WHERE l.locktype = 'advisory' AND l.classid = {CLASS} AND l.objid = {} AND l.objsubid = 2)
              OR (a.state = 'active' AND right(a.query, {}) = '{}'))",
        process(),
        comment().len(),
        comment()
    )
}
