//! The move itself, and `--dry-run`, which goes as far as it can without it.

use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount};
use sea_orm::DatabaseConnection;
use serde_json::json;

use super::summary::{MigrateSummary, changes_block};
use super::{Run, warn_of_long_entries};
use crate::cli::{self, Verify};
use crate::database::connection::{self, Access};
use crate::database::failure::{ErrorClass, ResultExt};
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::output::{self, Block, Report};
use crate::progress::Amount;
use crate::schema::error::SchemaError;
use crate::schema::lock::Locked;
use crate::schema::model::Schema;
use crate::transfer::endpoints::{TargetState, inspect_target};
use crate::transfer::error::TransferError;
use crate::transfer::job::forecast::Forecast;
use crate::transfer::job::load::{CommitGuard, Load, Toast, Verification, has_lz4};
use crate::transfer::plan::{self, TransferPlan};
use crate::transfer::source::orphans::Orphans;
use crate::transfer::source::scan::Source;
use crate::transfer::source::snapshot::Snapshot;
use crate::transfer::source::unmapped::require_place;
use crate::transfer::summary::TableLoad;
use crate::transfer::target::error::WriteError;
use crate::transfer::target::obstacle::{Obstacle, ObstacleError, ObstacleSeverity};
use crate::transfer::target::operation::Operation;
use crate::transfer::target::preflight::{self, TargetTables};
use crate::transfer::value::hazard::{Hazard, HazardError};
use crate::transfer::value::policy::Class;

/// What is known before the first row moves.
pub(crate) struct Prepared {
    pub(crate) plan: TransferPlan,
    pub(crate) source: Source,
    pub(crate) amounts: Vec<Amount>,
    pub(crate) exceptions: Arc<Orphans>,
    /// What the target has, or will have before its columns are altered.
    pub(crate) target_schema: Schema,
    /// What is worth knowing of the target.
    pub(crate) warnings: Vec<Obstacle>,
    /// Whether long values are compressed with LZ4.
    is_lz4: bool,
}

impl Run<'_> {
    /// Says what a move would do, and what is in its way. Every value of the source is looked at; of the target nothing
    /// is changed.
    pub(crate) async fn rehearse(
        &self,
        to: &DatabaseUrl,
        snapshot: Snapshot,
        watch: &Watch<'_>,
    ) -> Result<Report, Error> {
        let mut target = connection::open(to, Access::Write, self.arguments.lock_timeout).await?;
        watch.attach(&mut target);
        let work = async {
            let mut prepared = self.prepare(&target, Operation::Move, snapshot, watch).await?;
            let forecast = self.forecast(to, &mut prepared, watch).await?;
            let Prepared { plan, source, amounts, exceptions, .. } = &mut prepared;
            let survey = watch.elsewhere(self.survey(source, &plan.tables, amounts, exceptions)).await?;
            for warning in watch.elsewhere(source.finish()).await?.warnings() {
                tracing::warn!("{warning}");
            }
            if !survey.hazards.is_empty() {
                return Err(TransferError::Hazards(HazardError(survey.hazards)));
            }
            warn_of_long_entries(&survey);
            // Those that were counted, not those that were thought to be there.
            prepared.amounts = survey.tables.iter().map(|read| read.amount).collect();
            Ok((prepared, forecast))
        };
        let (prepared, forecast) = watch.over(work).await?;
        self.planned(to, &prepared, forecast)
    }

    /// Moves the history.
    pub(crate) async fn load(&self, to: &DatabaseUrl, snapshot: Snapshot, watch: &Watch<'_>) -> Result<Report, Error> {
        let mut target = connection::open(to, Access::Write, self.arguments.lock_timeout).await?;
        watch.attach(&mut target);
        let work = async {
            let mut prepared = self.prepare(&target, Operation::Move, snapshot, watch).await?;
            let forecast = self.forecast(to, &mut prepared, watch).await?;
            self.announce(to, &prepared, forecast);
            let Prepared { plan, source, amounts, exceptions, .. } = &mut prepared;
            let before_commit = Box::new(|loads: &[TableLoad]| {
                let summary = MigrateSummary::new(self, to, self.arguments.verify, &plan.tables, loads);
                self.complete_report("moved", &summary)
            });
            let loaded = self.loading(plan, amounts, exceptions, watch, before_commit).run(&target, source).await;
            match loaded {
                Ok(loads) => Ok((prepared.plan, loads)),
                Err(error) => Err(self.with_all_hazards(error, Operation::Move, &mut prepared, watch).await?),
            }
        };
        let (plan, loads) = self.with_holder(watch.over(work).await, &target, watch).await?;
        let summary = MigrateSummary::new(self, to, self.arguments.verify, &plan.tables, &loads);
        let (from, revision) = (self.source.url, self.source.end.revision);
        let mut blocks = vec![Block::Line(format!("moved {from} to {to}, both at revision {revision}"))];
        blocks.extend(self.damage_block());
        blocks.extend(summary.blocks(&self.changes.borrow()));
        let report = self.arguments.report.as_ref();
        let report = report.map_or(String::new(), |report| format!(", and {}", report.display()));
        blocks.push(Block::Lines(vec![
            format!(
                "next: give TARSy's backend DATABASE_URL=postgresql://{to} with the password, start it, and run \
                 `tarsy-db check --deep`"
            ),
            format!("keep: {from}, which is as it was{report}"),
        ]));
        Ok(Report::new(&summary, blocks))
    }

    /// After a value was not taken, looks for all that may be in the way, also what only the server can judge: one run names
    /// it.
    pub(crate) async fn with_all_hazards(
        &self,
        error: TransferError,
        work: Operation,
        prepared: &mut Prepared,
        watch: &Watch<'_>,
    ) -> Result<TransferError, TransferError> {
        if !matches!(error, TransferError::Write(WriteError::FoundHazard | WriteError::Rejected { .. })) {
            return Ok(error);
        }
        self.forget_changes()?;
        let Prepared { plan, source, amounts, exceptions, .. } = prepared;
        let survey = watch.elsewhere(self.survey(source, &plan.tables, amounts, exceptions)).await?;
        let hazards = [survey.hazards, survey.long_entries].concat();
        Ok(refuse(hazards, work).err().unwrap_or(error))
    }

    /// Where somebody else's lock was waited for in vain, says whose.
    pub(crate) async fn with_holder<T>(
        &self,
        result: Result<T, TransferError>,
        target: &DatabaseConnection,
        watch: &Watch<'_>,
    ) -> Result<T, TransferError> {
        match result {
            Err(TransferError::Database(error)) if error.cause.class == ErrorClass::Busy => {
                let holder =
                    async { Err(SchemaError::from(Locked::on(target, self.arguments.lock_timeout).await).into()) };
                watch.over(holder).await
            }
            result => result,
        }
    }

    /// Looks at both ends.
    pub(crate) async fn prepare(
        &self,
        target: &DatabaseConnection,
        work: Operation,
        snapshot: Snapshot,
        watch: &Watch<'_>,
    ) -> Result<Prepared, TransferError> {
        let end = self.source.end;
        let copies = match work {
            Operation::Move => 1,
            // Rows are staged, and inserted from there.
            Operation::Append => 2,
        };
        let need = std::fs::metadata(self.source.path).ok().map(|metadata| copies * metadata.len());
        let pool = target.get_postgres_connection_pool();
        let mut connection = pool.acquire().await.context("open the target")?;
        let wanted = TargetTables::new(&end.revision.tables(), &end.schema);
        let obstacles = preflight::look(&mut connection, work, &wanted, need).await?;
        let (refusals, warnings): (Vec<_>, Vec<_>) =
            obstacles.into_iter().partition(|obstacle| obstacle.weight == ObstacleSeverity::Refusal);
        // A plan has them itself.
        if !self.arguments.dry_run || !refusals.is_empty() {
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
        }
        if !refusals.is_empty() {
            return Err(TransferError::Obstacles(ObstacleError(refusals)));
        }
        let is_lz4 = self.arguments.toast == cli::Toast::Lz4 && has_lz4(&mut connection).await?;
        drop(connection);
        // What the columns of tables in use do not take is a hazard.
        let TargetState { found, schema, alterations } = inspect_target(target, end, work).await?;
        watch.elsewhere(require_place(snapshot.reader(), &end.schema, &schema, &self.arguments.ignore)).await?;
        if work == Operation::Append && !alterations.is_empty() {
            tracing::warn!(
                "the target's tables lack columns of a later revision that the source has: they are added, and other \
                 sessions wait for these tables until the end"
            );
        }
        let tables = plan::plan(&end.revision.tables(), &end.schema, &schema)?;
        let plan = TransferPlan { revision: end.revision, tables, alterations };
        let mut source = Source::begin(snapshot).await?;
        watch.elsewhere(self.examine(&mut source)).await?;
        let amounts = watch.elsewhere(source.estimate(&plan.tables)).await?;
        let exceptions = source.decide(&plan.tables, &self.policies, self.now.timestamp_micros());
        let exceptions = Arc::new(watch.elsewhere(exceptions).await?);
        if self.examination.borrow().values_of(&plan.tables).next().is_some() {
            let survey = watch.elsewhere(self.survey(&mut source, &plan.tables, &amounts, &exceptions)).await?;
            self.forget_changes()?;
            refuse(survey.hazards, work)?;
        }
        Ok(Prepared { plan, source, amounts, exceptions, target_schema: found, warnings, is_lz4 })
    }

    pub(crate) fn loading<'l>(
        &'l self,
        plan: &'l TransferPlan,
        amounts: &'l [Amount],
        exceptions: &Arc<Orphans>,
        watch: &'l Watch<'l>,
        before_commit: CommitGuard<'l>,
    ) -> Load<'l> {
        Load {
            plan,
            amounts,
            policies: Arc::clone(&self.policies),
            orphans: Arc::clone(exceptions),
            lock_timeout: self.arguments.lock_timeout,
            verification: match self.arguments.verify {
                Verify::Full => Verification::Full,
                Verify::Counts => Verification::Counts,
                Verify::None => Verification::None,
            },
            toast: match self.arguments.toast {
                cli::Toast::Lz4 => Toast::Lz4,
                cli::Toast::Keep => Toast::Keep,
            },
            progress: self.progress,
            on_change: Box::new(|changes| self.note(changes)),
            before_commit,
            watch,
        }
    }

    async fn forecast(
        &self,
        to: &DatabaseUrl,
        prepared: &mut Prepared,
        watch: &Watch<'_>,
    ) -> Result<Option<Forecast>, TransferError> {
        let DatabaseUrl::Postgresql(address) = to else { return Ok(None) };
        let Prepared { plan, source, amounts, exceptions, .. } = prepared;
        self.loading(plan, amounts, exceptions, watch, Box::new(|_| Ok(()))).forecast(address, source).await
    }

    /// Says what is about to happen.
    fn announce(&self, to: &DatabaseUrl, prepared: &Prepared, forecast: Option<Forecast>) {
        let total: Amount = prepared.amounts.iter().copied().sum();
        let (rows, size) = (HumanCount(total.rows), HumanBytes(total.bytes));
        tracing::info!("moving {rows} rows with about {size} of values from {} to {to}", self.source.url);
        if let Some(forecast) = forecast {
            let compressed = if prepared.is_lz4 { ", long values compressed with lz4" } else { "" };
            tracing::info!(
                "the target will take about {}{compressed}; this will take about {}: a sample went at {}/s",
                HumanBytes(forecast.target_bytes),
                humantime::format_duration(std::time::Duration::from_secs(forecast.seconds)),
                HumanBytes(forecast.bytes_per_second)
            );
        }
    }

    /// The plan as a report.
    fn planned(&self, to: &DatabaseUrl, prepared: &Prepared, forecast: Option<Forecast>) -> Result<Report, Error> {
        let Prepared { plan, amounts, warnings, is_lz4, .. } = prepared;
        let (from, end) = (self.source.url, self.source.end);
        let total: Amount = amounts.iter().copied().sum();
        let tables = plan.tables.iter().zip(amounts);
        let summary = json!({
            "outcome": "planned",
            "source": from.to_string(),
            "snapshot": self.source.origin,
            "target": to.to_string(),
            "revision": end.revision.id(),
            "rows": total.rows,
            "bytes": total.bytes,
            "forecast": forecast,
            "compression": if *is_lz4 { "lz4" } else { "as the server is set" },
            "warnings": warnings,
            "accepted_damage": self.accepted_damage(),
            "tables": tables.clone().map(|(table, amount)| json!({
                "table": table.name, "rows": amount.rows, "bytes": amount.bytes,
            })).collect::<Vec<_>>(),
        });
        self.complete_report("planned", &summary)?;
        let soon = || "a few seconds".to_owned();
        let facts = [
            ("source", format!("{from}: {}", self.source.origin)),
            ("target", format!("{to}, in one transaction, at revision {}", end.revision)),
            (
                "size",
                forecast.map_or("little".to_owned(), |forecast| format!("about {}", HumanBytes(forecast.target_bytes))),
            ),
            (
                "time",
                forecast.map_or_else(soon, |forecast| {
                    let duration = humantime::format_duration(std::time::Duration::from_secs(forecast.seconds));
                    format!("about {duration}: a sample went at {}/s", HumanBytes(forecast.bytes_per_second))
                }),
            ),
            ("compression", if *is_lz4 { "lz4 for long values".to_owned() } else { "as the server is set".to_owned() }),
        ];
        let mut rows: Vec<_> = tables
            .map(|(table, amount)| {
                vec![table.name.as_str().into(), output::count(amount.rows), output::bytes(amount.bytes)]
            })
            .collect();
        rows.push(vec!["total".into(), output::count(total.rows), output::bytes(total.bytes)]);
        let facts = facts.into_iter().map(|(name, value)| vec![name.into(), value.into()]).collect();
        let mut blocks = vec![
            Block::Table { title: "plan (nothing was changed)", header: vec![], rows: facts },
            Block::Table { title: "tables", header: vec!["table", "rows", "bytes"], rows },
        ];
        blocks.extend(self.damage_block());
        blocks.extend(changes_block(&self.changes.borrow()));
        blocks.extend(warnings.iter().map(|warning| Block::Line(format!("warning: {warning}"))));
        Ok(Report::new(&summary, blocks))
    }
}

/// Ends a move or an append where there are hazards for it.
fn refuse(mut hazards: Vec<Hazard>, work: Operation) -> Result<(), TransferError> {
    // A parent that the source does not have may be on the target already.
    hazards.retain(|hazard| work == Operation::Move || hazard.class != Class::Orphan);
    if hazards.is_empty() { Ok(()) } else { Err(TransferError::Hazards(HazardError(hazards))) }
}
