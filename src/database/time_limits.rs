//! The time limits of a role, a database or a server, which are meant for the queries of a backend. Our transactions lift
//! them: a removal, an upgrade or a move may take longer, and what bounds it are limits of its own.

/// The limits of a statement, of the time between two statements, and of a transaction (PostgreSQL 17 and newer).
const NAMES: [&str; 3] = ["statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"];

/// The statement that lifts them until the end of the transaction. Those that the server does not have are skipped. Every
/// name is qualified, because the path may lead to TARSy's schema.
#[must_use]
pub(crate) fn lift() -> String {
    let names = NAMES.map(|name| format!("('{name}')")).join(", ");
    format!(
        "SELECT pg_catalog.set_config(name, '0', true) FROM (VALUES {names}) AS limits (name)
    WHERE pg_catalog.current_setting(name, true) IS NOT NULL"
    )
}
