//! The arguments of `prune`.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;

use super::parser::{Age, age, archive, duration, path, percent, status, time};

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
    /// Remove sessions that started longer ago than this, such as `90d` or `12h` [default: HISTORY_RETENTION_DAYS].
    ///
    /// If neither is set, the default is 90 days at the baseline revision, whose backend removes nothing itself. At a
    /// later revision `prune` then refuses to remove sessions (exit code 78), because the backend may still keep them:
    /// TARSy keeps 90 days by design and 365 days in its releases since January 2026. With `--events` or `--orphans` it
    /// removes those and keeps all sessions.
    #[arg(long, value_name = "DURATION", conflicts_with = "before", value_parser = age)]
    pub(crate) older_than: Option<Age>,

    /// Remove sessions that started before this date (midnight in UTC) or time, such as `2026-01-01` or
    /// `2026-01-01T00:00:00Z`.
    #[arg(long, value_name = "DATE OR TIME", value_parser = time)]
    pub(crate) before: Option<DateTime<Utc>>,

    /// Use this time instead of the clock to compute ages, so that a run can be repeated.
    #[arg(long, value_name = "DATE OR TIME", value_parser = time)]
    pub(crate) now: Option<DateTime<Utc>>,

    /// Remove only sessions with this status; may be repeated.
    ///
    /// A session must match one of the given statuses, one of the given alert types and one of the given agent types. A
    /// status that is not terminal also needs `--include-active`.
    #[arg(long, value_name = "STATUS", value_parser = status(), hide_possible_values = true)]
    pub(crate) status: Vec<String>,

    /// Remove only sessions of this alert type; may be repeated.
    #[arg(long, value_name = "TYPE")]
    pub(crate) alert_type: Vec<String>,

    /// Remove only sessions of this agent type; may be repeated.
    #[arg(long, value_name = "TYPE")]
    pub(crate) agent_type: Vec<String>,

    /// Also remove old events [default age: EVENT_RETENTION_HOURS, or 24 hours].
    ///
    /// Events are the messages that the backend sends to browsers. `--older-than` and `--before` do not apply to them.
    /// On SQLite an event whose time cannot be read is kept. The table `events` exists since revision 3eafea61046d; in
    /// an older database nothing is removed.
    #[arg(long)]
    pub(crate) events: bool,

    /// Also remove orphans: rows whose session, stage or chat no longer exists, as `check` reports them.
    ///
    /// They are removed with the rows that refer to them, whatever their age.
    #[arg(long)]
    pub(crate) orphans: bool,

    /// Print the plan and change nothing.
    ///
    /// The plan shows rows and bytes per table, the sessions that are kept, the privileges that the role lacks, and
    /// whether a run would be refused.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// With `--dry-run`: count every row, and look for every session whose stages rows of other sessions refer to.
    ///
    /// Without this flag the rows and bytes of more than 1,000 sessions are estimated from about 1,000 of them, and a
    /// session that only the interactions of another one refer to is noticed when its turn comes: it is kept.
    #[arg(long, requires = "dry_run")]
    pub(crate) exact: bool,

    /// With `--dry-run`: write all old sessions that are kept to this new file, one JSON object a line.
    ///
    /// The output lists the first 20.
    #[arg(long, value_name = "FILE", requires = "dry_run", value_parser = path())]
    pub(crate) kept_file: Option<PathBuf>,

    /// Skip the confirmation prompt; needed without a terminal.
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Also remove sessions that are still open, or that were used after the cutoff.
    #[arg(long)]
    pub(crate) include_active: bool,

    /// Refuse, with exit code 7, to remove more than this share of all sessions, because the cutoff may be wrong.
    ///
    /// A number up to 1 needs the percent sign: `0.6%` or `60%`, not `0.6`.
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = percent)]
    pub(crate) max_share: f64,

    /// First copy the removed rows into this SQLite file, which is created if it does not exist.
    ///
    /// The archive is a TARSy database at the same revision. Each batch is written, synced, read back and compared
    /// before its removal is committed; after a crash, run the same command again. Later runs add to the file as long
    /// as the revision is the same. `tarsy-db check` and `info` read it, and `migrate-sqlite-to-postgres --append` puts
    /// the rows back. With `--orphans` the archive holds orphans, which `check` reports there as well. Events are not
    /// archived: remove them in a separate run.
    #[arg(long, value_name = "FILE", conflicts_with = "events", value_parser = archive())]
    pub(crate) archive: Option<PathBuf>,

    /// Compress the archive at the end of the run: `FILE.zst`, once it was read back, replaces `FILE`.
    ///
    /// A later run with the same `--archive` uncompresses it first. `zstd -d FILE.zst` does so by hand.
    #[arg(long, requires = "archive")]
    pub(crate) compress: bool,

    /// The target duration of a batch [default: adapts to concurrent load].
    ///
    /// The default is 6ms on PostgreSQL while other sessions are active, and otherwise 60ms, or 120ms with `--archive`. On
    /// SQLite it is 12ms while another program writes, 80ms while none does, and 8s on a file in WAL mode that no other
    /// program has open; if another program opens it, the batch is rolled back. A batch always removes at least one session.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) batch_time: Option<Duration>,

    /// Afterwards return free space to the operating system: `VACUUM (ANALYZE)` on PostgreSQL's tables, a vacuum of the
    /// file on SQLite.
    ///
    /// PostgreSQL keeps most of the space in the tables and reuses it. A SQLite file without `auto_vacuum` is rewritten:
    /// other programs cannot write meanwhile, and the disk needs room for a copy. The vacuum is skipped if the run ended
    /// early, and cancelled 10s after `--max-duration` is over (exit code 69).
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) vacuum: bool,

    /// Write metrics of the run to this file, for the textfile collector of Prometheus's node exporter.
    ///
    /// The collector reads files named `*.prom`. The file is replaced atomically at the end of the run, after a failure
    /// too; the time of the last success is then kept. If another `prune` is running, the file is not changed.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run", value_parser = path())]
    pub(crate) metrics_file: Option<PathBuf>,

    /// Stop after this long, once the current batch is done, at most 10s later [default: no limit].
    ///
    /// The exit code is still 0, unless `--fail-if-remaining` is given.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) max_duration: Option<Duration>,

    /// How long to retry when the database cannot be reached, the connection is lost, or the database is busy or
    /// read-only.
    ///
    /// The time starts at the first failure, which may be that of the first connection, and is reset by each batch that
    /// succeeds.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub(crate) retry_for: Duration,

    /// Fail with exit code 6 if sessions that started before the cutoff remain.
    ///
    /// Kept sessions count too, and so do sessions that were not reached because of a signal or `--max-duration`.
    #[arg(long)]
    pub(crate) fail_if_remaining: bool,
}
