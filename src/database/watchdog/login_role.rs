//! Queries as the role that logged in.

/// Runs a query as the role that logged in, which owns our sessions: after `ALTER ROLE ... SET role` the current role
/// may neither see nor end them. The path is empty. Both settings end with the query, because behind a pooler the
/// session is shared.
pub(crate) fn as_login_role(sql: &str) -> String {
    format!("SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL ROLE NONE; {sql}")
}
