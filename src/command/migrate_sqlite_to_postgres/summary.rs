//! What was moved, as data and as tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Changes, Run};
use crate::cli::Verify;
use crate::database_url::DatabaseUrl;
use crate::output::{self, Block, Field};
use crate::progress::Amount;
use crate::transfer::load::TableLoad;
use crate::transfer::normalised::Normalisation;
use crate::transfer::{TableDigest, TablePlan};

#[derive(Serialize)]
pub(super) struct Summary {
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

impl Summary {
    /// One table of a summary for each table of the plan.
    pub(super) fn new(
        run: &Run<'_>,
        to: &DatabaseUrl,
        verify: Verify,
        tables: &[Arc<TablePlan>],
        loads: &[TableLoad],
    ) -> Self {
        let total: Amount = loads.iter().map(|load| load.amount).sum();
        let tables = (tables.iter().zip(loads)).map(|(table, load)| TableSummary {
            table: table.name.clone(),
            rows: load.amount.rows,
            bytes: load.amount.bytes,
            seconds: load.duration.as_secs_f64(),
            digest: load.digest.as_ref().map(TableDigest::hex),
        });
        let normalised = Normalisation::ALL
            .into_iter()
            .map(|kind| (kind.name(), loads.iter().map(|load| load.normalised[kind as usize]).sum()))
            .filter(|(_, count)| *count > 0);
        Self {
            source: run.source.url.to_string(),
            target: to.to_string(),
            revision: run.source.end.revision.id(),
            rows: total.rows,
            bytes: total.bytes,
            seconds: run.started.elapsed().as_secs_f64(),
            verified: match verify {
                Verify::Full => "full",
                Verify::Counts => "counts",
                Verify::None => "none",
            },
            normalised: normalised.collect(),
            tables: tables.collect(),
        }
    }

    /// The same for people.
    pub(super) fn blocks(&self, changes: &Changes) -> Vec<Block> {
        let mut rows: Vec<Vec<Field>> = (self.tables.iter())
            .map(|table| {
                let digest = table.digest.as_deref().map_or("-".to_owned(), |digest| digest[..16].to_owned());
                let seconds = Field::Number(format!("{:.2}", table.seconds));
                let (rows, bytes) = (output::count(table.rows), output::bytes(table.bytes));
                vec![table.table.as_str().into(), rows, bytes, seconds, digest.into(), self.verified.into()]
            })
            .collect();
        let seconds = Field::Number(format!("{:.2}", self.seconds));
        let (count, bytes) = (output::count(self.rows), output::bytes(self.bytes));
        rows.push(vec!["total".into(), count, bytes, seconds, "".into(), "".into()]);
        let header = vec!["table", "rows", "bytes", "seconds", "digest", "verified"];
        let mut blocks = vec![Block::Table { title: "tables", header, rows }];
        blocks.extend(changes_block(changes));
        if !self.normalised.is_empty() {
            let kinds: Vec<_> = self.normalised.iter().map(|(kind, count)| format!("{kind} in {count}")).collect();
            blocks.push(Block::Line(format!("jsonb keeps the value, not the text: it changed {}", kinds.join(", "))));
        }
        blocks
    }
}

/// What policies changed, where they changed something.
pub(super) fn changes_block(changes: &Changes) -> Option<Block> {
    let rows = changes.iter().map(|((table, class, policy), count)| {
        vec![table.as_str().into(), class.to_string().into(), policy.to_string().into(), output::count(*count)]
    });
    let header = vec!["table", "class", "policy", "values"];
    (!changes.is_empty()).then(|| Block::Table { title: "changes", header, rows: rows.collect() })
}
