//! `--append`: inserts rows into a target that already holds rows; with `--dry-run` counts them.

use super::plan_report::Planned;
use super::prepare::Prepared;
use super::run::Run;
use super::summary::{AppendCounts, MigrateSummary};
use crate::database::connection::{self, Access};
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::format::{counted, number, size};
use crate::output::{Block, Report};
use crate::progress::Amount;
use crate::transfer::job::append::AppendMode;
use crate::transfer::report::Outcome;
use crate::transfer::source::snapshot::Snapshot;
use crate::transfer::summary::TableLoad;
use crate::transfer::target::error::WriteError;
use crate::transfer::target::operation::Operation;
use crate::transfer::target::preflight::{self, TargetTables};

impl Run<'_> {
    /// Inserts the rows. An empty target is filled as without `--append`, which is faster.
    pub(crate) async fn append(
        &self,
        to: &DatabaseUrl,
        backend_url: &DatabaseUrl,
        snapshot: Snapshot,
        watch: &Watch<'_>,
        ending: AppendMode,
    ) -> Result<Report, Error> {
        match (self.is_filled(to, watch).await?, ending) {
            (true, AppendMode::Count) => self.count(to, snapshot, watch).await,
            (true, AppendMode::Insert) => self.insert(to, snapshot, watch).await,
            (false, AppendMode::Count) => self.rehearse(to, snapshot, watch).await,
            (false, AppendMode::Insert) => self.load(to, backend_url, snapshot, watch).await,
        }
    }

    async fn is_filled(&self, to: &DatabaseUrl, watch: &Watch<'_>) -> Result<bool, Error> {
        let mut target = connection::open(to, Access::Write, self.pool, self.arguments.lock_timeout).await?;
        watch.attach(&mut target);
        let wanted = TargetTables::new(&self.source.end.revision.tables(), &self.source.end.schema);
        let work = async { Ok(preflight::holds_rows(&target, &wanted).await?) };
        let result = watch.over(work).await;
        Ok(self.with_holder(result, &target, watch).await?)
    }

    async fn count(&self, to: &DatabaseUrl, snapshot: Snapshot, watch: &Watch<'_>) -> Result<Report, Error> {
        let (prepared, loads) = self.stage(to, snapshot, watch, AppendMode::Count).await?;
        self.plan_report(to, &prepared, &Planned::Append { loads: &loads })
    }

    async fn insert(&self, to: &DatabaseUrl, snapshot: Snapshot, watch: &Watch<'_>) -> Result<Report, Error> {
        let (prepared, loads) = self.stage(to, snapshot, watch, AppendMode::Insert).await?;
        let summary = MigrateSummary::new(self, to, self.arguments.verify, &prepared.plan.tables, &loads);
        let (from, revision) = (&self.source.url, self.source.end.revision);
        let AppendCounts { inserted, skipped } = AppendCounts::of(&loads);
        let (inserted, skipped) = (counted(inserted, "row"), number(skipped));
        let appended = format!(
            "appended {from} to {to}, both at revision {revision}: {inserted} inserted, {skipped} already existed"
        );
        let mut blocks = vec![Block::Line(appended.clone())];
        blocks.extend(self.damage_block());
        blocks.extend(summary.blocks(&self.changes.borrow()));
        Ok(Report { committed: Some(appended), ..Report::new(&summary, blocks) })
    }

    async fn stage(
        &self,
        to: &DatabaseUrl,
        snapshot: Snapshot,
        watch: &Watch<'_>,
        ending: AppendMode,
    ) -> Result<(Prepared, Vec<TableLoad>), Error> {
        let mut target = connection::open(to, Access::Write, self.pool, self.arguments.lock_timeout).await?;
        watch.attach(&mut target);
        let work = async {
            let mut prepared = self.prepare(&target, Operation::Append, snapshot, watch).await?;
            let total: Amount = prepared.amounts.iter().copied().sum();
            match ending {
                AppendMode::Insert => {
                    let (rows, size) = (counted(total.rows, "row"), size(total.bytes));
                    tracing::info!("appending {rows} with about {size} of values from {} to {to}", self.source.url);
                }
                // Rows that are only counted meet none of the target's indexes.
                AppendMode::Count => {
                    self.ask(&target, &mut prepared, watch).await?;
                    if !self.has_hazards() {
                        self.ask_own_indexes(&target, &mut prepared, watch, Operation::Append).await?;
                    }
                }
            }
            let Prepared { plan, source, amounts, orphans, target_schema, .. } = &mut prepared;
            let on_commit = Box::new(|loads: &[TableLoad]| {
                let summary = MigrateSummary::new(self, to, self.arguments.verify, &plan.tables, loads);
                self.place_report(Outcome::Appended, &summary)
            });
            let loading = self.loading(plan, amounts, orphans, watch, on_commit);
            let result = match self.has_hazards() {
                true => Err(WriteError::FoundHazard.into()),
                false => loading.append(&target, target_schema, source, ending).await,
            };
            drop(loading);
            match result {
                Ok(loads) => Ok((prepared, loads)),
                Err(error) => {
                    Err(self.with_all_hazards(error, (&target, Operation::Append), &mut prepared, watch).await?)
                }
            }
        };
        let result = watch.over(work).await;
        Ok(self.with_holder(result, &target, watch).await?)
    }
}
