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
use crate::schema::sequence::{self, Applications, Persistence, Sequence, is_nearly_full};
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
    let sequences = sequence::read(connection, Applications::All).await;
    Finding::of(NAME, sequences, |sequences| judged(NAME, &sequences))
}

fn judged(name: &'static str, sequences: &[Sequence]) -> Finding {
    // What is wrong with another application's table does not make the history unsound.
    let (own, others): (Vec<_>, Vec<_>) = sequences.iter().partition(|sequence| sequence.is_tarsys);
    let (faults, faults_of_others) = (faults(&own), faults(&others));
    // Another application may have tables that a crash may empty.
    let unlogged: Vec<_> = own
        .iter()
        .filter(|sequence| sequence.persistence == Persistence::Unlogged)
        .map(|sequence| unlogged(sequence))
        .collect();
    let nearly: Vec<_> =
        sequences.iter().filter(|sequence| sequence.is_nearly_exhausted()).map(almost_without).collect();
    let code = |sequences: &[&Sequence]| match sequences.iter().any(|sequence| sequence.is_exhausted()) {
        true => "sequence_exhausted",
        false => "sequence_behind",
    };
    let unread = own.iter().find_map(|sequence| Some((sequence, sequence.unread.as_ref()?)));
    let unread = unread.map(|(sequence, cause)| unread_finding(name, sequence, cause));
    let is_failed = |finding: &Finding| finding.status == Status::Failed;
    let ahead = format!("{} ahead of the data", counted(read(sequences).count() as u64, "sequence"));
    let finding = match unread {
        _ if !faults.is_empty() => {
            let lines = faults.into_iter().chain(unlogged).chain(faults_of_others).collect();
            Finding::failed(name, ExitCode::Drift, diff::first_of(lines)).because(code(&own))
        }
        _ if !unlogged.is_empty() => {
            let lines = unlogged.into_iter().chain(faults_of_others).collect();
            Finding::failed(name, ExitCode::Drift, diff::first_of(lines)).because("sequence_unlogged")
        }
        Some(unread) if is_failed(&unread) => return unread,
        _ if !faults_of_others.is_empty() => {
            let lines = faults_of_others.into_iter().chain(nearly).collect();
            Finding::new(name, Status::Warning, diff::first_of(lines)).because(code(&others))
        }
        _ if !nearly.is_empty() => {
            Finding::new(name, Status::Warning, diff::first_of(nearly)).because("sequence_nearly_exhausted")
        }
        Some(unread) => unread,
        None if sequences.is_empty() => Finding::ok(name, "no sequences"),
        None if read(sequences).count() < sequences.len() => {
            let lines = std::iter::once(ahead).chain(others.iter().filter_map(|sequence| not_checked(sequence)));
            Finding::new(name, Status::Note, diff::first_of(lines.collect())).because("not_checked")
        }
        None => Finding::ok(name, ahead),
    };
    let figures: Vec<_> = sequences.iter().map(figures).collect();
    finding.with(json!({ "sequences": figures }))
}

fn figures(sequence: &Sequence) -> serde_json::Value {
    let Sequence { name, table, column, increment, next, farthest, .. } = sequence;
    json!({ "sequence": name, "table": table, "column": column, "increment": increment, "next": next,
            "largest": farthest, "largest_possible": sequence.last_possible() })
}

/// The sequences whose numbers are all known.
fn read(sequences: &[Sequence]) -> impl Iterator<Item = &Sequence> {
    sequences.iter().filter(|sequence| sequence.unread.is_none())
}

/// The result if a sequence of TARSy's cannot be read.
fn unread_finding(name: &'static str, sequence: &Sequence, cause: &DatabaseCause) -> Finding {
    let finding = Finding::unanswered(name, cause);
    let lines: Vec<_> =
        finding.detail.0.iter().map(|line| format!("`{}` is not checked: {line}", sequence.name)).collect();
    finding.saying(lines)
}

fn not_checked(sequence: &Sequence) -> Option<String> {
    let cause = sequence.unread.as_ref()?.to_string();
    let cause = cause.lines().next().unwrap_or_default();
    Some(format!("`{}` of another application is not checked: {cause}", sequence.name))
}

/// The sequences without a number for the next insert, then those that are behind the data.
fn faults(sequences: &[&Sequence]) -> Vec<String> {
    let exhausted = sequences.iter().filter(|sequence| sequence.is_exhausted());
    let exhausted = exhausted.map(|sequence| without_numbers(sequence));
    exhausted.chain(sequences.iter().filter_map(|sequence| behind(sequence))).collect()
}

fn unlogged(sequence: &Sequence) -> String {
    let Sequence { name, .. } = sequence;
    format!("`{name}` is UNLOGGED: a crash of the server resets it; run `ALTER SEQUENCE {name} SET LOGGED`")
}

fn without_numbers(sequence: &Sequence) -> String {
    let Sequence { name, table, .. } = sequence;
    format!(
        "`{name}` has no number left after {}, so the next insert into `{table}` fails; {}",
        sequence.last_possible(),
        remedy(sequence)
    )
}

/// The fault of a sequence behind its data, and what to do if `--fix` leaves it.
fn behind(sequence: &Sequence) -> Option<String> {
    let fault = sequence.fault()?;
    let Sequence { name, is_tarsys, .. } = sequence;
    Some(match sequence.free_number() {
        _ if sequence.can_be_advanced() || !is_tarsys => fault,
        Some(free) => format!(
            "{fault}; `--fix` leaves a sequence as it is that counts down or has CYCLE: {}",
            restart(name, free)
        ),
        None => format!(
            "{fault}; `--fix` leaves the sequence as it is, because no number is left past the data: {}",
            remedy(sequence)
        ),
    })
}

fn restart(name: &str, number: i128) -> String {
    format!("run `ALTER SEQUENCE {name} RESTART WITH {number}`")
}

fn almost_without(sequence: &Sequence) -> String {
    let Sequence { name, next, .. } = sequence;
    let (next, last) = (next.unwrap_or_default(), sequence.last_possible());
    let end = if sequence.is_ascending() { "largest" } else { "smallest" };
    format!("the next number of `{name}` is {next}, and the {end} possible one is {last}; {}", remedy(sequence))
}

/// TARSy's only sequence is that of its events, which its backend keeps for a day. Every other table has rows to keep.
fn remedy(sequence: &Sequence) -> String {
    const TYPES: [i64; 2] = [i16::MAX as i64, i32::MAX as i64];
    let last = sequence.last_possible();
    match (sequence.is_tarsys, sequence.table.as_str(), sequence.column.as_str()) {
        (true, "events", "id") => {
            format!("stop the backend and run `{}`, which removes the last events", empty_events(sequence))
        }
        _ if sequence.is_ascending() && TYPES.contains(&last) => {
            "widen the column and the sequence to bigint".to_owned()
        }
        _ if !sequence.is_ascending() || last == i64::MAX => {
            "let it begin again at a number that is free, with `ALTER SEQUENCE ... RESTART WITH ...`".to_owned()
        }
        _ => "raise the limit of the sequence, with `ALTER SEQUENCE ... NO MAXVALUE`".to_owned(),
    }
}

/// The statements that remove all events and let their sequence begin again as TARSy creates it.
fn empty_events(sequence: &Sequence) -> String {
    match sequence.is_owned && sequence.increment == 1 {
        true => "TRUNCATE events RESTART IDENTITY".to_owned(),
        false => format!(
            "TRUNCATE events; ALTER SEQUENCE {} INCREMENT 1 NO MINVALUE NO MAXVALUE START WITH 1 RESTART",
            sequence.name
        ),
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
    use crate::schema::sequence::Privileges;

    fn sequence(next: Option<i128>) -> Sequence {
        Sequence {
            name: "events_id_seq".to_owned(),
            number: 1,
            place: "public.events_id_seq".to_owned(),
            table_place: "public.events".to_owned(),
            is_tarsys: true,
            table: "events".to_owned(),
            column: "id".to_owned(),
            is_owned: true,
            privileges: Privileges { column: true, sequence: true, last_number: true },
            persistence: Persistence::Permanent,
            increment: 1,
            is_cycle: false,
            given: [1, LARGEST_INTEGER],
            possible: [1, LARGEST_INTEGER],
            farthest: Some(41),
            next,
            is_next_used: None,
            unread: next.is_none().then(|| DatabaseCause::new(ErrorClass::Privilege, "permission denied")),
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
        let of_limit = |last| remedy(&Sequence { possible: [1, last], ..of("llm_interactions", "seq") });
        assert!(of_limit(1000).contains("NO MAXVALUE") && of_limit(i64::MAX).contains("RESTART WITH"));
    }

    #[test]
    fn a_sequence_that_does_not_belong_to_its_table_is_restarted_by_its_name() {
        let text = remedy(&Sequence { is_owned: false, ..sequence(Some(42)) });
        assert!(
            text.contains("TRUNCATE events; ALTER SEQUENCE events_id_seq ") && text.contains(" RESTART`"),
            "{text}"
        );
    }

    #[test]
    fn what_another_application_has_is_a_note_and_tarsys_own_decides() {
        let busy = Some(DatabaseCause::new(ErrorClass::Busy, "lock timeout"));
        let other = Sequence { is_tarsys: false, unread: busy.clone(), ..sequence(None) };
        assert_eq!(judged("sequences", &[sequence(Some(42)), other.clone()]).status, Status::Note);
        let exhausted = judged("sequences", &[sequence(Some(i128::from(LARGEST_INTEGER) + 1)), other]);
        assert_eq!((exhausted.status, exhausted.exit_code), (Status::Failed, ExitCode::Drift));
        let own = judged("sequences", &[Sequence { unread: busy, ..sequence(None) }]);
        assert_eq!((own.status, own.exit_code), (Status::Failed, ExitCode::Busy));
        assert_eq!(own.detail.0, ["`events_id_seq` is not checked: lock timeout"]);
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
