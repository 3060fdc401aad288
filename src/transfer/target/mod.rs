//! The PostgreSQL end: everything in one transaction, so that a failure anywhere leaves nothing.
//!
//! | module | what it is for |
//! |---|---|
//! | [`preflight`] | finds what a move would fail at, before it begins |
//! | [`preflight_checks`] | the statements that find it |
//! | [`empty`] | tables that have to be empty |
//! | [`disk_space`] | whether the server's disks have room |
//! | [`conflict`] | rows that cannot come to those of the target |
//! | [`read_back`] | reads the target's rows back |
//! | [`staging`] | a temporary place for rows that come to others |
//! | [`copy`] | one table's way from the reading thread to the server |
//! | [`indexes`] | indexes and keys, dropped for the load and built again |
//! | [`operation`] | what is to be done with the target |
//! | [`obstacle`] | what a move would fail at, as data |
//! | [`session_settings`] | what the transaction sets for itself |
//! | [`session`] | statements on the one connection |
//! | [`mod@error`] | why the target did not take rows |

pub(crate) mod conflict;
pub(crate) mod copy;
pub(crate) mod disk_space;
pub(crate) mod empty;
pub(crate) mod error;
pub(crate) mod indexes;
pub(crate) mod obstacle;
pub(crate) mod operation;
pub(crate) mod preflight;
pub(crate) mod preflight_checks;
pub(crate) mod read_back;
pub(crate) mod session;
pub(crate) mod session_settings;
pub(crate) mod staging;
