//! The operator's own triggers on PostgreSQL, which fire when a batch removes rows.
//!
//! A batch runs with an empty search path, so that it uses no operator that another role has planted. A trigger function
//! would inherit that path, and not find the operator's tables, unless it has a path of its own.

use std::fmt;

use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// A trigger whose function has no search path of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathlessTrigger {
    pub name: String,
    pub table: String,
    /// The function as SQL names it, with its schema.
    pub function: String,
}

impl fmt::Display for PathlessTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, table, function } = self;
        write!(f, "the function `{function}` of the trigger `{name}` on `{table}` has no `search_path` of its own")
    }
}

/// A removal is refused, because triggers would fire with an empty search path.
#[derive(Debug, thiserror::Error)]
#[error("{}; nothing was removed", listed(.triggers))]
pub(crate) struct TriggerError {
    /// At least one.
    pub triggers: Vec<PathlessTrigger>,
    /// The schemas in which the role finds its tables.
    pub path: Vec<String>,
}

fn listed(triggers: &[PathlessTrigger]) -> String {
    triggers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl TriggerError {
    /// The statements that give the functions the path of the role, which they have had so far.
    fn remedy(&self) -> String {
        let path: Vec<_> = self.path.iter().map(|schema| quoted(schema)).collect();
        let mut functions: Vec<_> = self.triggers.iter().map(|trigger| trigger.function.as_str()).collect();
        functions.sort_unstable();
        functions.dedup();
        let statement = |function| format!("ALTER FUNCTION {function} SET search_path = {}", path.join(", "));
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

/// The enabled triggers without a search path of their own that fire when rows of these tables are removed, also by a
/// cascade. `connection` is on PostgreSQL.
///
/// # Errors
/// The database's error.
pub(crate) async fn pathless(connection: &Transaction, tables: &[&str]) -> Result<Vec<PathlessTrigger>, DbErr> {
    let namespace = connection.namespace();
    let places = tables.iter().filter_map(|table| Some((namespace.schema_of(table)?.to_owned(), (*table).to_owned())));
    let (schemas, names): (Vec<String>, Vec<String>) = places.unzip();
    let values = [schemas.into(), names.into()];
    let statement = Statement::from_sql_and_values(connection.backend(), include_str!("triggers.sql"), values);
    let found = connection.query_all_raw(statement).await?;
    let triggers = found.iter().map(|row| {
        Ok(PathlessTrigger {
            name: row.try_get("", "trigger_name")?,
            table: row.try_get("", "table_name")?,
            function: row.try_get("", "function_name")?,
        })
    });
    triggers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_several_triggers_is_altered_once() {
        let trigger = |name: &str, function: &str| PathlessTrigger {
            name: name.to_owned(),
            table: "chats".to_owned(),
            function: function.to_owned(),
        };
        let triggers = vec![trigger("a", "public.f()"), trigger("b", "public.g()"), trigger("c", "public.f()")];
        let error = TriggerError { triggers, path: vec!["my own".to_owned(), "public".to_owned()] };
        let expected = "ALTER FUNCTION public.f() SET search_path = \"my own\", \"public\"; \
                        ALTER FUNCTION public.g() SET search_path = \"my own\", \"public\"";
        assert_eq!(error.remedy(), expected);
    }
}
