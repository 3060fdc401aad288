//! The PostgreSQL end: everything in one transaction, so that a failure anywhere leaves nothing.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::task::yield_now;

use super::binary::{HEADER, TRAILER};
use super::digest::TableDigest;
use super::plan::{Plan, TablePlan};
use super::source::{self, Source, Survey, TableSurvey};
use super::target::Target;
use super::{TransferError, rejected};
use super::{value, verify};
use crate::failure::{Cause, Doing, Failure};
use crate::progress::{Amount, Progress};
use crate::schema::{lock, quoted};

/// How many bytes are collected before they are sent.
const CHUNK: usize = 256 * 1024;

/// What is compared before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Every value.
    Values,
    /// The number of rows.
    Counts,
}

/// What happened to one table.
#[derive(Debug, Clone, Copy)]
pub struct TableLoad {
    /// Rows and the bytes of their values.
    pub amount: Amount,
    /// How long it took to copy and to read back.
    pub duration: Duration,
    /// The digest that both ends have, if every value was compared.
    pub digest: Option<TableDigest>,
}

/// Loads what the survey found into empty tables and commits, or leaves the target as it was.
/// `before_commit` is called when there is no way back.
///
/// # Errors
/// [`TransferError`]; the transaction is rolled back.
pub async fn load(
    target: &PgPool,
    plan: &Plan,
    survey: &Survey,
    mut source: Source,
    verification: Verification,
    progress: &dyn Progress,
    before_commit: &dyn Fn(),
) -> Result<Vec<TableLoad>, TransferError> {
    let mut connection = target.acquire().await.doing("open the target")?.detach();
    let result = async {
        let mut transaction = connection.begin().await.doing("begin the data transaction")?;
        let Plan { tables, relaxations, .. } = plan;
        lock_empty_tables(&mut transaction, tables).await?;
        for relaxation in relaxations {
            execute(&mut transaction, relaxation.clone()).await.doing("give the target the shape of the source")?;
        }
        let aside = SetAside::take(&mut transaction, tables).await?;
        let mut loads = Vec::new();
        for (table, survey) in tables.iter().zip(&survey.tables) {
            loads.push(copy_table(&mut transaction, &mut source, table, survey, progress).await?);
        }
        aside.rebuild(&mut transaction, progress).await?;
        finish_tables(&mut transaction, tables).await?;
        if verification == Verification::Values {
            compare(&mut transaction, &mut source, tables, survey, &mut loads, progress).await?;
        }
        for warning in source.finish().await?.warnings() {
            tracing::warn!("{warning}");
        }
        before_commit();
        // A connection that breaks now leaves the answer open.
        transaction.commit().await.doing("learn whether the commit took place (`tarsy-db info` tells)")?;
        Ok(loads)
    }
    .await;
    // After a failed COPY the connection is out of step: it is never used again.
    match result {
        Ok(loads) => {
            connection.close().await.ok();
            Ok(loads)
        }
        Err(error) => {
            connection.close_hard().await.ok();
            Err(error)
        }
    }
}

/// Names the tables that hold rows.
///
/// # Errors
/// [`TransferError::TargetNotEmpty`], or the target cannot be read.
pub async fn require_empty<'t>(
    connection: &mut PgConnection,
    tables: impl Iterator<Item = &'t str>,
) -> Result<(), TransferError> {
    let mut filled = Vec::new();
    for table in tables {
        let sql = format!("SELECT EXISTS (SELECT FROM {})", quoted(table));
        let has_rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await;
        if has_rows.doing(format!("look into {table}"))? {
            filled.push(table.to_owned());
        }
    }
    if filled.is_empty() { Ok(()) } else { Err(TransferError::TargetNotEmpty { tables: filled }) }
}

async fn lock_empty_tables(connection: &mut PgConnection, plan: &[TablePlan]) -> Result<(), TransferError> {
    let names = table_list(plan);
    // A snapshot that is older than the lock would not see what was committed while it was waited for.
    let isolation = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned();
    execute(connection, isolation).await.doing("set the isolation level")?;
    execute(connection, lock::NO_TIME_LIMITS.to_owned()).await.doing("set the time limits")?;
    execute(connection, lock::statement()).await.doing("lock the target")?;
    execute(connection, format!("LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
        .await
        .doing("lock the target's tables")?;
    require_empty(connection, plan.iter().map(|table| table.name.as_str())).await
}

fn table_list(plan: &[TablePlan]) -> String {
    plan.iter().map(|table| quoted(&table.name)).collect::<Vec<_>>().join(", ")
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// Indexes and foreign keys that are dropped for the load, as the server defines them: an operator's
/// own come back too.
struct SetAside {
    rebuild: Vec<Rebuild>,
}

struct Rebuild {
    name: String,
    sql: String,
}

impl SetAside {
    async fn take(connection: &mut PgConnection, plan: &[TablePlan]) -> Result<Self, TransferError> {
        let names: Vec<String> = plan.iter().map(|table| table.name.clone()).collect();
        let rows = sqlx::query(ASIDE).bind(names).fetch_all(&mut *connection).await.doing("list the indexes")?;
        let mut rebuild = Vec::new();
        for row in rows {
            let [name, drop, sql] = ["name", "drop_statement", "create_statement"].map(|column| row.try_get(column));
            let name: String = name.doing("list the indexes")?;
            execute(connection, drop.doing("list the indexes")?).await.doing(format!("set {name} aside"))?;
            rebuild.push(Rebuild { name, sql: sql.doing("list the indexes")? });
        }
        // Rows that are frozen from the start need no second write, but only in a table that this
        // transaction has truncated.
        execute(connection, format!("TRUNCATE {}", table_list(plan))).await.doing("truncate the empty tables")?;
        // Foreign keys were dropped first, and come back last.
        rebuild.reverse();
        Ok(Self { rebuild })
    }

    async fn rebuild(self, connection: &mut PgConnection, progress: &dyn Progress) -> Result<(), TransferError> {
        for Rebuild { name, sql } in self.rebuild {
            progress.start(&format!("building {name}"), Amount::default());
            let action = format!("build {name}");
            execute(connection, sql).await.map_err(|error| rejected(action, Cause::from(error)))?;
            progress.finish();
        }
        Ok(())
    }
}

/// Foreign keys first, then indexes that belong to no constraint, comments included. What their
/// definitions do not tell (a tablespace, a role in clustering or replication) keeps an index where it is.
const ASIDE: &str = "
    SELECT format('foreign key %s', f.conname) AS name, 1 AS position,
           format('ALTER TABLE %s DROP CONSTRAINT %I', f.conrelid::regclass, f.conname) AS drop_statement,
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', f.conrelid::regclass, f.conname, pg_get_constraintdef(f.oid))
           || CASE WHEN obj_description(f.oid, 'pg_constraint') IS NULL THEN ''
                   ELSE format('; COMMENT ON CONSTRAINT %I ON %s IS %L', f.conname, f.conrelid::regclass,
                               obj_description(f.oid, 'pg_constraint'))
              END AS create_statement
    FROM pg_constraint f
    WHERE f.contype = 'f' AND f.conparentid = 0
      AND (f.conrelid = ANY ($1::regclass[]) OR f.confrelid = ANY ($1::regclass[]))
    UNION ALL
    SELECT format('index %s', c.relname), 2, format('DROP INDEX %s', i.indexrelid::regclass),
           pg_get_indexdef(i.indexrelid)
           || CASE WHEN obj_description(c.oid, 'pg_class') IS NULL THEN ''
                   ELSE format('; COMMENT ON INDEX %s IS %L', i.indexrelid::regclass, obj_description(c.oid, 'pg_class'))
              END
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = ANY ($1::regclass[]) AND c.reltablespace = 0
      AND NOT i.indisreplident AND NOT i.indisclustered
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = i.indexrelid AND d.deptype = 'i')
    ORDER BY position, name";

async fn copy_table(
    connection: &mut PgConnection,
    source: &mut Source,
    table: &TablePlan,
    survey: &TableSurvey,
    progress: &dyn Progress,
) -> Result<TableLoad, TransferError> {
    let started = Instant::now();
    progress.start(&format!("copying {}", table.name), survey.amount);
    let reading = format!("read {}", table.name);
    let writing = format!("copy into {}", table.name);
    let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)", quoted(&table.name), table.column_list());
    let mut copy = connection.copy_in_raw(&sql).await.map_err(|error| rejected(&*writing, Cause::from(error)))?;
    let mut buffer = Vec::with_capacity(2 * CHUNK);
    buffer.extend_from_slice(HEADER);
    let columns = i16::try_from(table.columns.len()).expect("tables have fewer than 1600 columns");
    let mut rows = source.rows(table);
    while let Some(row) = rows.try_next().await.doing(reading.as_str())? {
        // Rows are always ready: without this nobody would hear a signal until the table ends.
        yield_now().await;
        buffer.extend_from_slice(&columns.to_be_bytes());
        let mut bytes = 0;
        for (index, column) in table.columns.iter().enumerate() {
            let stored = source::stored(&row, index);
            bytes += stored.size() as u64;
            let value = value::convert(stored, column.target)
                .map_err(|fault| Cause::new(Failure::Data, fault.reason.to_string()))
                .doing(reading.as_str())?;
            value.write_field(&mut buffer);
        }
        progress.advance(Amount { rows: 1, bytes });
        if buffer.len() >= CHUNK {
            copy.send(buffer.as_slice()).await.map_err(|error| rejected(&*writing, Cause::from(error)))?;
            buffer.clear();
        }
    }
    drop(rows);
    buffer.extend_from_slice(&TRAILER);
    copy.send(buffer.as_slice()).await.map_err(|error| rejected(&*writing, Cause::from(error)))?;
    let copied = copy.finish().await.map_err(|error| rejected(&*writing, Cause::from(error)))?;
    progress.finish();
    if copied != survey.amount.rows {
        return Err(TransferError::Mismatch(vec![verify::find_mismatch(connection, source, table).await?]));
    }
    Ok(TableLoad { amount: survey.amount, duration: started.elapsed(), digest: None })
}

/// Sets sequences behind their data and gives the planner its statistics.
async fn finish_tables(connection: &mut PgConnection, plan: &[TablePlan]) -> Result<(), TransferError> {
    for table in plan {
        for column in &table.columns {
            let sql = format!(
                "SELECT setval(s, greatest(largest, 1), coalesce(largest >= 1, false))
                 FROM pg_get_serial_sequence($1, $2) s, (SELECT max({column}) AS largest FROM {table}) t
                 WHERE s IS NOT NULL",
                column = quoted(&column.name),
                table = quoted(&table.name),
            );
            if matches!(column.target, Target::Integer | Target::BigInt) {
                let query = sqlx::query(AssertSqlSafe(sql)).bind(quoted(&table.name)).bind(&column.name);
                query.execute(&mut *connection).await.doing(format!("set the sequence of {}", table.name))?;
            }
        }
    }
    Ok(execute(connection, format!("ANALYZE {}", table_list(plan))).await.doing("analyze the tables")?)
}

async fn compare(
    connection: &mut PgConnection,
    source: &mut Source,
    plan: &[TablePlan],
    survey: &Survey,
    loads: &mut [TableLoad],
    progress: &dyn Progress,
) -> Result<(), TransferError> {
    let mut mismatches = Vec::new();
    for ((table, survey), load) in plan.iter().zip(&survey.tables).zip(loads) {
        let started = Instant::now();
        progress.start(&format!("comparing {}", table.name), survey.amount);
        let (rows, digest) = verify::digest_of_target(connection, table, progress).await?;
        progress.finish();
        if rows != survey.amount.rows || digest != survey.digest {
            mismatches.push(verify::find_mismatch(connection, source, table).await?);
        }
        load.duration += started.elapsed();
        load.digest = Some(digest);
    }
    if mismatches.is_empty() { Ok(()) } else { Err(TransferError::Mismatch(mismatches)) }
}
