//! Marks the transactions and statements of this process on a PostgreSQL server, so that another connection can find
//! them, ask whether the server works on them, and end them.
//!
//! The session's process id would not do, because a pooler gives the same session to other clients. A mark ends with
//! its transaction or statement.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, OnceLock};

/// The first half of the advisory lock's key: `tars` in ASCII.
const CLASS: u32 = 0x7461_7273;

/// The second half, a random number per process.
fn process() -> u32 {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    *PROCESS.get_or_init(|| u32::try_from(RandomState::new().build_hasher().finish() >> 33).unwrap_or(1))
}

/// A text that no other process has.
pub(crate) fn client() -> Arc<str> {
    process().to_string().into()
}

/// Makes the server notice after 25 s that the network to this client is gone, and end the transaction, instead of after
/// two hours as on most systems. Nothing changes on a Unix socket.
pub(crate) const KEEPALIVE: &str = "SET LOCAL tcp_keepalives_idle = 10; SET LOCAL tcp_keepalives_interval = 5;
    SET LOCAL tcp_keepalives_count = 3";

/// Statements that mark the transaction in which they run. They also make the server check every second whether this
/// client is still connected, and end the transaction if not (PostgreSQL 14 and newer, on Linux), and [`KEEPALIVE`]. Every
/// name is qualified, because the path may lead to TARSy's schema.
#[must_use]
pub(crate) fn transaction() -> String {
    format!(
        "{KEEPALIVE}; SELECT pg_catalog.pg_advisory_xact_lock_shared({CLASS}, {});
         SELECT pg_catalog.set_config('client_connection_check_interval', '1s', true)
         WHERE pg_catalog.current_setting('client_connection_check_interval', true) OPERATOR(pg_catalog.=) '0'
               AND pg_catalog.version() OPERATOR(pg_catalog.~~) '%linux%'",
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

/// The SQL condition that another session of the database has a marked transaction of this process, for a query with an
/// empty path.
#[must_use]
pub(crate) fn is_in_database() -> String {
    format!(
        "EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE l.locktype = 'advisory' AND l.classid = {CLASS} AND l.objid = {} AND l.objsubid = 2
                   AND d.datname = current_database() AND l.pid <> pg_backend_pid())",
        process()
    )
}

/// The SQL condition that the row `a` of `pg_stat_activity` is a session with a marked transaction or statement, for a
/// query with an empty path.
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
