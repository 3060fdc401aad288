//! The SQLite end: opened for reading only, and never written.
//!
//! | module | what it is for |
//! |---|---|
//! | [`scan`] | the source as a whole: what it holds, and everything that the target could not hold |
//! | [`estimate`] | about how much there is to move |
//! | [`reader`] | reads rows on a thread of its own |
//! | [`row_converter`] | what a row becomes |
//! | [`chunks`] | what was read, on its way |
//! | [`pass`] | which rows are read, and what for |
//! | [`orphans`] | rows whose parent is missing, and what a policy makes of them |
//! | [`constraints`] | what the target's keys and indexes would refuse |
//! | [`damage`] | has SQLite check the file |
//! | [`unmapped`] | counts what has no place on the target |
//! | [`row`] | a row as SQLite stores it |
//! | [`snapshot`] | one consistent state of the file |
//! | [`error`] | why what was read is of no use |
//! | [`private_copy`] | a copy of a file that cannot be read in its place |
//! | [`origin`] | how the source is read |
//! | [`source_file`] | the file, its `-wal` and its `-shm`, without SQLite |
//! | [`table`] | how queries read a table: from the table itself |

pub(crate) mod chunks;
pub(crate) mod constraints;
pub(crate) mod damage;
pub(crate) mod error;
pub(crate) mod estimate;
pub(crate) mod origin;
pub(crate) mod orphans;
pub(crate) mod pass;
pub(crate) mod private_copy;
pub(crate) mod reader;
pub(crate) mod row;
pub(crate) mod row_converter;
pub(crate) mod scan;
pub(crate) mod snapshot;
pub(crate) mod source_file;
pub(crate) mod table;
pub(crate) mod unmapped;
