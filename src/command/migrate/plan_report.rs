//! The report of `--dry-run`, with or without `--append`.

use std::time::Duration;

use serde::Serialize;

use super::prepare::Prepared;
use super::run::Run;
use super::summary::{AppendCounts, changes_block};
use crate::database::url::DatabaseUrl;
use crate::error::Error;
use crate::format;
use crate::output::{self, Block, Field, Report};
use crate::progress::Amount;
use crate::transfer::job::forecast::{Forecast, WORTH_A_TRIAL};
use crate::transfer::report::Outcome;
use crate::transfer::source::origin::Origin;
use crate::transfer::summary::TableLoad;
use crate::transfer::target::obstacle::Obstacle;

pub(crate) enum Planned<'p> {
    /// To fill empty tables.
    Move { forecast: Option<Forecast> },
    /// To insert rows into tables that hold rows.
    Append { loads: &'p [TableLoad] },
}

#[derive(Serialize)]
struct PlanSummary<'p> {
    outcome: Outcome,
    source: String,
    snapshot: Origin,
    target: String,
    revision: &'static str,
    rows: u64,
    #[serde(flatten)]
    counts: Option<AppendCounts>,
    bytes: u64,
    #[serde(flatten)]
    prospect: Option<Prospect>,
    warnings: &'p [Obstacle],
    /// The number of findings of damage that `--accept-damage` accepts.
    accepted_damage: Option<usize>,
    tables: Vec<PlannedTable>,
}

/// What only the plan of a migration without `--append` has.
#[derive(Debug, Clone, Copy, Serialize)]
struct Prospect {
    forecast: Option<Forecast>,
    compression: ToastCompression,
    /// Why there is no forecast.
    #[serde(skip)]
    is_small: bool,
}

/// How long values are compressed.
#[derive(Debug, Clone, Copy, Serialize)]
enum ToastCompression {
    #[serde(rename = "lz4")]
    Lz4,
    #[serde(rename = "as the server is set")]
    AsServerIsSet,
}

#[derive(Serialize)]
struct PlannedTable {
    table: String,
    rows: u64,
    #[serde(flatten)]
    counts: Option<AppendCounts>,
    bytes: u64,
}

impl PlannedTable {
    fn new(table: &str, amount: Amount, counts: Option<AppendCounts>) -> Self {
        Self { table: table.to_owned(), rows: amount.rows, counts, bytes: amount.bytes }
    }

    fn fields(&self) -> Vec<Field> {
        let counts = self.counts.into_iter().flat_map(|counts| [counts.inserted, counts.skipped]);
        let counts = std::iter::once(self.rows).chain(counts).map(output::count);
        std::iter::once(self.table.as_str().into()).chain(counts).chain([output::bytes(self.bytes)]).collect()
    }
}

impl Prospect {
    fn facts(self) -> [(&'static str, String); 3] {
        let Self { forecast, compression, is_small } = self;
        let (size, time) = match forecast {
            Some(forecast) => {
                let duration = format::duration(Duration::from_secs(forecast.seconds));
                (
                    format!("about {}", format::size(forecast.target_bytes)),
                    format!("about {duration}, by a sample at {}/s", format::size(forecast.bytes_per_second)),
                )
            }
            None if is_small => ("not estimated: the source is small".to_owned(), "a few seconds".to_owned()),
            None => {
                let why = "not estimated: no sample could be copied";
                (why.to_owned(), why.to_owned())
            }
        };
        let compression = match compression {
            ToastCompression::Lz4 => "lz4 for long values",
            ToastCompression::AsServerIsSet => "the server's setting",
        };
        [("target size", size), ("time", time), ("compression", compression.to_owned())]
    }
}

/// One row for each table, and their total.
fn table_block(tables: &[PlannedTable], total: &PlannedTable) -> Block {
    let counts: &[&str] = if total.counts.is_some() { &["to insert", "to skip"] } else { &[] };
    let header = [&["table", "rows"], counts, &["bytes"]].concat();
    Block::Table { title: "tables", header, rows: tables.iter().chain([total]).map(PlannedTable::fields).collect() }
}

impl Run<'_> {
    /// Reports a plan; nothing was changed.
    pub(crate) fn plan_report(
        &self,
        to: &DatabaseUrl,
        prepared: &Prepared,
        planned: &Planned<'_>,
    ) -> Result<Report, Error> {
        let total = planned.total(prepared);
        let summary = self.plan_summary(to, prepared, planned, &total);
        self.complete_report(Outcome::Planned, &summary)?;
        let (from, revision) = (&self.source.url, self.source.end.revision);
        let holds = match planned {
            Planned::Move { .. } => "",
            Planned::Append { .. } => ", which already holds rows",
        };
        let ends = [
            ("source", format!("{from}: {}", self.source.origin)),
            ("target", format!("{to}{holds}, in one transaction, at revision {revision}")),
        ];
        let facts = ends.into_iter().chain(summary.prospect.into_iter().flat_map(Prospect::facts));
        let facts = facts.map(|(name, value)| vec![name.into(), value.into()]).collect();
        let mut blocks = vec![
            Block::Table { title: "plan (nothing was changed)", header: vec![], rows: facts },
            table_block(&summary.tables, &total),
        ];
        blocks.extend(self.damage_block());
        blocks.extend(changes_block(&self.changes.borrow()));
        blocks.extend(prepared.warnings.iter().map(|warning| Block::Line(format!("warning: {warning}"))));
        Ok(Report::new(&summary, blocks))
    }

    fn plan_summary<'p>(
        &self,
        to: &DatabaseUrl,
        prepared: &'p Prepared,
        planned: &Planned<'_>,
        total: &PlannedTable,
    ) -> PlanSummary<'p> {
        PlanSummary {
            outcome: Outcome::Planned,
            source: self.source.url.to_string(),
            snapshot: self.source.origin,
            target: to.to_string(),
            revision: self.source.end.revision.id(),
            rows: total.rows,
            counts: total.counts,
            bytes: total.bytes,
            prospect: planned.prospect(prepared),
            warnings: &prepared.warnings,
            accepted_damage: self.accepted_damage(),
            tables: planned.tables(prepared),
        }
    }
}

impl Planned<'_> {
    fn prospect(&self, prepared: &Prepared) -> Option<Prospect> {
        let Self::Move { forecast } = *self else { return None };
        let compression = if prepared.is_lz4 { ToastCompression::Lz4 } else { ToastCompression::AsServerIsSet };
        let total: Amount = prepared.amounts.iter().copied().sum();
        Some(Prospect { forecast, compression, is_small: total.bytes < WORTH_A_TRIAL })
    }

    fn tables(&self, prepared: &Prepared) -> Vec<PlannedTable> {
        let names = prepared.plan.tables.iter().map(|table| table.name.as_str());
        match self {
            Self::Move { .. } => {
                names.zip(&prepared.amounts).map(|(name, amount)| PlannedTable::new(name, *amount, None)).collect()
            }
            Self::Append { loads } => {
                let counts = |load| Some(AppendCounts::of(std::slice::from_ref(load)));
                names.zip(*loads).map(|(name, load)| PlannedTable::new(name, load.amount, counts(load))).collect()
            }
        }
    }

    fn total(&self, prepared: &Prepared) -> PlannedTable {
        let (amount, counts) = match self {
            Self::Move { .. } => (prepared.amounts.iter().copied().sum(), None),
            Self::Append { loads } => (loads.iter().map(|load| load.amount).sum(), Some(AppendCounts::of(loads))),
        };
        PlannedTable::new("total", amount, counts)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_append_has_two_columns_more_than_a_move() {
        let header = |counts| {
            let total = PlannedTable::new("total", Amount { rows: 3, bytes: 9 }, counts);
            match table_block(&[], &total) {
                Block::Table { header, rows, .. } => (header, rows[0].len()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(header(None), (vec!["table", "rows", "bytes"], 3));
        let counts = AppendCounts { inserted: 2, skipped: 1 };
        assert_eq!(header(Some(counts)), (vec!["table", "rows", "to insert", "to skip", "bytes"], 5));
    }

    #[test]
    fn the_counts_of_an_append_stand_between_rows_and_bytes() {
        let table = |counts| json!(PlannedTable::new("events", Amount { rows: 3, bytes: 9 }, counts)).to_string();
        assert_eq!(table(None), r#"{"table":"events","rows":3,"bytes":9}"#);
        let counts = table(Some(AppendCounts { inserted: 2, skipped: 1 }));
        assert_eq!(counts, r#"{"table":"events","rows":3,"inserted":2,"skipped":1,"bytes":9}"#);
    }

    #[test]
    fn without_a_forecast_the_plan_says_why() {
        let facts = |forecast, compression, is_small| {
            Prospect { forecast, compression, is_small }.facts().map(|(_, text)| text)
        };
        let small = facts(None, ToastCompression::AsServerIsSet, true);
        assert_eq!(small, ["not estimated: the source is small", "a few seconds", "the server's setting"]);
        let [size, time, _] = facts(None, ToastCompression::AsServerIsSet, false);
        let why = "not estimated: no sample could be copied";
        assert_eq!((size.as_str(), time.as_str()), (why, why));
        let forecast = Forecast { target_bytes: 2048, seconds: 90, bytes_per_second: 1024 };
        let facts = facts(Some(forecast), ToastCompression::Lz4, false);
        assert_eq!(facts, ["about 2.0 KiB", "about 1m 30s, by a sample at 1.0 KiB/s", "lz4 for long values"]);
    }
}
