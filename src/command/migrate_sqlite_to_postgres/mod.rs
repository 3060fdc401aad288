//! `migrate-sqlite-to-postgres`: moves a history, completely or not at all, and proves it.

mod summary;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use serde_json::json;

use self::summary::summary;
use crate::cli::{self, MigrateSqliteToPostgres, Verify};
use crate::connection::{self, Access};
use crate::database_url::{Backend, DatabaseUrl};
use crate::error::Error;
use crate::failure::{DatabaseError, Doing, Failure};
use crate::interrupt::Interrupt;
use crate::output::{self, Block, Report};
use crate::progress::{Amount, Progress};
use crate::schema::{self, SchemaError};
use crate::settings::{Settings, SettingsError};
use crate::transfer::ends::{SourceEnd, schema_of_target, survey_source};
use crate::transfer::load::{Load, Toast, Verification};
use crate::transfer::obstacle::{self, Wanted, Weight};
use crate::transfer::policy::Policies;
use crate::transfer::report::ReportFile;
use crate::transfer::snapshot::{Origin, Terms};
use crate::transfer::source::Survey;
use crate::transfer::verify::StandingTarget;
use crate::transfer::{Exceptions, Snapshot, Source, TransferError, Watch, plan};

pub(super) async fn run(
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
    let to = target_url(arguments, settings)?;
    let DatabaseUrl::Postgresql(address) = &to else { return Err(wrong("the target", &to, Backend::Postgresql)) };
    let before_commit = || interrupt.hold();
    let watch = Watch::new(address, &before_commit);
    let progress = watch.over_progress(progress);
    let work = move_history(arguments, now, &progress, Some((&to, &watch)));
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
    let DatabaseUrl::Sqlite(location) = &from else { return Err(wrong("the source", &from, Backend::Sqlite)) };
    let Some(path) = location.path.clone() else { return Err(wrong("the source", &from, Backend::Sqlite)) };
    let terms = Terms {
        readers: NonZeroUsize::MIN,
        lock_timeout: location.busy_timeout.unwrap_or(arguments.lock_timeout),
        directory: &std::env::temp_dir(),
    };
    let snapshot = Snapshot::take(&path, &terms, progress).await.map_err(TransferError::from)?;
    match snapshot.origin() {
        Origin::AtRest => tracing::debug!("the source {from}: {}", Origin::AtRest),
        origin => tracing::info!("the source {from}: {origin}"),
    }
    let end = survey_source(&snapshot.readers()[0]).await?;
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
    let run = Run { arguments, policies, progress, now, report: report.as_ref(), heading };
    let result = match target {
        None => run.check(&from, snapshot, &end, started).await,
        Some((to, watch)) if arguments.verify_only => run.compare(&from, to, snapshot, &end, watch, started).await,
        Some((to, watch)) => run.load(&from, to, &path, snapshot, &end, watch, started).await,
    };
    if let Err(Error::Transfer(TransferError::Hazards(hazards))) = &result {
        run.complete_report("refused", &json!({ "hazards": hazards }))?;
    }
    drop(run);
    let has_outcome = matches!(&result, Ok(_) | Err(Error::Transfer(TransferError::Hazards(_))));
    if let Some(report) = report.filter(|_| has_outcome) {
        report.into_inner().publish()?;
    }
    result
}

/// One run, and what all of it needs.
struct Run<'r> {
    arguments: &'r MigrateSqliteToPostgres,
    policies: Arc<Policies>,
    progress: &'r dyn Progress,
    now: DateTime<Utc>,
    report: Option<&'r RefCell<ReportFile>>,
    /// What every report begins with.
    heading: serde_json::Value,
}

impl Run<'_> {
    /// Looks at the source alone.
    async fn check(
        &self,
        from: &DatabaseUrl,
        snapshot: Snapshot,
        end: &SourceEnd,
        started: Instant,
    ) -> Result<Report, Error> {
        let assumed = plan::assumed_target(&end.expected);
        let tables = plan::plan(&end.revision.tables(), &end.schema, &assumed, &self.arguments.ignore)?;
        let mut source = Source::begin(snapshot).await?;
        let amounts = source.estimate(&tables).await?;
        let exceptions = Arc::new(source.decide(&tables, &self.policies, self.now.timestamp_micros()).await?);
        let survey = self.survey(&mut source, &tables, &amounts, &exceptions).await?;
        for warning in source.finish().await?.warnings() {
            tracing::warn!("{warning}");
        }
        if !survey.hazards.is_empty() {
            return Err(TransferError::Hazards(survey.hazards).into());
        }
        if !survey.long_entries.is_empty() {
            tracing::warn!(
                "{} values are so long that PostgreSQL may refuse them in an index; only the server can tell",
                survey.long_entries.len()
            );
        }
        let rows = tables.iter().zip(&survey.tables);
        let summary = json!({
            "outcome": "checked",
            "source": from.to_string(),
            "revision": end.revision.id(),
            "tables": rows.clone().map(|(table, read)| json!({
                "table": table.name, "rows": read.amount.rows, "bytes": read.amount.bytes, "digest": read.digest.hex(),
            })).collect::<Vec<_>>(),
            "seconds": started.elapsed().as_secs_f64(),
        });
        self.complete_report("checked", &summary)?;
        let rows = rows.map(|(table, read)| {
            vec![table.name.as_str().into(), output::count(read.amount.rows), output::bytes(read.amount.bytes)]
        });
        let blocks = vec![
            Block::Line(format!("{from}, at revision {}: PostgreSQL can hold every value exactly", end.revision)),
            Block::Table { title: "tables", header: vec!["table", "rows", "bytes"], rows: rows.collect() },
        ];
        Ok(Report::new(&summary, blocks))
    }

    /// Compares the source with a target that was filled earlier, or by another tool.
    async fn compare(
        &self,
        from: &DatabaseUrl,
        to: &DatabaseUrl,
        snapshot: Snapshot,
        end: &SourceEnd,
        watch: &Watch<'_>,
        started: Instant,
    ) -> Result<Report, Error> {
        let target = connection::open(to, Access::Read, self.arguments.lock_timeout).await?;
        let work = async {
            let found = schema::read(&target).await.doing("read the target's schema")?;
            let tables = plan::plan(&end.revision.tables(), &end.schema, &found, &self.arguments.ignore)?;
            let mut source = Source::begin(snapshot).await?;
            let survey = async {
                let amounts = source.estimate(&tables).await?;
                let exceptions = source.decide(&tables, &self.policies, self.now.timestamp_micros()).await?;
                let exceptions = Arc::new(exceptions);
                let survey = self.survey(&mut source, &tables, &amounts, &exceptions).await?;
                Ok::<_, TransferError>((survey, exceptions))
            };
            let (survey, exceptions) = watch.elsewhere(survey).await?;
            if !survey.hazards.is_empty() {
                return Err(TransferError::Hazards(survey.hazards));
            }
            let comparison = StandingTarget {
                tables: &tables,
                policies: Arc::clone(&self.policies),
                exceptions,
                reads: &survey.tables,
                progress: self.progress,
                watch,
            };
            let loads = comparison.compare(&target, &mut source).await?;
            Ok((tables, loads))
        };
        let (tables, loads) = watch.over(work).await?;
        let line = format!("{to} holds what {from} holds, at revision {}", end.revision);
        let (summary, mut blocks) =
            summary(from, to, Verify::Full, end.revision, &tables, &loads, started.elapsed());
        blocks.insert(0, Block::Line(line));
        self.complete_report("compared", &summary)?;
        Ok(Report::new(&summary, blocks))
    }

    #[expect(clippy::too_many_arguments, reason = "both ends, and what is known of them")]
    async fn load(
        &self,
        from: &DatabaseUrl,
        to: &DatabaseUrl,
        path: &Path,
        snapshot: Snapshot,
        end: &SourceEnd,
        watch: &Watch<'_>,
        started: Instant,
    ) -> Result<Report, Error> {
        let SourceEnd { revision, shape, schema, .. } = end;
        let lock_timeout = self.arguments.lock_timeout;
        let target = connection::open(to, Access::Write, lock_timeout).await?;
        let work = async {
            require_free_way(&target, &Wanted::new(&revision.tables(), schema), path).await?;
            let (target_schema, relaxations) = schema_of_target(&target, *revision, *shape).await?;
            let tables = plan::plan(&revision.tables(), schema, &target_schema, &self.arguments.ignore)?;
            let plan = plan::Plan { revision: *revision, tables, relaxations };
            let mut source = Source::begin(snapshot).await?;
            let amounts = watch.elsewhere(source.estimate(&plan.tables)).await?;
            let exceptions = source.decide(&plan.tables, &self.policies, self.now.timestamp_micros());
            let exceptions = watch.elsewhere(exceptions).await?;
            let exceptions = Arc::new(exceptions);
            let load = Load {
                plan: &plan,
                amounts: &amounts,
                policies: Arc::clone(&self.policies),
                exceptions: Arc::clone(&exceptions),
                lock_timeout,
                verification: verification(self.arguments.verify),
                toast: match self.arguments.toast {
                    cli::Toast::Lz4 => Toast::Lz4,
                    cli::Toast::Keep => Toast::Keep,
                },
                progress: self.progress,
                note: &|changes| self.report.map_or(Ok(()), |report| report.borrow_mut().add(changes)),
                before_commit: &|loads| {
                    let (verify, elapsed) = (self.arguments.verify, started.elapsed());
                    let (summary, _) = summary(from, to, verify, *revision, &plan.tables, loads, elapsed);
                    self.complete_report("moved", &summary)
                },
                watch,
            };
            match load.run(&target, &mut source).await {
                Ok(loads) => Ok((plan, loads)),
                Err(error @ (TransferError::Unfit | TransferError::Rejected { .. })) => {
                    let survey = self.survey(&mut source, &plan.tables, &amounts, &exceptions);
                    let survey = watch.elsewhere(survey).await?;
                    // The index was built of these, and one of them at least is too long.
                    let hazards = [survey.hazards, survey.long_entries].concat();
                    Err(if hazards.is_empty() { error } else { TransferError::Hazards(hazards) })
                }
                Err(error) => Err(error),
            }
        };
        let (plan, loads) = match watch.over(work).await {
            Err(TransferError::Database(error)) if error.cause.failure == Failure::Busy => {
                let holder = async { Err(SchemaError::locked(&target, lock_timeout).await.into()) };
                return watch.over(holder).await;
            }
            result => result?,
        };
        let (summary, mut blocks) =
            summary(from, to, self.arguments.verify, *revision, &plan.tables, &loads, started.elapsed());
        blocks.insert(0, Block::Line(format!("moved {from} to {to}, both at revision {revision}")));
        Ok(Report::new(&summary, blocks))
    }

    async fn survey(
        &self,
        source: &mut Source,
        tables: &[Arc<plan::TablePlan>],
        amounts: &[Amount],
        exceptions: &Arc<Exceptions>,
    ) -> Result<Survey, DatabaseError> {
        let mut survey = source.survey(tables, amounts, &self.policies, exceptions, self.progress).await?;
        if self.arguments.show_values {
            source.show_values(tables, &mut survey.hazards).await?;
        }
        Ok(survey)
    }

    /// Writes all but the place of the report.
    fn complete_report(&self, outcome: &str, summary: &impl Serialize) -> Result<(), TransferError> {
        let Some(report) = self.report else { return Ok(()) };
        let mut document = self.heading.clone();
        document["outcome"] = outcome.into();
        if let serde_json::Value::Object(summary) = serde_json::to_value(summary).expect("summaries have a JSON form") {
            document.as_object_mut().expect("the heading is an object").extend(summary);
        }
        report.borrow_mut().complete(&document)
    }
}

fn verification(verify: Verify) -> Verification {
    match verify {
        Verify::Full => Verification::Full,
        Verify::Counts => Verification::Counts,
        Verify::None => Verification::None,
    }
}

fn wrong(role: &'static str, url: &DatabaseUrl, expected: Backend) -> Error {
    TransferError::Backend { role, url: url.to_string(), expected }.into()
}

/// A URL, or else a path. What looks like a URL without its scheme is not taken, and shown, as a path.
fn source_url(text: &str) -> Result<DatabaseUrl, Error> {
    match text.contains("://") || (text.contains(':') && text.contains('@')) {
        false => Ok(DatabaseUrl::sqlite_file(text)),
        true => parsed(text, "--from"),
    }
}

fn target_url(arguments: &MigrateSqliteToPostgres, settings: &Settings) -> Result<DatabaseUrl, Error> {
    match &arguments.to {
        None => Ok(settings.database.value.clone()),
        Some(url) => parsed(url.expose(), "--to"),
    }
}

fn parsed(text: &str, flag: &str) -> Result<DatabaseUrl, Error> {
    text.parse().map_err(|source| SettingsError::Url { source_name: flag.to_owned(), source }.into())
}

/// Looks at everything that is in the way on the target, and says what is worth knowing.
async fn require_free_way(target: &DatabaseConnection, wanted: &Wanted, source: &Path) -> Result<(), TransferError> {
    let need = std::fs::metadata(source).ok().map(|metadata| metadata.len());
    let mut connection = target.get_postgres_connection_pool().acquire().await.doing("open the target")?;
    let obstacles = obstacle::look(&mut connection, wanted, need).await?;
    let (refusals, warnings): (Vec<_>, Vec<_>) =
        obstacles.into_iter().partition(|obstacle| obstacle.weight == Weight::Refusal);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if refusals.is_empty() { Ok(()) } else { Err(TransferError::Obstacles(refusals)) }
}
