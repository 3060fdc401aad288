//! `check` and `info` of a history that is large, or whose server is slow: they come to an end.

use crate::support::check::{check, finding, is_found};
use crate::support::{Database, Outcome, Role, Running, Schema, apply, test};

/// So many sessions, each a minute older than the one before, with a stage and three communications.
fn insert_many(database: &Database, sessions: u32) {
    database.execute(&format!(
        "INSERT INTO alert_sessions (session_id, agent_type, status, started_at_us, chain_id)
         SELECT 's-' || n, 'kubernetes', 'completed', n * 60000000::bigint, 'chain' FROM generate_series(1, {sessions}) n;
         INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
         SELECT 'e-' || n, 's-' || n, 'analysis', 0, 'Analysis', 'KubernetesAgent', 'completed'
         FROM generate_series(1, {sessions}) n;
         INSERT INTO mcp_communications (communication_id, step_description, request_id, session_id, stage_execution_id,
                                         duration_ms, success, server_name, communication_type)
         SELECT 'c-' || n, 'look', 'r', 's-' || (n + 2) / 3, 'e-' || (n + 2) / 3, 1, true, 'kubernetes', 'tool_call'
         FROM generate_series(1, 3 * {sessions}) n;
         ANALYZE alert_sessions, stage_executions, mcp_communications"
    ));
}

#[apply(test)]
fn no_query_of_check_is_worked_out_anew_for_each_session() {
    let database = Database::postgresql().with_schema(Schema::Head);
    insert_many(&database, 20_000);
    // As the server does it by itself where the tables are large enough.
    database.execute(&format!(
        "ALTER DATABASE {0} SET work_mem = '64kB'; ALTER DATABASE {0} SET enable_material = off",
        database.name()
    ));
    // One of them is needed.
    database.execute("UPDATE mcp_communications SET session_id = 's-2' WHERE communication_id = 'c-1'");
    let outcome = check(&database, &[]).expect(0);
    is_found(&outcome, "retention", "warning", "days: 19,999, the oldest from 1970-01-01T00:02:00Z");
    is_found(&outcome, "retention", "warning", "that `prune` keeps, because they are open or in use: 1;");
}

/// Makes a query of the sessions take an hour, if its text has these words and it has a condition: while it is planned,
/// the server works out whether the rows of a table that inherits from theirs can be left out. The role may only read.
fn with_slow_query<'d>(database: &'d Database, words: &str) -> Role<'d> {
    let role = Role::new(database);
    database.execute(&format!(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {0};
         CREATE FUNCTION slow() RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
             IF current_query() LIKE '%{words}%' THEN PERFORM pg_sleep(3600); END IF; RETURN true; END $$;
         CREATE TABLE slow (CHECK (slow())) INHERITS (alert_sessions);
         GRANT SELECT ON slow TO {0}",
        role.name
    ));
    role
}

fn start(database: &Database, role: &Role<'_>, command: &str) -> Running {
    Running::start_at(&role.url(), database.directory(), &[command, "--output", "json"])
}

#[apply(test)]
fn a_query_that_takes_too_long_is_given_up_and_the_rest_is_reported() {
    let [of_check, of_info] = [(); 2].map(|()| Database::postgresql().with_schema(Schema::Head));
    for database in [&of_check, &of_info] {
        insert_many(database, 1);
    }
    let checker = with_slow_query(&of_check, "COUNT(*)");
    let shower = with_slow_query(&of_info, "GROUP BY 1");
    let (check, info) = (start(&of_check, &checker, "check"), start(&of_info, &shower, "info"));

    let checked = check.finish().expect(0);
    let expected = ("skipped".to_owned(), "cancelled after 30s; `tarsy-db check --deep` has no time limit".to_owned());
    assert_eq!(finding(&checked, "retention"), expected);
    assert_eq!(finding(&checked, "sequences").0, "skipped", "the role may not read them");

    let shown: Outcome = info.finish().expect(0);
    let report = shown.json();
    assert_eq!(report["skipped"], serde_json::json!(["sessions by week"]));
    assert_eq!(report["sessions"]["by_week"], serde_json::Value::Null);
    assert_eq!(report["sessions"]["by_status"][0]["sessions"], 1, "{report:#}");
    assert_eq!(report["sessions"]["would_remove"]["sessions"], 1);
    assert_eq!(report["sessions"]["oldest"], "1970-01-01T00:01:00Z");
}
