//! TARSy's data: sessions and the rows that belong to them, events, and their retention.
//!
//! | module | what it is for |
//! |---|---|
//! | [`overdue`] | sessions that the retention should have removed already |
//! | [`events`] | the backend's events, which have their own retention |
//! | [`retention`] | which sessions are old enough to be removed: policy, plan, selection |
//! | [`orphans`] | rows whose session or stage does not exist |
//! | [`removal`] | removes rows while the backend works |
//! | [`archive`] | keeps removed rows in a SQLite history of its own |
//! | [`vacuum`] | returns the space of removed rows to the operating system |
//! | [`space`] | how much space removed rows occupy |
//! | [`index_check`] | whether SQLite's indexes match its tables |
//! | [`tables`] | TARSy's tables and the references between them |
//! | [`places`] | where rows are in their table |
//! | [`id_set`] | a set of ids from a query, as a condition |
//! | [`entity`] | SeaORM's entities, one for each table |

pub(crate) mod archive;
pub(crate) mod entity;
pub(crate) mod events;
pub(crate) mod id_set;
pub(crate) mod index_check;
pub(crate) mod orphans;
pub(crate) mod overdue;
pub(crate) mod places;
pub(crate) mod removal;
pub(crate) mod retention;
pub(crate) mod space;
pub(crate) mod tables;
pub(crate) mod vacuum;
