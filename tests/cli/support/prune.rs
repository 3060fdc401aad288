//! Runs of `prune`, and a database that refuses to delete a row.

use serde_json::Value;

use super::history::NOW;
use super::{Database, Outcome, Running, tarsy_db};

/// A run at [`NOW`] with JSON for its result.
pub(crate) fn prune(database: &Database, arguments: &[&str]) -> Outcome {
    let mut command = tarsy_db(database);
    // Beyond the baseline there is no default.
    command.env("HISTORY_RETENTION_DAYS", "90");
    Outcome::of(command.args(["prune", "--now", NOW, "--output", "json", "--max-share", "100%"]).args(arguments))
}

/// Starts a run with the smallest batches.
pub(crate) fn start_to_prune(database: &Database, more: &[&str]) -> Running {
    start_to_prune_at(database.url(), database, more)
}

/// The same at another URL of the database.
pub(crate) fn start_to_prune_at(url: &str, database: &Database, more: &[&str]) -> Running {
    let arguments = ["prune", "--max-share", "100%", "--now", NOW, "--output", "json", "--yes", "--batch-time", "1us"];
    Running::start_at(url, database.directory(), &[&arguments[..], more].concat())
}

/// Makes the database refuse to delete the rows of a table for which a condition on `OLD` holds.
pub(crate) fn refuse_to_delete(database: &Database, table: &str, condition: &str) {
    database.execute(&match database.is_sqlite() {
        true => format!(
            "CREATE TRIGGER refuse BEFORE DELETE ON {table} WHEN {condition}
             BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        ),
        false => format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN RAISE 'not this one'; END $$;
             CREATE TRIGGER refuse BEFORE DELETE ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
        ),
    });
}

/// Name and rows of each table of a list.
pub(crate) fn rows_by_table(tables: &Value) -> Vec<(String, u64)> {
    let rows = |table: &Value| Some((table["table"].as_str()?.to_owned(), table["rows"].as_u64()?));
    tables.as_array().expect("a list of tables").iter().map(|table| rows(table).expect("name and rows")).collect()
}
