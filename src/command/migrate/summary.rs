//! What was migrated, as data and as tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::run::{Changes, Run};
use crate::database::url::DatabaseUrl;
use crate::format::{counted, number};
use crate::output::{self, Block, Field};
use crate::progress::Amount;
use crate::transfer::job::load::Verification;
use crate::transfer::plan::TablePlan;
use crate::transfer::summary::TableLoad;
use crate::transfer::value::digest::TableDigest;
use crate::transfer::value::normalization::Normalization;

#[derive(Serialize)]
pub(crate) struct MigrateSummary {
    source: String,
    target: String,
    /// The revision of source and target.
    revision: &'static str,
    rows: u64,
    #[serde(flatten)]
    counts: Option<AppendCounts>,
    bytes: u64,
    seconds: f64,
    /// `full`, `counts` or `none`.
    verified: &'static str,
    /// The number of findings of damage that `--accept-damage` accepts.
    accepted_damage: Option<usize>,
    /// The number of values that `jsonb` prints differently, by kind.
    normalised: BTreeMap<&'static str, u64>,
    tables: Vec<TableSummary>,
}

/// The rows of an append.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct AppendCounts {
    /// Rows that did not exist on the target.
    pub(crate) inserted: u64,
    /// Rows that already existed and are identical.
    pub(crate) skipped: u64,
}

impl AppendCounts {
    pub(crate) fn of(loads: &[TableLoad]) -> Self {
        let rows: u64 = loads.iter().map(|load| load.amount.rows).sum();
        let skipped = loads.iter().map(|load| load.present).sum();
        Self { inserted: rows - skipped, skipped }
    }
}

#[derive(Serialize)]
struct TableSummary {
    table: String,
    rows: u64,
    #[serde(flatten)]
    counts: Option<AppendCounts>,
    bytes: u64,
    seconds: f64,
    digest: Option<String>,
}

impl MigrateSummary {
    /// One table of a summary for each table of the plan.
    pub(crate) fn new(
        run: &Run<'_>,
        to: &DatabaseUrl,
        verification: Verification,
        tables: &[Arc<TablePlan>],
        loads: &[TableLoad],
    ) -> Self {
        let total: Amount = loads.iter().map(|load| load.amount).sum();
        let counts = |loads: &[TableLoad]| run.arguments.append.then(|| AppendCounts::of(loads));
        let tables = (tables.iter().zip(loads)).map(|(table, load)| TableSummary {
            table: table.name.clone(),
            rows: load.amount.rows,
            counts: counts(std::slice::from_ref(load)),
            bytes: load.amount.bytes,
            seconds: load.duration.as_secs_f64(),
            digest: load.digest.as_ref().map(TableDigest::hex),
        });
        let normalised = Normalization::ALL
            .into_iter()
            .map(|kind| (kind.name(), loads.iter().map(|load| load.normalizations[kind as usize]).sum()))
            .filter(|(_, count)| *count > 0);
        Self {
            source: run.source.url.to_string(),
            target: to.to_string(),
            revision: run.source.end.revision.id(),
            rows: total.rows,
            counts: counts(loads),
            bytes: total.bytes,
            seconds: run.started.elapsed().as_secs_f64(),
            verified: match verification {
                Verification::Full => "full",
                Verification::Counts => "counts",
                Verification::None => "none",
            },
            accepted_damage: run.accepted_damage(),
            normalised: normalised.collect(),
            tables: tables.collect(),
        }
    }

    /// The report as text.
    pub(crate) fn blocks(&self, changes: &Changes) -> Vec<Block> {
        let row = |name: &str, rows: u64, counts: Option<AppendCounts>, bytes: u64, seconds: f64| {
            let counts = counts.into_iter().flat_map(|counts| [counts.inserted, counts.skipped]);
            let counts = std::iter::once(rows).chain(counts).map(output::count);
            let seconds = Field::Number(format!("{seconds:.2}"));
            std::iter::once(name.into()).chain(counts).chain([output::bytes(bytes), seconds]).collect::<Vec<_>>()
        };
        let mut rows = Vec::new();
        for table in &self.tables {
            let digest = table.digest.as_deref().map_or("-".to_owned(), |digest| digest[..16].to_owned());
            let mut fields = row(&table.table, table.rows, table.counts, table.bytes, table.seconds);
            fields.extend([digest.into(), self.verified.into()]);
            rows.push(fields);
        }
        let mut total = row("total", self.rows, self.counts, self.bytes, self.seconds);
        total.extend(["".into(), "".into()]);
        rows.push(total);
        let counts: &[&str] = if self.counts.is_some() { &["inserted", "skipped"] } else { &[] };
        let header = [&["table", "rows"], counts, &["bytes", "seconds", "digest", "verified"]].concat();
        let mut blocks = vec![Block::Table { title: "tables", header, rows }];
        blocks.extend(changes_block(changes));
        if !self.normalised.is_empty() {
            let kinds: Vec<_> =
                self.normalised.iter().map(|(kind, count)| format!("{kind} in {}", number(*count))).collect();
            blocks.push(Block::Line(format!(
                "`jsonb` stores values, not their text: the text changed for {}",
                kinds.join(", ")
            )));
        }
        blocks
    }
}

impl Run<'_> {
    /// Reports that the source is damaged, if that was accepted.
    pub(crate) fn damage_block(&self) -> Option<Block> {
        let text = |findings| {
            format!(
                "the source is damaged: rows or values may be missing or altered; the report lists {}",
                counted(findings as u64, "finding")
            )
        };
        self.accepted_damage().map(text).map(Block::Line)
    }
}

/// The changes by policies, if there are any.
pub(crate) fn changes_block(changes: &Changes) -> Option<Block> {
    let rows = changes.iter().map(|((table, class, policy), count)| {
        vec![table.as_str().into(), class.to_string().into(), policy.to_string().into(), output::count(*count)]
    });
    let header = vec!["table", "class", "policy", "values"];
    (!changes.is_empty()).then(|| Block::Table { title: "changes", header, rows: rows.collect() })
}
