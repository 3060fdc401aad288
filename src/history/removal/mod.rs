//! Removes rows while the backend works.
//!
//! | module | what it is for |
//! |---|---|
//! | [`triggers`] | the operator's own triggers, which fire when rows are removed |
//! | [`stage_index`] | the index that the removal of stages needs, during a run |
//! | [`pragmas`] | SQLite's settings for the removal of many rows |
//! | [`batch`] | one transaction: lock, archive, delete, commit |
//! | [`archived_rows`] | removes rows that an archive keeps |
//! | [`file_rows`] | removes rows of a SQLite file for the archive |
//! | [`definitions`] | the columns and triggers that a batch has to find unchanged |
//! | [`batch_error`] | why a batch failed |
//! | [`prune_lock`] | one run of `prune` at a time |
//! | [`contention`] | how other sessions use the database |
//! | [`batch_size`] | the size of batches and the pauses between them |

pub(crate) mod archived_rows;
pub(crate) mod batch;
pub(crate) mod batch_error;
pub(crate) mod batch_size;
pub(crate) mod contention;
pub(crate) mod definitions;
pub(crate) mod file_rows;
pub(crate) mod pragmas;
pub(crate) mod prune_lock;
pub(crate) mod stage_index;
pub(crate) mod triggers;
