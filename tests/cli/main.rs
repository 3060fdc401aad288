//! Runs the binary as a user does, against real databases, and looks at what comes out.

mod check;
mod compatibility;
mod connection;
mod documents;
mod house;
mod info;
mod init;
mod migrate;
mod patroni;
mod pgbouncer;
mod process;
mod prune;
mod schema;
mod seen;
mod settings;
mod support;
mod wait;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Ok(url) = std::env::var(support::writer::WRITES_TO) {
        support::writer::write_to(&url);
        return ExitCode::SUCCESS;
    }
    if let Ok(database) = std::env::var(support::page::RUNS_SQL_AT) {
        support::page::run_sql(&database);
        return ExitCode::SUCCESS;
    }
    support::harness::run()
}
