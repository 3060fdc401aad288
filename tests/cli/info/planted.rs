//! What the owners of other tables plant runs in no `info`.

use serde_json::Value;

use crate::support::info::info;
use crate::support::{Database, Role, Running, Schema, apply, test};

/// A function that ends every statement which runs it.
const EVIL: &str = "CREATE FUNCTION public.evil(text) RETURNS text LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'a planted function ran'; END $$";

/// What a role plants that may create objects in `public`.
fn plant(role: &Role<'_>, sql: &str) {
    role.database().execute(&format!(
        "GRANT CREATE ON SCHEMA public TO {name}; SET ROLE {name}; {EVIL}; {sql}; RESET ROLE",
        name = role.name
    ));
}

/// The rows of a table in the report; `None` without the table.
fn rows(report: &Value, name: &str) -> Option<Value> {
    let tables = report["tables"].as_array().expect("a list of tables");
    tables.iter().find(|table| table["table"] == name).map(|table| table["rows"].clone())
}

#[apply(test)]
fn a_view_that_hides_a_table_of_a_later_schema_does_not_run() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute(&format!(
        "CREATE SCHEMA later; CREATE TABLE later.foo (a int); CREATE TABLE later.bar (a int);
         ALTER ROLE CURRENT_USER IN DATABASE {} SET search_path = public, later",
        database.name()
    ));
    let role = Role::new(&database);
    plant(&role, "CREATE VIEW public.foo AS SELECT 1 AS x WHERE public.evil('view') IS NOT NULL");
    for arguments in [&[][..], &["--exact"]] {
        let report = info(&database, arguments);
        assert_eq!(rows(&report, "bar"), Some(0.into()), "{arguments:?}");
        assert_eq!(rows(&report, "foo"), None, "{arguments:?}: `foo` is a view");
    }
}

#[apply(test)]
fn row_policies_of_tables_that_are_not_tarsys_do_not_run() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    let role = Role::new(&database);
    database.execute(&format!(
        "{EVIL}; CREATE TABLE foo (a text); INSERT INTO foo VALUES ('x'); ALTER TABLE foo ENABLE ROW LEVEL SECURITY;
         CREATE POLICY ours ON foo USING (evil(a) IS NOT NULL); CREATE TABLE bar (a int);
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
        role.name
    ));
    for arguments in [&["info", "--output", "json"][..], &["info", "--output", "json", "--exact"]] {
        let report = Running::start_at(&role.url(), database.directory(), arguments).finish().expect(0).json();
        assert_eq!(rows(&report, "bar"), Some(0.into()), "{arguments:?}");
        assert_eq!(rows(&report, "foo"), Some(Value::Null), "{arguments:?}: the policy would run");
    }
}
