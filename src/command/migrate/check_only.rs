//! `--check-only`: checks the source only.

use std::sync::Arc;

use serde::Serialize;

use super::answer::{ASK_SERVER, undecided_block};
use super::run::Run;
use super::summary::changes_block;
use crate::database::namespace::Namespace;
use crate::error::Error;
use crate::output::{self, Block, Report};
use crate::transfer::plan::{self, TablePlan};
use crate::transfer::report::Outcome;
use crate::transfer::source::missing::Parents;
use crate::transfer::source::scan::Source;
use crate::transfer::source::snapshot::Snapshot;
use crate::transfer::source::undecided::Undecided;
use crate::transfer::source::unmapped::require_place;
use crate::transfer::summary::TableRead;

#[derive(Serialize)]
struct SourceSummary {
    outcome: Outcome,
    source: String,
    revision: &'static str,
    tables: Vec<CheckedTable>,
    /// Values that only a server can accept or reject.
    undecided: Vec<Undecided>,
    /// The number of findings of damage that `--accept-damage` accepts.
    accepted_damage: Option<usize>,
    seconds: f64,
}

#[derive(Serialize)]
struct CheckedTable {
    table: String,
    rows: u64,
    bytes: u64,
    digest: String,
}

impl Run<'_> {
    /// Checks whether PostgreSQL can hold every value, as far as that is known without a server.
    pub(crate) async fn check(&self, snapshot: Snapshot) -> Result<Report, Error> {
        let end = &self.source.end;
        let assumed = plan::assumed_target(&end.expected, end.variant);
        require_place(snapshot.reader(), &end.schema, &assumed, &self.arguments.ignore).await?;
        let tables = plan::plan(&end.revision.tables(), &end.schema, &assumed, &Namespace::default())?;
        let mut source = Source::begin(snapshot).await?;
        self.examine(&mut source).await?;
        let amounts = source.estimate(&tables).await?;
        let orphans = Arc::new(source.decide(&tables, &self.policies, self.now.timestamp_micros()).await?);
        let reads = self.scan(&mut source, &tables, &amounts, &orphans, Parents::InSource).await?;
        let mut undecided = source.undecided(&tables, &self.policies, &orphans).await?;
        // What another question counts is shown there.
        undecided.retain(|question| question.count > 0);
        self.undecided.replace(undecided);
        for warning in source.finish().await?.warnings() {
            tracing::warn!("{warning}");
        }
        self.require_no_hazards()?;
        let summary = self.check_summary(&tables, &reads);
        self.complete_report(Outcome::Checked, &summary)?;
        Ok(Report::new(&summary, self.check_blocks(&summary)))
    }

    fn check_summary(&self, tables: &[Arc<TablePlan>], reads: &[TableRead]) -> SourceSummary {
        let tables = tables.iter().zip(reads).map(|(table, read)| CheckedTable {
            table: table.name.clone(),
            rows: read.amount.rows,
            bytes: read.amount.bytes,
            digest: read.digest.hex(),
        });
        SourceSummary {
            outcome: Outcome::Checked,
            source: self.source.url.to_string(),
            revision: self.source.end.revision.id(),
            tables: tables.collect(),
            undecided: self.undecided.take(),
            accepted_damage: self.accepted_damage(),
            seconds: self.started.elapsed().as_secs_f64(),
        }
    }

    fn check_blocks(&self, summary: &SourceSummary) -> Vec<Block> {
        let (from, revision) = (&self.source.url, self.source.end.revision);
        let rows = summary
            .tables
            .iter()
            .map(|table| vec![table.table.as_str().into(), output::count(table.rows), output::bytes(table.bytes)]);
        let held = if self.changes.borrow().is_empty() {
            "every value unchanged"
        } else {
            "every value, changed by the policies"
        };
        let held = if summary.undecided.is_empty() { held.to_owned() } else { format!("{held}, except perhaps these") };
        let mut blocks = vec![Block::Line(format!("{from}, at revision {revision}: PostgreSQL can hold {held}"))];
        blocks.extend(undecided_block(ASK_SERVER, &summary.undecided));
        blocks.push(Block::Table { title: "tables", header: vec!["table", "rows", "bytes"], rows: rows.collect() });
        blocks.extend(self.damage_block());
        blocks.extend(changes_block(&self.changes.borrow()));
        blocks
    }
}
