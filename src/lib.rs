//! The database tool of TARSy's alert history, on SQLite and PostgreSQL.
//!
//! Arrows point downward only: a module uses what stands below it.
//!
//! | module | what it is for |
//! |---|---|
//! | [`cli`] | clap types; their doc comments are the manual |
//! | [`command`] | one file per subcommand: resolve, plan, act, report |
//! | [`error`] | one error; its exit code and hint |
//! | [`output`] | a report is data; here it becomes a table or JSON |
//! | [`settings`] | flag > environment > file > default, each value with its source |
//! | [`progress`] | work reports what it did; bars, log lines or silence |
//! | [`metrics`] | what a run of `prune` did, for Prometheus |
//! | [`interrupt`] | SIGINT and SIGTERM, as something to ask and to wait for |
//! | [`watch`] | notices that a server has fallen silent, and ends what a run leaves behind there |
//! | [`transfer`] | rows on their way from SQLite to PostgreSQL |
//! | [`history`] | what the tables mean: sessions and what hangs on them, events, retention, space |
//! | [`schema`] | what a database looks like, what it should look like, the difference |
//! | [`file_system`] | what file systems have room for |
//! | [`atomic_file`] | a file that is in its place completely or not at all |
//! | [`temporary`] | files that go when a defect ends the process |
//! | [`readiness`] | whether a PostgreSQL server accepts connections, without logging in |
//! | [`reading`] | short transactions to read in, with limits |
//! | [`mark`] | finds what this process does on a server again |
//! | [`connection`] | connections to both backends |
//! | [`keepalive`] | lets the operating system find out that the other end of a connection is gone |
//! | [`failure`] | what a database answered, classed, and whether trying again can help |
//! | [`database_url`] | SQLAlchemy URLs, passwords hidden |
//! | [`visible`] | control characters as something to see |

pub mod atomic_file;
pub mod cli;
pub mod command;
pub mod connection;
pub mod database_url;
pub mod error;
pub mod failure;
pub mod file_system;
pub mod history;
pub mod interrupt;
pub mod keepalive;
pub mod mark;
pub mod metrics;
pub mod output;
pub mod progress;
pub mod readiness;
pub mod reading;
pub mod schema;
pub mod settings;
pub mod temporary;
pub mod transfer;
pub mod visible;
pub mod watch;
