//! `migrate-sqlite-to-postgres`: moves a history, completely or not at all, and proves it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use migration::Revision;
use sea_orm::{DatabaseConnection, DbBackend};
use serde::Serialize;
use serde_json::json;

use crate::cli::{self, MigrateSqliteToPostgres, Verify};
use crate::connection::{self, Access};
use crate::database_url::{Backend, DatabaseUrl};
use crate::error::Error;
use crate::failure::{DatabaseError, Doing, Failure};
use crate::output::{self, Block, Field, Report};
use crate::progress::{Amount, Progress};
use crate::schema::difference;
use crate::schema::shape::{self, Shape};
use crate::schema::standing::{self, Plan, Standing};
use crate::schema::{self, Drift, Schema, SchemaError, expected};
use crate::settings::{Settings, SettingsError};
use crate::transfer::load::{Load, TableLoad, Toast, Verification};
use crate::transfer::normalised::Normalisation;
use crate::transfer::obstacle::{self, Wanted, Weight};
use crate::transfer::policy::Policies;
use crate::transfer::report::ReportFile;
use crate::transfer::snapshot::{Origin, Terms};
use crate::transfer::source::Survey;
use crate::transfer::{Exceptions, Snapshot, Source, TableDigest, TransferError, plan};

#[derive(Serialize)]
struct Summary {
    source: String,
    target: String,
    /// What both ends are at.
    revision: &'static str,
    rows: u64,
    bytes: u64,
    seconds: f64,
    /// `full`, `counts` or `none`.
    verified: &'static str,
    /// How many values `jsonb` prints differently, by kind.
    normalised: BTreeMap<&'static str, u64>,
    tables: Vec<TableSummary>,
}

#[derive(Serialize)]
struct TableSummary {
    table: String,
    rows: u64,
    bytes: u64,
    seconds: f64,
    digest: Option<String>,
}

pub(super) async fn run(
    arguments: &MigrateSqliteToPostgres,
    settings: &Settings,
    now: DateTime<Utc>,
    progress: &dyn Progress,
    before_commit: &dyn Fn(),
) -> Result<Report, Error> {
    let started = Instant::now();
    let policies = Arc::new(Policies::new(&arguments.policies).map_err(TransferError::Policies)?);
    let from = source_url(arguments.from.expose())?;
    let DatabaseUrl::Sqlite(location) = &from else { return Err(wrong("the source", &from, Backend::Sqlite)) };
    let Some(path) = location.path.clone() else { return Err(wrong("the source", &from, Backend::Sqlite)) };
    let to = target_url(arguments, settings)?;
    if !arguments.check_only && to.backend() != Backend::Postgresql {
        return Err(wrong("the target", &to, Backend::Postgresql));
    }
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
    let result = match arguments.check_only {
        true => run.check(&from, snapshot, &end, started).await,
        false => run.load(&from, &to, &path, snapshot, &end, before_commit, started).await,
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

    #[expect(clippy::too_many_arguments, reason = "both ends, and what is known of them")]
    async fn load(
        &self,
        from: &DatabaseUrl,
        to: &DatabaseUrl,
        path: &Path,
        snapshot: Snapshot,
        end: &SourceEnd,
        before_commit: &dyn Fn(),
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
            let amounts = source.estimate(&plan.tables).await?;
            let exceptions = source.decide(&plan.tables, &self.policies, self.now.timestamp_micros()).await?;
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
                    let (summary, _) = summary(from, to, self.arguments.verify, &plan, loads, started.elapsed());
                    self.complete_report("moved", &summary)?;
                    before_commit();
                    Ok(())
                },
            };
            match load.run(&target, &mut source).await {
                Ok(loads) => Ok((plan, loads)),
                Err(error @ (TransferError::Unfit | TransferError::Rejected { .. })) => {
                    let survey = self.survey(&mut source, &plan.tables, &amounts, &exceptions).await?;
                    // The index was built of these, and one of them at least is too long.
                    let hazards = [survey.hazards, survey.long_entries].concat();
                    Err(if hazards.is_empty() { error } else { TransferError::Hazards(hazards) })
                }
                Err(error) => Err(error),
            }
        };
        let (plan, loads) = match work.await {
            Err(TransferError::Database(error)) if error.cause.failure == Failure::Busy => {
                return Err(SchemaError::locked(&target, lock_timeout).await.into());
            }
            result => result?,
        };
        let (summary, blocks) = summary(from, to, self.arguments.verify, &plan, &loads, started.elapsed());
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

/// What the source is.
struct SourceEnd {
    revision: Revision,
    shape: Shape,
    schema: Schema,
    /// What a source of its revision has.
    expected: Schema,
}

async fn survey_source(source: &DatabaseConnection) -> Result<SourceEnd, Error> {
    let standing = Standing::read(source).await.doing("read the source's ledger")?;
    let found = schema::read(source).await.doing("read the source's schema")?;
    // What an interrupted upgrade left behind has no place on the target, and is named as such.
    let standing = Standing { leftovers: Vec::new(), ..standing };
    let revision = match standing.plan(Revision::BASELINE) {
        Plan::Nothing { revision } | Plan::Incomplete { revision: Some(revision), .. } => {
            Revision::from_id(&revision).ok_or(TransferError::SourceRevision { revision })?
        }
        Plan::Adopt => shape::likest(source, &found).await.doing("replay the revisions")?.0,
        Plan::Incomplete { revision: None, .. } => Revision::BASELINE,
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions).into()),
        Plan::Create { .. } => return Err(TransferError::SourceSchema("it has none of TARSy's tables".into()).into()),
        Plan::Upgrade { .. } | Plan::Leftover { .. } => unreachable!("every revision is beyond the baseline"),
    };
    let expected = expected::replay(source, &BTreeSet::from([revision])).await.doing("replay the revisions")?;
    for (table, expected) in &expected[&revision].tables {
        let missing = match found.tables.get(table) {
            None => Some(format!("table {table}")),
            Some(found) => {
                let mut columns = expected.columns.keys();
                let missing = columns.find(|column| !found.columns.contains_key(*column));
                missing.map(|column| format!("column {table}.{column}"))
            }
        };
        if let Some(missing) = missing {
            let message = format!("it is at revision {revision}, but has no {missing}");
            return Err(TransferError::SourceSchema(message).into());
        }
    }
    let shape = shape::closest(DbBackend::Sqlite, revision, &expected[&revision], &found).shape;
    let expected = expected[&revision].clone();
    Ok(SourceEnd { revision, shape, schema: found, expected })
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

/// The schema that the target will have, at the source's revision and in a shape that takes the source's rows, and
/// the statements that give it this shape. Nothing is created before the source was found sound.
async fn schema_of_target(
    target: &DatabaseConnection,
    revision: Revision,
    shape: Shape,
) -> Result<(Schema, Vec<String>), TransferError> {
    let beyond = |found: String| TransferError::TargetRevision { revision: found, source_revision: revision };
    let standing = Standing::read(target).await.doing("read the target's ledger")?;
    let found = schema::read(target).await.doing("read the target's schema")?;
    let start = match standing.plan(revision) {
        Plan::Create { to } if to > revision => return Err(beyond(to.to_string())),
        Plan::Create { .. } => None,
        Plan::Adopt => Some(shape::likest(target, &found).await.doing("replay the revisions")?.0),
        Plan::Upgrade { from, .. } => Some(from),
        Plan::Nothing { revision: at } => match Revision::from_id(&at) {
            Some(at) => Some(at),
            None => return Err(beyond(standing::described(&at))),
        },
        Plan::Incomplete { revision, missing } => return Err(SchemaError::Incomplete { revision, missing }.into()),
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions).into()),
        Plan::Leftover { tables } => return Err(SchemaError::Leftover(tables).into()),
    };
    if let Some(start) = start.filter(|start| *start > revision) {
        return Err(beyond(start.to_string()));
    }
    let replayed = expected::replay(target, &BTreeSet::from([revision])).await.doing("replay the revisions")?;
    let before = if start == Some(revision) {
        // What refuses a row ends the move; what is missing would let a wrong one in.
        let differences = shape::closest(DbBackend::Postgres, revision, &replayed[&revision], &found).differences;
        let faults: Vec<_> =
            differences.into_iter().filter(|fault| fault.weight == difference::Weight::Drift).collect();
        if !faults.is_empty() {
            return Err(SchemaError::from(Drift::new(revision, faults)).into());
        }
        found
    } else {
        replayed[&revision].clone()
    };
    let mut after = before.clone();
    shape::relax(&mut after, shape);
    let relaxations = shape::relaxations(&before, &after);
    Ok((after, relaxations))
}

fn summary(
    from: &DatabaseUrl,
    to: &DatabaseUrl,
    verify: Verify,
    plan: &plan::Plan,
    loads: &[TableLoad],
    duration: Duration,
) -> (Summary, Vec<Block>) {
    let verified = match verify {
        Verify::Full => "full",
        Verify::Counts => "counts",
        Verify::None => "none",
    };
    let total: Amount = loads.iter().map(|load| load.amount).sum();
    let tables: Vec<TableSummary> = (plan.tables.iter().zip(loads))
        .map(|(table, load)| TableSummary {
            table: table.name.clone(),
            rows: load.amount.rows,
            bytes: load.amount.bytes,
            seconds: load.duration.as_secs_f64(),
            digest: load.digest.as_ref().map(TableDigest::hex),
        })
        .collect();
    let mut rows: Vec<Vec<Field>> = tables
        .iter()
        .map(|table| {
            let digest = table.digest.as_deref().map_or("-".to_owned(), |digest| digest[..16].to_owned());
            let seconds = Field::Number(format!("{:.2}", table.seconds));
            let (rows, bytes) = (output::count(table.rows), output::bytes(table.bytes));
            vec![table.table.as_str().into(), rows, bytes, seconds, digest.into(), verified.into()]
        })
        .collect();
    let seconds = Field::Number(format!("{:.2}", duration.as_secs_f64()));
    let (count, bytes) = (output::count(total.rows), output::bytes(total.bytes));
    rows.push(vec!["total".into(), count, bytes, seconds, "".into(), "".into()]);
    let normalised: BTreeMap<&'static str, u64> = Normalisation::ALL
        .into_iter()
        .map(|kind| (kind.name(), loads.iter().map(|load| load.normalised[kind as usize]).sum()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let mut blocks = vec![
        Block::Line(format!("moved {from} to {to}, both at revision {}", plan.revision)),
        Block::Table { title: "tables", header: vec!["table", "rows", "bytes", "seconds", "digest", "verified"], rows },
    ];
    if !normalised.is_empty() {
        let kinds: Vec<_> = normalised.iter().map(|(kind, count)| format!("{kind} in {count}")).collect();
        blocks.push(Block::Line(format!("jsonb keeps the value, not the text: it changed {}", kinds.join(", "))));
    }
    let summary = Summary {
        source: from.to_string(),
        target: to.to_string(),
        revision: plan.revision.id(),
        rows: total.rows,
        bytes: total.bytes,
        seconds: duration.as_secs_f64(),
        verified,
        normalised,
        tables,
    };
    (summary, blocks)
}
