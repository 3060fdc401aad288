//! The chain: what each revision adds and drops, on an empty database and on the revision before.

use crate::support::revision::{IDS, init_to, stands_at};
use crate::support::{Database, apply, test};

#[apply(test)]
fn every_revision_is_reached_step_by_step(database: &Database) {
    for number in 1..=23 {
        init_to(database, &number.to_string());
        stands_at(database, number);
    }
}

#[apply(test)]
fn revisions_are_reached_in_one_go(database: &Database) {
    for number in [2, 3, 5, 6, 11, 18, 19, 23] {
        let from_empty = database.another();
        init_to(&from_empty, IDS[number - 1]);
        stands_at(&from_empty, number);

        let from_baseline = database.another();
        init_to(&from_baseline, "baseline");
        init_to(&from_baseline, IDS[number - 1]);
        stands_at(&from_baseline, number);
    }
}

#[apply(test)]
fn sessions_and_stages_cascade_at_head(database: &Database) {
    init_to(database, "head");
    database.execute(
        "INSERT INTO alert_sessions (session_id, agent_type, status, chain_id) VALUES ('s', 'k', 'completed', 'c');
         INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
         VALUES ('e', 's', 'a', 0, 'A', 'k', 'completed');
         INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, duration_ms, success, model_name)
         VALUES ('l', 's', 'e', 1, true, 'm')",
    );
    let on = if database.is_sqlite() { "PRAGMA foreign_keys = ON;" } else { "" };
    database.execute(&format!("{on} DELETE FROM alert_sessions"));
    assert_eq!(["stage_executions", "llm_interactions"].map(|table| database.count(table)), [0, 0]);
}

#[apply(test)]
fn no_definition_on_sqlite_has_a_key_twice_and_all_have_their_names() {
    let database = Database::sqlite();
    init_to(&database, "baseline");
    init_to(&database, "head");
    let named = |table: &str| {
        let sql = database.texts(&format!("SELECT sql FROM sqlite_schema WHERE name = '{table}'")).remove(0);
        let sql = sql.expect("a definition");
        let keys = sql.matches("FOREIGN KEY").count();
        (keys, sql.matches("CONSTRAINT fk_").count())
    };
    assert_eq!(named("stage_executions"), (2, 2));
    assert_eq!(named("llm_interactions"), (2, 2));
    assert_eq!(named("mcp_communications"), (2, 2));
    assert_eq!(database.texts("PRAGMA integrity_check"), [Some("ok".to_owned())]);
}

#[apply(test)]
fn numbers_of_events_come_from_the_sequence() {
    let database = Database::postgresql();
    init_to(&database, "3");
    database.execute("INSERT INTO events (channel) VALUES ('sessions'), ('sessions')");
    assert_eq!(database.number("SELECT sum(id)::bigint FROM events"), 3);
    assert_eq!(
        database.number("SELECT count(*) FROM events WHERE abs(extract(epoch FROM now() - created_at)) < 60"),
        2
    );
}
