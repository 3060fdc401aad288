//! Checks of numbers that run out: sequences, and columns of 32 bits. On SQLite all integers have 64 bits.

use std::time::Duration;

use chrono::{DateTime, Utc};
use migration::Revision;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use serde::Serialize;
use serde_json::json;

use super::finding::Finding;
use super::mode::Depth;
use crate::database::connection::row;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
use crate::exit_code::ExitCode;
use crate::format::{counted, number};
use crate::output::Status;
use crate::schema::column_kind::ColumnKind;
use crate::schema::model::{Schema, Table};
use crate::schema::sequence::{self, Sequence, is_nearly_full};
use crate::schema::{diff, visible};

const LARGEST_INTEGER: i64 = i32::MAX as i64;

/// For how long a stage can run before its duration in milliseconds needs more than 32 bits.
const LONGEST_STAGE: Duration = Duration::from_millis(i32::MAX as u64);

/// Whether each sequence is ahead of the numbers in its column, and has numbers left.
pub(super) async fn sequences(connection: &Transaction) -> Finding {
    const NAME: &str = "sequences";
    if connection.backend() != DbBackend::Postgres {
        return Finding::ok(NAME, "SQLite has no sequences");
    }
    let sequences = sequence::read(connection).await;
    Finding::of(NAME, sequences, |sequences| judged(NAME, &sequences))
}

fn judged(name: &'static str, sequences: &[Sequence]) -> Finding {
    // What is wrong with another application's table does not make the history unsound.
    let (own, others): (Vec<_>, Vec<_>) = sequences.iter().partition(|sequence| sequence.is_tarsys);
    let (faults, faults_of_others) = (faults(&own), faults(&others));
    let nearly: Vec<_> =
        sequences.iter().filter(|sequence| sequence.is_nearly_exhausted()).map(almost_without).collect();
    let unread: Vec<_> = sequences.iter().filter(|sequence| sequence.next.is_none()).map(|s| s.name.as_str()).collect();
    let code = |sequences: &[&Sequence]| match sequences.iter().any(|sequence| sequence.is_exhausted()) {
        true => "sequence_exhausted",
        false => "sequence_behind",
    };
    let finding = if !faults.is_empty() {
        let lines = faults.into_iter().chain(faults_of_others).collect();
        Finding::failed(name, ExitCode::Drift, diff::first_of(lines)).because(code(&own))
    } else if !faults_of_others.is_empty() {
        let lines = faults_of_others.into_iter().chain(nearly).collect();
        Finding::new(name, Status::Warning, diff::first_of(lines)).because(code(&others))
    } else if !nearly.is_empty() {
        Finding::new(name, Status::Warning, diff::first_of(nearly)).because("sequence_nearly_exhausted")
    } else if !unread.is_empty() {
        Finding::skipped(name, format!("no privilege to read, or locked by another session: {}", unread.join(", ")))
    } else if sequences.is_empty() {
        Finding::ok(name, "no sequences")
    } else {
        Finding::ok(name, format!("{} ahead of the data", counted(sequences.len() as u64, "sequence")))
    };
    let figures: Vec<_> = sequences
        .iter()
        .map(|Sequence { name, table, column, largest, next, largest_possible, .. }| {
            json!({ "sequence": name, "table": table, "column": column, "next": next, "largest": largest,
                    "largest_possible": largest_possible })
        })
        .collect();
    finding.with(json!({ "sequences": figures }))
}

/// The sequences without a number for the next insert, then those that are behind the data.
fn faults(sequences: &[&Sequence]) -> Vec<String> {
    let exhausted = sequences.iter().filter(|sequence| sequence.is_exhausted());
    let exhausted = exhausted.map(|sequence| without_numbers(sequence));
    exhausted.chain(sequences.iter().filter_map(|sequence| sequence.fault())).collect()
}

fn without_numbers(sequence: &Sequence) -> String {
    let Sequence { name, table, largest_possible, .. } = sequence;
    format!(
        "`{name}` has no number left after {largest_possible}, so the next insert into `{table}` fails; {}",
        remedy(sequence)
    )
}

fn almost_without(sequence: &Sequence) -> String {
    let Sequence { name, largest_possible, next, .. } = sequence;
    let next = next.unwrap_or_default();
    format!(
        "the next number of `{name}` is {next}, and the largest possible one is {largest_possible}; {}",
        remedy(sequence)
    )
}

/// TARSy's only sequence is that of its events, which its backend keeps for a day. Every other table has rows to keep.
fn remedy(sequence: &Sequence) -> &'static str {
    const TYPES: [i64; 2] = [i16::MAX as i64, i32::MAX as i64];
    match (sequence.is_tarsys, sequence.table.as_str(), sequence.column.as_str()) {
        (true, "events", "id") => {
            "stop the backend and run `TRUNCATE events RESTART IDENTITY`, which removes the last events"
        }
        _ if TYPES.contains(&sequence.largest_possible) => "widen the column and the sequence to bigint",
        _ if sequence.largest_possible == i64::MAX => {
            "let it begin again at a number that is free, with `ALTER SEQUENCE ... RESTART WITH ...`"
        }
        _ => "raise the limit of the sequence, with `ALTER SEQUENCE ... NO MAXVALUE`",
    }
}

/// Whether the values in columns of 32 bits approach their limit. Only a deep check reads the rows.
pub(super) async fn integers(connection: &Transaction, found: &Schema, depth: Depth, now: DateTime<Utc>) -> Finding {
    const NAME: &str = "integers";
    if connection.backend() != DbBackend::Postgres {
        return Finding::ok(NAME, "SQLite's integers have 64 bits");
    }
    let read = async {
        let values = match depth {
            Depth::Deep => Some(large_values(connection, found).await?),
            Depth::Quick => None,
        };
        Ok::<_, DbErr>((values, long_stages(connection, found, now).await?))
    };
    match read.await.map_err(DatabaseCause::from) {
        // That another session works with a table is no fault of its values.
        Err(cause) if cause.class == ErrorClass::Busy => {
            Finding::skipped(NAME, format!("another session has locked a table: {cause}")).because("locked")
        }
        read => Finding::of(NAME, read, |(values, stages)| judged_integers(NAME, values.as_deref(), stages)),
    }
}

/// `values` is `None` if the columns were not read.
fn judged_integers(name: &'static str, values: Option<&[LargeValue]>, stages: u64) -> Finding {
    let found = values.unwrap_or_default();
    let lines = found.iter().map(LargeValue::line).chain((stages > 0).then(|| long_stages_line(stages)));
    let lines: Vec<_> = lines.collect();
    let finding = match (found.is_empty(), stages) {
        (true, 0) if values.is_none() => Finding::ok(name, "no stage takes too long (`--deep` also reads the columns)"),
        (true, 0) => Finding::ok(name, "no column of 32 bits is nearly full"),
        (true, _) => Finding::new(name, Status::Note, lines).because("stage_too_long"),
        (false, _) => Finding::new(name, Status::Warning, lines).because("column_nearly_full"),
    };
    finding.with(json!({ "columns": values, "long_stages": stages, "limit": LARGEST_INTEGER }))
}

/// A column with a value that is at least nine tenths of the limit.
#[derive(Serialize)]
struct LargeValue {
    table: &'static str,
    column: String,
    largest: i64,
}

impl LargeValue {
    fn line(&self) -> String {
        let Self { table, column, largest } = self;
        format!("the largest value of `{table}.{column}` is {largest}, and the limit is {LARGEST_INTEGER}")
    }
}

/// The columns with values that are nine tenths of the limit or more.
async fn large_values(connection: &Transaction, found: &Schema) -> Result<Vec<LargeValue>, DbErr> {
    let mut values = Vec::new();
    for name in Revision::HEAD.tables() {
        let Some(table) = found.tables.get(name) else { continue };
        let is_counted = |column: &&String| {
            table.columns[*column].kind == ColumnKind::Integer && !table.primary_key.contains(column)
        };
        let columns: Vec<_> = table.columns.keys().filter(is_counted).collect();
        let place = connection.namespace().table(name);
        if columns.is_empty() || !visible::hold(connection, &place).await?.is_table {
            continue;
        }
        let largest: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| format!("max({})::bigint AS c{index}", quoted(column)))
            .collect();
        let row = row(connection, &format!("SELECT {} FROM {place}", largest.join(", "))).await?;
        for (index, column) in columns.iter().enumerate() {
            let largest = row.try_get::<Option<i64>>("", &format!("c{index}"))?.unwrap_or_default();
            if is_nearly_full(largest, LARGEST_INTEGER) {
                values.push(LargeValue { table: name, column: (*column).clone(), largest });
            }
        }
    }
    Ok(values)
}

/// How many stages without an end began so long ago that their duration does not fit, or soon will not.
async fn long_stages(connection: &Transaction, found: &Schema, now: DateTime<Utc>) -> Result<u64, DbErr> {
    const TABLE: &str = "stage_executions";
    let Some(Table { columns, .. }) = found.tables.get(TABLE) else { return Ok(0) };
    let has_limit = columns.get("duration_ms").is_some_and(|column| column.kind == ColumnKind::Integer);
    if !has_limit || !["started_at_us", "completed_at_us"].iter().all(|column| columns.contains_key(*column)) {
        return Ok(0);
    }
    let place = connection.namespace().table(TABLE);
    if !visible::hold(connection, &place).await?.is_table {
        return Ok(0);
    }
    let sql =
        format!("SELECT count(*) AS stages FROM {place} WHERE completed_at_us IS NULL AND started_at_us < $1::bigint");
    let before = now.timestamp_micros() - i64::try_from(LONGEST_STAGE.as_micros() / 10 * 9).unwrap_or(i64::MAX);
    let statement = Statement::from_sql_and_values(connection.backend(), sql, [before.into()]);
    let row = connection.query_one_raw(statement).await?;
    Ok(row.map(|row| row.try_get::<i64>("", "stages")).transpose()?.unwrap_or_default().unsigned_abs())
}

fn long_stages_line(stages: u64) -> String {
    format!(
        "stages without an end that began more than 22 days ago: {}; after 24.8 days the backend cannot end a stage, \
         because `stage_executions.duration_ms` cannot hold its duration",
        number(stages)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(next: Option<i128>) -> Sequence {
        Sequence {
            name: "events_id_seq".to_owned(),
            number: 1,
            place: "public.events_id_seq".to_owned(),
            table_place: "public.events".to_owned(),
            is_tarsys: true,
            table: "events".to_owned(),
            column: "id".to_owned(),
            largest: Some(41),
            next,
            largest_possible: LARGEST_INTEGER,
        }
    }

    #[test]
    fn a_sequence_behind_its_data_fails_and_one_that_cannot_be_read_is_skipped() {
        let judged = |next| judged("sequences", &[sequence(next)]);
        assert_eq!(judged(Some(42)).status, Status::Ok);
        assert_eq!(judged(None).status, Status::Skipped);
        let behind = judged(Some(41));
        assert_eq!((behind.status, behind.exit_code), (Status::Failed, ExitCode::Drift));
    }

    #[test]
    fn only_events_may_be_emptied() {
        let of = |table: &str, column: &str| Sequence {
            table: table.to_owned(),
            column: column.to_owned(),
            ..sequence(Some(i128::from(LARGEST_INTEGER) + 1))
        };
        assert!(remedy(&of("events", "id")).contains("TRUNCATE events"));
        for (table, column) in [("llm_interactions", "seq"), ("events", "other"), ("alert_sessions", "id")] {
            assert_eq!(remedy(&of(table, column)), "widen the column and the sequence to bigint");
        }
        let of_limit = |largest_possible| remedy(&Sequence { largest_possible, ..of("llm_interactions", "seq") });
        assert!(of_limit(1000).contains("NO MAXVALUE") && of_limit(i64::MAX).contains("RESTART WITH"));
    }

    #[test]
    fn a_sequence_warns_from_nine_tenths_on_and_fails_without_a_number() {
        let judged = |next| judged("sequences", &[sequence(Some(next))]);
        assert_eq!(judged(1_932_735_283).status, Status::Ok);
        assert_eq!(judged(1_932_735_284).status, Status::Warning);
        assert_eq!(judged(LARGEST_INTEGER.into()).status, Status::Warning, "one is left");
        let exhausted = judged(i128::from(LARGEST_INTEGER) + 1);
        assert_eq!((exhausted.status, exhausted.exit_code), (Status::Failed, ExitCode::Drift));
        assert!(
            exhausted.detail.0[0].starts_with("`events_id_seq` has no number left after 2147483647"),
            "{exhausted:?}"
        );
    }
}
