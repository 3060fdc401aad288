//! Where each setting comes from, and what never shows up anywhere.

mod direct;
mod secrets;
mod sources;
mod which_database;
