//! The arguments of `prune`.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;

use super::parser::{age, archive, path, percent, rfc3339};

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
pub(crate) struct Prune {
    /// Remove what started longer ago than this, as `90d` or `12h` [default: HISTORY_RETENTION_DAYS].
    ///
    /// Where neither is given, sessions go after 90 days at the baseline revision, whose backend removes nothing
    /// itself. Beyond it their removal is refused (78), because the backend may keep them: TARSy keeps 90 days by its
    /// design and 365 in its releases since January 2026. `--events` and `--orphans` then leave all sessions alone.
    #[arg(long, value_name = "DURATION", conflicts_with = "before", allow_hyphen_values = true, value_parser = age)]
    pub(crate) older_than: Option<Duration>,

    /// Remove what started before this moment.
    #[arg(long, value_name = "RFC 3339", value_parser = rfc3339)]
    pub(crate) before: Option<DateTime<Utc>>,

    /// Count the age from this moment instead of the clock, for runs that can be repeated.
    #[arg(long, value_name = "RFC 3339", value_parser = rfc3339)]
    pub(crate) now: Option<DateTime<Utc>>,

    /// Only sessions with this status; may be repeated.
    ///
    /// A session has to have one of the statuses, one of the types of alert and one of the types of agent that are
    /// given. A status that is not terminal takes `--include-active` as well.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Vec<String>,

    /// Only sessions of this type of alert; may be repeated.
    #[arg(long, value_name = "TYPE")]
    pub(crate) alert_type: Vec<String>,

    /// Only sessions of this type of agent; may be repeated.
    #[arg(long, value_name = "TYPE")]
    pub(crate) agent_type: Vec<String>,

    /// Remove old events, too: those that are older than the event retention setting, 24 hours unless it is set.
    ///
    /// Events are what the backend sends to browsers. How long they are kept is a setting of its own, to which
    /// `--older-than` and `--before` mean nothing. On SQLite those whose time cannot be read stay. Where there is no
    /// table `events` (TARSy has it from revision 3eafea61046d on) nothing is removed.
    #[arg(long)]
    pub(crate) events: bool,

    /// Remove orphans, too: rows whose session, stage or chat is gone, as `check` shows them.
    ///
    /// They go with what hangs on them, whatever their age.
    #[arg(long)]
    pub(crate) orphans: bool,

    /// Print the plan and change nothing.
    ///
    /// Rows and bytes by table, the sessions that are kept, what the role lacks, and whether a run would be refused.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Remove sessions that are not in a terminal status, or in use after the cutoff, too.
    #[arg(long)]
    pub(crate) include_active: bool,

    /// Refuse, with exit code 7, to remove more than this share of all sessions: the cutoff may be wrong.
    ///
    /// A number up to 1 needs its percent sign.
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = percent)]
    pub(crate) max_share: f64,

    /// Copy what goes into this SQLite file first: a TARSy database at the same revision, which is created if need be.
    ///
    /// What a batch removes is on the disk there, read back and compared, before the removal is committed; after a
    /// crash the run is simply repeated. Later runs add to the file, unless the revision has changed by then. `tarsy-db
    /// check` and `info` read it, and `migrate-sqlite-to-postgres --append` brings it back. With `--orphans` it holds
    /// orphans, which `check` finds there, too. Events are not archived: they take a run of their own.
    #[arg(long, value_name = "FILE", conflicts_with = "events", value_parser = archive())]
    pub(crate) archive: Option<PathBuf>,

    /// Compress the archive in the end: `FILE.zst` takes the place of `FILE`, once it was read back.
    ///
    /// A later run with the same `--archive` unpacks it first. `zstd -d` does so by hand.
    #[arg(long, requires = "archive")]
    pub(crate) compress: bool,

    /// How long a batch may take [default: as it suits who else is there].
    ///
    /// By default 6ms on PostgreSQL while others work, 60ms while they do not; on SQLite 12ms while somebody writes,
    /// 80ms while nobody does, 8s on a file in WAL mode that nobody else has open, given up when somebody opens it.
    /// With this flag all batches aim at the given time. One session is the least that a batch removes.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) batch_time: Option<Duration>,

    /// Give the space that is free afterwards back to the operating system as far as possible: `VACUUM (ANALYZE)` on
    /// PostgreSQL's tables; on SQLite free pages leave the file.
    ///
    /// PostgreSQL keeps most of it in the tables, to be used again. A SQLite file without `auto_vacuum` is copied as a
    /// whole: nobody can write meanwhile, and the disk needs room for it. Left out where the run ended early;
    /// `--max-duration` does not end it.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) vacuum: bool,

    /// Write what was done as metrics for Prometheus's node exporter (textfile collector).
    ///
    /// The file, named `*.prom` for the collector, is replaced as a whole, after failures as well; the time of the last
    /// success outlives them. While another prune is at work it is left to that one.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run", value_parser = path())]
    pub(crate) metrics_file: Option<PathBuf>,

    /// Stop after this long, when the batch in hand is over, 10 s later at most [default: no limit].
    ///
    /// The exit code is 0 all the same, unless `--fail-if-remaining` is given.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) max_duration: Option<Duration>,

    /// How long to try again when the connection breaks, or the database is busy or read-only.
    ///
    /// It is counted from the first failure, anew after each batch that succeeds.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) retry_for: Duration,

    /// Exit with 6 if sessions that started before the cutoff remain.
    ///
    /// Those that are kept count as well; so do those that a signal or `--max-duration` left.
    #[arg(long)]
    pub(crate) fail_if_remaining: bool,
}
