//! What was moved, as data and as tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use migration::Revision;
use serde::Serialize;

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

/// One table of a summary for each table of the plan, and the blocks that show them.
pub(super) fn summary(
    from: &DatabaseUrl,
    to: &DatabaseUrl,
    verify: Verify,
    revision: Revision,
    tables: &[Arc<TablePlan>],
    loads: &[TableLoad],
    duration: Duration,
) -> (Summary, Vec<Block>) {
    let verified = match verify {
        Verify::Full => "full",
        Verify::Counts => "counts",
        Verify::None => "none",
    };
    let total: Amount = loads.iter().map(|load| load.amount).sum();
    let tables: Vec<TableSummary> = (tables.iter().zip(loads))
        .map(|(table, load)| TableSummary {
            table: table.name.clone(),
            rows: load.amount.rows,
            bytes: load.amount.bytes,
            seconds: load.duration.as_secs_f64(),
            digest: load.digest.as_ref().map(TableDigest::hex),
        })
        .collect();
    let mut rows: Vec<Vec<Field>> = tables
        .iter()
        .map(|table| {
            let digest = table.digest.as_deref().map_or("-".to_owned(), |digest| digest[..16].to_owned());
            let seconds = Field::Number(format!("{:.2}", table.seconds));
            let (rows, bytes) = (output::count(table.rows), output::bytes(table.bytes));
            vec![table.table.as_str().into(), rows, bytes, seconds, digest.into(), verified.into()]
        })
        .collect();
    let seconds = Field::Number(format!("{:.2}", duration.as_secs_f64()));
    let (count, bytes) = (output::count(total.rows), output::bytes(total.bytes));
    rows.push(vec!["total".into(), count, bytes, seconds, "".into(), "".into()]);
    let normalised: BTreeMap<&'static str, u64> = Normalisation::ALL
        .into_iter()
        .map(|kind| (kind.name(), loads.iter().map(|load| load.normalised[kind as usize]).sum()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let mut blocks = vec![
        Block::Table { title: "tables", header: vec!["table", "rows", "bytes", "seconds", "digest", "verified"], rows },
    ];
    if !normalised.is_empty() {
        let kinds: Vec<_> = normalised.iter().map(|(kind, count)| format!("{kind} in {count}")).collect();
        blocks.push(Block::Line(format!("jsonb keeps the value, not the text: it changed {}", kinds.join(", "))));
    }
    let summary = Summary {
        source: from.to_string(),
        target: to.to_string(),
        revision: revision.id(),
        rows: total.rows,
        bytes: total.bytes,
        seconds: duration.as_secs_f64(),
        verified,
        normalised,
        tables,
    };
    (summary, blocks)
}
