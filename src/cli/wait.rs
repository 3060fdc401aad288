//! The arguments of `wait`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::parser::duration;

/// The arguments of `wait`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db wait --timeout 2m
    tarsy-db wait --for connect --max-attempts 1
    tarsy-db wait --for schema -- python -m tarsy.main")]
pub(crate) struct Wait {
    /// The state to wait for.
    #[arg(long = "for", value_enum, value_name = "STATE", default_value_t = WaitFor::Writable)]
    pub(crate) condition: WaitFor,

    /// Give up after this long, with exit code 124 [default: no limit but that of `--max-attempts`].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Give up after this many attempts [default: 30, or no limit with `--timeout`].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_attempts: Option<u32>,

    /// The longest pause between two attempts. The first pause is 1s, and each next pause is twice as long.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) max_interval: Duration,

    /// Keep trying after failures that need an operator, such as a wrong password.
    ///
    /// Without this flag `wait` gives up 10s after the first such failure.
    #[arg(long)]
    pub(crate) retry_all: bool,

    /// The command to run once the database is usable. It replaces this process.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitFor {
    /// The server accepts the connection and the login.
    Connect,
    /// The database accepts writes, which a standby does not.
    Writable,
    /// The schema is at the revision that the settings ask for, or a later one.
    Schema,
}
