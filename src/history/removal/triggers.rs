//! The operator's own functions on PostgreSQL, which are called when a batch removes rows: by triggers, rules, constraints,
//! indexes and columns. And whether there are rules.
//!
//! A batch runs with an empty search path, so that it uses no operator that another role has planted. Such a function
//! would inherit that path, and not find the operator's tables, unless it has a path of its own.

use std::fmt;

use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::database::namespace::Namespace;
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::history::removal::batch::DeleteStatements;

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

/// The functions without a search path of their own that are called when rows of these tables are removed, also by a
/// cascade. `connection` is on PostgreSQL.
///
/// # Errors
/// The database's error.
pub(crate) async fn pathless(connection: &Transaction, tables: &[&str]) -> Result<Vec<PathlessFunction>, DbErr> {
    let (schemas, names) = places(connection.namespace(), tables);
    let values = [schemas.into(), names.into()];
    let statement = Statement::from_sql_and_values(connection.backend(), include_str!("triggers.sql"), values);
    let found = connection.query_all_raw(statement).await?;
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

/// How rows of these tables can be deleted. `connection` is on PostgreSQL.
///
/// # Errors
/// The database's error.
pub(crate) async fn delete_statements(connection: &Transaction, tables: &[&str]) -> Result<DeleteStatements, DbErr> {
    let (schemas, names) = places(connection.namespace(), tables);
    let sql = "SELECT EXISTS (
                   SELECT FROM unnest($1, $2) t (schema, name)
                   JOIN pg_namespace n ON n.nspname = t.schema
                   JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
                   JOIN pg_rewrite r ON r.ev_class = c.oid
                   WHERE r.ev_type = '4') AS has_rule";
    let statement = Statement::from_sql_and_values(connection.backend(), sql, [schemas.into(), names.into()]);
    let has_rule = connection.query_one_raw(statement).await?.map(|row| row.try_get("", "has_rule")).transpose()?;
    Ok(if has_rule == Some(false) { DeleteStatements::One } else { DeleteStatements::OnePerTable })
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
