//! Servers and connections to them: roles, TLS, silence, broken answers.

mod aborts;
mod answers;
mod bridge;
mod file_permissions;
mod group_owner;
mod hosts;
mod login;
mod namesakes;
mod parameters;
mod planted;
mod pool;
mod pooler;
mod row_policies;
mod silence;
mod standby;
mod tls;
mod unwritable;
