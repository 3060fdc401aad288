//! Rows whose session, stage or chat does not exist: `check` counts them, with a foreign key or without one.

use crate::support::check::{check, finding, finds, is_found};
use crate::support::history::{NOW_US, insert_session};
use crate::support::{Database, Outcome, Role, Schema, apply, tarsy_db, test};

/// Looks for rows without a parent: on PostgreSQL only `--deep` does.
#[track_caller]
fn has_orphans(database: &Database, detail: &str) {
    let outcome = check(database, &["--deep"]).expect(4);
    is_found(&outcome, "foreign keys", "failed", detail);
    is_found(&outcome, "foreign keys", "failed", "`tarsy-db prune --orphans --dry-run`");
    match database.is_sqlite() {
        true => finds(database, 4, "foreign keys", "failed", detail),
        false => assert_ne!(finding(&check(database, &[]), "foreign keys").0, "failed"),
    }
}

#[apply(test)]
fn rows_without_a_session_or_stage_are_counted_by_table(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "s-1", "completed", Some(NOW_US));
    database.execute_unguarded(
        "
        INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
        VALUES ('e-1', 'nowhere', 'a', 0, 'A', 'k', 'failed'), ('e-2', 'nowhere', 'a', 1, 'A', 'k', 'failed');
        UPDATE mcp_communications SET stage_execution_id = 'nowhere'",
    );
    has_orphans(database, "stage_executions: 2 rows without a parent in alert_sessions");
    has_orphans(database, "mcp_communications: 1 row without a parent in stage_executions");
}

#[apply(test)]
fn rows_without_a_chat_or_a_parallel_parent_are_counted(database: &Database) {
    database.create_schema(Schema::Head);
    database.execute_unguarded(
        "
        INSERT INTO alert_sessions (session_id, alert_data, agent_type, status, chain_id)
        VALUES ('s-1', '{}', 'k', 'completed', 'c');
        INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                      parent_stage_execution_id)
        VALUES ('e-1', 's-1', 'a', 0, 'A', 'k', 'failed', 'nowhere'), ('e-2', 's-1', 'a', 1, 'A', 'k', 'failed', NULL);
        INSERT INTO chat_user_messages (message_id, chat_id, content, author, created_at_us)
        VALUES ('m-1', 'nowhere', 'x', 'a', 0)",
    );
    has_orphans(database, "stage_executions: 1 row without a parent in stage_executions");
    has_orphans(database, "chat_user_messages: 1 row without a parent in chats");
}

#[apply(test)]
fn rows_without_a_parent_by_a_key_of_the_operators_are_counted_but_not_for_prune(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("CREATE TABLE mine (id INTEGER, session VARCHAR REFERENCES alert_sessions)");
    database.execute_unguarded("INSERT INTO mine VALUES (1, 'nowhere'), (2, NULL)");
    let outcome = check(database, &["--deep"]).expect(0);
    let detail = "mine: 1 row without a parent in alert_sessions".to_owned();
    assert_eq!(finding(&outcome, "foreign keys"), ("warning".to_owned(), detail), "the table is not TARSy's");
}

#[apply(test)]
fn orphans_are_found_beside_a_table_of_another_application_that_cannot_be_read() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    let role = Role::new(&database);
    database.execute(&format!(
        "ALTER TABLE llm_interactions DROP CONSTRAINT llm_interactions_stage_execution_id_fkey;
         UPDATE llm_interactions SET stage_execution_id = 'nowhere';
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name};
         CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE others (id int REFERENCES parents);
         CREATE TABLE last (id int PRIMARY KEY, session varchar REFERENCES alert_sessions);
         GRANT SELECT ON last TO {name}",
        name = role.name
    ));
    let outcome = Outcome::of(tarsy_db(&database).env("DATABASE_URL", role.url()).args(["check", "--deep"])).expect(4);
    for line in [
        "llm_interactions: 1 row without a parent in stage_executions",
        "others(id) is not checked: permission denied for table others",
    ] {
        assert!(outcome.stdout.contains(line), "{}", outcome.stdout);
    }
    assert!(!outcome.stdout.contains("last("), "{}", outcome.stdout);
}

#[apply(test)]
fn what_no_foreign_key_of_the_servers_makes_sure_of_is_named() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    database.execute(
        "ALTER TABLE llm_interactions DROP CONSTRAINT llm_interactions_stage_execution_id_fkey;
         UPDATE llm_interactions SET stage_execution_id = 'nowhere'",
    );
    let outcome = check(&database, &[]).expect(4);
    is_found(&outcome, "foreign keys", "note", "llm_interactions(stage_execution_id) has no foreign key; `--deep`");
    let detail = "llm_interactions: 1 row without a parent in stage_executions";
    is_found(&check(&database, &["--deep"]).expect(4), "foreign keys", "failed", detail);
}

#[apply(test)]
fn a_cast_that_the_owner_of_a_type_planted_does_not_run() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    let role = Role::new(&database);
    database.execute(&format!(
        "GRANT CREATE ON SCHEMA public TO {name}; SET ROLE {name};
         CREATE TYPE evil AS (a int);
         CREATE FUNCTION evil(evil) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN IF current_user <> '{name}' THEN RAISE EXCEPTION 'a planted cast ran'; END IF; RETURN 1; END $$;
         CREATE CAST (evil AS int) WITH FUNCTION evil(evil) AS IMPLICIT;
         CREATE DOMAIN number AS int;
         CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1);
         CREATE TABLE others (id evil REFERENCES parents, same number REFERENCES parents);
         INSERT INTO others VALUES (ROW(1), 1); RESET ROLE",
        name = role.name
    ));
    let detail = "others(id) is not checked: not all types and operators of the key are PostgreSQL's own".to_owned();
    let outcome = check(&database, &["--deep"]).expect(0);
    assert_eq!(finding(&outcome, "foreign keys"), ("note".to_owned(), detail));
}

#[apply(test)]
fn a_column_of_tarsys_of_a_foreign_type_is_not_compared() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    database.execute(
        "CREATE TYPE evil AS (a text);
         CREATE FUNCTION evil(evil) RETURNS varchar LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN RAISE EXCEPTION 'a planted cast ran'; END $$;
         CREATE CAST (evil AS varchar) WITH FUNCTION evil(evil) AS IMPLICIT;
         ALTER TABLE mcp_communications DROP CONSTRAINT mcp_communications_stage_execution_id_fkey;
         ALTER TABLE mcp_communications ALTER COLUMN stage_execution_id TYPE evil USING ROW('x')::evil",
    );
    let outcome = check(&database, &["--deep"]).expect(4);
    let (status, detail) = finding(&outcome, "foreign keys");
    assert_eq!(status, "note", "{detail}");
    assert!(detail.contains("mcp_communications(stage_execution_id) is not checked"), "{detail}");
}
