//! What one run does.
//!
//! | module | what it is for |
//! |---|---|
//! | [`forecast`] | how long a load will take, from a sample of it |
//! | [`append`] | rows that come to others |
//! | [`load`] | rows into empty tables, in one transaction |
//! | [`verify`] | reads the target back and compares it with the source |

pub(crate) mod append;
pub(crate) mod forecast;
pub(crate) mod load;
pub(crate) mod verify;
