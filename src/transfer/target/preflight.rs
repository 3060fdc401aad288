//! Finds all problems on the target in one run, before the first row is copied. Reads only, and takes no lock that
//! blocks another session.
//!
//! What the load handles itself is not an obstacle: indexes and foreign keys that an operator added are recreated, and
//! timeouts of the role are turned off ([`crate::transfer::target::session_settings`]). Tables that differ from their
//! revision are left to [`crate::schema::diff`].

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::disk_space;
use super::empty::NOT_EMPTY;
use super::obstacle::{Obstacle, ObstacleKind, ObstacleSeverity};
use super::operation::Operation;
use super::preflight_checks::{CHECKS, OURS};
use crate::database::connection::{Connection, row};
use crate::database::failure::{DatabaseError, FIND_PRIMARY, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::transaction::{SearchPath, Transaction};
use crate::format::counted;
use crate::schema::lock;
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

/// The tables, and what else the checks ask about.
struct Question {
    values: Vec<Value>,
}

impl Question {
    fn new(tables: &TargetTables, namespace: &Namespace) -> Self {
        let schema = |table: &String| namespace.schema_of(table).unwrap_or_default().to_owned();
        let schemas: Vec<String> = tables.tables.iter().map(schema).collect();
        let path = namespace.path().to_vec();
        let lists = [tables.tables.clone(), schemas, tables.columns.clone(), path];
        Self { values: lists.into_iter().map(Value::from).chain([Value::from(lock::KEY)]).collect() }
    }

    /// A query that follows the CTEs of all checks.
    fn statement(&self, query: &str) -> Statement {
        let sql = format!("{OURS}{query}");
        Statement::from_sql_and_values(DbBackend::Postgres, sql, self.values.clone())
    }
}

/// Finds all obstacles to an operation, refusals first. `need_bytes` is the estimated size of the tables and their
/// indexes.
///
/// # Errors
/// [`DatabaseError`]; [`crate::database::failure::ErrorClass::Busy`] if another session locks a table.
pub async fn look(
    target: &Connection,
    operation: Operation,
    tables: &TargetTables,
    need_bytes: Option<u64>,
) -> Result<Vec<Obstacle>, DatabaseError> {
    const ACTION: (Verb, &str) = (Verb::Check, "the target");
    let reading = target.begin_reading(SearchPath::Empty, "").await.context(ACTION)?;
    let found = find(&reading, operation, tables, need_bytes).await.context(ACTION);
    reading.rollback().await.ok();
    let mut found = found?;
    if target.may_find_primary() {
        let of_standby = found.iter_mut().filter(|obstacle| obstacle.kind == ObstacleKind::Standby);
        of_standby.for_each(|obstacle| FIND_PRIMARY.clone_into(&mut obstacle.advice));
    }
    found.sort_by_key(|obstacle| obstacle.weight);
    Ok(found)
}

async fn find(
    reading: &Transaction,
    operation: Operation,
    tables: &TargetTables,
    need_bytes: Option<u64>,
) -> Result<Vec<Obstacle>, DbErr> {
    let question = Question::new(tables, reading.namespace());
    let mut found = Vec::new();
    for (kind, weight, _, sql) in CHECKS.into_iter().filter(|(.., of, _)| of.contains(&operation)) {
        for row in reading.query_all_raw(question.statement(sql)).await? {
            let [object, what, advice] = [0, 1, 2].map(|column| row.try_get_by_index::<String>(column));
            found.push(Obstacle { kind, object: object?, what: what?, advice: advice?, weight });
        }
    }
    found.extend(replication_role(reading).await?);
    if operation == Operation::Move {
        found.extend(filled_table_obstacles(reading, &question).await?);
    }
    if let Some(need) = need_bytes {
        found.extend(disk_space::look(reading, &tables.tables, need).await?);
    }
    Ok(found)
}

/// Whether one of the tables that the role may read holds a row.
///
/// # Errors
/// [`DatabaseError`] if a table cannot be read.
pub(crate) async fn holds_rows(target: &Connection, tables: &TargetTables) -> Result<bool, DatabaseError> {
    const ACTION: (Verb, &str) = (Verb::Count, "the rows of the target");
    let reading = target.begin_reading(SearchPath::Empty, "").await.context(ACTION)?;
    let filled = filled_tables(&reading, &Question::new(tables, reading.namespace())).await.context(ACTION);
    reading.rollback().await.ok();
    Ok(!filled?.is_empty())
}

/// With another value than `origin`, foreign keys are not checked and triggers do not fire. The load resets it if the
/// role may.
async fn replication_role(reading: &Transaction) -> Result<Option<Obstacle>, DbErr> {
    let sql = "SELECT current_setting('session_replication_role') AS setting";
    let setting: String = row(reading, sql).await?.try_get("", "setting")?;
    if setting == "origin" {
        return Ok(None);
    }
    let set = async || reading.execute_unprepared("SET LOCAL session_replication_role = origin").await;
    Ok(reading.attempt(set).await?.is_err().then(|| Obstacle {
        kind: ObstacleKind::ReplicationRole,
        object: "`session_replication_role`".to_owned(),
        what: format!("is `{setting}`, which turns off foreign keys, and this role may not change it"),
        advice: "connect as another role, or have a superuser RESET it for this role and for the database".to_owned(),
        weight: ObstacleSeverity::Refusal,
    }))
}

/// A table that holds rows and that the role may read.
struct FilledTable {
    /// How the role names it.
    shown: String,
    /// The quoted name with its schema.
    qualified: String,
}

async fn filled_tables(reading: &Transaction, question: &Question) -> Result<Vec<FilledTable>, DbErr> {
    const READABLE: &str = "SELECT name, format('%s.%I', relnamespace::regnamespace, relname) AS qualified FROM ours
        WHERE has_table_privilege(oid, 'SELECT') AND NOT row_security_active(oid) ORDER BY name";
    let mut found = Vec::new();
    for table in reading.query_all_raw(question.statement(READABLE)).await? {
        let table = FilledTable { shown: table.try_get("", "name")?, qualified: table.try_get("", "qualified")? };
        let sql = format!("SELECT EXISTS (SELECT FROM {}) AS is_filled", table.qualified);
        if row(reading, &sql).await?.try_get("", "is_filled")? {
            found.push(table);
        }
    }
    Ok(found)
}

/// One obstacle for each table that holds rows.
async fn filled_table_obstacles(reading: &Transaction, question: &Question) -> Result<Vec<Obstacle>, DbErr> {
    let mut found = Vec::new();
    for FilledTable { shown, qualified } in filled_tables(reading, question).await? {
        let sql = format!("SELECT count(*) AS number FROM {qualified}");
        let rows: i64 = row(reading, &sql).await?.try_get("", "number")?;
        found.push(Obstacle {
            kind: ObstacleKind::Rows,
            object: shown,
            what: format!("holds {}", counted(rows.unsigned_abs(), "row")),
            advice: NOT_EMPTY.to_owned(),
            weight: ObstacleSeverity::Refusal,
        });
    }
    Ok(found)
}
