//! What a run of `prune` would do or did, as JSON. [`super::blocks`] has the text.

use std::time::Duration;

use serde::Serialize;

use super::next_command::NextCommand;
use super::obstacle::Obstacle;
use super::outcome::{FailedSession, RemovalOutcome, Stop};
use super::request::cutoff;
use crate::command::retention::Retention;
use crate::database::url::DatabaseUrl;
use crate::exit_code::ExitCode;
use crate::format::counted;
use crate::history::events::{EVENTS, EventPolicy};
use crate::history::removal::batch_error::Removed;
use crate::history::retention::plan::RetentionPlan;
use crate::history::retention::policy::{ActiveSessions, Filter, RetentionPolicy};
use crate::history::space::Space;
use crate::history::tables::SESSIONS;
use crate::history::vacuum::freed::Freed;
use crate::metrics::Metrics;

#[derive(Serialize)]
pub(crate) struct PruneSummary {
    pub(crate) database: String,
    /// `None` if no session is to be removed.
    pub(super) cutoff: Option<String>,
    /// Which of the old sessions the run is about.
    #[serde(skip)]
    pub(super) chosen: String,
    /// How long sessions are kept, with the source of the setting; `None` if another `prune` is running.
    pub(super) retention: Option<Retention>,
    /// `None` without `--events`.
    pub(super) event_cutoff: Option<String>,
    dry_run: bool,
    /// The dry run that the report recommends.
    #[serde(skip)]
    pub(super) dry_run_command: NextCommand,
    /// Why nothing was done.
    pub(crate) skipped: Option<&'static str>,
    /// `None` if another `prune` is running.
    pub(crate) plan: Option<RetentionPlan>,
    /// The share of all sessions that would be removed; 1 is all.
    share: Option<f64>,
    /// Why a run would fail; of a dry run only.
    pub(crate) in_the_way: Vec<Obstacle>,
    /// The exit code that a run would have for the first of these reasons.
    run_exit_code: Option<ExitCode>,
    pub(super) removed: Option<RemovedSummary>,
    /// Sessions that started before the cutoff and still exist.
    pub(crate) remaining_sessions: Option<u64>,
    /// Sessions that could not be removed, with the reason.
    pub(super) stuck: Vec<StuckSummary>,
    /// The path of the archive.
    pub(crate) archive: Option<String>,
    /// Whether a later run has to create indexes of the archive.
    pub(crate) archive_lacks_indexes: bool,
    /// The free space in the file or the tables, or the space that was returned to the operating system.
    pub(crate) space: Option<FreedSummary>,
}

/// The space of the removed rows.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FreedSummary {
    /// It is reused.
    Free(Space),
    /// `--vacuum` returned it to the operating system, as far as possible.
    GivenBack(Freed),
}

#[derive(Serialize)]
pub(super) struct RemovedSummary {
    /// Whether the counts are certain. After a failure they are read from the database; false if that failed.
    pub(super) confirmed: bool,
    pub(super) sessions: u64,
    pub(super) rows: Removed,
    pub(super) seconds: f64,
    pub(super) batches: u64,
    /// The longest time for which other sessions may have waited for a batch; `None` if there were none.
    pub(super) longest_batch_seconds: Option<f64>,
    /// Why the removal ended early.
    pub(super) stopped: Option<StopReason>,
}

impl RemovedSummary {
    /// Whether rows were removed, as far as that is known.
    pub(super) fn has_rows(&self) -> bool {
        !self.confirmed || self.rows.values().any(|rows| *rows > 0)
    }
}

/// Why a removal ended early.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StopReason {
    Deadline,
    TakenOver,
    Signal,
    Failure,
}

impl StopReason {
    fn of(stop: &Stop) -> Self {
        match stop {
            Stop::Deadline => Self::Deadline,
            Stop::TakenOver => Self::TakenOver,
            Stop::Signal(_) => Self::Signal,
            Stop::Failed(_) => Self::Failure,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Deadline => "`--max-duration` is over",
            Self::TakenOver => "another `prune` is running now",
            Self::Signal => "stopped by a signal",
            Self::Failure => "the run failed",
        }
    }
}

#[derive(Serialize)]
pub(super) struct StuckSummary {
    pub(super) session_id: String,
    pub(super) reason: String,
}

/// `session that is in a terminal status and matches the filters`.
fn chosen(policy: &RetentionPolicy) -> String {
    let is_terminal = (policy.active == ActiveSessions::Keep).then_some("is in a terminal status");
    let is_matching = (policy.filter != Filter::default()).then_some("matches the filters");
    let conditions: Vec<_> = is_terminal.into_iter().chain(is_matching).collect();
    if conditions.is_empty() { "session".to_owned() } else { format!("session that {}", conditions.join(" and ")) }
}

impl PruneSummary {
    pub(crate) fn new(
        database: &DatabaseUrl,
        policy: &RetentionPolicy,
        events: Option<&EventPolicy>,
        dry_run: bool,
        dry_run_command: NextCommand,
    ) -> Self {
        Self {
            database: database.to_string(),
            cutoff: Some(cutoff(policy.cutoff_us)),
            chosen: chosen(policy),
            retention: None,
            event_cutoff: events.map(|policy| cutoff(policy.cutoff.timestamp_micros())),
            dry_run,
            dry_run_command,
            skipped: None,
            plan: None,
            share: None,
            in_the_way: Vec::new(),
            run_exit_code: None,
            removed: None,
            remaining_sessions: None,
            stuck: Vec::new(),
            archive: None,
            archive_lacks_indexes: false,
            space: None,
        }
    }

    /// Records which sessions are removed, by which retention.
    pub(crate) fn choose(&mut self, policy: &RetentionPolicy, retention: &Retention) {
        self.cutoff = policy.is_about_sessions().then(|| cutoff(policy.cutoff_us));
        self.retention = Some(retention.clone());
    }

    /// `started before 2026-01-01T00:00:00Z; retention: 90 days (HISTORY_RETENTION_DAYS)`.
    pub(crate) fn limit(&self) -> String {
        let retention = self.retention.as_ref().map(Retention::described).unwrap_or_default();
        match &self.cutoff {
            Some(cutoff) => format!("started before {cutoff}; retention: {retention}"),
            None => format!("no sessions, because the retention is {retention}"),
        }
    }

    pub(crate) fn plan(&mut self, plan: &RetentionPlan) {
        self.share = Some(plan.share());
        self.plan = Some(plan.clone());
    }

    /// Records why a run would fail.
    pub(crate) fn add_obstacles(&mut self, obstacles: Vec<Obstacle>) {
        self.run_exit_code = obstacles.first().map(|obstacle| obstacle.exit_code);
        self.in_the_way = obstacles;
    }

    /// Records what was done.
    pub(crate) fn record(&mut self, outcome: &RemovalOutcome, confirmed: bool, duration: Duration) {
        self.removed = Some(RemovedSummary {
            confirmed,
            sessions: outcome.rows.get(SESSIONS).copied().unwrap_or_default(),
            rows: outcome.rows.clone(),
            seconds: duration.as_secs_f64(),
            batches: outcome.batches,
            longest_batch_seconds: outcome.longest_batch.map(|longest| longest.as_secs_f64()),
            stopped: outcome.stopped.as_ref().map(StopReason::of),
        });
        let stuck = outcome.stuck.iter().map(|FailedSession { session_id, reason, .. }| StuckSummary {
            session_id: session_id.clone(),
            reason: reason.clone(),
        });
        self.stuck = stuck.collect();
    }

    /// What was removed and committed, in a phrase; `None` for nothing.
    pub(crate) fn committed(&self) -> Option<String> {
        let removed = self.removed.as_ref().filter(|removed| removed.has_rows())?;
        let (sessions, rows) = (counted(removed.sessions, "session"), counted(removed.rows.values().sum(), "row"));
        let mark = if removed.confirmed { "" } else { "about " };
        Some(format!("removed {mark}{sessions} ({rows} in all) from {}", self.database))
    }

    /// Fills the metrics with the removed rows.
    pub(crate) fn count(&self, metrics: &mut Metrics) {
        if let Some(removed) = &self.removed {
            metrics.sessions_deleted = removed.sessions;
            metrics.rows_deleted = removed.rows.clone();
        }
    }

    /// The number of events to remove and their cutoff; `None` without `--events`, or without a table of events.
    pub(crate) fn events(&self) -> Option<(u64, &str)> {
        let planned = self.plan.as_ref()?.tables.iter().find(|table| table.table == EVENTS)?;
        Some((planned.rows, self.event_cutoff.as_deref()?))
    }
}
