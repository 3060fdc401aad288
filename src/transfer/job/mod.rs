//! The steps of one run.
//!
//! | module | what it is for |
//! |---|---|
//! | [`forecast`] | estimates the duration and size of a load from a sample |
//! | [`append`] | adds rows to tables that hold rows |
//! | [`mod@orphans`] | rows of an append whose parent neither side has |
//! | [`question`] | asks the server about rows that only it can accept or reject |
//! | [`load`] | copies rows into empty tables, in one transaction |
//! | [`verify`] | reads the target back and compares it with the source |
//! | [`ending`] | how the session of a failed transaction ends |

pub(crate) mod append;
pub(crate) mod ending;
pub(crate) mod forecast;
pub(crate) mod load;
pub(crate) mod orphans;
pub(crate) mod question;
pub(crate) mod verify;
