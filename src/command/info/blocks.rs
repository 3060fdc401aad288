//! The report of `info` as tables.

use serde_json::Value;

use super::summary::{InfoSummary, RowCount, SessionSummary, SpaceSummary, TableInfo, Unreadable, Week};
use crate::database::read_transaction::QUERY_LIMIT;
use crate::database::url::Backend;
use crate::format::{self, counted};
use crate::history::retention::policy::{DAYS_BY_DESIGN, DAYS_OF_RELEASES};
use crate::history::space::Space;
use crate::output::{self, Block, Field};
use crate::schema::state_error::described;
use crate::settings::ShownSetting;

/// The width of the longest bar, in characters.
const BAR_WIDTH: u64 = 40;

pub(crate) fn blocks(summary: &InfoSummary, settings: Vec<ShownSetting>) -> Vec<Block> {
    let mut blocks = vec![database_block(summary)];
    if !summary.tables.is_empty() {
        blocks.push(table_block(&summary.tables));
    }
    blocks.extend(summary.space.iter().flat_map(space_blocks));
    blocks.extend(summary.sessions.iter().flat_map(session_blocks));
    blocks.extend(summary.row_policies.iter().map(|policies| {
        Block::Line(format!("incomplete: {}; the figures of this table count visible rows only", policies.text()))
    }));
    blocks.extend(skipped_line(&summary.skipped).map(Block::Line));
    blocks.extend(unreadable_line(&summary.unreadable).map(Block::Line));
    blocks.extend(summary.schema_error.iter().cloned().map(Block::Line));
    blocks.extend(summary.retention_error.iter().cloned().map(Block::Line));
    let rows = settings.into_iter().map(|(name, value, source)| vec![name.into(), shown(value).into(), source.into()]);
    blocks.push(Block::Table { title: "settings", header: vec!["setting", "value", "source"], rows: rows.collect() });
    blocks
}

/// A setting as text. Only the retention has no value if it is not set.
fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => format!("{DAYS_BY_DESIGN} or {DAYS_OF_RELEASES}: not set"),
        typed => typed.to_string(),
    }
}

fn or_dash(value: Option<&str>) -> Field {
    value.unwrap_or("-").into()
}

fn database_block(summary: &InfoSummary) -> Block {
    let revision = summary.revision.as_deref().map_or_else(|| summary.unrecorded.clone(), described);
    let mut rows: Vec<Vec<Field>> = vec![
        vec!["database".into(), summary.database.as_str().into()],
        vec!["backend".into(), format!("{} {}", summary.backend, summary.server_version).into()],
        vec!["revision".into(), revision.into()],
        vec!["size".into(), or_dash(summary.bytes.map(format::size).as_deref())],
    ];
    if summary.backend == Backend::Postgresql {
        rows.insert(2, vec!["role".into(), or_dash(summary.role.as_deref())]);
        let protection = summary.protection.map(|protection| protection.to_string());
        rows.insert(3, vec!["protection".into(), or_dash(protection.as_deref())]);
    }
    rows.extend(summary.wal_bytes.map(|bytes| {
        vec!["size of the `-wal`".into(), format!("{}, which is larger than the file", format::size(bytes)).into()]
    }));
    Block::Table { title: "database", header: vec![], rows }
}

fn table_block(tables: &[TableInfo]) -> Block {
    let dash = || Field::Number("-".to_owned());
    let size = |bytes: Option<u64>| bytes.map_or_else(dash, output::bytes);
    let rows = tables.iter().map(|table| {
        let rows = match table.rows {
            RowCount::Unknown => dash(),
            RowCount::Exact(rows) => output::count(rows),
            RowCount::Estimated(rows) => Field::Number(format!("~{}", format::number(rows))),
        };
        let (data, index, toast) = (size(table.table_bytes), size(table.index_bytes), size(table.toast_bytes));
        vec![table.table.as_str().into(), rows, data, index, toast]
    });
    let header = vec!["table", "rows", "table size", "indexes", "TOAST"];
    Block::Table { title: "tables", header, rows: rows.collect() }
}

fn skipped_line(parts: &[String]) -> Option<String> {
    let (limit, skipped) = (format::duration(QUERY_LIMIT), parts.join(", "));
    let line =
        format!("skipped because it took longer than {limit}: {skipped}; `tarsy-db info --exact` has no time limit");
    (!parts.is_empty()).then_some(line)
}

fn unreadable_line(parts: &[Unreadable]) -> Option<String> {
    let parts: Vec<_> = parts.iter().map(|Unreadable { part, reason }| format!("{part} ({reason})")).collect();
    (!parts.is_empty()).then(|| format!("not readable: {}", parts.join(", ")))
}

fn space_blocks(space: &SpaceSummary) -> Vec<Block> {
    let mut blocks = Vec::new();
    match &space.parts {
        Space::Tables(tables) if tables.is_empty() => {}
        Space::Tables(tables) => {
            let rows = tables.iter().map(|table| {
                let dead = output::count(table.dead_rows);
                let (by_hand, by_server) =
                    (or_dash(table.last_vacuum.as_deref()), or_dash(table.last_autovacuum.as_deref()));
                vec![table.table.as_str().into(), dead, output::bytes(table.reclaimable_bytes), by_hand, by_server]
            });
            let header = vec!["table", "dead rows", "bytes (estimate)", "last VACUUM", "last autovacuum"];
            blocks.push(Block::Table { title: "space to reclaim", header, rows: rows.collect() });
        }
        Space::File(file) => {
            let rows = vec![
                vec!["free pages in the file".into(), output::bytes(file.reclaimable_bytes)],
                vec!["auto_vacuum".into(), file.auto_vacuum.to_string().into()],
            ];
            blocks.push(Block::Table { title: "space to reclaim", header: vec![], rows });
        }
    }
    blocks.extend(space.next_command.iter().map(|command| Block::Line(format!("`{command}` reclaims this space"))));
    blocks
}

fn session_blocks(sessions: &SessionSummary) -> Vec<Block> {
    let mut rows = vec![
        vec!["oldest".into(), or_dash(sessions.oldest.as_deref())],
        vec!["newest".into(), or_dash(sessions.newest.as_deref())],
        vec![
            format!("retention of {} days would remove", sessions.retention_days).into(),
            would_remove(sessions).into(),
        ],
    ];
    rows.extend(
        sessions
            .by_status
            .iter()
            .flatten()
            .map(|count| vec![count.status.as_str().into(), format::number(count.sessions).into()]),
    );
    let mut blocks = vec![Block::Table { title: "sessions", header: vec![], rows }];
    blocks.extend(sessions.retention.lines().into_iter().map(Block::Line));
    blocks.extend(weeks_block(sessions.by_week.as_deref().unwrap_or_default()));
    blocks
}

fn would_remove(sessions: &SessionSummary) -> String {
    match &sessions.would_remove {
        None => "-".to_owned(),
        Some(plan) => format!(
            "{}, {mark}{}, {mark}{}; keeps {} because {} open or in use",
            counted(plan.sessions, "session"),
            counted(plan.rows(), "row"),
            format::size(plan.bytes()),
            counted(plan.kept_counts.total(), "old session"),
            if plan.kept_counts.total() == 1 { "it is" } else { "they are" },
            mark = if plan.is_exact() { "" } else { "~" },
        ),
    }
}

/// A chart, unless all weeks are empty.
fn weeks_block(weeks: &[Week]) -> Option<Block> {
    let most = weeks.iter().map(|week| week.sessions).max().filter(|most| *most > 0)?;
    let rows = weeks
        .iter()
        .map(|week| vec![week.monday.as_str().into(), output::count(week.sessions), bar(week.sessions, most).into()]);
    let header = vec!["week from", "sessions", ""];
    Some(Block::Table {
        title: "sessions by week (at most 26, up to that of the newest session)",
        header,
        rows: rows.collect(),
    })
}

/// A bar in proportion to the largest value; any value above 0 is visible.
fn bar(value: u64, most: u64) -> String {
    let width = (value * BAR_WIDTH).div_ceil(most);
    "█".repeat(usize::try_from(width).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_its_share_and_is_visible_above_zero() {
        let widths = [0, 1, 500, 1000].map(|value| bar(value, 1000).chars().count());
        assert_eq!(widths, [0, 1, 20, 40]);
    }

    #[test]
    fn weeks_without_sessions_have_no_chart() {
        let week = |sessions| Week { monday: "2024-01-29".to_owned(), sessions };
        assert!(weeks_block(&[]).is_none() && weeks_block(&[week(0)]).is_none());
        let Some(Block::Table { rows, .. }) = weeks_block(&[week(0), week(2)]) else { panic!("a chart") };
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn an_estimate_is_marked_and_an_unknown_count_is_a_dash() {
        let table = |rows| TableInfo {
            table: "t".to_owned(),
            schema: None,
            rows,
            table_bytes: Some(2048),
            index_bytes: None,
            toast_bytes: None,
        };
        let tables = [RowCount::Exact(1234), RowCount::Estimated(1234), RowCount::Unknown].map(table);
        let Block::Table { rows, .. } = table_block(&tables) else { panic!("a table") };
        let numbers = rows.iter().map(|row| match &row[1] {
            Field::Number(number) => number.as_str(),
            other => panic!("{other:?}"),
        });
        assert_eq!(numbers.collect::<Vec<_>>(), ["1,234", "~1,234", "-"]);
    }

    #[test]
    fn skipped_parts_are_named_with_the_limit() {
        assert_eq!(skipped_line(&[]), None);
        let line = skipped_line(&["free space".to_owned(), "sessions by week".to_owned()]);
        let expected = "skipped because it took longer than 30s: free space, sessions by week; `tarsy-db info --exact` has no time limit";
        assert_eq!(line.as_deref(), Some(expected));
    }
}
