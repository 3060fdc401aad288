//! `prune`: removes old history while the backend keeps working.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::DatabaseConnection;
use serde::Serialize;

use super::Context;
use crate::cli::Prune;
use crate::connection::{self, Access, LOCK_TIMEOUT};
use crate::error::Error;
use crate::failure::{DatabaseError, Doing};
use crate::history::SESSIONS;
use crate::history::batch::{Batch, Removed};
use crate::history::events::{self, EVENTS, EventPolicy};
use crate::history::retention::{self, ActiveSessions, Limit, Plan, Policy, Selection};
use crate::interrupt::Interrupt;
use crate::output::{self, Block, Field, Report};
use crate::progress::{Amount, Meter, Progress, Stage};
use crate::schema::{self, Schema};
use crate::settings::Settings;

#[derive(Serialize)]
struct Summary<'a> {
    database: String,
    cutoff: String,
    /// `None` without `--events`.
    event_cutoff: Option<String>,
    dry_run: bool,
    plan: &'a Plan,
    removed: Option<RemovedSummary>,
    /// Sessions that started before the cutoff and are still there.
    remaining_sessions: Option<u64>,
}

impl Summary<'_> {
    /// How many events go, and the cutoff for them; `None` without `--events`, or where there is no table of them.
    fn events(&self) -> Option<(u64, &str)> {
        let planned = self.plan.tables.iter().find(|table| table.table == EVENTS)?;
        Some((planned.rows, self.event_cutoff.as_deref()?))
    }
}

#[derive(Serialize)]
struct RemovedSummary {
    sessions: u64,
    rows: Removed,
    seconds: f64,
}

pub(super) async fn run(
    arguments: &Prune,
    settings: &Settings,
    context: &Context,
    interrupt: &Interrupt,
) -> Result<Report, Error> {
    let now = arguments.now.unwrap_or(context.now);
    let policy = policy(arguments, settings, now)?;
    let hours = settings.event_retention_hours.value;
    let event_policy = arguments.events.then(|| EventPolicy::new(hours, now)).transpose()?;
    let url = &settings.database.value;
    let access = if arguments.dry_run { Access::Read } else { Access::Write };
    let work = interrupt.or(prepare(settings, access, policy, event_policy)).await??;
    let (connection, plan) = (&work.connection, &work.plan);
    let cutoff = DateTime::from_timestamp_micros(policy.cutoff_us).unwrap_or_default();
    let mut summary = Summary {
        database: url.to_string(),
        cutoff: shown(cutoff),
        event_cutoff: event_policy.map(|policy| shown(policy.cutoff)),
        dry_run: arguments.dry_run,
        plan,
        removed: None,
        remaining_sessions: None,
    };
    let mut exit_code = 0;
    let mut ended_early = None;
    let blocks;
    if arguments.dry_run {
        summary.remaining_sessions = Some(plan.kept.len() as u64);
        blocks = plan_blocks(&summary);
    } else if plan.rows() == 0 {
        summary.remaining_sessions = Some(plan.kept.len() as u64);
        blocks = nothing_blocks(&summary);
    } else {
        if !arguments.yes {
            interrupt.or(confirm(&summary)).await??;
        }
        let started = Instant::now();
        let progress = context.progress.as_ref();
        let (removed, ended) = apply(&work, arguments.batch_size, progress, interrupt).await;
        match ended {
            // What was removed is told in any case.
            Ok(()) => summary.remaining_sessions = retention::count_old(connection, &policy).await.ok(),
            Err(error) => {
                exit_code = error.exit_code();
                ended_early = Some(error);
            }
        }
        let sessions = removed.get(SESSIONS).copied().unwrap_or_default();
        summary.removed = Some(RemovedSummary { sessions, rows: removed, seconds: started.elapsed().as_secs_f64() });
        blocks = removed_blocks(&summary, started.elapsed());
    }
    if exit_code == 0
        && arguments.fail_if_remaining
        && summary.remaining_sessions.is_some_and(|remaining| remaining > 0)
    {
        exit_code = 6;
    }
    let report = Report { exit_code, error: ended_early, ..Report::new(&summary, blocks) };
    // SQLite's last connection takes the `-wal` and `-shm` files with it; the summary is told in any case.
    work.connection.close().await.ok();
    Ok(report)
}

fn policy(arguments: &Prune, settings: &Settings, now: DateTime<Utc>) -> Result<Policy, Error> {
    let limit = match (arguments.before, arguments.older_than) {
        (Some(moment), _) => Limit::Before(moment),
        (None, Some(age)) => Limit::OlderThan(age),
        (None, None) => Limit::OlderThan(settings.retention()),
    };
    let active = if arguments.include_active { ActiveSessions::Remove } else { ActiveSessions::Keep };
    Ok(Policy::new(limit, active, now)?)
}

/// A moment as the summary has it.
fn shown(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// What a run works on, and what it would remove.
struct Work {
    connection: DatabaseConnection,
    schema: Schema,
    selection: Selection,
    /// `None` without `--events`, or where there are none.
    events: Option<EventPolicy>,
    plan: Plan,
}

async fn prepare(
    settings: &Settings,
    access: Access,
    policy: Policy,
    event_policy: Option<EventPolicy>,
) -> Result<Work, Error> {
    let connection = connection::open(&settings.database.value, access, LOCK_TIMEOUT).await?;
    let (_, schema) = schema::read_standing(&connection).await.doing("read the schema")?;
    if !schema.tables.contains_key(SESSIONS) {
        return Err(Error::SchemaPending);
    }
    let selection = Selection::of(&connection, &schema, policy).await?;
    let mut plan = retention::plan(&connection, &schema, &selection).await?;
    let events = event_policy.filter(|_| events::are_kept(&schema));
    if let Some(policy) = &events {
        plan.tables.push(events::plan(&connection, &schema, policy).await?);
    }
    Ok(Work { connection, schema, selection, events, plan })
}

/// Asks, where somebody can answer.
async fn confirm(summary: &Summary<'_>) -> Result<(), Error> {
    let Summary { plan, database, cutoff, .. } = summary;
    let (events, from_before) = match summary.events() {
        Some((events, cutoff)) => (format!(" and {events} events"), format!("; events from before {cutoff}")),
        None => Default::default(),
    };
    let (sessions, rows) = (plan.sessions, plan.rows());
    let what = format!("{sessions} sessions{events} with {rows} rows in all would be removed from {database}");
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::NotConfirmed { what });
    }
    let question = format!("{what} (started before {cutoff}{from_before}). Go on? [y/N] ");
    // On a thread of its own, so that Ctrl-C is heard while nobody answers.
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        std::io::stderr().write_all(question.as_bytes())?;
        std::io::stdin().read_line(&mut answer)?;
        Ok(answer)
    });
    let answer = answer.await.unwrap_or_else(|error| Err(error.into()));
    let answer = answer.map_err(|source| Error::System { action: "ask for confirmation", source })?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Declined),
    }
}

/// Removes the sessions, then the events. Returns what is gone in any case.
async fn apply(
    work: &Work,
    batch_size: u32,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> (Removed, Result<(), Error>) {
    let Work { connection, schema, selection, events, plan } = work;
    let planned = Amount { rows: plan.rows().max(1), bytes: plan.bytes() };
    let mut total: Removed = plan.tables.iter().map(|table| (table.table, 0)).collect();
    let meter = progress.begin(Stage::new("removing", "old history"), planned);
    let sessions = async || retention::remove_batch(connection, schema, selection, batch_size).await;
    let mut ended = remove_all(sessions, planned, meter.as_ref(), interrupt, &mut total).await;
    if let (Ok(()), Some(policy)) = (&ended, events) {
        let events = async || events::remove_batch(connection, policy).await;
        ended = remove_all(events, planned, meter.as_ref(), interrupt, &mut total).await;
    }
    meter.finish();
    (total, ended)
}

/// Removes batch after batch, as long as there is a next one; a signal rolls back the one in hand. What is gone is
/// added to the total in any case.
async fn remove_all(
    next: impl AsyncFn() -> Result<Option<Batch>, DatabaseError>,
    planned: Amount,
    meter: &dyn Meter,
    interrupt: &Interrupt,
    total: &mut Removed,
) -> Result<(), Error> {
    while let Some(batch) = interrupt.or(next()).await.map_err(Error::RolledBack)?? {
        // Not interrupted: a commit that is on its way may happen, and has to be counted.
        let removed = batch.commit().await?;
        let rows: u64 = removed.values().sum();
        // The plan knows the bytes of all rows together: each row gets its share.
        let share = u128::from(planned.bytes) * u128::from(rows) / u128::from(planned.rows);
        meter.advance(Amount { rows, bytes: u64::try_from(share).unwrap_or(planned.bytes) });
        for (table, rows) in removed {
            *total.entry(table).or_default() += rows;
        }
    }
    Ok(())
}

fn nothing_blocks(summary: &Summary<'_>) -> Vec<Block> {
    let Summary { database, cutoff, .. } = summary;
    let events = summary.events().map(|(_, cutoff)| format!(", no event is from before {cutoff}")).unwrap_or_default();
    let line = format!("nothing to remove from {database}: no session that is over started before {cutoff}{events}");
    let mut blocks = vec![Block::Line(line)];
    blocks.extend(no_events_block(summary));
    blocks.extend(kept_block(summary.plan));
    blocks
}

/// Says that `--events` had nothing to do.
fn no_events_block(summary: &Summary<'_>) -> Option<Block> {
    let there_are_none = summary.event_cutoff.is_some() && summary.events().is_none();
    there_are_none.then(|| {
        let since = events::SINCE;
        Block::Line(format!(
            "no events to remove: there is no table `{EVENTS}`, which TARSy has since revision {since}"
        ))
    })
}

fn plan_blocks(summary: &Summary<'_>) -> Vec<Block> {
    let plan = summary.plan;
    let mut rows: Vec<Vec<Field>> = plan
        .tables
        .iter()
        .map(|table| vec![table.table.into(), output::count(table.rows), output::bytes(table.bytes)])
        .collect();
    rows.push(vec!["total".into(), output::count(plan.rows()), output::bytes(plan.bytes())]);
    let mut facts: Vec<Vec<Field>> = vec![
        vec!["database".into(), summary.database.as_str().into()],
        vec!["cutoff".into(), summary.cutoff.as_str().into()],
        vec!["sessions".into(), plan.sessions.to_string().into()],
        vec!["oldest".into(), output::time(plan.oldest_us).into()],
        vec!["newest".into(), output::time(plan.newest_us).into()],
    ];
    if let Some((_, cutoff)) = summary.events() {
        facts.insert(2, vec!["cutoff of events".into(), cutoff.into()]);
    }
    let mut blocks = vec![
        Block::Table { title: "plan (nothing was changed)", header: vec![], rows: facts },
        Block::Table { title: "rows that would go", header: vec!["table", "rows", "bytes"], rows },
    ];
    blocks.extend(no_events_block(summary));
    blocks.extend(kept_block(plan));
    blocks
}

fn kept_block(plan: &Plan) -> Option<Block> {
    let rows = plan.kept.iter().map(|session| {
        let started = output::time(Some(session.started_at_us));
        vec![session.session_id.as_str().into(), session.status.as_str().into(), started.into()]
    });
    let header = vec!["session", "status", "started"];
    (!plan.kept.is_empty()).then(|| Block::Table {
        title: "kept although they are old: not in a terminal status (--include-active), or other sessions need their stages",
        header,
        rows: rows.collect(),
    })
}

fn removed_blocks(summary: &Summary<'_>, duration: Duration) -> Vec<Block> {
    let Some(removed) = &summary.removed else { return Vec::new() };
    let rows = summary.plan.tables.iter().map(|table| {
        vec![table.table.into(), output::count(removed.rows.get(table.table).copied().unwrap_or_default())]
    });
    let events = match (removed.rows.get(EVENTS), &summary.event_cutoff) {
        (Some(rows), Some(cutoff)) => format!(" and {rows} events from before {cutoff}"),
        _ => String::new(),
    };
    let mut blocks = vec![
        Block::Line(format!(
            "removed {} sessions that started before {}{events} from {} in {duration:.1?}",
            removed.sessions, summary.cutoff, summary.database
        )),
        Block::Table { title: "removed", header: vec!["table", "rows"], rows: rows.collect() },
    ];
    blocks.extend(no_events_block(summary));
    blocks.extend(kept_block(summary.plan));
    blocks
}
