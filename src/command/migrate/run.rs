//! One run: the source, the report's file, and the changes by policies.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::migrate::MigrateSqliteToPostgres;
use crate::database::connection::PoolLimits;
use crate::database::url::{Backend, DatabaseUrl};
use crate::database::watchdog::Watch;
use crate::diagnostic::{Counts, Diagnostic};
use crate::error::Error;
use crate::format::{self, counted};
use crate::output::Report;
use crate::progress::{Amount, Progress};
use crate::schema::diff;
use crate::settings::SettingsError;
use crate::transfer::endpoints::{EndpointError, SourceState, inspect_source};
use crate::transfer::error::TransferError;
use crate::transfer::plan::TablePlan;
use crate::transfer::report::{Findings, Outcome, ReportError, ReportFile, SameMove};
use crate::transfer::source::damage::{DamageError, Examination, Unchecked};
use crate::transfer::source::missing::Parents;
use crate::transfer::source::origin::Origin;
use crate::transfer::source::orphans::Orphans;
use crate::transfer::source::reader::Reporting;
use crate::transfer::source::scan::{Scan, Source};
use crate::transfer::source::snapshot::{Snapshot, SnapshotOptions};
use crate::transfer::source::undecided::Undecided;
use crate::transfer::summary::TableRead;
use crate::transfer::target::conflict::Conflict;
use crate::transfer::value::change::Change;
use crate::transfer::value::hazard::{Hazard, Values};
use crate::transfer::value::hazard_list::{HazardError, HazardList, ShownHazards};
use crate::transfer::value::policy::{Class, Policies, Policy};

pub(crate) struct Run<'r> {
    pub(crate) arguments: &'r MigrateSqliteToPostgres,
    /// The limits of the target's pool.
    pub(crate) pool: PoolLimits,
    pub(crate) policies: Arc<Policies>,
    pub(crate) progress: &'r dyn Progress,
    pub(crate) now: DateTime<Utc>,
    pub(crate) started: Instant,
    pub(crate) source: SourceSide,
    pub(crate) changes: RefCell<Changes>,
    /// What no policy changes.
    hazards: RefCell<HazardList>,
    /// The result of SQLite's own check of the source.
    pub(crate) examination: RefCell<Examination>,
    /// What `--check-only` finds and only a server can decide about.
    pub(crate) undecided: RefCell<Vec<Undecided>>,
    report: Option<RefCell<ReportFile>>,
    /// The beginning of the report.
    heading: Value,
}

pub(crate) struct SourceSide {
    pub(crate) url: DatabaseUrl,
    pub(crate) path: PathBuf,
    pub(crate) origin: Origin,
    pub(crate) end: SourceState,
}

/// The number of changed values and of rows that were left out or made, by table, class and policy.
pub(crate) type Changes = BTreeMap<(String, Class, Policy), u64>;

impl<'r> Run<'r> {
    /// Opens the source and begins the report. `empty_target` is that of a move into empty tables.
    pub(crate) async fn open(
        arguments: &'r MigrateSqliteToPostgres,
        pool: PoolLimits,
        empty_target: Option<&DatabaseUrl>,
        now: DateTime<Utc>,
        progress: &'r dyn Progress,
    ) -> Result<(Self, Snapshot), Error> {
        let started = Instant::now();
        let policies = Arc::new(Policies::new(&arguments.policies).map_err(TransferError::Policies)?);
        let SourceFile { url, path, busy_timeout } = source_file(arguments.from.expose())?;
        let options = SnapshotOptions {
            lock_timeout: busy_timeout.unwrap_or(arguments.lock_timeout),
            directory: &std::env::temp_dir(),
        };
        let snapshot = Snapshot::take(&path, &options, progress).await.map_err(TransferError::from)?;
        match snapshot.origin() {
            Origin::AtRest => tracing::debug!("the source {url}: {}", Origin::AtRest),
            origin => tracing::info!("the source {url}: {origin}"),
        }
        let end = inspect_source(snapshot.reader(), &url).await?;
        let (from, to) = (url.to_string(), empty_target.map(ToString::to_string));
        let this = to.as_deref().map(|target| SameMove { source: &from, target });
        let report = arguments.report.as_deref().map(|path| ReportFile::create(path, this)).transpose()?;
        let report = report.map(RefCell::new);
        let source = SourceSide { url, path, origin: snapshot.origin(), end };
        let heading = heading(now, &source, &policies);
        let run = Self {
            arguments,
            pool,
            policies,
            progress,
            now,
            started,
            source,
            changes: RefCell::default(),
            hazards: RefCell::default(),
            examination: RefCell::default(),
            undecided: RefCell::default(),
            report,
            heading,
        };
        Ok((run, snapshot))
    }
}

/// The beginning of a report.
fn heading(now: DateTime<Utc>, source: &SourceSide, policies: &Policies) -> Value {
    json!({
        "tool": format!("tarsy-db {}", env!("CARGO_PKG_VERSION")),
        "started": format::exact_time(now.timestamp_micros()),
        "source": source.url.to_string(),
        "snapshot": source.origin,
        "revision": source.end.revision.id(),
        "policies": policies.choices().map(|choice| (choice.class.to_string(), choice.policy.to_string().into()))
            .collect::<serde_json::Map<_, Value>>(),
    })
}

impl Run<'_> {
    /// Runs SQLite's integrity check on the source.
    pub(crate) async fn examine(&self, source: &mut Source) -> Result<(), TransferError> {
        let examination = source.examine(self.progress).await?;
        for Unchecked { table, reason } in &examination.unchecked {
            tracing::warn!("SQLite cannot check the pages and indexes of `{table}` ({reason}): they may be damaged");
        }
        self.examination.replace(examination.clone());
        let Examination { damage, .. } = examination;
        match (damage.is_empty(), self.arguments.accept_damage) {
            (true, _) => Ok(()),
            (false, false) => Err(DamageError { path: self.source.path.display().to_string(), damage }.into()),
            (false, true) => {
                let findings = diff::first_of(damage.lines()).join("; ");
                tracing::warn!("the source is damaged; continuing because of `--accept-damage`: {findings}");
                Ok(())
            }
        }
    }

    /// The number of findings of damage that were accepted, if there are any.
    pub(crate) fn accepted_damage(&self) -> Option<usize> {
        Some(self.examination.borrow().damage.total).filter(|total| *total > 0)
    }

    /// Reads every row of the source.
    pub(crate) async fn scan(
        &self,
        source: &mut Source,
        tables: &[Arc<TablePlan>],
        amounts: &[Amount],
        orphans: &Arc<Orphans>,
        parents: Parents,
    ) -> Result<Vec<TableRead>, TransferError> {
        let (policies, orphans) = (Arc::clone(&self.policies), Arc::clone(orphans));
        let scan = Scan { policies, orphans, values: self.values(), parents };
        let reporting = Reporting { progress: self.progress, findings: self };
        let found = source.scan(tables, amounts, &scan, &reporting).await?;
        if !self.arguments.accept_damage {
            let others = self.examination.borrow().other_hazards(tables, &self.policies, &self.hazards.borrow());
            self.hazards(&others)?;
        }
        Ok(found)
    }

    pub(crate) fn values(&self) -> Values {
        if self.arguments.show_values { Values::Shown } else { Values::Hidden }
    }

    pub(crate) fn has_hazards(&self) -> bool {
        !self.hazards.borrow().is_empty()
    }

    /// Refuses the migration if there are hazards.
    pub(crate) fn require_no_hazards(&self) -> Result<(), TransferError> {
        let found = self.hazards.take();
        if found.is_empty() { Ok(()) } else { Err(TransferError::Hazards(HazardError(found, ShownHazards::Each))) }
    }

    /// Records a row that conflicts with one of the target.
    pub(crate) fn conflict(&self, conflict: &Conflict) -> Result<(), ReportError> {
        self.with_report(|report| report.add_reasons(std::slice::from_ref(conflict)))
    }

    /// Discards what was found until now, which was rolled back.
    pub(crate) fn forget_findings(&self) -> Result<(), ReportError> {
        self.changes.borrow_mut().clear();
        self.hazards.take();
        self.with_report(ReportFile::forget)
    }

    fn with_report(&self, write: impl FnOnce(&mut ReportFile) -> Result<(), ReportError>) -> Result<(), ReportError> {
        self.report.as_ref().map_or(Ok(()), |report| write(&mut report.borrow_mut()))
    }

    /// Completes the report before the commit, and gives it its name: its outcome is still unknown.
    pub(crate) fn place_report(&self, outcome: Outcome, summary: &impl Serialize) -> Result<(), ReportError> {
        self.with_report(|report| report.place(&self.document(outcome, summary)))
    }

    /// Completes the report, which `settle` publishes.
    pub(crate) fn complete_report(&self, outcome: Outcome, summary: &impl Serialize) -> Result<(), ReportError> {
        self.with_report(|report| report.complete(&self.document(outcome, summary)))
    }

    fn document(&self, outcome: Outcome, summary: &impl Serialize) -> Value {
        let mut document = self.heading.clone();
        document["outcome"] = json!(outcome);
        document["integrity_check"] = json!(*self.examination.borrow());
        if let Value::Object(summary) = json!(summary) {
            document.as_object_mut().expect("the heading is an object").extend(summary);
        }
        document
    }

    fn report_refusal(&self, Refusal { reasons, counts }: Refusal) -> Result<(), ReportError> {
        let counts = counts.map_or(json!({}), |counts| json!({ "total": counts.total(), "counts": counts }));
        let document = self.document(Outcome::Refused, &counts);
        self.with_report(|report| match reasons {
            Some(name) => report.refuse(&document, name),
            None => report.complete(&document),
        })
    }

    /// Records a refusal, and publishes the report if it has content. `watch` is that of the target.
    pub(crate) fn settle(self, result: Result<Report, Error>, watch: Option<&Watch<'_>>) -> Result<Report, Error> {
        let refusal = result.as_ref().err().and_then(refusal);
        let has_outcome = result.is_ok() || refusal.is_some();
        refusal.map_or(Ok(()), |refusal| self.report_refusal(refusal))?;
        let is_unknown = result.as_ref().is_err_and(is_lost) && watch.is_some_and(Watch::is_committing);
        match self.report.map(RefCell::into_inner) {
            Some(report) if has_outcome => report.publish()?,
            Some(report) if is_unknown => {
                tracing::warn!("if the commit took place, this is its report: {}", report.path().display());
            }
            Some(report) => report.withdraw(),
            None => {}
        }
        result
    }
}

/// What the report says about a refusal.
#[derive(Debug)]
struct Refusal {
    /// The name of the list of reasons, which the report has already.
    reasons: Option<&'static str>,
    counts: Option<Counts>,
}

/// The refusal, if an error is one.
fn refusal(error: &Error) -> Option<Refusal> {
    let Error::Transfer(error) = error else { return None };
    let reasons = match error {
        TransferError::Hazards(_) => Some("hazards"),
        TransferError::Conflicts(_) => Some("clashes"),
        TransferError::Damaged(_) => None,
        _ => return None,
    };
    Some(Refusal { reasons, counts: error.details().counts })
}

impl Findings for Run<'_> {
    fn changes(&self, changes: &[Change]) -> Result<(), ReportError> {
        let mut counts = self.changes.borrow_mut();
        for Change { table, class, policy, .. } in changes {
            *counts.entry((table.clone(), *class, *policy)).or_default() += 1;
        }
        self.with_report(|report| report.add(changes))
    }

    fn hazards(&self, hazards: &[Hazard]) -> Result<(), ReportError> {
        self.hazards.borrow_mut().add(hazards);
        self.with_report(|report| report.add_reasons(hazards))
    }
}

/// Whether the connection was lost, so that the outcome of the commit is unknown.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Database(error) if error.cause.class.is_before_login())
}

/// Warns of rows without a rowid, which the server cannot be asked about one by one.
pub(crate) fn warn_of_unasked(questions: &[Undecided]) {
    for Undecided { table, columns, count, .. } in questions.iter().filter(|question| question.rows.is_empty()) {
        let rows = counted(*count, "row");
        tracing::warn!("{rows} of {table} may be too long in {}; only the migration shows it", columns.join(", "));
    }
}

pub(crate) fn wrong(role: &'static str, url: &DatabaseUrl, expected: Backend) -> Error {
    EndpointError::Backend { role, url: url.to_string(), expected }.into()
}

/// The file of the source.
#[derive(Debug)]
pub(crate) struct SourceFile {
    url: DatabaseUrl,
    path: PathBuf,
    busy_timeout: Option<Duration>,
}

/// The file that `--from` names.
///
/// # Errors
/// A URL that cannot be used, or is not one of SQLite.
pub(crate) fn source_file(text: &str) -> Result<SourceFile, Error> {
    let url = source_url(text)?;
    url.warning().iter().for_each(|warning| tracing::warn!("{warning}"));
    let (path, busy_timeout) = match &url {
        DatabaseUrl::Sqlite(location) => (location.path.clone().ok_or(EndpointError::Memory)?, location.busy_timeout),
        DatabaseUrl::Postgresql(_) => return Err(wrong("the source", &url, Backend::Sqlite)),
    };
    Ok(SourceFile { url, path, busy_timeout })
}

/// Parses a URL or a path. A text that looks like a URL without a scheme is never used, or shown, as a path.
fn source_url(text: &str) -> Result<DatabaseUrl, Error> {
    match text.contains("://") || (text.contains(':') && text.contains('@')) {
        false => Ok(DatabaseUrl::sqlite_file(text)),
        true => text.parse().map_err(|source| SettingsError::Url { source_name: "--from".to_owned(), source }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::source::damage::Damage;
    use crate::transfer::target::error::WriteError;

    #[test]
    fn the_source_is_a_path_or_the_url_of_a_file() {
        for text in ["history.db", "sqlite:///history.db"] {
            assert!(source_file(text).expect("a file").path.ends_with("history.db"), "{text}");
        }
        for text in ["postgresql://db/tarsy", "sqlite:///:memory:", "user:password@db/tarsy"] {
            assert!(source_file(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_failure_is_none() {
        let reasons = |error: TransferError| refusal(&Error::Transfer(error)).map(|refusal| refusal.reasons);
        assert_eq!(reasons(HazardError(HazardList::default(), ShownHazards::Each).into()), Some(Some("hazards")));
        let damaged = DamageError { path: "history.db".to_owned(), damage: Damage::default() };
        assert_eq!(reasons(damaged.into()), Some(None));
        assert_eq!(reasons(WriteError::FoundHazard.into()), None);
    }
}
