//! `info`: what is in a database, and how much room it takes.

pub(crate) mod report;
pub(crate) mod space;
