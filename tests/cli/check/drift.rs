//! `check` on tables that are not those of the baseline: each difference in a sentence of its own.

use crate::support::cases::each;
use crate::support::check::{check, finding, finds, is_found};
use crate::support::history::{NOW_US, insert_session};
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

/// Rewrites a table's definition in place, for what SQLite's `ALTER TABLE` cannot do.
fn redefine(database: &Database, table: &str, from: &str, to: &str) {
    let quote = |text: &str| text.replace('\'', "''");
    database.execute(&format!(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, '{}', '{}') WHERE name = '{table}'",
        quote(from),
        quote(to)
    ));
    let sql = database.texts(&format!("SELECT sql FROM sqlite_schema WHERE name = '{table}'")).remove(0);
    assert!(sql.as_ref().is_some_and(|sql| sql.contains(to)), "no `{from}` in {sql:?}");
}

#[apply(test)]
fn a_lost_table_is_named(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("DROP TABLE mcp_communications");
    finds(database, 4, "schema", "failed", "missing table mcp_communications");
}

#[apply(test)]
fn a_lost_column_is_named(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("ALTER TABLE llm_interactions DROP COLUMN provider");
    finds(database, 4, "schema", "failed", "missing column llm_interactions.provider (");
}

#[apply(test)]
fn a_lost_index_is_named(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("DROP INDEX ix_alert_sessions_status");
    finds(database, 4, "schema", "failed", "missing index ix_alert_sessions_status on alert_sessions(status)");
}

#[apply(test)]
fn an_index_on_something_else_is_named(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute(
        "DROP INDEX ix_alert_sessions_alert_id;
                      CREATE INDEX ix_alert_sessions_alert_id ON alert_sessions (chain_id)",
    );
    let detail = "index ix_alert_sessions_alert_id is btree(chain_id), expected unique btree(alert_id)";
    finds(database, 4, "schema", "failed", detail);
}

#[apply(test)]
fn an_additional_unique_index_is_drift(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("CREATE UNIQUE INDEX mine ON alert_sessions (chain_id)");
    finds(database, 4, "schema", "failed", "additional unique index mine on alert_sessions(chain_id)");
}

#[apply(test)]
fn what_the_operator_added_is_noted(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute(
        "ALTER TABLE alert_sessions ADD COLUMN note TEXT; CREATE TABLE mine (id INTEGER);
                      CREATE INDEX ix_mine ON alert_sessions (chain_id)",
    );
    let outcome = check(database, &[]).expect(0);
    is_found(&outcome, "schema", "note", "additional column alert_sessions.note (text)");
    is_found(&outcome, "schema", "note", "additional table mine");
    is_found(&outcome, "schema", "note", "additional index ix_mine on alert_sessions(chain_id)");
}

#[apply(test)]
fn many_differences_are_counted(database: &Database) {
    database.create_schema(Schema::Baseline);
    let tables = (0..40).map(|number| format!("CREATE TABLE mine_{number} (id INTEGER);"));
    database.execute(&tables.collect::<String>());
    let (_, detail) = finding(&check(database, &[]).expect(0), "schema");
    let (_, more) = detail.rsplit_once("\nand ").expect("a last line that counts");
    // The first line says which revision it is.
    let named = detail.lines().count() - 2;
    assert_eq!(more, format!("{} more", 40 - named));
}

#[apply(test)]
fn changed_columns_and_keys_are_named_on_postgresql() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    let foreign_key = "ALTER TABLE stage_executions ADD CONSTRAINT stage_executions_session_id_fkey
                       FOREIGN KEY (session_id) REFERENCES alert_sessions";
    let drop_key = "ALTER TABLE stage_executions DROP CONSTRAINT stage_executions_session_id_fkey";
    let lost_key =
        "missing foreign key stage_executions(session_id) to alert_sessions(session_id) with NO ACTION on delete";
    let cases = [
        (
            "ALTER TABLE alert_sessions ALTER status TYPE text",
            "ALTER TABLE alert_sessions ALTER status TYPE varchar",
            "alert_sessions.status is text, expected varchar",
        ),
        (
            "ALTER TABLE alert_sessions ALTER chain_id DROP NOT NULL",
            "ALTER TABLE alert_sessions ALTER chain_id SET NOT NULL",
            "alert_sessions.chain_id is nullable, expected NOT NULL",
        ),
        (
            "ALTER TABLE alert_sessions ALTER status SET DEFAULT 'new'",
            "ALTER TABLE alert_sessions ALTER status DROP DEFAULT",
            "alert_sessions.status has the default 'new'::character varying, expected none",
        ),
        (
            "ALTER TABLE llm_interactions ADD COLUMN must INTEGER NOT NULL DEFAULT 1;
             ALTER TABLE llm_interactions ALTER must DROP DEFAULT",
            "ALTER TABLE llm_interactions DROP COLUMN must",
            "additional column llm_interactions.must (integer) is NOT NULL without a default",
        ),
        (
            "DROP INDEX ix_llm_interactions_conversation;
             CREATE INDEX ix_llm_interactions_conversation ON llm_interactions USING gin (conversation)",
            "DROP INDEX ix_llm_interactions_conversation;
             CREATE INDEX ix_llm_interactions_conversation ON llm_interactions USING gin (conversation jsonb_path_ops)",
            "index ix_llm_interactions_conversation is gin(conversation), expected gin(conversation jsonb_path_ops)",
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_alert_sessions_status'::regclass",
            "REINDEX INDEX ix_alert_sessions_status",
            "index ix_alert_sessions_status on alert_sessions is invalid",
        ),
        (drop_key, foreign_key, lost_key),
        (
            &format!("{drop_key}; {foreign_key} ON DELETE CASCADE"),
            &format!("{drop_key}; {foreign_key}"),
            "the foreign key stage_executions(session_id) to alert_sessions(session_id) has CASCADE on delete, \
             expected NO ACTION on delete",
        ),
        (
            &format!("{drop_key}; {foreign_key} NOT VALID"),
            "ALTER TABLE stage_executions VALIDATE CONSTRAINT stage_executions_session_id_fkey",
            "the foreign key on stage_executions(session_id) is NOT VALID",
        ),
    ];
    each(cases, |(change, undo, detail)| {
        database.execute(change);
        finds(&database, 4, "schema", "failed", detail);
        database.execute(undo);
        check(&database, &[]).expect(0);
    });
}

#[apply(test)]
fn changed_columns_and_keys_are_named_on_sqlite() {
    let key = r#", FOREIGN KEY ("session_id") REFERENCES "alert_sessions" ("session_id")"#;
    let lost_key =
        "missing foreign key stage_executions(session_id) to alert_sessions(session_id) with NO ACTION on delete";
    let cascading = format!("{key} ON DELETE CASCADE");
    let cases = [
        ("alert_sessions", "\"status\" VARCHAR", "\"status\" TEXT", "alert_sessions.status is text, expected varchar"),
        (
            "alert_sessions",
            "\"chain_id\" VARCHAR NOT NULL",
            "\"chain_id\" VARCHAR",
            "alert_sessions.chain_id is nullable, expected NOT NULL",
        ),
        (
            "llm_interactions",
            "\"model_name\" VARCHAR NOT NULL",
            "\"model_name\" VARCHAR NOT NULL, must INTEGER NOT NULL",
            "additional column llm_interactions.must (integer) is NOT NULL without a default",
        ),
        ("stage_executions", key, " ", lost_key),
        (
            "stage_executions",
            key,
            &cascading,
            "the foreign key stage_executions(session_id) to alert_sessions(session_id) has CASCADE on delete, \
             expected NO ACTION on delete",
        ),
    ];
    each(cases, |(table, from, to, detail)| {
        let database = Database::sqlite();
        database.create_schema(Schema::Baseline);
        redefine(&database, table, from, to);
        finds(&database, 4, "schema", "failed", detail);
    });
}

#[apply(test)]
fn an_additional_unique_constraint_is_drift() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute("ALTER TABLE alert_sessions ADD CONSTRAINT mine UNIQUE (chain_id)");
    finds(&database, 4, "schema", "failed", "mine");
}

#[apply(test)]
fn an_additional_condition_is_drift() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute("ALTER TABLE alert_sessions ADD CONSTRAINT mine CHECK (status = 'completed')");
    finds(&database, 4, "schema", "failed", "mine");
}

#[apply(test)]
fn a_key_that_writes_on_update_is_drift() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute(
        "ALTER TABLE stage_executions DROP CONSTRAINT stage_executions_session_id_fkey,
         ADD CONSTRAINT stage_executions_session_id_fkey
         FOREIGN KEY (session_id) REFERENCES alert_sessions ON UPDATE CASCADE",
    );
    finds(&database, 4, "schema", "failed", "CASCADE");
}

#[apply(test)]
fn a_view_in_the_place_of_a_table_is_named(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("ALTER TABLE mcp_communications RENAME TO moved");
    database.execute("CREATE VIEW mcp_communications AS SELECT * FROM moved");
    let expected = "these tables are missing: mcp_communications; `mcp_communications` is a view";
    finds(database, 4, "revision", "failed", expected);
    for arguments in [&["init"][..], &["prune", "--dry-run", "--older-than", "90d"]] {
        Outcome::of(tarsy_db(database).args(arguments)).expect(4).tells(&[
            "mcp_communications missing",
            "; `mcp_communications` is a view",
            "hint: rename what has the name of a table and is none",
        ]);
    }
}

/// Constraints of PostgreSQL 18. Earlier servers have neither.
#[apply(test)]
fn a_not_null_that_was_never_validated_and_a_key_that_is_not_enforced_are_drift() {
    let database = Database::postgresql().with_schema(Schema::Head);
    if database.number("SELECT current_setting('server_version_num')::bigint") < 180_000 {
        return;
    }
    let cases = [
        (
            "ALTER TABLE alert_sessions ALTER chain_id DROP NOT NULL,
             ADD CONSTRAINT mine NOT NULL chain_id NOT VALID",
            "ALTER TABLE alert_sessions VALIDATE CONSTRAINT mine",
            "schema",
            "NOT NULL of alert_sessions.chain_id is NOT VALID: older rows were never checked",
        ),
        (
            "ALTER TABLE chats ALTER CONSTRAINT chats_session_id_fkey NOT ENFORCED",
            "ALTER TABLE chats ALTER CONSTRAINT chats_session_id_fkey ENFORCED",
            "schema",
            "the foreign key on chats(session_id) is NOT ENFORCED: neither older nor new rows are checked",
        ),
        (
            "ALTER TABLE chats ALTER CONSTRAINT chats_session_id_fkey NOT ENFORCED",
            "ALTER TABLE chats ALTER CONSTRAINT chats_session_id_fkey ENFORCED",
            "foreign keys",
            "chats(session_id) is NOT ENFORCED",
        ),
    ];
    each(cases, |(change, undo, name, detail)| {
        database.execute(change);
        finds(&database, 4, name, "failed", detail);
        database.execute(undo);
        check(&database, &[]).expect(0);
    });
}

#[apply(test)]
fn what_a_crash_of_the_server_would_empty_is_drift() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let emptied = "alembic_version is UNLOGGED: a crash of the server empties it";
    let reset =
        "`events_id_seq` is UNLOGGED: a crash of the server resets it; run `ALTER SEQUENCE events_id_seq SET LOGGED`";
    let mut cases = vec![("TABLE alembic_version", "schema", emptied)];
    // Before, every sequence was logged.
    if database.number("SELECT current_setting('server_version_num')::bigint") >= 150_000 {
        cases.push(("SEQUENCE events_id_seq", "sequences", reset));
        // A table of another application may be unlogged, and its sequence with it.
        database.execute("CREATE UNLOGGED TABLE other (id SERIAL PRIMARY KEY)");
    }
    each(cases, |(object, name, detail)| {
        database.execute(&format!("ALTER {object} SET UNLOGGED"));
        finds(&database, 4, name, "failed", detail);
        database.execute(&format!("ALTER {object} SET LOGGED"));
        check(&database, &[]).expect(0);
    });
}
