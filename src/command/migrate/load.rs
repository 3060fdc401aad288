//! The migration of all rows into an empty target.

use std::time::Duration;

use super::prepare::Prepared;
use super::run::Run;
use super::summary::MigrateSummary;
use crate::database::connection::{self, Access};
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::format::{counted, duration, shell_word, size};
use crate::output::{Block, Report};
use crate::progress::Amount;
use crate::transfer::job::forecast::Forecast;
use crate::transfer::report::Outcome;
use crate::transfer::source::snapshot::Snapshot;
use crate::transfer::summary::TableLoad;
use crate::transfer::target::operation::Operation;

impl Run<'_> {
    /// `backend_url` is how TARSy's backend reaches the target.
    pub(crate) async fn load(
        &self,
        to: &DatabaseUrl,
        backend_url: &DatabaseUrl,
        snapshot: Snapshot,
        watch: &Watch<'_>,
    ) -> Result<Report, Error> {
        let mut target = connection::open(to, Access::Write, self.pool, self.arguments.lock_timeout).await?;
        watch.attach(&mut target);
        let work = async {
            let mut prepared = self.prepare(&target, Operation::Move, snapshot, watch).await?;
            let forecast = self.forecast(&target, &mut prepared, watch).await?;
            self.announce(to, &prepared, forecast);
            let Prepared { plan, source, amounts, orphans, .. } = &mut prepared;
            let on_commit = Box::new(|loads: &[TableLoad]| {
                let summary = MigrateSummary::new(self, to, self.arguments.verify, &plan.tables, loads);
                self.place_report(Outcome::Moved, &summary)
            });
            let loaded = self.loading(plan, amounts, orphans, watch, on_commit).run(&target, source).await;
            match loaded {
                Ok(loads) => Ok((prepared.plan, loads)),
                Err(error) => {
                    Err(self.with_all_hazards(error, (&target, Operation::Move), &mut prepared, watch).await?)
                }
            }
        };
        let (plan, loads) = self.with_holder(watch.over(work).await, &target, watch).await?;
        let summary = MigrateSummary::new(self, to, self.arguments.verify, &plan.tables, &loads);
        let blocks = self.load_blocks(to, backend_url, &summary);
        Ok(Report { committed: Some(self.moved(to)), ..Report::new(&summary, blocks) })
    }

    fn moved(&self, to: &DatabaseUrl) -> String {
        format!("moved {} to {to}, both at revision {}", self.source.url, self.source.end.revision)
    }

    fn load_blocks(&self, to: &DatabaseUrl, backend_url: &DatabaseUrl, summary: &MigrateSummary) -> Vec<Block> {
        let from = &self.source.url;
        let mut blocks = vec![Block::Line(self.moved(to))];
        blocks.extend(self.damage_block());
        blocks.extend(summary.blocks(&self.changes.borrow()));
        let report = self.arguments.report.as_ref();
        let report = report.map_or(String::new(), |report| format!(", and {}", report.display()));
        let backend = backend_url.for_backend();
        let url = shell_word(&backend.text);
        let secrets = if backend.lacks_key_password { "the password and `sslpassword`" } else { "the password" };
        blocks.push(Block::Lines(vec![
            format!(
                "next: set DATABASE_URL={url}, with {secrets}, run `tarsy-db check --deep`, and start TARSy's backend with the same URL"
            ),
            format!("keep: {from}, which was not changed{report}"),
        ]));
        blocks
    }

    /// Logs what is about to happen.
    fn announce(&self, to: &DatabaseUrl, prepared: &Prepared, forecast: Option<Forecast>) {
        let total: Amount = prepared.amounts.iter().copied().sum();
        let (rows, values) = (counted(total.rows, "row"), size(total.bytes));
        tracing::info!("moving {rows} with about {values} of values from {} to {to}", self.source.url);
        if let Some(forecast) = forecast {
            let compressed = if prepared.is_lz4 { ", long values compressed with lz4" } else { "" };
            tracing::info!(
                "the target will need about {}{compressed}; this will take about {}, by a sample at {}/s",
                size(forecast.target_bytes),
                duration(Duration::from_secs(forecast.seconds)),
                size(forecast.bytes_per_second)
            );
        }
    }
}
