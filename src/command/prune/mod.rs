//! `prune`: removes old history while the backend keeps working.

mod run;
mod summary;

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use indicatif::{HumanBytes, HumanCount};
use migration::Revision;
use migration::ledger::{self, Ledger};
use sea_orm::{DatabaseConnection, DatabaseExecutor, DbErr};

use super::context::Context;
use super::retention::Retention;
use crate::cli::Prune;
use crate::database::connection::{self, Access, LOCK_TIMEOUT, row};
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt};
use crate::database::read_transaction::{self, Rows};
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::fs::free_space;
use crate::history::archive::compression::Compression;
use crate::history::archive::{Archive, location};
use crate::history::events::{self, EVENTS, EventPolicy};
use crate::history::orphans::{self, OrphanCount};
use crate::history::removal::batch::Removed;
use crate::history::removal::contention::{Activity, Contention};
use crate::history::removal::prune_lock::PruneLock;
use crate::history::removal::{parent_index, pragmas};
use crate::history::retention::plan::{self, RetentionPlan};
use crate::history::retention::policy::{ActiveSessions, Filter, Limit, RetentionError, RetentionPolicy};
use crate::history::retention::selection::{self, Selection};
use crate::history::tables::{CHATS, DEPENDENTS, SESSIONS};
use crate::history::{index_check, space, vacuum};
use crate::interrupt::Interrupt;
use crate::metrics::{self, Metrics};
use crate::output::{Block, Report};
use crate::progress::{Amount, Phase};
use crate::schema::model::Schema;
use crate::schema::{self, privilege, row_policy};
use crate::settings::Settings;
use crate::visible;

use run::{GRACE, Outcome, Removal, RunLimits, Stop};
use summary::{FreedSummary, PruneSummary, shown};

/// How long to wait for somebody who writes to SQLite's file. Others wait meanwhile for what is locked already.
const SQLITE_LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long to wait until the next attempt to plan.
const PAUSE: Duration = Duration::from_secs(1);

/// How long to wait for a second connection: behind a pooler there may be none.
const SECOND_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait for the end of a connection whose work was given up.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn run(
    arguments: &Prune,
    settings: &Settings,
    context: &Context,
    interrupt: &Interrupt,
) -> Result<Report, Error> {
    let watch = Arc::new(Watch::new(&settings.database.value, "prune the history", &|| ()));
    let Some(path) = &arguments.metrics_file else {
        return prune(arguments, settings, context, interrupt, &watch, &mut None).await;
    };
    // A slip in the path ends the run before it removes anything.
    metrics::earlier(path)?;
    let started = Instant::now();
    let mut told = Some(Metrics::of(&settings.database.value.to_string()));
    let mut result = prune(arguments, settings, context, interrupt, &watch, &mut told).await;
    if let Some(metrics) = &mut told {
        metrics.duration = started.elapsed();
        metrics.finished_at = context.now + started.elapsed();
        metrics.exit_code = match &result {
            Ok(report) => report.exit_code,
            Err(error) => error.exit_code(),
        };
        match (metrics.write(path), &mut result) {
            (Err(error), Ok(report)) if report.exit_code == ExitCode::Done => {
                let error = Error::from(error);
                report.exit_code = error.exit_code();
                report.error = Some(error);
            }
            (Err(error), _) => tracing::error!("{error}: {}", error.source),
            (Ok(()), _) => {}
        }
    }
    result
}

/// Prunes, and tells `metrics` of it; it is emptied where another run is at work, whose metrics these are.
async fn prune(
    arguments: &Prune,
    settings: &Settings,
    context: &Context,
    interrupt: &Interrupt,
    watch: &Arc<Watch<'static>>,
    metrics: &mut Option<Metrics>,
) -> Result<Report, Error> {
    let result = Box::pin(prune_and_summarise(arguments, settings, context, interrupt, watch, metrics)).await;
    if matches!(&result, Err(Error::Interrupted(_))) {
        watch.end_sessions().await;
    }
    result
}

async fn prune_and_summarise(
    arguments: &Prune,
    settings: &Settings,
    context: &Context,
    interrupt: &Interrupt,
    watch: &Arc<Watch<'static>>,
    metrics: &mut Option<Metrics>,
) -> Result<Report, Error> {
    let started = Instant::now();
    let now = arguments.now.unwrap_or(context.now);
    let policy = policy(arguments, settings, now)?;
    if policy.cutoff_us >= context.now.timestamp_micros() {
        return Err(RetentionError::NotPositive(format!("everything before {}", shown(policy.cutoff_us))).into());
    }
    let hours = settings.event_retention_hours.value;
    let event_policy = arguments.events.then(|| EventPolicy::new(hours, now)).transpose()?;
    let url = &settings.database.value;
    let mut summary = PruneSummary::new(url, &policy, event_policy.as_ref(), arguments.dry_run);
    if let Some(path) = &arguments.archive {
        location::resolve(path, url.sqlite_path())?;
    }
    let deadline = arguments.max_duration.and_then(|limit| started.checked_add(limit));
    let bounds = Bounds { interrupt, watch, deadline };
    let prepared = prepare(settings, arguments, now, &policy, event_policy, started, watch);
    let Some(mut work) = interrupt.or(prepared).await?? else {
        *metrics = None;
        summary.skipped = Some("another prune is at work");
        let line = format!("another prune is at work on {url}: nothing to do here");
        return Ok(Report::new(&summary, vec![Block::Line(line)]));
    };
    if arguments.dry_run {
        let count = async {
            let reading = every_row(&work.connection).await?;
            work.retention.count(&reading, &work.schema, now).await?;
            Ok(read_transaction::end(reading).await.context(BEGIN_TO_PLAN)?)
        };
        bounds.over("count the sessions", count).await?;
    }
    summary.choose(&work.selection.policy, &work.retention);
    summary.plan(&work.plan);
    let (mut stopped, mut stuck) = (None, None);
    let mut blocks;
    if arguments.dry_run {
        summary.remaining_sessions = Some(work.plan.kept.len() as u64);
        let action = "look what the role may do";
        let obstacles = async { Ok(work.look_for_obstacles().await.context(action)?) };
        summary.in_the_way = bounds.over(action, obstacles).await?;
        blocks = summary.plan_blocks(arguments.max_share);
    } else if work.plan.rows() == 0 {
        let drop = async {
            parent_index::drop_left_over(&work.connection, &work.schema).await;
            Ok(())
        };
        bounds.over("drop the index of an earlier run", drop).await?;
        summary.remaining_sessions = Some(work.plan.kept.len() as u64);
        blocks = summary.nothing_blocks();
    } else {
        let action = "remove old history";
        let look = async { Ok(connection::require_writable(&work.connection).await.context(action)?) };
        bounds.over(action, look).await?;
        refuse_too_large_a_share(&work.plan, arguments.max_share)?;
        if !arguments.yes {
            interrupt.or(confirm(&summary)).await??;
        }
        if let Some(path) = &arguments.archive {
            work.open_archive(path).await?;
        }
        let terms = RunLimits { batch_time: arguments.batch_time, deadline, retry_for: arguments.retry_for };
        let mut outcome = Box::pin(work.remove(terms, context, &bounds)).await?;
        let limit = bounds.at_the_end(outcome.stopped.as_ref());
        let confirmed = tokio::time::timeout(limit, interrupt.or(Box::pin(work.confirm(&mut outcome)))).await;
        let is_confirmed = matches!(confirmed, Ok(Ok(true)));
        // What was removed is told in any case.
        if work.is_connected {
            summary.remaining_sessions = bounds.look_back(outcome.stopped.as_ref(), work.count_old()).await;
        }
        summary.tell(&outcome, is_confirmed, started.elapsed());
        blocks = summary.removed_blocks();
        stopped = outcome.stopped;
        stuck = outcome.stuck.into_iter().next().map(|stuck| stuck.error.into());
    }
    if !work.selection.policy.is_about_sessions() {
        summary.remaining_sessions = None;
    }
    let remain = stopped.is_some() || summary.remaining_sessions.is_none_or(|remaining| remaining > 0);
    if !arguments.dry_run && work.is_connected && matches!(stopped, None | Some(Stop::Deadline)) {
        let give_back = work.give_back(arguments.vacuum && stopped.is_none(), context);
        match bounds.over("give space back", give_back).await {
            Ok(freed) => {
                blocks.extend(freed.lines().into_iter().map(Block::Line));
                summary.space = Some(freed);
            }
            Err(Error::Interrupted(signal)) => {
                watch.end_sessions().await;
                work.is_connected = false;
                stopped = Some(Stop::Signal(signal));
            }
            Err(error) => {
                work.is_connected &= !is_lost(&error);
                stopped = Some(Stop::Failed(error));
            }
        }
    }
    if let Some(metrics) = metrics {
        metrics.sessions_remaining = summary.remaining_sessions;
        if work.is_connected {
            metrics.oldest_session_us = bounds.look_back(stopped.as_ref(), work.oldest()).await.flatten();
        }
        summary.count(metrics);
    }
    match work.close(arguments.compress && stopped.is_none()).await {
        Ok(None) => {}
        Ok(Some(path)) => {
            blocks.push(Block::Line(format!("archived in {}", path.display())));
            summary.archive = Some(path.display().to_string());
        }
        Err(error) => stopped = stopped.or(Some(Stop::Failed(error))),
    }
    let error = match stopped {
        None | Some(Stop::Deadline | Stop::TakenOver) => stuck,
        Some(Stop::Signal(signal)) => Some(Error::Interrupted(signal)),
        Some(Stop::Failed(error)) => Some(error),
    };
    let exit_code = match &error {
        None | Some(Error::Interrupted(_)) if arguments.fail_if_remaining && remain => ExitCode::Remaining,
        None => ExitCode::Done,
        Some(error) => error.exit_code(),
    };
    Ok(Report { exit_code, error, ..Report::new(&summary, blocks) })
}

/// What ends each part of a run: a server that does not answer, a signal, and the time, [`GRACE`] after it is up.
struct Bounds<'b> {
    interrupt: &'b Interrupt,
    watch: &'b Watch<'static>,
    deadline: Option<Instant>,
}

impl Bounds<'_> {
    async fn over<T>(&self, action: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let bounded = tokio::time::timeout(self.left(), self.interrupt.or(self.watch.over(work)));
        let Ok(result) = bounded.await else {
            self.watch.end_sessions().await;
            return Err(out_of_time(action).into());
        };
        result?
    }

    /// Runs a query that only completes the summary.
    async fn look_back<T>(
        &self,
        stopped: Option<&Stop>,
        query: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Option<T> {
        let query = self.interrupt.or(self.watch.over(query));
        tokio::time::timeout(self.at_the_end(stopped), query).await.ok()?.ok()?.ok()
    }

    /// How long what only completes the summary may take: little after a stop.
    fn at_the_end(&self, stopped: Option<&Stop>) -> Duration {
        if stopped.is_some() { GRACE } else { self.left() }
    }

    fn left(&self) -> Duration {
        self.deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()) + GRACE)
    }
}

/// What was cut off because `--max-duration` was over.
fn out_of_time(action: &str) -> DatabaseError {
    let message = "not done within `--max-duration`: the server is slow, or does not answer";
    DatabaseError { action: action.to_owned(), cause: DatabaseCause::new(ErrorClass::TimedOut, message) }
}

fn policy(arguments: &Prune, settings: &Settings, now: DateTime<Utc>) -> Result<RetentionPolicy, Error> {
    let limit = match (arguments.before, arguments.older_than) {
        (Some(moment), _) => Limit::Before(moment),
        (None, Some(age)) => Limit::OlderThan(age),
        (None, None) => Limit::OlderThan(settings.retention()),
    };
    let active = if arguments.include_active { ActiveSessions::Remove } else { ActiveSessions::Keep };
    let filter = Filter {
        statuses: arguments.status.clone(),
        alert_types: arguments.alert_type.clone(),
        agent_types: arguments.agent_type.clone(),
    };
    Ok(RetentionPolicy { filter, ..RetentionPolicy::new(limit, active, now)? })
}

/// The policy of a database of which it is known by now what a backend keeps there. A number that was not chosen removes no session:
/// a dry run shows what the longest of the defaults would remove, and events and orphans go without sessions.
fn chosen(
    policy: RetentionPolicy,
    retention: &Retention,
    arguments: &Prune,
    now: DateTime<Utc>,
) -> Result<RetentionPolicy, RetentionError> {
    let is_about_others = (arguments.events || arguments.orphans) && !arguments.fail_if_remaining;
    match (retention.is_chosen(), is_about_others) {
        (true, _) => Ok(policy),
        (false, true) => {
            tracing::warn!("no session is removed: {}", RetentionError::NotChosen.hint().unwrap_or_default());
            Ok(policy.without_sessions())
        }
        (false, false) if arguments.dry_run => {
            Ok(RetentionPolicy { filter: policy.filter, ..retention.policy(policy.active, now)? })
        }
        (false, false) => Err(RetentionError::NotChosen),
    }
}

/// Looks what there is to do, again and again while somebody is in the way. `None` if another prune is doing it.
async fn prepare(
    settings: &Settings,
    arguments: &Prune,
    now: DateTime<Utc>,
    policy: &RetentionPolicy,
    event_policy: Option<EventPolicy>,
    started: Instant,
    watch: &Arc<Watch<'static>>,
) -> Result<Option<OpenHistory>, Error> {
    let limit = arguments.max_duration.map_or(arguments.retry_for, |limit| limit.min(arguments.retry_for));
    let mut is_first = true;
    loop {
        let attempt = watch.over(OpenHistory::prepare(settings, arguments, now, policy.clone(), event_policy, watch));
        let longest =
            arguments.max_duration.map_or(Duration::MAX, |limit| limit.saturating_sub(started.elapsed()) + GRACE);
        let Ok(attempted) = tokio::time::timeout(longest, attempt).await else {
            watch.end_sessions().await;
            return Err(out_of_time("plan the removal").into());
        };
        let error = match attempted {
            Err(Error::Database(error)) if error.cause.class == ErrorClass::Busy => error,
            other => return other,
        };
        if started.elapsed() >= limit {
            return Err(error.into());
        }
        if is_first {
            let limit = humantime::format_duration(limit);
            tracing::warn!("{error}: {}; trying again for {limit}", error.cause.described());
            is_first = false;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the connection is gone, or does not answer.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Database(error) if error.cause.class.is_before_login())
}

/// Warns of filters that no session meets: they may be misspelt, and then nothing goes, night after night.
async fn warn_of_unknown_values(
    connection: &DatabaseConnection,
    policy: &RetentionPolicy,
) -> Result<(), DatabaseError> {
    let reading = every_row(connection).await?;
    for (column, values) in policy.filter.lists() {
        for value in values {
            if !selection::is_met(&reading, column, value).await? {
                tracing::warn!("no session has the {} `{value}`: is it spelt right?", column.replace('_', " "));
            }
        }
    }
    read_transaction::end(reading).await.context(BEGIN_TO_PLAN)
}

fn refuse_too_large_a_share(plan: &RetentionPlan, limit: f64) -> Result<(), Error> {
    let RetentionPlan { sessions, of_sessions, .. } = *plan;
    if plan.share() > limit { Err(Error::TooLargeAShare { sessions, of_sessions, limit }) } else { Ok(()) }
}

/// What a run works on, and what it would remove.
struct OpenHistory {
    url: DatabaseUrl,
    watch: Arc<Watch<'static>>,
    connection: DatabaseConnection,
    /// Whether it was there when it was needed last.
    is_connected: bool,
    /// Works beside the first where PostgreSQL has nothing else to do.
    second: Option<DatabaseConnection>,
    ledger: Ledger,
    /// `None` without a ledger.
    revision: Option<Revision>,
    schema: Schema,
    retention: Retention,
    selection: Selection,
    /// `None` without `--events`, or where there are none.
    events: Option<EventPolicy>,
    plan: RetentionPlan,
    archive: Option<Archive>,
    contention: Contention,
    /// `None` for a dry run. Let go of last: see [`PruneLock`].
    prune_lock: Option<PruneLock>,
}

impl OpenHistory {
    /// Looks what there is to do. `None` if another prune is doing it.
    async fn prepare(
        settings: &Settings,
        arguments: &Prune,
        now: DateTime<Utc>,
        policy: RetentionPolicy,
        event_policy: Option<EventPolicy>,
        watch: &Arc<Watch<'static>>,
    ) -> Result<Option<Self>, Error> {
        let url = &settings.database.value;
        let mut prune_lock = None;
        if !arguments.dry_run {
            prune_lock = PruneLock::take(url).await?;
            if prune_lock.is_none() {
                return Ok(None);
            }
        }
        let access = if arguments.dry_run { Access::Read } else { Access::Write };
        // Declared first, and so dropped last: see [`Contention`].
        let mut contention;
        let connection = open(url, access, watch).await?;
        // Not before there is a first one: it may be the last that the role is granted.
        let (read, second) =
            tokio::join!(schema::read::schema_and_state(&connection), open_second(url, arguments, watch));
        let (standing, schema) = read.context("read the schema")?;
        let read = [&[ledger::TABLE, SESSIONS][..], &DEPENDENTS.map(|dependent| dependent.table)].concat();
        let events_read = event_policy.as_ref().map(|_| EVENTS);
        let read: Vec<_> = read.into_iter().chain(events_read).collect();
        row_policy::refuse(&connection, &read).await.context("see every row")?;
        let revision = standing.require_history()?;
        pragmas::set(&connection, &schema).await.context("set up the connection")?;
        let retention = Retention::of_prune(arguments, settings, &standing);
        let policy = chosen(policy, &retention, arguments, now)?;
        warn_of_unknown_values(&connection, &policy).await?;
        let see = "see who else uses the database";
        contention = Contention::of(&connection, url.sqlite_path()).await.context(see)?;
        let second = known(second, &mut contention).await;
        let helper = match &second {
            Some(second) if contention.activity(&connection).await.context(see)? == Activity::QuietServer => {
                Some(second)
            }
            // Whoever works needs the other core.
            _ => None,
        };
        let (selection, mut plan) = select(&connection, helper, &schema, policy).await?;
        let events = event_policy.filter(|_| events::are_kept(&schema));
        let reading = every_row(&connection).await?;
        if let Some(policy) = &events {
            plan.tables.push(events::plan(&reading, &schema, policy).await?);
        }
        if arguments.orphans {
            plan.orphans = orphans::count(&reading, &schema).await?;
            let tables = orphans::tables(&plan.orphans);
            index_check::require_matching_indexes(&reading, &tables).await.context("tell orphans from other rows")?;
        }
        read_transaction::end(reading).await.context(BEGIN_TO_PLAN)?;
        Ok(Some(Self {
            url: url.clone(),
            watch: Arc::clone(watch),
            connection,
            is_connected: true,
            second,
            ledger: standing.ledger,
            revision,
            schema,
            retention,
            selection,
            events,
            plan,
            archive: None,
            contention,
            prune_lock,
        }))
    }

    /// What a removal would fail at, although the plan could be made.
    async fn look_for_obstacles(&self) -> Result<Vec<String>, DbErr> {
        if self.plan.rows() == 0 {
            return Ok(Vec::new());
        }
        if let DatabaseUrl::Sqlite(location) = &self.url {
            let is_in_the_way = location.path.as_ref().is_some_and(|path| !free_space::may_be_written(path));
            let obstacle = is_in_the_way.then(|| "this user may not write to the file and its directory".to_owned());
            return Ok(obstacle.into_iter().collect());
        }
        let removed: Vec<_> = self.plan.tables.iter().map(|table| table.table).collect();
        // Each batch locks rows of these, which takes UPDATE.
        let mut locked = vec![SESSIONS, CHATS];
        locked.extend(self.events.map(|_| EVENTS));
        locked.extend(self.plan.orphans.iter().map(|orphans| orphans.reference.child));
        let mut lacking = privilege::lacking(&self.connection, &locked, &["UPDATE"]).await?;
        lacking.extend(privilege::lacking(&self.connection, &removed, &["DELETE"]).await?);
        let mut obstacles: Vec<_> = lacking.iter().map(|lacking| format!("the role lacks {lacking}")).collect();
        let sql = "SELECT current_setting('transaction_read_only')::bool AS is_read_only";
        if row(&self.connection, sql).await?.try_get("", "is_read_only")? {
            obstacles.push("transactions are read-only: a standby, or `default_transaction_read_only`".to_owned());
        }
        Ok(obstacles)
    }

    /// Prepares the archive, once it is sure that something goes into it.
    async fn open_archive(&mut self, path: &Path) -> Result<(), Error> {
        self.archive = Some(Archive::open(path, &self.url, self.revision, &self.schema).await?);
        Ok(())
    }

    /// Opens the database again, after the server was gone. False if another run prunes it by now.
    async fn reconnect(&mut self) -> Result<bool, Error> {
        self.is_connected = false;
        self.second = None;
        self.prune_lock = None;
        let (url, watch) = (&self.url, Arc::clone(&self.watch));
        self.prune_lock = watch.over(async { Ok::<_, Error>(PruneLock::take(url).await?) }).await?;
        if self.prune_lock.is_none() {
            return Ok(false);
        }
        watch.over(self.renew_connection()).await?;
        Ok(true)
    }

    /// Throws the connections away and opens one anew; the right to prune is kept.
    async fn renew_connection(&mut self) -> Result<(), Error> {
        self.is_connected = false;
        self.second = None;
        if self.url.sqlite_path().is_some() {
            // In this order: see [`Contention`]. Where a rollback takes long the files stay open.
            let closed = tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close_by_ref()).await;
            closed
                .map_err(|_| DatabaseCause::new(ErrorClass::TimedOut, "its rollback takes long"))
                .context("close the connection")?
                .ok();
            self.contention.close_files();
        }
        self.connection = open(&self.url, Access::Write, &self.watch).await?;
        pragmas::set(&self.connection, &self.schema).await.context("set up the connection")?;
        let contention = Contention::of(&self.connection, self.url.sqlite_path()).await;
        self.contention = contention.context("see who else uses the database")?;
        self.is_connected = true;
        Ok(())
    }

    /// Counts what is really gone where a failure leaves that open, on a connection that no failure has touched: no
    /// more than was committed or may have been, and no more than is missing of what was planned. False if the database
    /// cannot be asked.
    async fn confirm(&mut self, outcome: &mut Outcome) -> bool {
        if !outcome.is_doubtful {
            return true;
        }
        // A commit that was cut off may not have come to its end on the server.
        if outcome.is_cut_off {
            return false;
        }
        if !self.is_connected && !matches!(self.reconnect().await, Ok(true)) {
            return false;
        }
        let Ok(left) = self.watch.over(self.count_left()).await else { return false };
        let planned = self.plan.rows_by_table();
        let rows = |of: &Removed, table| of.get(table).copied().unwrap_or_default();
        for (table, removed) in &mut outcome.rows {
            let missing = rows(&planned, table).saturating_sub(rows(&left, table));
            *removed = (*removed + rows(&outcome.uncommitted, table)).min(missing);
        }
        true
    }

    /// The sessions from before the cutoff that are still there.
    async fn count_old(&self) -> Result<u64, DatabaseError> {
        let reading = every_row(&self.connection).await?;
        let sessions = selection::count_old(&reading, &self.selection.policy).await?;
        read_transaction::end(reading).await.context("end the count")?;
        Ok(sessions)
    }

    /// The start of the oldest session, in microseconds since the epoch.
    async fn oldest(&self) -> Result<Option<i64>, DatabaseError> {
        let reading = every_row(&self.connection).await?;
        let oldest = selection::oldest(&reading).await?;
        read_transaction::end(reading).await.context("end the look")?;
        Ok(oldest)
    }

    /// What is still there of what was planned.
    async fn count_left(&self) -> Result<Removed, DatabaseError> {
        let reader = every_row(&self.connection).await?;
        let mut left = plan::count(&reader, &self.schema, &self.selection).await?;
        if let Some(policy) = &self.events {
            left.insert(EVENTS, events::plan(&reader, &self.schema, policy).await?.rows);
        }
        if !self.plan.orphans.is_empty() {
            for OrphanCount { reference, rows } in orphans::count(&reader, &self.schema).await? {
                *left.entry(reference.child).or_default() += rows;
            }
        }
        Ok(left)
    }

    /// Removes what is planned.
    async fn remove(&mut self, terms: RunLimits, context: &Context, bounds: &Bounds<'_>) -> Result<Outcome, Error> {
        // While the operator was asked it may have become another.
        let second = known(self.second.take(), &mut self.contention);
        self.second = bounds.over("open a second connection", async { Ok(second.await) }).await?;
        let build = async { Ok(parent_index::build(&self.connection, &self.schema, self.plan.stages()).await?) };
        let has_index = bounds.over("build the index that the removal needs", build).await?;
        let planned = Amount { rows: self.plan.rows(), bytes: self.plan.bytes() };
        let meter = context.progress.begin(Phase::new("removing", "old history"), planned);
        let outcome = Removal::new(self, terms, bounds.interrupt, meter.as_ref(), planned).run().await;
        meter.finish();
        if outcome.is_cut_off {
            self.abandon().await;
        }
        if has_index && self.is_connected {
            let drop = async {
                parent_index::drop_index(&self.connection).await;
                Ok(())
            };
            bounds.look_back(outcome.stopped.as_ref(), drop).await;
        }
        Ok(outcome)
    }

    /// Ends what the server still does, and asks the connection nothing any more: it may still wait for that.
    async fn abandon(&mut self) {
        self.is_connected = false;
        self.watch.end_sessions().await;
    }

    /// Gives free space back if that is asked for; otherwise looks how much there is.
    async fn give_back(&self, vacuum: bool, context: &Context) -> Result<FreedSummary, Error> {
        if !vacuum {
            return Ok(FreedSummary::Free(space::reclaimable(&self.connection, &self.schema).await?));
        }
        let _meter = context.progress.begin(Phase::new("vacuuming", "the database"), Amount::default());
        let temporary = vacuum::sqlite::temporary_directory(&context.environment);
        Ok(FreedSummary::GivenBack(vacuum::vacuum(&self.connection, &self.schema, temporary.as_deref()).await?))
    }

    /// Closes the databases. Returns where the archive is, if there is one.
    async fn close(self, compress: bool) -> Result<Option<PathBuf>, Error> {
        let is_lost = !self.is_connected && matches!(self.url, DatabaseUrl::Postgresql(_));
        // SQLite's last connection takes the `-wal` and `-shm` files with it; the summary is told in any case.
        if !is_lost && tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close()).await.is_err() {
            // To close their files would drop the locks of a transaction that is still at work.
            std::mem::forget((self.contention, self.prune_lock));
        }
        let Some(archive) = self.archive else { return Ok(None) };
        // Here the right to prune is still held.
        Ok(Some(archive.close(if compress { Compression::Zstd } else { Compression::None }).await?))
    }
}

/// Begins a transaction to decide in by what the rows say.
async fn every_row(connection: &DatabaseConnection) -> Result<DatabaseExecutor<'_>, DatabaseError> {
    read_transaction::begin(connection, None, Rows::Every).await.context(BEGIN_TO_PLAN)
}

async fn open(url: &DatabaseUrl, access: Access, watch: &Watch<'_>) -> Result<DatabaseConnection, Error> {
    let lock_timeout = match url {
        DatabaseUrl::Sqlite(_) => SQLITE_LOCK_TIMEOUT,
        DatabaseUrl::Postgresql(_) => LOCK_TIMEOUT,
    };
    let mut connection = connection::open(url, access, lock_timeout).await?;
    watch.attach(&mut connection);
    Ok(connection)
}

/// Opens a second connection, where two can work at once. Without it the removal only takes longer.
async fn open_second(url: &DatabaseUrl, arguments: &Prune, watch: &Watch<'_>) -> Option<DatabaseConnection> {
    // SQLite has one writer at a time, and an archive has one, too.
    let is_of_use = matches!(url, DatabaseUrl::Postgresql(_)) && !arguments.dry_run && arguments.archive.is_none();
    if !is_of_use {
        return None;
    }
    tokio::time::timeout(SECOND_TIMEOUT, open(url, Access::Write, watch)).await.ok()?.ok()
}

/// A second connection, if it can be told from those of others.
async fn known(second: Option<DatabaseConnection>, contention: &mut Contention) -> Option<DatabaseConnection> {
    let second = second?;
    contention.count_as_own(&second).await.is_ok().then_some(second)
}

/// Finds out which sessions go, and plans that; side by side where there are two connections.
async fn select(
    connection: &DatabaseConnection,
    second: Option<&DatabaseConnection>,
    schema: &Schema,
    policy: RetentionPolicy,
) -> Result<(Selection, RetentionPlan), DatabaseError> {
    let reading = every_row(connection).await?;
    let selected = match second {
        None => {
            let selection = Selection::of(&reading, schema, policy).await?;
            let plan = plan::plan(&reading, schema, &selection).await?;
            (selection, plan)
        }
        Some(second) => select_beside(&reading, second, schema, policy).await?,
    };
    read_transaction::end(reading).await.context(BEGIN_TO_PLAN)?;
    Ok(selected)
}

const BEGIN_TO_PLAN: &str = "plan the removal";

async fn select_beside(
    reading: &DatabaseExecutor<'_>,
    second: &DatabaseConnection,
    schema: &Schema,
    policy: RetentionPolicy,
) -> Result<(Selection, RetentionPlan), DatabaseError> {
    let select = async {
        let reading = every_row(second).await?;
        let selection = Selection::of(&reading, schema, policy.clone()).await;
        read_transaction::end(reading).await.context(BEGIN_TO_PLAN)?;
        selection
    };
    let optimistic = Selection::optimistic(reading, policy.clone());
    let (selection, plan) = tokio::join!(select, plan::plan(reading, schema, &optimistic));
    let plan = plan?;
    let selection = match selection {
        Ok(selection) => selection,
        Err(_) => Selection::of(reading, schema, policy).await?,
    };
    let plan = if selection == optimistic { plan } else { plan::plan(reading, schema, &selection).await? };
    Ok((selection, plan))
}

/// Asks, where somebody can answer.
async fn confirm(summary: &PruneSummary) -> Result<(), Error> {
    let PruneSummary { database, .. } = summary;
    let Some(plan) = &summary.plan else { return Ok(()) };
    let (events, from_before) = match summary.events() {
        Some((events, cutoff)) => (format!(" and {events} events"), format!("; events from before {cutoff}")),
        None => Default::default(),
    };
    let limit = summary.limit();
    let (sessions, rows, bytes) = (HumanCount(plan.sessions), HumanCount(plan.rows()), HumanBytes(plan.bytes()));
    let what = format!(
        "{sessions} sessions{events} with {rows} rows in all, {bytes} of values, would be removed from {database}"
    );
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::NotConfirmed { what });
    }
    let question = format!("{what} ({limit}{from_before}). Go on? [y/N] ");
    let question = visible::line(&question).into_owned();
    // On a thread of its own, so that Ctrl-C is heard while nobody answers.
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        std::io::stderr().write_all(question.as_bytes())?;
        if std::io::stdin().read_line(&mut answer)? == 0 {
            std::io::stderr().write_all(b"\n")?;
        }
        Ok(answer)
    });
    let answer = answer.await.unwrap_or_else(|error| Err(error.into()));
    let answer = answer.map_err(|source| Error::System { action: "ask for confirmation", source })?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Declined),
    }
}
