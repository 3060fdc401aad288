//! The SQLite side: opened read-only, and never written to.
//!
//! | module | what it is for |
//! |---|---|
//! | [`scan`] | the source in one read transaction: row counts, digests and all hazards |
//! | [`estimate`] | estimates rows and bytes |
//! | [`reader`] | reads rows on a separate thread |
//! | [`row_converter`] | converts a row |
//! | [`chunks`] | chunks of converted rows, from the reading thread to the server |
//! | [`pass`] | which rows are read, and for which purpose |
//! | [`orphans`] | rows whose parent is missing: what the policy does with them |
//! | [`missing`] | the rows that rows of the source reference and that are missing |
//! | [`placeholder`] | rows in place of missing ones |
//! | [`undecided`] | rows that only the server can accept or reject |
//! | [`constraints`] | rows that the target's keys would reject |
//! | [`converted`] | values as the target will have them, also in SQL on the source |
//! | [`damage`] | SQLite's integrity check of the file |
//! | [`unmapped`] | tables and columns that the target lacks |
//! | [`row`] | a row as SQLite stores it |
//! | [`snapshot`] | one consistent state of the file |
//! | [`error`] | why the source was not read completely |
//! | [`private_copy`] | a copy of a file that cannot be read in place |
//! | [`origin`] | how the source is read: at rest, in use, or from a copy |
//! | [`source_file`] | the file, its `-wal` and its `-shm`, read without SQLite |
//! | [`table`] | makes queries read a table without its indexes |

pub(crate) mod chunks;
pub(crate) mod constraints;
pub(crate) mod converted;
pub(crate) mod damage;
pub(crate) mod error;
pub(crate) mod estimate;
pub(crate) mod missing;
pub(crate) mod origin;
pub(crate) mod orphans;
pub(crate) mod pass;
pub(crate) mod placeholder;
pub(crate) mod private_copy;
pub(crate) mod reader;
pub(crate) mod row;
pub(crate) mod row_converter;
pub(crate) mod scan;
pub(crate) mod snapshot;
pub(crate) mod source_file;
pub(crate) mod table;
pub(crate) mod undecided;
pub(crate) mod unmapped;
