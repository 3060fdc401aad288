//! `migrate-sqlite-to-postgres`: moves a history, completely or not at all, and proves it.

mod append;
mod check_only;
mod load;
mod summary;
mod verify_only;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::json;

use crate::cli::MigrateSqliteToPostgres;
use crate::database::url::{Backend, DatabaseUrl};
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::output::Report;
use crate::progress::{Amount, Progress};
use crate::schema::diff;
use crate::settings::{Settings, SettingsError};
use crate::transfer::endpoints::{EndpointError, SourceState, inspect_source};
use crate::transfer::error::TransferError;
use crate::transfer::plan::TablePlan;
use crate::transfer::report::{ReportError, ReportFile};
use crate::transfer::source::damage::{DamageError, Examination, Unchecked};
use crate::transfer::source::origin::Origin;
use crate::transfer::source::orphans::Orphans;
use crate::transfer::source::reader::Reporting;
use crate::transfer::source::scan::{Source, SourceScan};
use crate::transfer::source::snapshot::{Snapshot, SnapshotOptions};
use crate::transfer::target::conflict::ConflictError;
use crate::transfer::value::change::Change;
use crate::transfer::value::hazard::HazardError;
use crate::transfer::value::policy::{Class, Policies, Policy};

pub(crate) async fn run(
    arguments: &MigrateSqliteToPostgres,
    settings: &Settings,
    now: DateTime<Utc>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Report, Error> {
    if arguments.check_only {
        let work = move_history(arguments, now, progress, None);
        return interrupt.or(work).await?;
    }
    let to = &settings.database.value;
    if to.backend() != Backend::Postgresql {
        return Err(wrong("the target", to, Backend::Postgresql));
    }
    let before_commit = || interrupt.hold();
    let watch = Watch::new(to, "go on", &before_commit);
    let progress = watch.over_progress(progress);
    let work = move_history(arguments, now, &progress, Some((to, &watch)));
    match interrupt.or(work).await {
        Ok(result) => result,
        Err(signal) if watch.end_sessions().await => Err(Error::RolledBack(signal)),
        Err(signal) => Err(Error::RollingBack(signal)),
    }
}

/// Looks at the source, and moves it if there is a target.
async fn move_history(
    arguments: &MigrateSqliteToPostgres,
    now: DateTime<Utc>,
    progress: &dyn Progress,
    target: Option<(&DatabaseUrl, &Watch<'_>)>,
) -> Result<Report, Error> {
    let started = Instant::now();
    let policies = Arc::new(Policies::new(&arguments.policies).map_err(TransferError::Policies)?);
    let from = source_url(arguments.from.expose())?;
    from.warning().iter().for_each(|warning| tracing::warn!("{warning}"));
    let DatabaseUrl::Sqlite(location) = &from else { return Err(wrong("the source", &from, Backend::Sqlite)) };
    let Some(path) = location.path.clone() else { return Err(wrong("the source", &from, Backend::Sqlite)) };
    let terms = SnapshotOptions {
        lock_timeout: location.busy_timeout.unwrap_or(arguments.lock_timeout),
        directory: &std::env::temp_dir(),
    };
    let snapshot = Snapshot::take(&path, &terms, progress).await.map_err(TransferError::from)?;
    match snapshot.origin() {
        Origin::AtRest => tracing::debug!("the source {from}: {}", Origin::AtRest),
        origin => tracing::info!("the source {from}: {origin}"),
    }
    let end = inspect_source(snapshot.reader()).await?;
    let report = arguments.report.as_deref().map(ReportFile::create).transpose()?.map(RefCell::new);
    let heading = json!({
        "tool": format!("tarsy-db {}", env!("CARGO_PKG_VERSION")),
        "started": now.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "source": from.to_string(),
        "snapshot": snapshot.origin(),
        "revision": end.revision.id(),
        "policies": policies.choices().map(|choice| (choice.class.to_string(), choice.policy.to_string().into()))
            .collect::<serde_json::Map<_, serde_json::Value>>(),
    });
    let source = SourceSide { url: &from, path: &path, origin: snapshot.origin(), end: &end };
    let run = Run {
        arguments,
        policies,
        progress,
        now,
        started,
        source,
        report: report.as_ref(),
        changes: RefCell::default(),
        examination: RefCell::default(),
        heading,
    };
    let result = match target {
        None => run.check(snapshot).await,
        Some((to, watch)) if arguments.append => run.append(to, snapshot, watch).await,
        Some((to, watch)) if arguments.verify_only => run.compare(to, snapshot, watch).await,
        Some((to, watch)) if arguments.dry_run => run.rehearse(to, snapshot, watch).await,
        Some((to, watch)) => run.load(to, snapshot, watch).await,
    };
    let refusal = match &result {
        Err(Error::Transfer(TransferError::Hazards(HazardError(hazards)))) => Some(json!({ "hazards": hazards })),
        Err(Error::Transfer(TransferError::Damaged { .. })) => Some(json!({})),
        Err(Error::Transfer(TransferError::Conflicts(ConflictError { conflicts, .. }))) => {
            Some(json!({ "clashes": conflicts }))
        }
        _ => None,
    };
    if let Some(refusal) = &refusal {
        run.complete_report("refused", refusal)?;
    }
    drop(run);
    let has_outcome = result.is_ok() || refusal.is_some();
    let is_lost = matches!(&result, Err(Error::Database(error)) if error.cause.class.is_before_login());
    let is_unknown = is_lost && target.is_some_and(|(_, watch)| watch.is_committing());
    match report.map(RefCell::into_inner) {
        Some(report) if has_outcome => report.publish()?,
        Some(report) if is_unknown => {
            tracing::warn!("if the commit took place, this is its report: {}", report.leave().display());
        }
        _ => {}
    }
    result
}

/// One run, and what all of it needs.
struct Run<'r> {
    arguments: &'r MigrateSqliteToPostgres,
    policies: Arc<Policies>,
    progress: &'r dyn Progress,
    now: DateTime<Utc>,
    started: Instant,
    source: SourceSide<'r>,
    report: Option<&'r RefCell<ReportFile>>,
    changes: RefCell<Changes>,
    /// What SQLite's own check of the source found.
    examination: RefCell<Examination>,
    /// What every report begins with.
    heading: serde_json::Value,
}

/// What is known of the source.
#[derive(Clone, Copy)]
struct SourceSide<'r> {
    url: &'r DatabaseUrl,
    path: &'r Path,
    origin: Origin,
    end: &'r SourceState,
}

/// How many values of a table were changed, by class and policy.
type Changes = BTreeMap<(String, Class, Policy), u64>;

impl Run<'_> {
    /// Has SQLite check the source's file.
    async fn examine(&self, source: &mut Source) -> Result<(), TransferError> {
        let examination = source.examine(self.progress).await?;
        for Unchecked { table, reason } in &examination.unchecked {
            tracing::warn!(
                "SQLite cannot check the pages and indexes of `{table}` ({reason}): whether they are damaged is unknown"
            );
        }
        self.examination.replace(examination.clone());
        let Examination { damage, .. } = examination;
        match (damage.is_empty(), self.arguments.accept_damage) {
            (true, _) => Ok(()),
            (false, false) => Err(DamageError { path: self.source.path.display().to_string(), damage }.into()),
            (false, true) => {
                let findings = diff::first_of(damage.lines()).join("; ");
                tracing::warn!("the source is damaged, which `--accept-damage` accepts: {findings}");
                Ok(())
            }
        }
    }

    /// How many findings of damage were accepted, if there are any.
    fn accepted_damage(&self) -> Option<usize> {
        Some(self.examination.borrow().damage.total).filter(|total| *total > 0)
    }

    /// Looks at every row of the source.
    async fn survey(
        &self,
        source: &mut Source,
        tables: &[Arc<TablePlan>],
        amounts: &[Amount],
        exceptions: &Arc<Orphans>,
    ) -> Result<SourceScan, TransferError> {
        let reporting = Reporting { progress: self.progress, changes: &|changes| self.note(changes) };
        let mut survey = source.scan(tables, amounts, &self.policies, exceptions, &reporting).await?;
        if !self.arguments.accept_damage {
            let others = self.examination.borrow().other_hazards(tables, &self.policies, &survey.hazards);
            survey.hazards.extend(others);
        }
        if self.arguments.show_values {
            source.show_values(tables, &mut survey.hazards).await?;
        }
        Ok(survey)
    }

    /// Remembers what policies change.
    fn note(&self, changes: &[Change]) -> Result<(), ReportError> {
        let mut counts = self.changes.borrow_mut();
        for Change { table, class, policy, .. } in changes {
            *counts.entry((table.clone(), *class, *policy)).or_default() += 1;
        }
        self.report.map_or(Ok(()), |report| report.borrow_mut().add(changes))
    }

    /// Forgets what policies changed: it was rolled back.
    fn forget_changes(&self) -> Result<(), ReportError> {
        self.changes.borrow_mut().clear();
        self.report.map_or(Ok(()), |report| report.borrow_mut().forget_changes())
    }

    /// Writes all but the place of the report.
    fn complete_report(&self, outcome: &str, summary: &impl Serialize) -> Result<(), ReportError> {
        let Some(report) = self.report else { return Ok(()) };
        let mut document = self.heading.clone();
        document["outcome"] = outcome.into();
        document["integrity_check"] =
            serde_json::to_value(&*self.examination.borrow()).expect("findings have a JSON form");
        if let serde_json::Value::Object(summary) = serde_json::to_value(summary).expect("summaries have a JSON form") {
            document.as_object_mut().expect("the heading is an object").extend(summary);
        }
        report.borrow_mut().complete(&document)
    }
}

/// Says of what only a move finds out.
fn warn_of_long_entries(survey: &SourceScan) {
    if !survey.long_entries.is_empty() {
        tracing::warn!(
            "values so long that an index of PostgreSQL may not hold them: {}; only the server can tell",
            survey.long_entries.len()
        );
    }
}

fn wrong(role: &'static str, url: &DatabaseUrl, expected: Backend) -> Error {
    EndpointError::Backend { role, url: url.to_string(), expected }.into()
}

/// A URL, or else a path. What looks like a URL without its scheme is not taken, and shown, as a path.
fn source_url(text: &str) -> Result<DatabaseUrl, Error> {
    match text.contains("://") || (text.contains(':') && text.contains('@')) {
        false => Ok(DatabaseUrl::sqlite_file(text)),
        true => text.parse().map_err(|source| SettingsError::Url { source_name: "--from".to_owned(), source }.into()),
    }
}
