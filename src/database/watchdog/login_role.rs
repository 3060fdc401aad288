//! The role that logged in, whose sessions are ours.

/// One query as the role that logged in, whose sessions are ours: `ALTER ROLE ... SET role` makes it work as another
/// one, which may neither see nor end them. It ends with the query, because behind a pooler the session is not ours
/// alone.
pub(crate) fn as_login_role(sql: &str) -> String {
    format!("SET LOCAL ROLE NONE; {sql}")
}
