//! Source and target before the first row is written, and what all modes that write have in common.

use std::sync::Arc;

use super::run::{Run, warn_of_unasked};
use crate::database::connection::Connection;
use crate::database::failure::{ErrorClass, ResultExt, Verb};
use crate::database::watchdog::Watch;
use crate::progress::Amount;
use crate::schema::error::SchemaError;
use crate::schema::lock::Locked;
use crate::schema::model::Schema;
use crate::transfer::endpoints::{TargetState, inspect_target, require_tarsys};
use crate::transfer::error::TransferError;
use crate::transfer::job::forecast::Forecast;
use crate::transfer::job::load::{CommitGuard, Load, Toast, has_lz4};
use crate::transfer::job::orphans::Append;
use crate::transfer::plan::{self, TablePlan, TransferPlan};
use crate::transfer::source::missing::Parents;
use crate::transfer::source::orphans::Orphans;
use crate::transfer::source::scan::Source;
use crate::transfer::source::snapshot::Snapshot;
use crate::transfer::source::unmapped::require_place;
use crate::transfer::target::error::WriteError;
use crate::transfer::target::numbers::{numbered, without_numbers};
use crate::transfer::target::obstacle::{Obstacle, ObstacleError, ObstacleSeverity};
use crate::transfer::target::operation::Operation;
use crate::transfer::target::preflight::{self, TargetTables};

/// What is known before the first row is written.
pub(crate) struct Prepared {
    pub(crate) plan: TransferPlan,
    pub(crate) source: Source,
    pub(crate) amounts: Vec<Amount>,
    pub(crate) orphans: Arc<Orphans>,
    /// The target's schema, once upgraded but before its columns are altered.
    pub(crate) target_schema: Schema,
    /// Warnings about the target.
    pub(crate) warnings: Vec<Obstacle>,
    /// Whether long values are compressed with LZ4.
    pub(crate) is_lz4: bool,
}

impl Run<'_> {
    /// Checks source and target.
    pub(crate) async fn prepare(
        &self,
        target: &Connection,
        work: Operation,
        snapshot: Snapshot,
        watch: &Watch<'_>,
    ) -> Result<Prepared, TransferError> {
        let end = &self.source.end;
        let (mut warnings, is_lz4) = self.preflight(target, work).await?;
        // A value that a column of a table in use cannot hold is a hazard.
        let TargetState { found, schema, alterations } = inspect_target(target, end, work).await?;
        watch.elsewhere(require_place(snapshot.reader(), &end.schema, &schema, &self.arguments.ignore)).await?;
        if work == Operation::Append && !alterations.is_empty() {
            tracing::warn!(
                "the target lacks columns of a later revision that the source has: they are added, and other sessions \
                 wait for these tables until the commit"
            );
        }
        let namespace = target.namespace().await.context((Verb::Read, "the target's schema"))?;
        let tables = plan::plan(&end.revision.tables(), &end.schema, &schema, &namespace)?;
        let plan = TransferPlan { revision: end.revision, namespace, tables, alterations };
        let mut source = Source::begin(snapshot).await?;
        watch.elsewhere(self.examine(&mut source)).await?;
        warnings.extend(watch.elsewhere(self.require_numbers(&mut source, &plan.tables)).await?);
        let amounts = watch.elsewhere(source.estimate(&plan.tables)).await?;
        let (now_us, tables, policies) = (self.now.timestamp_micros(), plan.tables.as_slice(), &self.policies);
        let orphans = match work {
            Operation::Move => watch.elsewhere(source.decide(tables, policies, now_us)).await?,
            Operation::Append => Append { target, tables, policies, watch }.decide(&mut source, now_us).await?,
        };
        let orphans = Arc::new(orphans);
        if self.examination.borrow().values_of(&plan.tables).next().is_some() {
            watch.elsewhere(self.scan(&mut source, &plan.tables, &amounts, &orphans, parents(work))).await?;
            self.require_no_hazards()?;
            self.forget_findings()?;
        }
        Ok(Prepared { plan, source, amounts, orphans, target_schema: found, warnings, is_lz4 })
    }

    /// Refuses a target that cannot take the rows. Returns warnings, and whether it compresses long values with LZ4.
    async fn preflight(&self, target: &Connection, work: Operation) -> Result<(Vec<Obstacle>, bool), TransferError> {
        let end = &self.source.end;
        let copies = match work {
            Operation::Move => 1,
            // The rows are first copied to staging tables.
            Operation::Append => 2,
        };
        let need = std::fs::metadata(&self.source.path).ok().map(|metadata| copies * metadata.len());
        let wanted = TargetTables::new(&end.revision.tables(), &end.schema);
        let obstacles = preflight::look(target, work, &wanted, need).await?;
        let (refusals, warnings) = self.sorted(obstacles);
        if !refusals.is_empty() {
            require_tarsys(target).await?;
            return Err(TransferError::Obstacles(ObstacleError(refusals)));
        }
        let is_lz4 = self.arguments.toast == Toast::Lz4 && has_lz4(target).await?;
        Ok((warnings, is_lz4))
    }

    /// Refuses rows that would leave the target's sequence without a number, or warns of them.
    async fn require_numbers(
        &self,
        source: &mut Source,
        tables: &[Arc<TablePlan>],
    ) -> Result<Vec<Obstacle>, TransferError> {
        let mut found = Vec::new();
        for table in tables {
            let Some((column, largest_possible)) = numbered(table) else { continue };
            let largest = source.largest_number(&table.name, column).await?;
            found.extend(largest.and_then(|largest| without_numbers(&table.name, column, largest, largest_possible)));
        }
        match self.sorted(found) {
            (refusals, warnings) if refusals.is_empty() => Ok(warnings),
            (refusals, _) => Err(TransferError::Obstacles(ObstacleError(refusals))),
        }
    }

    /// The refusals and the warnings, which are logged.
    fn sorted(&self, obstacles: Vec<Obstacle>) -> (Vec<Obstacle>, Vec<Obstacle>) {
        let (refusals, warnings): (Vec<_>, Vec<_>) =
            obstacles.into_iter().partition(|obstacle| obstacle.weight == ObstacleSeverity::Refusal);
        // The report of a dry run contains the warnings.
        if !self.arguments.dry_run || !refusals.is_empty() {
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
        }
        (refusals, warnings)
    }

    pub(crate) fn loading<'l>(
        &'l self,
        plan: &'l TransferPlan,
        amounts: &'l [Amount],
        orphans: &Arc<Orphans>,
        watch: &'l Watch<'l>,
        on_commit: CommitGuard<'l>,
    ) -> Load<'l> {
        Load {
            plan,
            amounts,
            policies: Arc::clone(&self.policies),
            orphans: Arc::clone(orphans),
            lock_timeout: self.arguments.lock_timeout,
            verification: self.arguments.verify,
            toast: self.arguments.toast,
            progress: self.progress,
            findings: self,
            values: self.values(),
            on_conflict: Box::new(|conflict| self.conflict(conflict)),
            on_commit,
            watch,
        }
    }

    pub(crate) async fn forecast(
        &self,
        target: &Connection,
        prepared: &mut Prepared,
        watch: &Watch<'_>,
    ) -> Result<Option<Forecast>, TransferError> {
        let Prepared { plan, source, amounts, orphans, .. } = prepared;
        self.loading(plan, amounts, orphans, watch, Box::new(|_| Ok(()))).forecast(target, source).await
    }

    /// After the target rejected a value, scans the source for all such values, so that one run lists them.
    pub(crate) async fn with_all_hazards(
        &self,
        error: TransferError,
        (target, work): (&Connection, Operation),
        prepared: &mut Prepared,
        watch: &Watch<'_>,
    ) -> Result<TransferError, TransferError> {
        if !matches!(error, TransferError::Write(WriteError::FoundHazard | WriteError::Rejected { .. })) {
            return Ok(error);
        }
        self.forget_findings()?;
        let Prepared { plan, source, amounts, orphans, .. } = prepared;
        watch.elsewhere(self.scan(source, &plan.tables, amounts, orphans, parents(work))).await?;
        self.ask(target, prepared, watch).await?;
        Ok(self.require_no_hazards().err().unwrap_or(error))
    }

    /// Asks the target about the rows that only it can accept or reject. Those that it rejects become hazards.
    pub(crate) async fn ask(
        &self,
        target: &Connection,
        prepared: &mut Prepared,
        watch: &Watch<'_>,
    ) -> Result<(), TransferError> {
        let Prepared { plan, source, amounts, orphans, .. } = prepared;
        let questions = watch.elsewhere(source.undecided(&plan.tables, &self.policies, orphans)).await?;
        warn_of_unasked(&questions);
        let load = self.loading(plan, amounts, orphans, watch, Box::new(|_| Ok(())));
        let open = load.ask(target, source, &questions).await?;
        self.undecided.replace(open);
        Ok(())
    }

    /// Asks the target whether the indexes of an operator take the rows.
    pub(crate) async fn ask_own_indexes(
        &self,
        target: &Connection,
        prepared: &mut Prepared,
        watch: &Watch<'_>,
        operation: Operation,
    ) -> Result<(), TransferError> {
        let Prepared { plan, source, amounts, orphans, .. } = prepared;
        let load = self.loading(plan, amounts, orphans, watch, Box::new(|_| Ok(())));
        load.ask_own_indexes(target, source, operation).await
    }

    /// After a lock timeout, names the session that holds the lock.
    pub(crate) async fn with_holder<T>(
        &self,
        result: Result<T, TransferError>,
        target: &Connection,
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
}

/// Where the parents of the rows may be.
fn parents(work: Operation) -> Parents {
    match work {
        Operation::Move => Parents::InSource,
        Operation::Append => Parents::OnEitherSide,
    }
}
