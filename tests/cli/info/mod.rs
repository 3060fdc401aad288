//! `info`: what is in a database, and how much room it takes.

mod planted;
mod report;
mod space;
