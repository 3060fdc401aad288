//! The PostgreSQL side: everything runs in one transaction, so that a failure leaves no trace.
//!
//! | module | what it is for |
//! |---|---|
//! | [`preflight`] | finds all problems on the target before the first row is copied |
//! | [`preflight_checks`] | its SQL statements |
//! | [`empty`] | requires empty tables |
//! | [`disk_space`] | whether the server's disk has enough free space |
//! | [`conflict`] | rows that conflict with rows of the target |
//! | [`read_back`] | reads the target's rows back |
//! | [`staging`] | temporary tables for rows to append |
//! | [`numbers`] | numbers of the source that leave none to a sequence |
//! | [`parents`] | which missing rows of the source the target has |
//! | [`copy`] | copies one table from the reading thread to the server |
//! | [`indexes`] | drops indexes and keys for the load and recreates them |
//! | [`own_indexes`] | the indexes of an operator that may reject rows |
//! | [`operation`] | move or append |
//! | [`obstacle`] | a problem on the target, as data |
//! | [`session`] | statements on the only connection |
//! | [`session_settings`] | the parameters of the transaction |
//! | [`mod@error`] | why rows were not written |

pub(crate) mod conflict;
pub(crate) mod copy;
pub(crate) mod disk_space;
pub(crate) mod empty;
pub(crate) mod error;
pub(crate) mod indexes;
pub(crate) mod numbers;
pub(crate) mod obstacle;
pub(crate) mod operation;
pub(crate) mod own_indexes;
pub(crate) mod parents;
pub(crate) mod preflight;
pub(crate) mod preflight_checks;
pub(crate) mod read_back;
pub(crate) mod session;
pub(crate) mod session_settings;
pub(crate) mod staging;
