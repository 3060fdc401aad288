//! Estimates the rows of many sessions from a sample of them.

use std::time::Instant;

use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, DbBackend, DbErr, QueryFilter, QuerySelect, Select};

use super::selection::{FEW, Selection};
use super::stretch::Stretch;
use super::table_counts::{TableCounts, conditions_of, require_time, table_plan};
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::history::entity::alert_sessions::{self, Column};
use crate::history::entity::{select, text};
use crate::history::id_set::IdSet;
use crate::schema::model::Schema;

/// The fewest sessions that an estimate is made from.
#[expect(clippy::cast_possible_truncation, reason = "it is small")]
const SMALLEST: usize = FEW as usize / 2;

/// Counts the rows of at most [`FEW`] sessions or so, and from them estimates those of all.
pub(super) async fn tables_of_sample(
    connection: &Transaction,
    schema: &Schema,
    selection: &Selection,
    sessions: u64,
    until: Option<Instant>,
) -> Result<Vec<TableCounts>, DatabaseError> {
    let sample = sample(connection, selection, sessions).await.context((Verb::Plan, "the removal"))?;
    let size = sample.len() as u64;
    let ids = IdSet::bound(connection.backend(), sample);
    let mut tables = Vec::new();
    for (table, condition) in conditions_of(connection.namespace(), schema, &ids) {
        require_time(until)?;
        let counts = table_plan(connection, schema, table, condition).await?;
        tables.push(if size == sessions { counts } else { counts.scaled(sessions, size) });
    }
    Ok(tables)
}

/// Some of the sessions to remove, or all of few, from the whole time.
async fn sample(connection: &Transaction, selection: &Selection, sessions: u64) -> Result<Vec<String>, DbErr> {
    let step = step(sessions);
    let sample = sample_of(connection, selection, step).await?;
    match sample.len() < SMALLEST && step > 1 {
        // Most of them began at the same moment, or nearly so.
        true => sample_of(connection, selection, 1).await,
        false => Ok(sample),
    }
}

/// Sessions whose start, in microseconds, is a multiple of this number.
async fn sample_of(connection: &Transaction, selection: &Selection, step: u64) -> Result<Vec<String>, DbErr> {
    let mut sample = Vec::new();
    for stretch in selection.stretches() {
        let most = (2 * FEW).saturating_sub(sample.len() as u64);
        let query = sample_query(selection.backend(), connection.namespace(), &stretch, step).limit(most);
        sample.extend(query.into_tuple::<String>().all(connection).await?);
    }
    Ok(sample)
}

fn sample_query(
    backend: DbBackend,
    namespace: &Namespace,
    stretch: &Stretch<'_>,
    step: u64,
) -> Select<alert_sessions::Entity> {
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    let is_of_sample = (step > 1).then(|| Column::StartedAtUs.into_expr().modulo(step).eq(0));
    select::<alert_sessions::Entity>(namespace)
        .expr_as(text(backend, Column::SessionId.as_column_ref()), "id")
        .filter(stretch.is_removable().add_option(is_of_sample))
}

/// The number of sessions for each of a sample of [`FEW`]. It has no divisor in common with a thousand, because starts may
/// be whole seconds.
fn step(sessions: u64) -> u64 {
    let step = std::cmp::max(sessions / FEW, 1);
    (1..=step).rev().find(|step| step % 2 != 0 && step % 5 != 0).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, QueryTrait};

    use super::*;

    #[test]
    fn a_sample_is_of_the_whole_time_also_where_starts_are_whole_seconds() {
        assert_eq!([0, FEW, 2 * FEW, 9 * FEW, 10 * FEW, 1_000_000].map(step), [1, 1, 1, 9, 9, 999]);
        let selection = Selection::of_policy(DbBackend::Postgres);
        let plan = sample_query(DbBackend::Postgres, &Namespace::default(), &selection.stretches()[0], 999)
            .build(DbBackend::Postgres);
        let expected = r#" AND "alert_sessions"."started_at_us" % $6 = $7"#;
        assert!(plan.sql.ends_with(expected), "{}", plan.sql);
    }

    #[tokio::test]
    async fn a_few_sessions_that_happen_to_be_of_the_sample_do_not_stand_for_many_that_began_at_once() {
        let connection = Transaction::in_memory().await;
        let sql = "CREATE TABLE alert_sessions (session_id VARCHAR PRIMARY KEY, status VARCHAR, started_at_us BIGINT);
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000)
            INSERT INTO alert_sessions SELECT 's' || n, 'completed', 4 FROM numbers;
            INSERT INTO alert_sessions VALUES ('other', 'completed', 3)";
        connection.execute_unprepared(sql).await.expect("sound SQL");
        assert_eq!(step(5001), 3);
        let sample = sample(&connection, &Selection::of_policy(DbBackend::Sqlite), 5001).await.expect("a sample");
        assert_eq!(sample.len() as u64, 2 * FEW);
    }
}
