//! `wait`: the database is waited for, and the wait ends.

mod attempts;
