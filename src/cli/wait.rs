//! The arguments of `wait`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

/// The arguments of `wait`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db wait --timeout 2m
    tarsy-db wait --for schema -- python -m tarsy.main")]
pub(crate) struct Wait {
    /// What usable means.
    #[arg(long = "for", value_enum, value_name = "STATE", default_value_t = WaitFor::Writable)]
    pub(crate) condition: WaitFor,

    /// Give up after this long, with exit code 124 [default: only the attempts are limited].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Give up after this many attempts.
    #[arg(long, value_name = "NUMBER", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_attempts: u32,

    /// The longest pause between attempts; the first is 1s, each next one twice as long.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) max_interval: Duration,

    /// Go on even after failures that do not heal by themselves.
    #[arg(long)]
    pub(crate) retry_all: bool,

    /// The command that replaces this process on success.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitFor {
    /// A connection is accepted.
    Connect,
    /// The database accepts writes: a standby is not enough.
    Writable,
    /// The schema is there, at the revision that the settings ask for or beyond.
    Schema,
}
