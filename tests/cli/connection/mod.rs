//! Servers and connections to them: roles, TLS, silence, broken answers.

mod aborts;
mod answers;
mod group_owner;
mod namesakes;
mod planted;
mod pool;
mod pooler;
mod row_policies;
mod silence;
mod standby;
mod tls;
