//! Functions and operators that a role plants in TARSy's schema, where PostgreSQL prefers them to its own: `init` and
//! `check --fix`, run by a superuser, call none of them.

use crate::support::check::{check, finding};
use crate::support::history::{NOW_US, insert_session};
use crate::support::revision::{init, init_to, stands_at};
use crate::support::{Database, Role, apply, test};

/// Better matches than PostgreSQL's own functions for the types of the catalog and of TARSy's columns.
const FUNCTIONS: [(&str, &str, &str); 16] = [
    ("format", "text, name", "text"),
    ("format", "text, name, text", "text"),
    ("format", "text, name, name", "text"),
    ("format", "text, regcollation", "text"),
    ("quote_ident", "name", "text"),
    ("to_regclass", "varchar", "regclass"),
    ("unnest", "text[]", "SETOF text"),
    ("unnest", "int2[]", "SETOF int2"),
    ("unnest", "int2vector", "SETOF int2"),
    ("unnest", "oidvector", "SETOF oid"),
    ("setval", "text, bigint", "bigint"),
    ("nextval", "text", "bigint"),
    ("pg_describe_object", "oid, oid, int2", "text"),
    ("set_config", "text, varchar, boolean", "text"),
    ("pg_get_indexdef", "oid, int2, boolean", "text"),
    ("has_table_privilege", "oid, varchar", "boolean"),
];

/// The same for operators: name, types of both sides, result.
const OPERATORS: [(&str, &str, &str, &str); 22] = [
    ("=", "varchar", "varchar", "boolean"),
    ("=", "varchar", "text", "boolean"),
    ("<>", "varchar", "varchar", "boolean"),
    ("<>", "varchar", "text", "boolean"),
    ("~~", "varchar", "varchar", "boolean"),
    ("~~", "varchar", "text", "boolean"),
    ("~~", "text", "varchar", "boolean"),
    ("=", "oid", "regclass", "boolean"),
    ("=", "oid", "regtype", "boolean"),
    ("<>", "oid", "regnamespace", "boolean"),
    ("<>", "oid", "regrole", "boolean"),
    ("=", "\"char\"", "text", "boolean"),
    ("=", "int2[]", "int2[]", "boolean"),
    ("=", "text[]", "text[]", "boolean"),
    ("=", "name", "varchar", "boolean"),
    ("=", "int2", "bigint", "boolean"),
    (">", "int2", "bigint", "boolean"),
    ("&", "int2", "integer", "integer"),
    ("-", "bigint", "smallint", "bigint"),
    ("*", "numeric", "integer", "numeric"),
    ("*", "double precision", "integer", "double precision"),
    ("||", "text", "varchar", "text"),
];

/// Plants all of them in `public`, as a role that may create objects there. Each fails when it is called.
fn plant(role: &Role<'_>) {
    let body = "LANGUAGE plpgsql AS $$ BEGIN RAISE 'a planted function ran'; END $$";
    let functions = FUNCTIONS
        .map(|(name, given, returned)| format!("CREATE FUNCTION public.{name}({given}) RETURNS {returned} {body}"));
    let operators = OPERATORS.iter().enumerate().map(|(number, (name, left, right, returned))| {
        format!(
            "CREATE FUNCTION public.planted_{number}({left}, {right}) RETURNS {returned} {body};
             CREATE OPERATOR public.{name} (FUNCTION = public.planted_{number}, LEFTARG = {left}, RIGHTARG = {right})"
        )
    });
    let aggregate = "CREATE AGGREGATE public.array_agg(text) (SFUNC = pg_catalog.array_append, STYPE = text[], INITCOND = '{planted}')";
    let statements: Vec<_> = functions.into_iter().chain(operators).chain([aggregate.to_owned()]).collect();
    let name = &role.name;
    role.database().execute(&format!(
        "GRANT CREATE, USAGE ON SCHEMA public TO {name}; SET ROLE {name}; {}; RESET ROLE",
        statements.join("; ")
    ));
}

/// Drops all of them: the queries of these tests would call them.
fn drop_planted(role: &Role<'_>) {
    role.database().execute(&format!("DROP OWNED BY {}", role.name));
}

/// A session of the baseline with a conversation, for the revisions that change rows.
fn insert_rows(database: &Database) {
    insert_session(database, "s-1", "completed", Some(NOW_US));
    database.execute(r#"UPDATE llm_interactions SET conversation = '{"messages": ["Final Answer: 42"]}'"#);
}

/// The rows that the revisions filled.
fn filled(database: &Database) -> Vec<Option<String>> {
    database.texts("SELECT pod_id FROM alert_sessions UNION ALL SELECT DISTINCT interaction_type FROM llm_interactions")
}

#[apply(test)]
fn init_runs_nothing_that_was_planted() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    plant(&role);
    init_to(&database, "baseline");
    database.execute("DROP TABLE alembic_version");
    init_to(&database, "baseline");
    insert_rows(&database);
    init_to(&database, "head");
    drop_planted(&role);
    stands_at(&database, 23);
    assert_eq!(filled(&database), ["unknown", "final_analysis"].map(|text| Some(text.to_owned())));
}

#[apply(test)]
fn the_printed_sql_runs_nothing_that_was_planted() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    init_to(&database, "baseline");
    insert_rows(&database);
    let plain = init(&database, &["--to", "head", "--sql"]).expect(0);
    plant(&role);
    let printed = init(&database, &["--to", "head", "--sql"]).expect(0);
    assert_eq!(printed.stdout, plain.stdout);
    database.execute(&printed.stdout);
    drop_planted(&role);
    stands_at(&database, 23);
    assert_eq!(filled(&database), ["unknown", "final_analysis"].map(|text| Some(text.to_owned())));
}

#[apply(test)]
fn repairs_run_nothing_that_was_planted() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    init_to(&database, "baseline");
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    init_to(&database, "head");
    plant(&role);
    database.execute("DROP INDEX public.ix_chats_session_id; INSERT INTO events (id, channel) VALUES (99, 'c')");
    let fixed = check(&database, &["--fix"]);
    let (_, repairs) = finding(&fixed, "repairs");
    assert_eq!(repairs, "created index ix_chats_session_id\nadvanced sequence events_id_seq past the data");
    let (status, schema) = finding(&fixed, "schema");
    assert_eq!(status, "ok", "{schema}");
}
