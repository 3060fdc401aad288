//! A run: plans, then shows the plan, finds nothing to do, or removes what is planned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::bounds::Bounds;
use super::history::{BEGIN_TO_PLAN, OpenHistory, every_row};
use super::outcome::{Ending, OnRemaining, RemovalOutcome, Stop};
use super::prepare::prepare;
use super::question::confirm;
use super::removal::{Removal, RunLimits};
use super::request::Request;
use super::summary::{FreedSummary, PruneSummary, RemovedSummary};
use super::{kept_file, next_command};
use crate::cli::prune::Prune;
use crate::command::context::Context;
use crate::command::retention::Retention;
use crate::database::failure::{ResultExt, Verb};
use crate::database::read_transaction::{self, Rows};
use crate::database::sqlite_file::wal_of;
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::database::writable::require_writable;
use crate::error::Error;
use crate::format::shell_word;
use crate::history::archive::compression::Compression;
use crate::history::archive::{Archive, location};
use crate::history::removal::stage_index;
use crate::history::retention::plan::RetentionPlan;
use crate::history::retention::selection::Precision;
use crate::history::{space, vacuum};
use crate::interrupt::Interrupt;
use crate::memory;
use crate::metrics::Metrics;
use crate::output::{Block, Report};
use crate::progress::{Amount, Phase};
use crate::settings::Settings;

/// However little time is left, the server may wait this long for the locks of an index.
const SHORTEST: Duration = Duration::from_millis(100);

/// What to do with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PruneMode {
    DryRun,
    /// There is nothing to remove.
    Nothing,
    Remove,
}

impl PruneMode {
    fn of(arguments: &Prune, plan: &RetentionPlan) -> Self {
        match (arguments.dry_run, plan.is_empty()) {
            (true, _) => Self::DryRun,
            (false, true) => Self::Nothing,
            (false, false) => Self::Remove,
        }
    }
}

/// The indexes of the archive at the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArchiveIndexes {
    /// It had all of them, or there is no archive.
    Complete,
    /// The run has created those that were missing.
    Created,
    /// The next run creates them.
    Missing,
}

/// Runs `prune` and fills `metrics`; sets it to `None` if another run is active.
pub(crate) async fn prune(
    arguments: &Prune,
    settings: &Settings,
    context: &Context,
    interrupt: &Interrupt,
    watch: &Arc<Watch<'static>>,
    metrics: &mut Option<Metrics>,
) -> Result<Report, Error> {
    let started = Instant::now();
    if arguments.archive.is_some() {
        memory::use_one_heap();
    }
    let request = Request::new(arguments, settings, context.now)?;
    let url = &settings.database.value;
    if let Some(path) = &arguments.kept_file {
        kept_file::refuse_existing(path)?;
    }
    if let Some(path) = &arguments.archive {
        location::require(path, url.sqlite_path())?;
    }
    let deadline = arguments.max_duration.and_then(|limit| started.checked_add(limit));
    let bounds = Bounds { interrupt, watch, deadline };
    let prepared = interrupt.or(prepare(&request, started, &bounds)).await??;
    // From here on the URL is shown with the host that was reached.
    let dry_run_command = next_command::dry_run(arguments, settings);
    let events = request.event_policy.as_ref();
    let summary = PruneSummary::new(url, &request.policy, events, arguments.dry_run, dry_run_command);
    let Some(history) = prepared else {
        *metrics = None;
        return Ok(left_to_another(url, summary));
    };
    let mut run = PruneRun { arguments, context, bounds, started, now: request.now, history, summary };
    let (blocks, ending) = match PruneMode::of(arguments, &run.history.plan) {
        PruneMode::DryRun => run.dry_run().await?,
        PruneMode::Nothing => run.nothing().await?,
        PruneMode::Remove => run.remove().await?,
    };
    Ok(run.finish(blocks, ending, metrics).await)
}

fn left_to_another(url: &DatabaseUrl, mut summary: PruneSummary) -> Report {
    summary.skipped = Some("another `prune` is running");
    let line = format!("another `prune` is running on {url}: nothing was changed");
    Report::new(&summary, vec![Block::Line(line)])
}

/// A run with its plan.
struct PruneRun<'r> {
    arguments: &'r Prune,
    context: &'r Context,
    bounds: Bounds<'r>,
    started: Instant,
    /// The time from which ages are counted.
    now: DateTime<Utc>,
    history: OpenHistory,
    summary: PruneSummary,
}

impl PruneRun<'_> {
    /// Shows the plan, and why it would fail.
    async fn dry_run(&mut self) -> Result<(Vec<Block>, Ending), Error> {
        let precision = if self.arguments.exact { Precision::Exact } else { Precision::Estimated };
        let OpenHistory { connection, retention, schema, .. } = &mut self.history;
        let count = async {
            let reading = every_row(connection).await?;
            retention.count(&reading, schema, self.now, precision).await?;
            Ok(reading.rollback().await.context(BEGIN_TO_PLAN)?)
        };
        self.bounds.over((Verb::Count, "the sessions"), count).await?;
        self.take_in_plan();
        self.summary.remaining_sessions = self.history.plan.kept_total();
        if let Some(path) = &self.arguments.kept_file {
            let write = kept_file::write(path, &self.history);
            self.bounds.over((Verb::Write, "the list of kept sessions"), write).await?;
        }
        let action = (Verb::Check, "the privileges of the role");
        let obstacles = async { Ok(self.history.look_for_obstacles(self.arguments.max_share).await.context(action)?) };
        self.summary.add_obstacles(self.bounds.over(action, obstacles).await?);
        Ok((self.summary.plan_blocks(), Ending::default()))
    }

    async fn nothing(&mut self) -> Result<(Vec<Block>, Ending), Error> {
        self.take_in_plan();
        let drop = async {
            stage_index::drop_left_over(&self.history.connection, &self.history.schema).await;
            Ok(())
        };
        self.bounds.over((Verb::Drop, "the index that an earlier run left behind"), drop).await?;
        self.summary.remaining_sessions = self.history.plan.kept_total();
        if let Some(path) = &self.arguments.archive
            && Archive::is_unfinished(path, &self.history.url, self.compression())?
        {
            self.open_archive(0).await?;
        }
        Ok((self.summary.nothing_blocks(), Ending::default()))
    }

    /// Opens the archive for about so many rows, if there is to be one.
    async fn open_archive(&mut self, rows: u64) -> Result<(), Error> {
        let Some(path) = &self.arguments.archive else { return Ok(()) };
        let temporary = vacuum::sqlite::temporary_directory(&self.context.environment);
        self.history.open_archive(path, rows, temporary.as_deref()).await
    }

    fn compression(&self) -> Compression {
        if self.arguments.compress { Compression::Zstd } else { Compression::None }
    }

    /// Removes what is planned, unless it is refused.
    async fn remove(&mut self) -> Result<(Vec<Block>, Ending), Error> {
        self.take_in_plan();
        let action = (Verb::Remove, "old sessions");
        let look = async { Ok(require_writable(&self.history.connection).await.context(action)?) };
        self.bounds.over(action, look).await?;
        self.bounds.over(action, self.history.refuse_pathless_functions()).await?;
        self.bounds.over(action, self.history.refuse_tables_without_rowid()).await?;
        refuse_too_large_a_share(&self.history.plan, self.arguments.max_share)?;
        if !self.arguments.yes {
            self.bounds.interrupt.or(confirm(&self.summary)).await??;
        }
        // A run that its deadline may stop may write fewer.
        let rows = if self.bounds.deadline.is_some() { 0 } else { planned(&self.history.plan).rows };
        self.open_archive(rows).await?;
        let mut outcome = Box::pin(self.remove_planned()).await?;
        self.take_in_place();
        let is_confirmed = self.confirm_removal(&mut outcome).await;
        // The summary is printed in any case.
        if self.history.is_connected {
            let count = self.history.count_old();
            self.summary.remaining_sessions = self.bounds.look_back(outcome.stopped.as_ref(), count).await;
        }
        self.summary.record(&outcome, is_confirmed, self.started.elapsed());
        let stuck = outcome.stuck.into_iter().next().map(|stuck| stuck.error.into());
        Ok((self.summary.removed_blocks(), Ending { stopped: outcome.stopped, stuck, remain: false }))
    }

    /// Shows the host that was reached.
    fn take_in_place(&mut self) {
        self.summary.database = self.history.url.to_string();
    }

    fn take_in_plan(&mut self) {
        self.take_in_place();
        self.summary.choose(&self.history.selection.policy, &self.history.retention);
        self.summary.plan(&self.history.plan);
    }

    async fn remove_planned(&mut self) -> Result<RemovalOutcome, Error> {
        let Self { history, bounds, arguments, context, .. } = self;
        let triggers = (Verb::List, "the triggers");
        let look = async { Ok(history.look_for_triggers().await.context(triggers)?) };
        bounds.over(triggers, look).await?;
        let is_late = bounds.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let stages = if is_late { 0 } else { history.plan.stages() };
        // Half of the time is left for the removal, also without the index.
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let limit = bounds.deadline.map(|deadline| (left(deadline) / 2).max(SHORTEST));
        let build = async { Ok(stage_index::build(&history.connection, &history.schema, stages, limit).await?) };
        let has_index = bounds.over((Verb::Create, "the index that the removal needs"), build).await?;
        let planned = planned(&history.plan);
        let meter = context.progress.begin(Phase::new("removing", "old sessions"), planned);
        let Prune { batch_time, retry_for, max_duration, .. } = **arguments;
        let has_first_batch = max_duration.is_none_or(|limit| !limit.is_zero());
        let limits = RunLimits { batch_time, deadline: bounds.deadline, retry_for, has_first_batch };
        let outcome = Removal::new(history, limits, bounds.interrupt, meter.as_ref(), planned).run().await;
        meter.finish();
        if outcome.is_cut_off {
            history.abandon().await;
        }
        if has_index && history.is_connected {
            let drop = async {
                stage_index::drop_index(&history.connection, limit).await;
                Ok(())
            };
            bounds.look_back(outcome.stopped.as_ref(), drop).await;
        }
        Ok(outcome)
    }

    /// Whether it is known what was removed.
    async fn confirm_removal(&mut self, outcome: &mut RemovalOutcome) -> bool {
        let limit = self.bounds.at_the_end(outcome.stopped.as_ref());
        let confirm = self.bounds.interrupt.or(Box::pin(self.history.confirm(outcome)));
        matches!(tokio::time::timeout(limit, confirm).await, Ok(Ok(true)))
    }

    /// Vacuums, fills the metrics, closes the databases and reports.
    async fn finish(mut self, mut blocks: Vec<Block>, mut ending: Ending, metrics: &mut Option<Metrics>) -> Report {
        if !self.history.selection.policy.is_about_sessions() {
            self.summary.remaining_sessions = None;
        }
        ending.remain =
            ending.stopped.is_some() || self.summary.remaining_sessions.is_none_or(|remaining| remaining > 0);
        let may_go_on = matches!(ending.stopped, None | Some(Stop::Deadline));
        if !self.arguments.dry_run && self.history.is_connected && may_go_on {
            self.give_space_back(&mut blocks, &mut ending).await;
        }
        let indexes = self.complete_archive(&mut ending).await;
        self.summary.archive_lacks_indexes = indexes == ArchiveIndexes::Missing;
        if let Some(metrics) = metrics {
            self.tell_metrics(metrics, ending.stopped.as_ref()).await;
        }
        let compression = if ending.stopped.is_none() { self.compression() } else { Compression::None };
        let Self { arguments, history, mut summary, .. } = self;
        let has_archived = summary.removed.as_ref().is_some_and(RemovedSummary::has_rows);
        let is_left_as_it_was =
            !has_archived && indexes == ArchiveIndexes::Complete && compression == Compression::None;
        match history.close(compression).await {
            Ok(None) => {}
            // Another program merely has it open, so that what it lacks was not known without opening it.
            Ok(Some(_)) if is_left_as_it_was => {}
            Ok(Some(path)) => {
                let done = match (has_archived, indexes) {
                    (true, _) => "archived in",
                    (false, ArchiveIndexes::Missing) => "nothing was added to the archive",
                    (false, _) => "completed the archive",
                };
                blocks.push(Block::Line(format!("{done} {}", path.display())));
                if summary.archive_lacks_indexes {
                    blocks.push(Block::Line(format!(
                        "it lacks indexes: the next run with it creates them, or `tarsy-db check --fix --database-url {}`",
                        shell_word(&format!("sqlite:///{}", path.display()))
                    )));
                }
                summary.archive = Some(path.display().to_string());
            }
            Err(error) => {
                if let Some(path) = &arguments.archive {
                    let (path, log) = (path.display(), wal_of(path));
                    // The rows of committed batches are in the one or the other.
                    let done = if has_archived { "archived in" } else { "the archive is in" };
                    blocks.push(Block::Line(match log.exists() {
                        true => format!("{done} {path} and {}: keep both files together", log.display()),
                        false => format!("{done} {path}"),
                    }));
                    summary.archive = Some(path.to_string());
                }
                ending.stopped = ending.stopped.or(Some(Stop::Failed(error)));
            }
        }
        let (exit_code, error) = ending.exit_code_and_error(OnRemaining::of(arguments));
        Report { exit_code, error, committed: summary.committed(), ..Report::new(&summary, blocks) }
    }

    /// Creates the indexes of the archive.
    async fn complete_archive(&mut self, ending: &mut Ending) -> ArchiveIndexes {
        let Some(archive) = self.history.archive.as_mut().filter(|archive| archive.lacks_indexes()) else {
            return ArchiveIndexes::Complete;
        };
        // No later run has this archive after an upgrade of the database.
        let is_upgraded = ending.stopped.as_ref().is_some_and(Stop::is_upgrade);
        if ending.stopped.is_some() && !is_upgraded {
            return ArchiveIndexes::Missing;
        }
        let meter = self.context.progress.begin(Phase::new("indexing", "the archive"), Amount::default());
        let created = self.bounds.interrupt.or(archive.create_indexes()).await;
        meter.finish();
        let stopped = match created {
            Ok(Ok(())) => return ArchiveIndexes::Created,
            Ok(Err(error)) => Stop::Failed(error.into()),
            Err(signal) => Stop::Signal(signal),
        };
        ending.stopped = ending.stopped.take().or(Some(stopped));
        ArchiveIndexes::Missing
    }

    async fn give_space_back(&mut self, blocks: &mut Vec<Block>, ending: &mut Ending) {
        let wants_vacuum = self.arguments.vacuum && ending.stopped.is_none();
        let give_back = async { if wants_vacuum { self.vacuum().await } else { self.reclaimable().await } };
        let action =
            if wants_vacuum { (Verb::Vacuum, "the database") } else { (Verb::Measure, "the reclaimable space") };
        match self.bounds.over(action, give_back).await {
            Ok(freed) => {
                blocks.extend(freed.lines().into_iter().map(Block::Line));
                self.summary.space = Some(freed);
            }
            Err(Error::Interrupted(signal)) => {
                self.bounds.watch.end_sessions().await;
                self.history.is_connected = false;
                ending.stopped = Some(Stop::Signal(signal));
            }
            Err(error) => {
                self.history.is_connected &= !is_lost(&error);
                if wants_vacuum {
                    ending.stopped = Some(Stop::Failed(error));
                } else {
                    // It only informs.
                    tracing::warn!("{error}: {}", error.causes().join(": "));
                }
            }
        }
    }

    /// Measures the free space.
    async fn reclaimable(&self) -> Result<FreedSummary, Error> {
        let OpenHistory { connection, schema, .. } = &self.history;
        let reading = read_transaction::begin(connection, None, Rows::Every).await.context(BEGIN_TO_PLAN)?;
        Ok(FreedSummary::Free(space::reclaimable(&reading, schema).await?))
    }

    /// Returns free space to the operating system.
    async fn vacuum(&self) -> Result<FreedSummary, Error> {
        let OpenHistory { connection, schema, .. } = &self.history;
        let _meter = self.context.progress.begin(Phase::new("vacuuming", "the database"), Amount::default());
        let temporary = vacuum::sqlite::temporary_directory(&self.context.environment);
        Ok(FreedSummary::GivenBack(vacuum::vacuum(connection, schema, temporary.as_deref()).await?))
    }

    async fn tell_metrics(&self, metrics: &mut Metrics, stopped: Option<&Stop>) {
        metrics.sessions_remaining = self.summary.remaining_sessions;
        metrics.has_retention = self.summary.retention.as_ref().map(Retention::is_chosen);
        if self.history.is_connected {
            metrics.oldest_session_us = self.bounds.look_back(stopped, self.history.oldest()).await.flatten();
        }
        self.summary.count(metrics);
    }
}

/// What the run removes by its plan.
fn planned(plan: &RetentionPlan) -> Amount {
    Amount { rows: plan.rows().max(plan.sessions), bytes: plan.bytes() }
}

/// Whether the connection is lost or does not answer.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Database(error) if error.cause.class.is_before_login())
}

fn refuse_too_large_a_share(plan: &RetentionPlan, limit: f64) -> Result<(), Error> {
    let RetentionPlan { sessions, of_sessions, .. } = *plan;
    if plan.share() > limit { Err(Error::TooLargeAShare { sessions, of_sessions, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::retention::kept::KeptCounts;

    #[test]
    fn a_share_is_refused_above_the_limit_only() {
        let plan = |sessions| RetentionPlan {
            sessions,
            of_sessions: 10,
            oldest_us: None,
            newest_us: None,
            tables: Vec::new(),
            orphans: Vec::new(),
            kept: Vec::new(),
            kept_counts: KeptCounts::default(),
            is_interrupted: false,
            has_uncounted_events: false,
        };
        assert!(refuse_too_large_a_share(&plan(5), 0.5).is_ok());
        assert!(matches!(
            refuse_too_large_a_share(&plan(6), 0.5),
            Err(Error::TooLargeAShare { sessions: 6, of_sessions: 10, .. })
        ));
    }
}
