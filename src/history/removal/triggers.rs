//! The operator's own functions on PostgreSQL, which are called when a batch removes rows: by triggers, rules, constraints,
//! indexes and columns. And whether triggers or rules fire on either backend.
//!
//! A batch runs with an empty search path, so that it uses no operator that another role has planted. Such a function
//! would inherit that path, and not find the operator's tables, unless it has a path of its own.

use std::fmt;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement};

use crate::database::namespace::Namespace;
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::history::removal::batch::DeleteTriggers;

/// A function without a search path of its own, and what calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathlessFunction {
    /// What calls it: a trigger, a rule, a constraint, an index or a column.
    pub caller: String,
    pub name: String,
    pub table: String,
    /// The function as SQL names it, with its schema.
    pub function: String,
}

impl fmt::Display for PathlessFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, name, table, function } = self;
        write!(f, "the function `{function}` of the {caller} `{name}` on `{table}` has no `search_path` of its own")
    }
}

/// A removal is refused, because functions would be called with an empty search path.
#[derive(Debug, thiserror::Error)]
#[error("{}; nothing was removed", listed(.functions))]
pub(crate) struct TriggerError {
    /// At least one.
    pub functions: Vec<PathlessFunction>,
    /// The schemas in which the role finds its tables.
    pub path: Vec<String>,
}

fn listed(functions: &[PathlessFunction]) -> String {
    functions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl TriggerError {
    /// The statements that give the functions the path of the role, which they have had so far. Without `pg_temp` at its
    /// end temporary tables would come first.
    fn remedy(&self) -> String {
        let path: Vec<_> = self.path.iter().map(|schema| quoted(schema)).collect();
        let mut functions: Vec<_> = self.functions.iter().map(|called| called.function.as_str()).collect();
        functions.sort_unstable();
        functions.dedup();
        let statement = |function| format!("ALTER FUNCTION {function} SET search_path = {}, pg_temp", path.join(", "));
        functions.into_iter().map(statement).collect::<Vec<_>>().join("; ")
    }
}

impl Diagnostic for TriggerError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Refused
    }

    fn hint(&self) -> Option<String> {
        Some(format!("`prune` removes rows with an empty search path; if these schemas are right: {}", self.remedy()))
    }
}

/// What calls functions when rows are removed, as the beginning of a query.
const CALLERS: &str = include_str!("callers.sql");

/// The query for the functions of the callers that have no search path.
const PATHLESS: &str = r"
SELECT DISTINCT c.relname::text AS table_name, r.kind AS kind, r.name::text AS name, p.oid::regprocedure::text AS function_name
FROM caller r
JOIN pg_class c ON c.oid = r.relation
JOIN pg_depend d ON d.classid = r.class AND d.objid = r.object AND d.refclassid = 'pg_proc'::regclass
JOIN pg_proc p ON p.oid = d.refobjid
JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname NOT IN ('internal', 'c')
  AND p.pronamespace <> 'pg_catalog'::regnamespace
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s (setting) WHERE s.setting LIKE 'search\_path=%')
ORDER BY 1, 3, 2, 4";

/// The functions without a search path of their own that are called when rows of these tables are removed, also by a
/// cascade. `connection` is on PostgreSQL.
///
/// # Errors
/// The database's error.
pub(crate) async fn pathless(connection: &Transaction, tables: &[&str]) -> Result<Vec<PathlessFunction>, DbErr> {
    let found = about_callers(connection, tables, PATHLESS).await?;
    let functions = found.iter().map(|row| {
        Ok(PathlessFunction {
            caller: row.try_get("", "kind")?,
            name: row.try_get("", "name")?,
            table: row.try_get("", "table_name")?,
            function: row.try_get("", "function_name")?,
        })
    });
    functions.collect()
}

/// The schemas of tables, and their names.
fn places(namespace: &Namespace, tables: &[&str]) -> (Vec<String>, Vec<String>) {
    let places = tables.iter().filter_map(|table| Some((namespace.schema_of(table)?.to_owned(), (*table).to_owned())));
    places.unzip()
}

/// The rows of a query about the callers of functions. PostgreSQL's catalog has no entities.
async fn about_callers(connection: &Transaction, tables: &[&str], query: &str) -> Result<Vec<QueryResult>, DbErr> {
    let (schemas, names) = places(connection.namespace(), tables);
    let values = [schemas.into(), names.into()];
    let statement = Statement::from_sql_and_values(connection.backend(), format!("{CALLERS}{query}"), values);
    connection.query_all_raw(statement).await
}

/// Whether triggers or rules fire when rows of these tables are deleted, also those of partitions, and of tables that a
/// foreign key changes along with them. On SQLite each trigger of the tables counts, whatever it fires at.
///
/// # Errors
/// The database's error.
pub(crate) async fn on_delete(connection: &Transaction, tables: &[&str]) -> Result<DeleteTriggers, DbErr> {
    let found = match connection.backend() {
        DbBackend::Sqlite => {
            let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'trigger'
                       AND lower(tbl_name) IN (SELECT value FROM json_each(?)) LIMIT 1";
            let names = serde_json::json!(tables).to_string();
            let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [names.into()]);
            connection.query_all_raw(statement).await?
        }
        _ => {
            about_callers(connection, tables, "SELECT 1 FROM caller WHERE kind IN ('trigger', 'rule') LIMIT 1").await?
        }
    };
    Ok(if found.is_empty() { DeleteTriggers::None } else { DeleteTriggers::Fire })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_several_triggers_is_altered_once() {
        let trigger = |name: &str, function: &str| PathlessFunction {
            caller: "trigger".to_owned(),
            name: name.to_owned(),
            table: "chats".to_owned(),
            function: function.to_owned(),
        };
        let functions = vec![trigger("a", "public.f()"), trigger("b", "public.g()"), trigger("c", "public.f()")];
        let error = TriggerError { functions, path: vec!["my own".to_owned(), "public".to_owned()] };
        let expected = "ALTER FUNCTION public.f() SET search_path = \"my own\", \"public\", pg_temp; \
                        ALTER FUNCTION public.g() SET search_path = \"my own\", \"public\", pg_temp";
        assert_eq!(error.remedy(), expected);
    }
}
