//! What is in the way on the target, all of it at once, before the first row moves. Only looks, and takes no lock
//! that anybody would notice.
//!
//! What the load copes with by itself is no obstacle: an operator's indexes and foreign keys come back, limits of the
//! role are lifted ([`crate::transfer::target::session_settings`]). Tables that are not those of their revision are
//! left to [`crate::schema::diff`].

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::disk_space;
use super::empty::NOT_EMPTY;
use super::obstacle::{Obstacle, ObstacleKind, ObstacleSeverity};
use super::operation::Operation;
use super::preflight_checks::{CHECKS, OURS, statement};
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::format::counted;
use crate::schema::model::Schema;

/// The tables that are to be filled, with the columns that may be: those of the source and of every revision.
#[derive(Debug, Default)]
pub struct TargetTables {
    tables: Vec<String>,
    columns: Vec<String>,
}

impl TargetTables {
    /// The tables of a revision, filled from a source.
    #[must_use]
    pub fn new(tables: &[&str], source: &Schema) -> Self {
        let of_source = source
            .tables
            .iter()
            .flat_map(|(name, table)| table.columns.keys().map(move |column| format!("{name}.{column}")));
        let of_revisions = migration::Revision::HEAD.added_columns().map(|(table, column)| format!("{table}.{column}"));
        // The one column that an upgrade takes away.
        let former = ["alert_sessions.alert_id".to_owned()];
        Self {
            tables: tables.iter().map(|&table| table.to_owned()).collect(),
            columns: of_source.chain(of_revisions).chain(former).collect(),
        }
    }
}

/// Looks for everything that is in the way of an operation, refusals first. `need_bytes` is what the tables and their
/// indexes will take, as far as that is known.
///
/// # Errors
/// Whatever the database answers; [`crate::database::failure::ErrorClass::Busy`] where somebody keeps a table locked.
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
        found.extend(rows_in_the_way(connection, tables).await.context(ACTION)?);
    }
    if let Some(need) = need_bytes {
        let disk = disk_space::look(connection, &tables.tables, need).await.context(ACTION)?;
        found.extend(disk);
    }
    found.sort_by_key(|obstacle| obstacle.weight);
    Ok(found)
}

/// Whether one of the tables holds a row, where the role may look.
///
/// # Errors
/// Whatever the database answers.
pub(crate) async fn holds_rows(connection: &mut PgConnection, tables: &TargetTables) -> Result<bool, DatabaseError> {
    Ok(!filled_tables(connection, tables).await.context((Verb::Count, "the rows of the target"))?.is_empty())
}

/// In a role other than `origin` no foreign key holds, and no trigger fires. It can be set back by those who may.
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
        what: format!("is `{setting}`, under which no foreign key is looked after, and this role may not change it"),
        advice: "connect as another role, or let a superuser RESET it for this one and for the database".to_owned(),
        weight: ObstacleSeverity::Refusal,
    }))
}

/// The tables with rows, where the role may look, as SQL names them.
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

/// The tables with rows, and how many.
async fn rows_in_the_way(connection: &mut PgConnection, tables: &TargetTables) -> Result<Vec<Obstacle>, sqlx::Error> {
    let mut found = Vec::new();
    for object in filled_tables(connection, tables).await? {
        let sql = format!("SELECT count(*) FROM {object}");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?;
        found.push(Obstacle {
            kind: ObstacleKind::Rows,
            object,
            what: format!("already holds {}", counted(rows.unsigned_abs(), "row")),
            advice: NOT_EMPTY.to_owned(),
            weight: ObstacleSeverity::Refusal,
        });
    }
    Ok(found)
}
