//! The command line. The doc comments are the manual.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::builder::{OsStringValueParser, PossibleValue, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use migration::Revision;

use crate::database::url::{self, Secret};
use crate::transfer::value::policy::Choice;

/// The database tool of TARSy's alert history.
///
/// Works on SQLite (the default, nothing to set up) and PostgreSQL; the URL's scheme decides.
/// Settings come from flags, the environment, a file and defaults, in this order; `tarsy-db info`
/// shows each with where it came from.
#[derive(Debug, Parser)]
#[command(name = "tarsy-db", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Options that every command has.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes:
    0  done, or nothing to do          65  values that the target cannot hold
    1  internal error                  69  unavailable
    2  usage                           73  a file cannot be created
    3  schema pending: run `init`      74  input/output error, disk full, damaged file
    4  drift, or a check failed        75  busy: try again
    5  schema newer than this tool     77  authentication or privilege
    6  rows past the cutoff remain     78  configuration
    7  refused                        124  deadline exceeded
    8  verification mismatch          130, 143  interrupted, terminated";

/// Options that every command has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db].
    ///
    /// Else the DATABASE_URL of `./.env`, which TARSy's backend reads as well, or that of the settings file.
    /// `sqlite:///relative.db`, `sqlite:////absolute/path.db`, `sqlite:///:memory:`,
    /// `postgresql://user:password@host:5432/database`. A password on the command line is seen by
    /// everybody on the machine: prefer the environment or a file.
    #[arg(long, global = true, value_name = "URL", value_parser = secret)]
    pub database_url: Option<Secret>,

    /// The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there].
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    pub config: Option<PathBuf>,

    /// How the result is written to standard output. `json` is exactly one document, also on failure.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = OutputFormat::Table)]
    pub output: OutputFormat,

    /// When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,

    /// Say nothing on standard error but errors.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more on standard error; twice for everything.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// How log lines are written to standard error.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Tables for people.
    Table,
    /// One JSON document.
    Json,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create or upgrade the schema, or make sure that it is there.
    ///
    /// Brings the database to a revision of TARSy's schema, by default the baseline (ae85467a75d2), on which
    /// every TARSy release can start and upgrade by itself. All that is pending is applied in one transaction
    /// under a lock, with TARSy's own ledger `alembic_version`: any number of replicas may start at once.
    ///
    /// A database that stands there or beyond is left alone. Tables without a ledger are adopted: their shape
    /// tells the revision, and the ledger is written. What is not as it should be is refused with the
    /// differences (4). On SQLite a missing file is created with its directory, in WAL mode.
    Init(Init),
    /// Wait until the database is usable, then exit or run a command.
    ///
    /// Tries to connect, authenticated, until the database is usable. Between attempts it looks every
    /// tenth of a second whether the server has begun to accept connections, so that it returns at once
    /// when it does.
    ///
    /// Prints changes of state only. What cannot heal by itself (wrong password, no such database, TLS)
    /// ends the wait after 10 seconds. Exit code 0 when usable, 124 at the deadline, else that of the
    /// last cause.
    Wait(Wait),
    /// Check that connection, schema and data are sound.
    ///
    /// Runs named checks: connection, server version, encoding, time zone, writability, privileges,
    /// ledger, schema, indexes, foreign keys, integrity, sequences, retention. The schema is compared with the shape that
    /// the ledger's revision should have. Reads only, but for `--fix`; a role that may only SELECT is enough.
    ///
    /// Exit code 0 when all is sound, 3 when `init` is needed, 4 on drift or damage, 5 when the schema is
    /// newer than this tool, 6 when retention stopped (`--fail-if-overdue`), 69, 77 or 78 when there is no
    /// connection.
    Check(Check),
    /// Show what is in the database and which settings are in force.
    ///
    /// Shows backend, server, role, revision and size; rows and bytes of each table; the space that removed rows
    /// left, with the command that gives it back where that is worth while; sessions by status and by week; what
    /// the retention would remove; every setting with its source. Reads only.
    Info(Info),
    /// Remove old history.
    ///
    /// Removes the sessions that started before the cutoff, each with all that hangs on it, in batches that are one
    /// transaction each. Batches are short while others use the database, so that TARSy's backend keeps working.
    /// Whatever ends a run, each session is there or gone as a whole, and the next run goes on.
    ///
    /// Sessions that are not in a terminal status (completed, failed, cancelled, timed_out) are kept and listed, and so
    /// are those that are in use (the last interaction, or the start of a stage that is not over, is after the cutoff, as
    /// in a chat) and those whose stages rows of other sessions refer to. Those without a start are never old. Events and
    /// orphans go with `--events` and `--orphans` only. `--archive` keeps a copy of what goes.
    ///
    /// Asks before it deletes; without a terminal `--yes` is needed. A signal ends the run after the batch in hand; a
    /// second one rolls that back, and so do 10 s more. A session that cannot be removed is listed with the reason and stops no other.
    ///
    /// Exit code 0 when done, when `--max-duration` is over, and when another prune is at work on the database; 6 when
    /// sessions from before the cutoff remain (`--fail-if-remaining`); 7 when refused (`--max-share`, not confirmed,
    /// no archive of this history); 78 where no retention of sessions is set; 130 or 143 after a signal; 69 or 75 when `--retry-for` is over. Where a session
    /// cannot be removed it is that of the first reason.
    Prune(Prune),
    /// Move a history from SQLite to PostgreSQL, completely or not at all.
    ///
    /// Copies every row of a SQLite history into an empty PostgreSQL database, reads it back, compares every
    /// value, and only then commits: one transaction, completely or not at all. The source is not changed,
    /// not even by one byte.
    ///
    /// Before a row moves, SQLite checks the source: every page, and every index against its table. That takes about
    /// 3 seconds for 1 GB of values. A damaged source is refused with its findings, and the exit code is 74.
    ///
    /// Brings the target to the source's revision first. Values that PostgreSQL cannot hold are all listed,
    /// nothing is written, and the exit code is 65.
    ///
    /// With `--append` the rows come to those that the target holds already, while TARSy's backend goes on.
    MigrateSqliteToPostgres(MigrateSqliteToPostgres),
    /// Print the completions for a shell to standard output.
    Completions(Completions),
}

/// The arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db init
    DATABASE_URL=postgresql://tarsy@db/tarsy tarsy-db init --wait=2m
    tarsy-db init --to head --dry-run
    tarsy-db init --to head --sql > upgrade.sql")]
pub struct Init {
    /// The revision to reach: `head`, `baseline`, an id or the beginning of one, or a number from 1 to 23
    /// [env: TARSY_DB_SCHEMA] [default: baseline].
    #[arg(long, value_name = "REVISION")]
    pub to: Option<Revision>,

    /// Print what would be done, and change nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Print the SQL that would be run, and change nothing.
    #[arg(long)]
    pub sql: bool,

    /// Wait for the database first, at most this long [default with the flag: 5m].
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "5m",
          value_parser = humantime::parse_duration)]
    pub wait: Option<Duration>,

    /// How long to wait for somebody else's lock.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub lock_timeout: Duration,

    /// Fail with exit code 5 if the schema is newer than this tool knows.
    #[arg(long)]
    pub strict: bool,
}

/// The arguments of `wait`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db wait --timeout 2m
    tarsy-db wait --for schema -- python -m tarsy.main")]
pub struct Wait {
    /// What usable means.
    #[arg(long = "for", value_enum, value_name = "STATE", default_value_t = WaitFor::Writable)]
    pub condition: WaitFor,

    /// Give up after this long, with exit code 124 [default: only the attempts are limited].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,

    /// Give up after this many attempts.
    #[arg(long, value_name = "NUMBER", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: u32,

    /// The longest pause between attempts; the first is 1s, each next one twice as long.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub max_interval: Duration,

    /// Go on even after failures that do not heal by themselves.
    #[arg(long)]
    pub retry_all: bool,

    /// The command that replaces this process on success.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// A connection is accepted.
    Connect,
    /// The database accepts writes: a standby is not enough.
    Writable,
    /// The schema is there, at the revision that the settings ask for or beyond.
    Schema,
}

/// The arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db check
    tarsy-db check --deep --output json
    tarsy-db check --fail-if-overdue
    tarsy-db check --fix")]
pub struct Check {
    /// Create indexes that are missing and put sequences behind their data, then check.
    #[arg(long)]
    pub fix: bool,

    /// Also look at every row: SQLite's `integrity_check`, PostgreSQL's rows without a parent.
    ///
    /// Without it a query is given up after 30 s, and its check is skipped.
    #[arg(long)]
    pub deep: bool,

    /// Fail with exit code 6 if sessions are past the retention by more than a day, instead of warning of them.
    ///
    /// Retention that stopped without a word is what this finds: `prune` has not run, or has not come to its end.
    /// Only sessions count that `prune` would remove; those that are not over never do.
    #[arg(long)]
    pub fail_if_overdue: bool,
}

/// The arguments of `info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
    tarsy-db info
    tarsy-db info --exact --output json")]
pub struct Info {
    /// Count rows instead of taking PostgreSQL's estimate, and take as long as it takes.
    ///
    /// Without it a query is given up after 30 s, and what it would have shown is skipped.
    #[arg(long)]
    pub exact: bool,
}

/// The arguments of `prune`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "Examples:
    tarsy-db prune --dry-run
    tarsy-db prune --older-than 30d --yes
    tarsy-db prune --before 2026-01-01T00:00:00Z --dry-run --output json
    tarsy-db prune --status failed --alert-type NamespaceTerminating --older-than 7d --dry-run
    tarsy-db prune --events --max-duration 1h --fail-if-remaining --yes
    tarsy-db prune --archive archive.db --compress --yes
    tarsy-db prune --orphans --dry-run
    tarsy-db prune --vacuum --metrics-file /var/lib/node_exporter/textfile/tarsy-db-prune.prom --yes")]
pub struct Prune {
    /// Remove what started longer ago than this, as `90d` or `12h` [default: HISTORY_RETENTION_DAYS].
    ///
    /// Where neither is given, sessions go after 90 days at the baseline revision, whose backend removes nothing itself.
    /// Beyond it their removal is refused (78), because the backend may keep them: TARSy keeps 90 days by its design and
    /// 365 in its releases since January 2026. `--events` and `--orphans` then leave all sessions alone.
    #[arg(long, value_name = "DURATION", conflicts_with = "before", allow_hyphen_values = true, value_parser = age)]
    pub older_than: Option<Duration>,

    /// Remove what started before this moment.
    #[arg(long, value_name = "RFC 3339", value_parser = rfc3339)]
    pub before: Option<DateTime<Utc>>,

    /// Count the age from this moment instead of the clock, for runs that can be repeated.
    #[arg(long, value_name = "RFC 3339", value_parser = rfc3339)]
    pub now: Option<DateTime<Utc>>,

    /// Only sessions with this status; may be repeated.
    ///
    /// A session has to have one of the statuses, one of the types of alert and one of the types of agent that are
    /// given. A status that is not terminal takes `--include-active` as well.
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<String>,

    /// Only sessions of this type of alert; may be repeated.
    #[arg(long, value_name = "TYPE")]
    pub alert_type: Vec<String>,

    /// Only sessions of this type of agent; may be repeated.
    #[arg(long, value_name = "TYPE")]
    pub agent_type: Vec<String>,

    /// Remove old events, too: those that are older than the event retention setting, 24 hours unless it is set.
    ///
    /// Events are what the backend sends to browsers. How long they are kept is a setting of its own, to which
    /// `--older-than` and `--before` mean nothing. On SQLite those whose time cannot be read stay. Where there is no
    /// table `events` (TARSy has it from revision 3eafea61046d on) nothing is removed.
    #[arg(long)]
    pub events: bool,

    /// Remove orphans, too: rows whose session, stage or chat is gone, as `check` shows them.
    ///
    /// They go with what hangs on them, whatever their age.
    #[arg(long)]
    pub orphans: bool,

    /// Print the plan and change nothing.
    ///
    /// Rows and bytes by table, the sessions that are kept, what the role lacks, and whether a run would be refused.
    #[arg(long)]
    pub dry_run: bool,

    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,

    /// Remove sessions that are not in a terminal status, or in use after the cutoff, too.
    #[arg(long)]
    pub include_active: bool,

    /// Refuse, with exit code 7, to remove more than this share of all sessions: the cutoff may be wrong.
    ///
    /// A number up to 1 needs its percent sign.
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = percent)]
    pub max_share: f64,

    /// Copy what goes into this SQLite file first: a TARSy database at the same revision, which is created if need be.
    ///
    /// What a batch removes is on the disk there, read back and compared, before the removal is committed; after a
    /// crash the run is simply repeated. Later runs add to the file, unless the revision has changed by then. `tarsy-db
    /// check` and `info` read it, and `migrate-sqlite-to-postgres --append` brings it back. With `--orphans` it holds
    /// orphans, which `check` finds there, too. Events are not archived: they take a run of their own.
    #[arg(long, value_name = "FILE", conflicts_with = "events", value_parser = archive())]
    pub archive: Option<PathBuf>,

    /// Compress the archive in the end: `FILE.zst` takes the place of `FILE`, once it was read back.
    ///
    /// A later run with the same `--archive` unpacks it first. `zstd -d` does so by hand.
    #[arg(long, requires = "archive")]
    pub compress: bool,

    /// How long a batch may take [default: as it suits who else is there].
    ///
    /// By default 6ms on PostgreSQL while others work, 60ms while they do not; on SQLite 12ms while somebody writes,
    /// 80ms while nobody does, 8s on a file in WAL mode that nobody else has open, given up when somebody opens it.
    /// With this flag all batches aim at the given time. One session is the least that a batch removes.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub batch_time: Option<Duration>,

    /// Give the space that is free afterwards back to the operating system as far as possible: `VACUUM (ANALYZE)` on
    /// PostgreSQL's tables; on SQLite free pages leave the file.
    ///
    /// PostgreSQL keeps most of it in the tables, to be used again. A SQLite file without `auto_vacuum` is copied as a
    /// whole: nobody can write meanwhile, and the disk needs room for it. Left out where the run ended early;
    /// `--max-duration` does not end it.
    #[arg(long, conflicts_with = "dry_run")]
    pub vacuum: bool,

    /// Write what was done as metrics for Prometheus's node exporter (textfile collector).
    ///
    /// The file, named `*.prom` for the collector, is replaced as a whole, after failures as well; the time of the last
    /// success outlives them. While another prune is at work it is left to that one.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run", value_parser = path())]
    pub metrics_file: Option<PathBuf>,

    /// Stop after this long, when the batch in hand is over, 10 s later at most [default: no limit].
    ///
    /// The exit code is 0 all the same, unless `--fail-if-remaining` is given.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub max_duration: Option<Duration>,

    /// How long to try again when the connection breaks, or the database is busy or read-only.
    ///
    /// It is counted from the first failure, anew after each batch that succeeds.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    pub retry_for: Duration,

    /// Exit with 6 if sessions that started before the cutoff remain.
    ///
    /// Those that are kept count as well; so do those that a signal or `--max-duration` left.
    #[arg(long)]
    pub fail_if_remaining: bool,
}

/// The arguments of `migrate-sqlite-to-postgres`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "Examples:
    tarsy-db migrate-sqlite-to-postgres --from history.db --to postgresql://tarsy@db/tarsy
    tarsy-db migrate-sqlite-to-postgres --from history.db --check-only
    tarsy-db migrate-sqlite-to-postgres --from history.db --to postgresql://tarsy@db/tarsy --dry-run
    tarsy-db migrate-sqlite-to-postgres --from history.db --to postgresql://tarsy@db/tarsy --verify-only
    tarsy-db migrate-sqlite-to-postgres --from archive.db --to postgresql://tarsy@db/tarsy --append
    tarsy-db migrate-sqlite-to-postgres --on nul=replace --on orphan=adopt --report move.json
    DATABASE_URL=postgresql://tarsy@db/tarsy tarsy-db migrate-sqlite-to-postgres")]
pub struct MigrateSqliteToPostgres {
    /// The SQLite database, as a path or URL.
    #[arg(long, value_name = "PATH OR URL", default_value = "sqlite:///history.db", value_parser = secret)]
    pub from: Secret,

    /// The PostgreSQL database [default: the database URL].
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub to: Option<Secret>,

    /// Bring the rows to those that the target holds, for instance back from what `prune --archive` kept.
    ///
    /// Rows that are there already have to be the same, and are skipped. If one is there with other values, or
    /// another row has its unique key, all such rows are listed, nothing is written, and the exit code is 7.
    /// The target has to be at the source's revision. TARSy's backend may go on: only rows that both databases
    /// have are kept as they are until the end. A target without rows is filled as without this flag.
    #[arg(long, conflicts_with_all = ["check_only", "verify_only"])]
    pub append: bool,

    /// What is compared before the commit.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Verify::Full)]
    pub verify: Verify,

    /// Check the source's file, look at every value and list what PostgreSQL cannot hold; no target is needed, nothing
    /// is written.
    #[arg(long, conflicts_with_all = ["to", "verify", "toast"])]
    pub check_only: bool,

    /// Go as far as possible without moving a row: look at every value of the source and at what is in the way on the
    /// target, and say how large it will be and how long it will take; nothing is written.
    #[arg(long, conflicts_with_all = ["check_only", "verify_only"])]
    pub dry_run: bool,

    /// Compare the source with a target that holds it already, by whatever tool it was moved; nothing is written.
    #[arg(long, conflicts_with_all = ["check_only", "verify", "toast"])]
    pub verify_only: bool,

    /// What is done with a class of values that cannot be carried over exactly, instead of ending the move.
    ///
    /// Each change is recorded in the report with the original bytes.
    #[arg(long = "on", value_name = "CLASS=POLICY", requires = "report", value_parser = ChoiceParser)]
    pub policies: Vec<Choice>,

    /// Write a report in JSON: tables, digests, hazards, policies and every change that they made.
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub report: Option<PathBuf>,

    /// Go on although SQLite's integrity check finds the source damaged, and record the findings in the report.
    ///
    /// Without this flag such a source is refused with exit code 74 before anything is written. With it, what can be
    /// read is moved: rows and values that the damage hides or alters are then missing or wrong on the target, and
    /// comparing both databases does not show that. Restore a backup or recover the file first, if there is a way to.
    #[arg(long, requires = "report", conflicts_with = "verify_only")]
    pub accept_damage: bool,

    /// Show the values that cannot be carried over, too: they may be confidential.
    #[arg(long)]
    pub show_values: bool,

    /// How PostgreSQL compresses long values of this load.
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = Toast::Lz4)]
    pub toast: Toast,

    /// How long to wait for somebody else's lock.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub lock_timeout: Duration,

    /// Leave out a table (`name`) or a column (`table.name`) of the source that the target lacks.
    #[arg(long, value_name = "NAME")]
    pub ignore: Vec<String>,
}

/// What `migrate-sqlite-to-postgres` compares before it commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// Every value, read back from the target.
    Full,
    /// The number of rows.
    Counts,
    /// Nothing: the server took every row.
    None,
}

/// How `migrate-sqlite-to-postgres` has long values compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Toast {
    /// With LZ4, which is faster, where the server has it.
    Lz4,
    /// As the server is set.
    Keep,
}

/// Reads `nul=replace`, and knows all that there is for completions and help.
#[derive(Clone)]
struct ChoiceParser;

impl TypedValueParser for ChoiceParser {
    type Value = Choice;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Choice, clap::Error> {
        let parser = clap::builder::StringValueParser::new().try_map(|text| text.parse::<Choice>());
        parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Choice::all().map(|choice| PossibleValue::new(choice.to_string()).help(choice.help()))))
    }
}

/// The arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
    tarsy-db completions bash > /etc/bash_completion.d/tarsy-db")]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// A URL may hold a password, so that it is not kept as plain text.
#[expect(clippy::unnecessary_wraps, reason = "the form that clap wants")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// A share from 0 to 1, given as a percentage with or without its sign.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let percent = number.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    match percent {
        None => Err("not a percentage like `50%`".to_owned()),
        // Some mean `0.6` as a part of one.
        Some(share) if share > 0.0 && share <= 1.0 && !text.ends_with('%') => {
            Err(format!("`{number}%` or `{}`?", crate::format::percentage(share)))
        }
        Some(percent) => Ok(percent / 100.0),
    }
}

/// The path of a file. A URL is refused: it may hold a password, and paths are shown.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|text| match url::is_url(&text.to_string_lossy()) {
        false => Ok(PathBuf::from(text)),
        true => Err("a URL, where the path of a file is wanted"),
    })
}

/// The file of an archive, which is compressed under another name.
fn archive() -> impl TypedValueParser<Value = PathBuf> {
    path().try_map(|path| match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zst")) {
        false => Ok(path),
        true => Err("name it without `.zst`, also where it is compressed"),
    })
}

/// A negative age is as meaningless as none, and is refused with it.
fn age(text: &str) -> Result<Duration, humantime::DurationError> {
    if text.starts_with('-') { Ok(Duration::ZERO) } else { humantime::parse_duration(text) }
}

fn rfc3339(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.to_utc())
        .map_err(|_| "not a moment like `2026-02-01T00:00:00Z`".to_owned())
}
