//! `--dry-run`: checks source and target without writing.

use super::plan_report::Planned;
use super::prepare::Prepared;
use super::run::Run;
use crate::database::connection::{self, Access};
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::output::Report;
use crate::transfer::error::TransferError;
use crate::transfer::source::missing::Parents;
use crate::transfer::source::snapshot::Snapshot;
use crate::transfer::target::operation::Operation;

impl Run<'_> {
    /// Reports what a migration would do, and why it would fail. Reads every value of the source and changes nothing.
    pub(crate) async fn rehearse(
        &self,
        to: &DatabaseUrl,
        snapshot: Snapshot,
        watch: &Watch<'_>,
    ) -> Result<Report, Error> {
        let mut target = connection::open(to, Access::Write, self.pool, self.arguments.lock_timeout).await?;
        watch.attach(&mut target);
        let work = async {
            let mut prepared = self.prepare(&target, Operation::Move, snapshot, watch).await?;
            let forecast = self.forecast(&target, &mut prepared, watch).await?;
            let Prepared { plan, source, amounts, orphans, .. } = &mut prepared;
            let reads = watch.elsewhere(self.scan(source, &plan.tables, amounts, orphans, Parents::InSource)).await?;
            self.ask(&target, &mut prepared, watch).await?;
            if !self.has_hazards() {
                self.ask_own_indexes(&target, &mut prepared, watch, Operation::Move).await?;
            }
            for warning in watch.elsewhere(prepared.source.finish()).await?.warnings() {
                tracing::warn!("{warning}");
            }
            self.require_no_hazards()?;
            // The counted rows replace the estimate.
            prepared.amounts = reads.iter().map(|read| read.amount).collect();
            Ok::<_, TransferError>((prepared, forecast))
        };
        let (prepared, forecast) = watch.over(work).await?;
        self.plan_report(to, &prepared, &Planned::Move { forecast })
    }
}
