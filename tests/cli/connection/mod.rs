//! Servers, and the ways to them: roles, TLS, silence, broken answers.

pub(crate) mod aborts;
pub(crate) mod answers;
pub(crate) mod group_owner;
pub(crate) mod row_policies;
pub(crate) mod silence;
pub(crate) mod standby;
pub(crate) mod tls;
