//! `prune` at TARSy's newest revision: a session is removed with its chats and its parallel stages.

use crate::support::history::{NOW_US, OLD_US, insert_session};
use crate::support::prune::prune;
use crate::support::{Database, Schema, apply, test};

/// The foreign keys that revision 06 recreates with a cascade.
const CASCADES: [(&str, &str, &str); 5] = [
    ("stage_executions", "session_id", "alert_sessions (session_id)"),
    ("llm_interactions", "session_id", "alert_sessions (session_id)"),
    ("llm_interactions", "stage_execution_id", "stage_executions (execution_id)"),
    ("mcp_communications", "session_id", "alert_sessions (session_id)"),
    ("mcp_communications", "stage_execution_id", "stage_executions (execution_id)"),
];

/// Gives a database that was born at the baseline what later revisions add to the rows of a session: cascades, on
/// SQLite beside the old keys; chats without one; stages with parents.
fn init_at_newest(database: &Database) {
    database.create_schema(Schema::Baseline);
    for (table, column, parent) in CASCADES {
        let key =
            format!("CONSTRAINT fk_{table}_{column} FOREIGN KEY ({column}) REFERENCES {parent} ON DELETE CASCADE");
        match database.is_sqlite() {
            true => {
                let sql = database.texts(&format!("SELECT sql FROM sqlite_master WHERE name = '{table}'")).remove(0);
                let sql = sql.expect("a definition");
                let definition = sql.trim_end().strip_suffix(')').expect("a list of columns and constraints");
                database.execute(&format!("DROP TABLE {table}; {definition}, {key})"));
            }
            false => database.execute(&format!(
                "ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey; ALTER TABLE {table} ADD {key}"
            )),
        }
    }
    database.execute(
        "CREATE TABLE chats (
             chat_id VARCHAR NOT NULL PRIMARY KEY, session_id VARCHAR, created_at_us BIGINT,
             conversation_history VARCHAR NOT NULL, chain_id VARCHAR NOT NULL, pod_id VARCHAR, last_interaction_at BIGINT,
             CONSTRAINT chats_session_id_fkey FOREIGN KEY (session_id) REFERENCES alert_sessions (session_id));
         CREATE TABLE chat_user_messages (
             message_id VARCHAR NOT NULL PRIMARY KEY, chat_id VARCHAR, content VARCHAR NOT NULL, author VARCHAR NOT NULL,
             CONSTRAINT chat_user_messages_chat_id_fkey FOREIGN KEY (chat_id) REFERENCES chats (chat_id) ON DELETE CASCADE);
         ALTER TABLE stage_executions ADD COLUMN chat_id VARCHAR;
         ALTER TABLE stage_executions ADD COLUMN chat_user_message_id VARCHAR;
         ALTER TABLE stage_executions ADD COLUMN parallel_index INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE stage_executions ADD COLUMN parallel_type VARCHAR NOT NULL DEFAULT 'single';
         ALTER TABLE stage_executions ADD COLUMN parent_stage_execution_id VARCHAR
             CONSTRAINT fk_stage_executions_parent REFERENCES stage_executions (execution_id)",
    );
}

/// Writes a session with three parallel stages, one of them answering in a chat, and two chats with three messages
/// between them.
fn insert_whole_session(database: &Database, id: &str, status: &str, started_at_us: i64) {
    insert_session(database, id, status, Some(started_at_us));
    database.execute(&format!(
        "INSERT INTO chats (chat_id, session_id, conversation_history, chain_id)
         VALUES ('one-{id}', '{id}', 'x', 'chain'), ('two-{id}', '{id}', 'x', 'chain');
         INSERT INTO chat_user_messages (message_id, chat_id, content, author)
         VALUES ('1-{id}', 'one-{id}', 'x', 'me'), ('2-{id}', 'one-{id}', 'x', 'me'), ('3-{id}', 'two-{id}', 'x', 'me')"
    ));
    // Children whose keys come before and after their parent's.
    for (number, child) in [format!("child-{id}"), format!("zchild-{id}"), format!("zz-{id}")].iter().enumerate() {
        database.execute(&format!(
            "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                           parallel_index, parallel_type, parent_stage_execution_id, chat_id, chat_user_message_id)
             VALUES ('{child}', '{id}', 'analysis', 0, 'Analysis', 'KubernetesAgent', 'completed',
                     {number} + 1, 'replica', 'stage-{id}', 'one-{id}', '1-{id}');
             INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, duration_ms, success, model_name)
             VALUES ('llm-{child}', '{id}', '{child}', 1, true, 'gemini')"
        ));
    }
}

/// The rows of one such session.
const WHOLE: [(&str, i64); 6] = [
    ("alert_sessions", 1),
    ("stage_executions", 4),
    ("llm_interactions", 4),
    ("mcp_communications", 1),
    ("chats", 2),
    ("chat_user_messages", 3),
];

#[track_caller]
fn assert_whole(database: &Database, sessions: i64) {
    for (table, rows) in WHOLE {
        assert_eq!(database.count(table), sessions * rows, "{table}");
    }
    if database.is_sqlite() {
        assert!(database.texts("PRAGMA foreign_key_check").is_empty());
    }
}

#[apply(test)]
fn sessions_with_chats_and_parallel_stages_go_whole(database: &Database) {
    init_at_newest(database);
    for session in 0..5 {
        insert_whole_session(database, &format!("old-{session}"), "completed", OLD_US + session);
    }
    insert_whole_session(database, "new", "completed", NOW_US);
    insert_whole_session(database, "active", "in_progress", OLD_US);
    assert_whole(database, 7);
    let pruned = prune(database, &["--yes", "--batch-time", "1us"]).expect(0).json();
    assert_whole(database, 2);
    assert_eq!(
        database.texts("SELECT session_id FROM alert_sessions ORDER BY 1"),
        [Some("active".to_owned()), Some("new".to_owned())]
    );
    for (table, rows) in WHOLE {
        assert_eq!(pruned["removed"]["rows"][table], 5 * rows, "{table}");
    }
    assert_eq!(pruned["plan"]["kept"][0]["session_id"], "active");
    prune(database, &["--yes", "--include-active"]).expect(0);
    assert_whole(database, 1);
}

#[apply(test)]
fn a_session_whose_stages_have_children_in_another_one_is_kept_whole(database: &Database) {
    init_at_newest(database);
    insert_whole_session(database, "needed", "completed", OLD_US);
    insert_whole_session(database, "old", "completed", OLD_US);
    insert_whole_session(database, "new", "completed", NOW_US);
    database.execute(
        "UPDATE stage_executions SET parent_stage_execution_id = 'stage-needed' WHERE execution_id = 'child-new'",
    );
    let pruned = prune(database, &["--yes"]).expect(0).json();
    assert_eq!(pruned["plan"]["kept"][0]["session_id"], "needed");
    assert_whole(database, 2);
}
