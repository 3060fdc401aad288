//! How rows are removed while the backend works.
//!
//! | module | what it is for |
//! |---|---|
//! | [`stage_index`] | the index that the removal of stages needs, for the time of a run |
//! | [`prune_lock`] | one run of `prune` at a time |
//! | [`pragmas`] | how SQLite is set up for the removal of many rows |
//! | [`batch`] | one transaction: lock, archive, delete, commit |
//! | [`contention`] | whether others work in the database |
//! | [`batch_size`] | how many rows a batch takes, and how long it rests |

pub(crate) mod batch;
pub(crate) mod batch_size;
pub(crate) mod contention;
pub(crate) mod pragmas;
pub(crate) mod prune_lock;
pub(crate) mod stage_index;
