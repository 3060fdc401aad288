//! How a database is reached, and what it answers.
//!
//! | module | what it is for |
//! |---|---|
//! | [`watchdog`] | notices that a server has fallen silent, and ends what a run leaves behind there |
//! | [`read_transaction`] | short transactions to read in, with limits |
//! | [`connection`] | connections to both backends |
//! | [`readiness`] | whether a PostgreSQL server accepts connections, without logging in |
//! | [`sqlite_file`] | SQLite's file from outside of SQLite: how it begins, and what lies beside it |
//! | [`mark`] | finds what this process does on a server again |
//! | [`keepalive`] | lets the operating system find out that the other end of a connection is gone |
//! | [`failure`] | what a database answered, classed, and whether trying again can help |
//! | [`url`] | SQLAlchemy URLs, passwords hidden |
//! | [`sqlite_value`] | a value as SQLite stores it |
//! | [`integrity_finding`] | what the findings of SQLite's check are about |

pub(crate) mod connection;
pub(crate) mod failure;
pub(crate) mod integrity_finding;
pub(crate) mod keepalive;
pub(crate) mod mark;
pub(crate) mod read_transaction;
pub(crate) mod readiness;
pub(crate) mod sqlite_file;
pub(crate) mod sqlite_value;
pub(crate) mod url;
pub(crate) mod watchdog;
