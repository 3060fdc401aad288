//! Where each setting comes from, and what never shows up anywhere.

pub(crate) mod secrets;
pub(crate) mod sources;
pub(crate) mod which_database;
