//! Finds all problems on the target in one run, before the first row is copied. Reads only, and takes no lock that
//! blocks another session.
//!
//! What the load handles itself is not an obstacle: indexes and foreign keys that an operator added are recreated, and
//! timeouts of the role are turned off ([`crate::transfer::target::session_settings`]). Tables that differ from their
//! revision are left to [`crate::schema::diff`].

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::disk_space;
use super::empty::NOT_EMPTY;
use super::obstacle::{Obstacle, ObstacleKind, ObstacleSeverity};
use super::operation::Operation;
use super::preflight_checks::{CHECKS, OURS, statement};
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::format::counted;
use crate::schema::model::Schema;

/// The tables to fill and their known columns: those of the source and of every revision.
#[derive(Debug, Default)]
pub struct TargetTables {
    tables: Vec<String>,
    columns: Vec<String>,
}

impl TargetTables {
    /// `tables` are those of the source's revision.
    #[must_use]
    pub fn new(tables: &[&str], source: &Schema) -> Self {
        let of_source = source
            .tables
            .iter()
            .flat_map(|(name, table)| table.columns.keys().map(move |column| format!("{name}.{column}")));
        let of_revisions = migration::Revision::HEAD.added_columns().map(|(table, column)| format!("{table}.{column}"));
        // The only column that a revision drops.
        let former = ["alert_sessions.alert_id".to_owned()];
        Self {
            tables: tables.iter().map(|&table| table.to_owned()).collect(),
            columns: of_source.chain(of_revisions).chain(former).collect(),
        }
    }
}

/// Finds all obstacles to an operation, refusals first. `need_bytes` is the estimated size of the tables and their
/// indexes.
///
/// # Errors
/// [`DatabaseError`]; [`crate::database::failure::ErrorClass::Busy`] if another session locks a table.
pub async fn look(
    connection: &mut PgConnection,
    operation: Operation,
    tables: &TargetTables,
    need_bytes: Option<u64>,
) -> Result<Vec<Obstacle>, DatabaseError> {
    const ACTION: (Verb, &str) = (Verb::Check, "the target");
    let mut found = Vec::new();
    for (kind, weight, _, sql) in CHECKS.into_iter().filter(|(.., of, _)| of.contains(&operation)) {
        let query = sqlx::query(AssertSqlSafe(statement(sql))).bind(&tables.tables).bind(&tables.columns);
        for row in query.fetch_all(&mut *connection).await.context(ACTION)? {
            let [object, what, advice] = [0, 1, 2].map(|column| row.try_get::<String, _>(column));
            let (object, what, advice) = (object.context(ACTION)?, what.context(ACTION)?, advice.context(ACTION)?);
            found.push(Obstacle { kind, object, what, advice, weight });
        }
    }
    found.extend(replication_role(connection).await.context(ACTION)?);
    if operation == Operation::Move {
        found.extend(filled_table_obstacles(connection, tables).await.context(ACTION)?);
    }
    if let Some(need) = need_bytes {
        let disk = disk_space::look(connection, &tables.tables, need).await.context(ACTION)?;
        found.extend(disk);
    }
    found.sort_by_key(|obstacle| obstacle.weight);
    Ok(found)
}

/// Whether one of the tables that the role may read holds a row.
///
/// # Errors
/// [`DatabaseError`] if a table cannot be read.
pub(crate) async fn holds_rows(connection: &mut PgConnection, tables: &TargetTables) -> Result<bool, DatabaseError> {
    Ok(!filled_tables(connection, tables).await.context((Verb::Count, "the rows of the target"))?.is_empty())
}

/// With another value than `origin`, foreign keys are not checked and triggers do not fire. The load resets it if the
/// role may.
async fn replication_role(connection: &mut PgConnection) -> Result<Option<Obstacle>, sqlx::Error> {
    let setting: String =
        sqlx::query_scalar("SELECT current_setting('session_replication_role')").fetch_one(&mut *connection).await?;
    if setting == "origin" {
        return Ok(None);
    }
    let may_set = sqlx::raw_sql("BEGIN; SET LOCAL session_replication_role = origin").execute(&mut *connection).await;
    sqlx::raw_sql("ROLLBACK").execute(connection).await?;
    Ok(may_set.is_err().then(|| Obstacle {
        kind: ObstacleKind::ReplicationRole,
        object: "`session_replication_role`".to_owned(),
        what: format!("is `{setting}`, which turns off foreign keys, and this role may not change it"),
        advice: "connect as another role, or have a superuser RESET it for this role and for the database".to_owned(),
        weight: ObstacleSeverity::Refusal,
    }))
}

/// The quoted names of the tables that hold rows and that the role may read.
async fn filled_tables(connection: &mut PgConnection, tables: &TargetTables) -> Result<Vec<String>, sqlx::Error> {
    let sql = format!(
        "{OURS} SELECT name FROM ours
                       WHERE has_table_privilege(oid, 'SELECT') AND NOT row_security_active(oid) ORDER BY name"
    );
    let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(&tables.tables).bind(&tables.columns);
    let mut found: Vec<String> = Vec::new();
    for table in query.fetch_all(&mut *connection).await? {
        let sql = format!("SELECT EXISTS (SELECT FROM {table})");
        if sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await? {
            found.push(table);
        }
    }
    Ok(found)
}

/// One obstacle for each table that holds rows.
async fn filled_table_obstacles(
    connection: &mut PgConnection,
    tables: &TargetTables,
) -> Result<Vec<Obstacle>, sqlx::Error> {
    let mut found = Vec::new();
    for object in filled_tables(connection, tables).await? {
        let sql = format!("SELECT count(*) FROM {object}");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?;
        found.push(Obstacle {
            kind: ObstacleKind::Rows,
            object,
            what: format!("holds {}", counted(rows.unsigned_abs(), "row")),
            advice: NOT_EMPTY.to_owned(),
            weight: ObstacleSeverity::Refusal,
        });
    }
    Ok(found)
}
