//! `--check-only`: looks at the source alone.

use std::sync::Arc;

use serde_json::json;

use super::summary::changes_block;
use super::{Run, warn_of_long_entries};
use crate::error::Error;
use crate::output::{self, Block, Report};
use crate::transfer::error::TransferError;
use crate::transfer::plan;
use crate::transfer::source::scan::Source;
use crate::transfer::source::snapshot::Snapshot;
use crate::transfer::source::unmapped::require_place;
use crate::transfer::value::hazard::HazardError;

impl Run<'_> {
    /// Looks whether PostgreSQL can hold every value, as far as that can be known without a server.
    pub(crate) async fn check(&self, snapshot: Snapshot) -> Result<Report, Error> {
        let (end, from) = (self.source.end, self.source.url);
        let assumed = plan::assumed_target(&end.expected, end.shape);
        require_place(snapshot.reader(), &end.schema, &assumed, &self.arguments.ignore).await?;
        let tables = plan::plan(&end.revision.tables(), &end.schema, &assumed)?;
        let mut source = Source::begin(snapshot).await?;
        self.examine(&mut source).await?;
        let amounts = source.estimate(&tables).await?;
        let exceptions = Arc::new(source.decide(&tables, &self.policies, self.now.timestamp_micros()).await?);
        let survey = self.survey(&mut source, &tables, &amounts, &exceptions).await?;
        for warning in source.finish().await?.warnings() {
            tracing::warn!("{warning}");
        }
        if !survey.hazards.is_empty() {
            return Err(TransferError::Hazards(HazardError(survey.hazards)).into());
        }
        warn_of_long_entries(&survey);
        let rows = tables.iter().zip(&survey.tables);
        let summary = json!({
            "outcome": "checked",
            "source": from.to_string(),
            "revision": end.revision.id(),
            "tables": rows.clone().map(|(table, read)| json!({
                "table": table.name, "rows": read.amount.rows, "bytes": read.amount.bytes, "digest": read.digest.hex(),
            })).collect::<Vec<_>>(),
            "accepted_damage": self.accepted_damage(),
            "seconds": self.started.elapsed().as_secs_f64(),
        });
        self.complete_report("checked", &summary)?;
        let rows = rows.map(|(table, read)| {
            vec![table.name.as_str().into(), output::count(read.amount.rows), output::bytes(read.amount.bytes)]
        });
        let held =
            if self.changes.borrow().is_empty() { "every value exactly" } else { "what the policies make of it" };
        let mut blocks = vec![
            Block::Line(format!("{from}, at revision {}: PostgreSQL can hold {held}", end.revision)),
            Block::Table { title: "tables", header: vec!["table", "rows", "bytes"], rows: rows.collect() },
        ];
        blocks.extend(self.damage_block());
        blocks.extend(changes_block(&self.changes.borrow()));
        Ok(Report::new(&summary, blocks))
    }
}
