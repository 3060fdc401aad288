//! Rows on their way from SQLite to PostgreSQL, completely or not at all.
//!
//! The way of a row: [`source`] reads it from SQLite on a thread of its own, [`value`] converts each value to what its
//! column can hold or finds a hazard, [`target`] copies it, and [`job`] drives that in one transaction and reads it all
//! back before the commit. Creating the target's schema is left to [`crate::schema::upgrade`].
//!
//! | module | what it is for |
//! |---|---|
//! | [`job`] | what one run does: forecast, load, append, verify |
//! | [`error`] | why a history was not moved: one error that gathers those of the modules below |
//! | [`endpoints`] | whether the source and the target are at revisions that fit |
//! | [`target`] | the PostgreSQL end |
//! | [`source`] | the SQLite end |
//! | [`report`] | the file that keeps what was changed |
//! | [`mismatch`] | rows that are not the same on both ends |
//! | [`summary`] | what happened to each table |
//! | [`plan`] | which column goes where |
//! | [`value`] | values and how they are converted; no I/O |

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
