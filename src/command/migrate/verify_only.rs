//! `--verify-only`: compares the source with a target that was filled earlier, or by another tool.

use std::sync::Arc;

use super::run::Run;
use super::summary::MigrateSummary;
use crate::database::connection::{self, Access};
use crate::database::failure::{ResultExt, Verb};
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::output::{Block, Report};
use crate::schema::{self, row_policy};
use crate::transfer::endpoints::require_tarsys;
use crate::transfer::error::TransferError;
use crate::transfer::job::load::Verification;
use crate::transfer::job::verify::FilledTarget;
use crate::transfer::plan;
use crate::transfer::report::Outcome;
use crate::transfer::source::missing::Parents;
use crate::transfer::source::scan::Source;
use crate::transfer::source::snapshot::Snapshot;
use crate::transfer::source::unmapped::{UnmappedError, require_place};

impl Run<'_> {
    /// Compares every value. Changes nothing.
    pub(crate) async fn compare(
        &self,
        to: &DatabaseUrl,
        snapshot: Snapshot,
        watch: &Watch<'_>,
    ) -> Result<Report, Error> {
        let (end, from) = (&self.source.end, &self.source.url);
        let mut target = connection::open(to, Access::Read, self.pool, self.arguments.lock_timeout).await?;
        watch.attach(&mut target);
        let work = async {
            require_tarsys(&target).await?;
            let found = target
                .reading(async |reading| schema::read::schema(reading).await)
                .await
                .context((Verb::Read, "the target's schema"))?;
            target
                .reading(async |reading| row_policy::refuse(reading, &end.revision.tables()).await)
                .await
                .context((Verb::Read, "every row of the target"))?;
            if !end.revision.tables().iter().any(|table| found.tables.contains_key(*table)) {
                return Err(UnmappedError::NoSchema.into());
            }
            watch.elsewhere(require_place(snapshot.reader(), &end.schema, &found, &self.arguments.ignore)).await?;
            let namespace = target.namespace().await.context((Verb::Read, "the target's schema"))?;
            let tables = plan::plan(&end.revision.tables(), &end.schema, &found, &namespace)?;
            let mut source = Source::begin(snapshot).await?;
            let scan = async {
                let amounts = source.estimate(&tables).await?;
                let orphans = source.decide(&tables, &self.policies, self.now.timestamp_micros()).await?;
                let orphans = Arc::new(orphans);
                let reads = self.scan(&mut source, &tables, &amounts, &orphans, Parents::InSource).await?;
                Ok::<_, TransferError>((reads, orphans))
            };
            let (reads, orphans) = watch.elsewhere(scan).await?;
            self.require_no_hazards()?;
            let comparison = FilledTarget {
                tables: &tables,
                policies: Arc::clone(&self.policies),
                orphans,
                reads: &reads,
                lock_timeout: self.arguments.lock_timeout,
                progress: self.progress,
                watch,
            };
            let loads = comparison.compare(&target, &mut source).await?;
            Ok::<_, TransferError>((tables, loads))
        };
        let (tables, loads) = watch.over(work).await?;
        let summary = MigrateSummary::new(self, to, Verification::Full, &tables, &loads);
        self.complete_report(Outcome::Compared, &summary)?;
        let line = format!("{to} holds the same rows as {from}, at revision {}", end.revision);
        let mut blocks = vec![Block::Line(line)];
        blocks.extend(summary.blocks(&self.changes.borrow()));
        Ok(Report::new(&summary, blocks))
    }
}
