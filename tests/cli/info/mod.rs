//! `info`: what is in a database, and how much room it takes.

mod report;
mod space;
