//! Copies a history from SQLite to PostgreSQL, completely or not at all.
//!
//! The path of a row: [`source`] reads it from SQLite on a separate thread, [`value`] converts each value to its
//! column's type or reports a hazard, and [`target`] copies it. [`job`] runs these steps in one transaction and reads
//! everything back before the commit. [`crate::schema::upgrade`] creates the target's schema.
//!
//! | module | what it is for |
//! |---|---|
//! | [`job`] | what one run does: forecast, load, append, verify |
//! | [`error`] | why a history was not moved: one enum of the errors below |
//! | [`endpoints`] | the revision and the schema of the source and of the target |
//! | [`target`] | the PostgreSQL end |
//! | [`source`] | the SQLite end |
//! | [`report`] | the report file, with the original of every changed value |
//! | [`mismatch`] | rows that differ between the source and the target |
//! | [`summary`] | counts, digests and durations by table |
//! | [`plan`] | which columns are copied, and to which types |
//! | [`value`] | values and their conversion; no I/O |

pub(crate) mod endpoints;
pub(crate) mod error;
pub(crate) mod job;
pub(crate) mod mismatch;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod source;
pub(crate) mod summary;
pub(crate) mod target;
pub(crate) mod value;
