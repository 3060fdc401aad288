//! `wait`: the database is waited for, and the wait ends.

pub(crate) mod attempts;
