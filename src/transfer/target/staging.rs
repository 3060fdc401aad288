//! The source's rows in temporary tables on the target, where they are compared with the target's rows and from where
//! they are inserted.

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::WriteError;
use super::session::execute;
use crate::database::failure::{Action, DatabaseCause, DatabaseError, ErrorClass, ResultExt, Verb};
use crate::database::quote::quoted;
use crate::schema::model::ForeignKey;
use crate::transfer::plan::TablePlan;
use crate::transfer::source::constraints::foreign_keys;

/// Whether rows of the target that the source also has are locked until the end of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Locked FOR SHARE: no other session can update or delete them.
    Shared,
    /// Not locked.
    No,
}

/// The quoted name of a table's temporary table, with its schema.
pub(crate) fn place(table: &TablePlan) -> String {
    format!("pg_temp.{}", quoted(&format!("tarsy_db_{}", table.name)))
}

/// The condition that a row of the target and a staged one have the same values in these columns.
pub(crate) fn same<'c>(columns: impl IntoIterator<Item = &'c str>) -> String {
    let pairs = columns.into_iter().map(|column| format!("there.{column} = staged.{column}", column = quoted(column)));
    pairs.collect::<Vec<_>>().join(" AND ")
}

/// The condition that a row of the target has the primary key of a staged one.
pub(crate) fn is_staged(table: &TablePlan) -> String {
    format!("EXISTS (SELECT FROM {} AS staged WHERE {})", place(table), same(table.key_names()))
}

/// Creates the empty temporary table, with the types of the target's columns. It is dropped at the end of the
/// transaction.
pub(crate) async fn create(connection: &mut PgConnection, table: &TablePlan) -> Result<(), DatabaseError> {
    let sql = format!(
        "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM ONLY {} WITH NO DATA",
        place(table),
        table.column_list(),
        table.qualified_name
    );
    execute(connection, sql).await.context((Verb::Create, format!("the temporary table for {}", table.name)))
}

/// Creates the unique indexes, which reject duplicates, and analyzes the temporary table.
pub(crate) async fn index(connection: &mut PgConnection, table: &TablePlan) -> Result<(), WriteError> {
    let place = place(table);
    for key in &table.unique_keys {
        let columns = key.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        let sql = format!("CREATE UNIQUE INDEX ON {place} ({columns})");
        let action = Action::from((
            Verb::Create,
            format!("the temporary index on {} of {}", key.columns.join(", "), table.name),
        ));
        execute(connection, sql).await.map_err(|error| WriteError::of(action, error))?;
    }
    let analyzed = execute(connection, format!("ANALYZE {place}")).await;
    Ok(analyzed.context((Verb::Analyze, format!("the rows for {}", table.name)))?)
}

/// Counts the staged rows whose primary key exists on the target. With [`Hold::Shared`], waits for other sessions that
/// update or delete one of them.
pub(crate) async fn count_present(
    connection: &mut PgConnection,
    table: &TablePlan,
    hold: Hold,
) -> Result<u64, DatabaseError> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM ONLY {} AS there JOIN {} AS staged ON {}{}) present",
        table.qualified_name,
        place(table),
        same(table.key_names()),
        if hold == Hold::Shared { " FOR SHARE OF there" } else { "" }
    );
    let count: Result<i64, _> = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(connection).await;
    Ok(u64::try_from(count.context((Verb::Count, format!("the rows already in {}", table.name)))?).unwrap_or(0))
}

/// Inserts the rows whose primary key does not exist yet. Returns how many the server inserted.
///
/// # Errors
/// [`ErrorClass::Conflict`] if a parent was removed since the search for orphans.
pub(crate) async fn insert(connection: &mut PgConnection, table: &TablePlan) -> Result<u64, WriteError> {
    let sql = format!(
        "INSERT INTO {name} ({columns}) SELECT {columns} FROM {place} AS staged
         WHERE NOT EXISTS (SELECT FROM ONLY {name} AS there WHERE {same})",
        name = table.qualified_name,
        columns = table.column_list(),
        place = place(table),
        same = same(table.key_names()),
    );
    let inserted = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    let action = Action::from((Verb::Insert, format!("rows into {}", table.name)));
    let refused = |error| match lost_parent(&error, table) {
        Some(cause) => WriteError::of(action, cause),
        None => WriteError::of(action, error),
    };
    Ok(inserted.map_err(refused)?.rows_affected())
}

/// The cause of a violated foreign key, if all rows had a parent by it when orphans were searched. Deferred keys are
/// checked at once as well: [`session_settings`](super::session_settings).
fn lost_parent(error: &sqlx::Error, table: &TablePlan) -> Option<DatabaseCause> {
    let answer = error.as_database_error().filter(|answer| answer.is_foreign_key_violation())?;
    let is_violated = |key: &ForeignKey| key.name.is_some() && key.name.as_deref() == answer.constraint();
    if !foreign_keys(table).any(is_violated) {
        return None;
    }
    let what = "another session has removed a row that a new one refers to";
    Some(DatabaseCause::new(ErrorClass::Conflict, format!("{what}: {}", DatabaseCause::from(error))))
}
