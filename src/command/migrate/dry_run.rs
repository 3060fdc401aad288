//! `--dry-run`: goes as far as a move can without moving a row.

use super::plan_report::Planned;
use super::prepare::Prepared;
use super::run::{Run, warn_of_long_entries};
use crate::database::connection::{self, Access};
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::output::Report;
use crate::transfer::error::TransferError;
use crate::transfer::source::snapshot::Snapshot;
use crate::transfer::target::operation::Operation;
use crate::transfer::value::hazard::HazardError;

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
            let Prepared { plan, source, amounts, orphans, .. } = &mut prepared;
            let scan = watch.elsewhere(self.scan(source, &plan.tables, amounts, orphans)).await?;
            for warning in watch.elsewhere(source.finish()).await?.warnings() {
                tracing::warn!("{warning}");
            }
            if !scan.hazards.is_empty() {
                return Err(TransferError::Hazards(HazardError(scan.hazards)));
            }
            warn_of_long_entries(&scan);
            // Those that were counted, not those that were thought to be there.
            prepared.amounts = scan.tables.iter().map(|read| read.amount).collect();
            Ok((prepared, forecast))
        };
        let (prepared, forecast) = watch.over(work).await?;
        self.plan_report(to, &prepared, &Planned::Move { forecast })
    }
}
