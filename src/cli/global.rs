//! The options that all commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::parser::{path, secret};
use crate::database::url::Secret;

/// The options that all commands share.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db].
    ///
    /// Forms: `sqlite:///relative.db`, `sqlite:////absolute/path.db`, `sqlite:///:memory:`,
    /// `postgresql://user:password@host:5432/database`. If neither the flag nor a variable is set, DATABASE_URL is read
    /// from `./.env`, as TARSy's backend does, and then from the settings file. Every user of the machine can see a
    /// password on the command line: use the environment or a file instead.
    #[arg(long, global = true, value_name = "URL", value_parser = secret)]
    pub(crate) database_url: Option<Secret>,

    /// The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE].
    ///
    /// `migrate-sqlite-to-postgres`, `prune --vacuum` and `check --fix` use it in the place of DATABASE_URL, because they take
    /// long or need a session of their own, which a pooler may refuse. All other commands connect as TARSy's backend does. It
    /// is ignored if `--database-url` or `--to` is given.
    #[arg(long, global = true, value_name = "URL", value_parser = secret)]
    pub(crate) direct_url: Option<Secret>,

    /// The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists].
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    pub(crate) config: Option<PathBuf>,

    /// The format of the result on standard output. `json` prints exactly one document, on failure too.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,

    /// When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub(crate) color: Color,

    /// Print only errors to standard error.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log what is done: attempts, batches, statements that change something, and all of a server's answers. Twice:
    /// every statement.
    ///
    /// Values that are bound to a statement are not logged. Twice also logs the place of a server's error, which may
    /// quote rows. With `--version` it prints the commit, the revisions, and what was compiled in.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// The format of the log lines on standard error.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Tables to read.
    Table,
    /// One JSON document.
    Json,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal only.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines to read.
    Text,
    /// One JSON object per line.
    Json,
}
