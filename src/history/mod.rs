//! What the tables mean: sessions, what hangs on them, events, and how long all of that is kept.
//!
//! | module | what it is for |
//! |---|---|
//! | [`overdue`] | sessions that should be gone already |
//! | [`events`] | the backend's events, which have a retention of their own |
//! | [`retention`] | which sessions are old enough to go: policy, plan, selection |
//! | [`orphans`] | rows whose session or stage is gone |
//! | [`removal`] | how rows are removed beside a backend that works |
//! | [`archive`] | where removed rows are kept: a history of its own, in SQLite |
//! | [`vacuum`] | the space that removed rows left, given back |
//! | [`space`] | how much space removed rows have left |
//! | [`index_check`] | whether SQLite's indexes hold what their tables hold |
//! | [`tables`] | TARSy's tables, and how their rows hang together |
//! | [`id_set`] | a set of ids that a query gives, as a condition |

pub(crate) mod archive;
pub(crate) mod events;
pub(crate) mod id_set;
pub(crate) mod index_check;
pub(crate) mod orphans;
pub(crate) mod overdue;
pub(crate) mod removal;
pub(crate) mod retention;
pub(crate) mod space;
pub(crate) mod tables;
pub(crate) mod vacuum;
