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
use crate::failure::Doing;
use crate::history::SESSIONS;
use crate::history::batch::Removed;
use crate::history::retention::{self, ActiveSessions, Limit, Plan, Policy, Selection};
use crate::interrupt::Interrupt;
use crate::output::{self, Block, Field, Report};
use crate::progress::{Amount, Progress};
use crate::schema::{self, Schema};
use crate::settings::Settings;

#[derive(Serialize)]
struct Summary<'a> {
    database: String,
    cutoff: String,
    dry_run: bool,
    plan: &'a Plan,
    removed: Option<RemovedSummary>,
    /// Sessions that started before the cutoff and are still there.
    remaining_sessions: Option<u64>,
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
    let policy = policy(arguments, settings, context.now)?;
    let url = &settings.database.value;
    let access = if arguments.dry_run { Access::Read } else { Access::Write };
    let (connection, schema, selection, plan) = interrupt.or(prepare(settings, access, policy)).await??;
    let cutoff = DateTime::from_timestamp_micros(policy.cutoff_us).unwrap_or_default();
    let mut summary = Summary {
        database: url.to_string(),
        cutoff: cutoff.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        dry_run: arguments.dry_run,
        plan: &plan,
        removed: None,
        remaining_sessions: None,
    };
    let mut exit_code = 0;
    let mut ended_early = None;
    let mut blocks = Vec::new();
    if arguments.dry_run {
        summary.remaining_sessions = Some(plan.kept.len() as u64);
        blocks = plan_blocks(&summary);
    } else if plan.sessions == 0 {
        summary.remaining_sessions = Some(plan.kept.len() as u64);
        blocks.push(Block::Line(format!(
            "nothing to remove from {url}: no session that is over started before {}",
            summary.cutoff
        )));
        blocks.extend(kept_block(&plan));
    } else {
        if !arguments.yes {
            interrupt.or(confirm(&summary)).await??;
        }
        let started = Instant::now();
        let progress = context.progress.as_ref();
        let (removed, ended) =
            apply(&connection, &schema, &selection, arguments.batch_size, &plan, progress, interrupt).await;
        match ended {
            // What was removed is told in any case.
            Ok(()) => summary.remaining_sessions = retention::count_old(&connection, &policy).await.ok(),
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
    // SQLite's last connection takes the `-wal` and `-shm` files with it; the summary is told in any case.
    connection.close().await.ok();
    Ok(Report { exit_code, error: ended_early, ..Report::new(&summary, blocks) })
}

fn policy(arguments: &Prune, settings: &Settings, now: DateTime<Utc>) -> Result<Policy, Error> {
    let now = arguments.now.unwrap_or(now);
    let limit = match (arguments.before, arguments.older_than) {
        (Some(moment), _) => Limit::Before(moment),
        (None, Some(age)) => Limit::OlderThan(age),
        (None, None) => Limit::OlderThan(settings.retention()),
    };
    let active = if arguments.include_active { ActiveSessions::Remove } else { ActiveSessions::Keep };
    Ok(Policy::new(limit, active, now)?)
}

async fn prepare(
    settings: &Settings,
    access: Access,
    policy: Policy,
) -> Result<(DatabaseConnection, Schema, Selection, Plan), Error> {
    let connection = connection::open(&settings.database.value, access, LOCK_TIMEOUT).await?;
    let schema = schema::read(&connection).await.doing("read the schema")?;
    if !schema.tables.contains_key(SESSIONS) {
        return Err(Error::SchemaPending);
    }
    let selection = Selection::of(&connection, &schema, policy).await?;
    let plan = retention::plan(&connection, &schema, &selection).await?;
    Ok((connection, schema, selection, plan))
}

/// Asks, where somebody can answer.
async fn confirm(summary: &Summary<'_>) -> Result<(), Error> {
    let what = format!(
        "{} sessions with {} rows in all would be removed from {}",
        summary.plan.sessions,
        summary.plan.rows(),
        summary.database
    );
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::NotConfirmed { what });
    }
    let question = format!("{what} (started before {}). Go on? [y/N] ", summary.cutoff);
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

/// Removes batch after batch; a signal rolls back the one in hand. Returns what is gone in any case.
async fn apply(
    connection: &DatabaseConnection,
    schema: &Schema,
    selection: &Selection,
    batch_size: u32,
    plan: &Plan,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> (Removed, Result<(), Error>) {
    let mut total = Removed::new();
    let (rows, bytes) = (plan.rows().max(1), plan.bytes());
    progress.start("removing sessions", Amount { rows, bytes });
    let ended = loop {
        let batch = match interrupt.or(retention::remove_batch(connection, schema, selection, batch_size)).await {
            Ok(Ok(Some(batch))) => batch,
            Ok(Ok(None)) => break Ok(()),
            Ok(Err(error)) => break Err(error.into()),
            Err(signal) => break Err(Error::RolledBack(signal)),
        };
        // Not interrupted: a commit that is on its way may happen, and has to be counted.
        let removed = match batch.commit().await {
            Ok(removed) => removed,
            Err(error) => break Err(error.into()),
        };
        let done: u64 = removed.values().sum();
        // The plan knows the bytes of all rows together: each row gets its share.
        let share = u64::try_from(u128::from(bytes) * u128::from(done) / u128::from(rows)).unwrap_or(bytes);
        progress.advance(Amount { rows: done, bytes: share });
        for (table, rows) in removed {
            *total.entry(table).or_default() += rows;
        }
    };
    progress.finish();
    (total, ended)
}

fn plan_blocks(summary: &Summary<'_>) -> Vec<Block> {
    let plan = summary.plan;
    let mut rows: Vec<Vec<Field>> = plan
        .tables
        .iter()
        .map(|table| vec![table.table.into(), output::count(table.rows), output::bytes(table.bytes)])
        .collect();
    rows.push(vec!["total".into(), output::count(plan.rows()), output::bytes(plan.bytes())]);
    let facts = vec![
        vec!["database".into(), summary.database.as_str().into()],
        vec!["cutoff".into(), summary.cutoff.as_str().into()],
        vec!["sessions".into(), plan.sessions.to_string().into()],
        vec!["oldest".into(), output::time(plan.oldest_us).into()],
        vec!["newest".into(), output::time(plan.newest_us).into()],
    ];
    let mut blocks = vec![
        Block::Table { title: "plan (nothing was changed)", header: vec![], rows: facts },
        Block::Table { title: "rows that would go", header: vec!["table", "rows", "bytes"], rows },
    ];
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
    let mut blocks = vec![
        Block::Line(format!(
            "removed {} sessions that started before {} from {} in {duration:.1?}",
            removed.sessions, summary.cutoff, summary.database
        )),
        Block::Table { title: "removed", header: vec!["table", "rows"], rows: rows.collect() },
    ];
    blocks.extend(kept_block(summary.plan));
    blocks
}
