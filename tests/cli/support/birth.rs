//! The forms in which databases of one revision really exist, in DDL as SQLAlchemy writes it.

use super::Database;
use super::revision::IDS;

/// Which release a database was born with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Born {
    /// On SQLite: the models before EP-0020.
    Before,
    /// EP-0020, and revisions 01 to 03.
    A,
    /// Revisions 04 and 05.
    B,
    /// Revisions 06 to 17.
    C,
    /// Revisions 18 to 23.
    D,
}

/// In which order SQLite's definitions have their doubled keys: SQLAlchemy keeps none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubled {
    OldFirst,
    NewFirst,
}

/// The statements that make the tables of a revision, without the ledger.
pub(crate) fn tables(database: &Database, born: Born, revision: usize) -> String {
    ddl(database.is_sqlite(), born, revision, Doubled::NewFirst)
}

fn ddl(is_sqlite: bool, born: Born, revision: usize, order: Doubled) -> String {
    let mut statements = Vec::new();
    for (since, table, key) in TABLES {
        if since > revision {
            continue;
        }
        let of_table =
            COLUMNS.iter().filter(|(name, from, until, _)| *name == table && (*from..*until).contains(&revision));
        let mut lines: Vec<String> = of_table.map(|(.., column)| shaped(is_sqlite, born, table, column)).collect();
        lines.push(format!("PRIMARY KEY ({key})"));
        lines.extend(keys(is_sqlite, born, table, revision, order));
        statements.push(format!("CREATE TABLE {table} (\n\t{}\n)", lines.join(", \n\t")));
    }
    for (table, from, until, name, columns) in INDEXES {
        if (from..until).contains(&revision) {
            let unique = if name == "ix_alert_sessions_alert_id" { "UNIQUE " } else { "" };
            statements.push(format!("CREATE {unique}INDEX {name} ON {table} ({columns})"));
        }
    }
    let conversation = match is_sqlite {
        true => "CREATE INDEX ix_llm_interactions_conversation ON llm_interactions (conversation)",
        false => {
            "CREATE INDEX ix_llm_interactions_conversation ON llm_interactions USING gin (conversation jsonb_path_ops)"
        }
    };
    statements.push(conversation.to_owned());
    statements.join(";\n")
}

/// A column as a database of this birth has it.
fn shaped(is_sqlite: bool, born: Born, table: &str, column: &str) -> String {
    let (name, _) = column.split_once(' ').expect("a name and a type");
    let is_time = ["started_at_us", "completed_at_us", "timestamp_us", "start_time_us", "end_time_us"].contains(&name);
    let is_first_time = (table == "alert_sessions" && name == "started_at_us")
        || (["llm_interactions", "mcp_communications"].contains(&table) && name == "timestamp_us");
    match (table, name) {
        ("alert_sessions", "pod_id") if born >= Born::B => "pod_id VARCHAR".to_owned(),
        ("stage_executions" | "llm_interactions" | "mcp_communications", "session_id") if born >= Born::C => {
            "session_id VARCHAR".to_owned()
        }
        (_, "parallel_index") if born == Born::D => "parallel_index INTEGER NOT NULL".to_owned(),
        (_, "parallel_type") if born == Born::D => "parallel_type VARCHAR NOT NULL".to_owned(),
        _ if born == Born::Before && is_first_time => format!("{name} INTEGER NOT NULL"),
        _ if born == Born::Before && is_time => format!("{name} INTEGER"),
        (_, "conversation") if !is_sqlite => "conversation JSONB".to_owned(),
        (_, "id") if !is_sqlite => "id SERIAL NOT NULL".to_owned(),
        (_, "created_at") if !is_sqlite => "created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT now() NOT NULL".to_owned(),
        // Where the models make the table the default has no brackets; the pragma does not show them.
        (_, "created_at") if born == Born::A => "created_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL".to_owned(),
        _ => column.to_owned(),
    }
}

/// The foreign keys of a table.
fn keys(is_sqlite: bool, born: Born, table: &str, revision: usize, order: Doubled) -> Vec<String> {
    let mut keys = Vec::new();
    let to_stage = ("stage_execution_id", "stage_executions (execution_id)");
    let to_session = ("session_id", "alert_sessions (session_id)");
    let of_table = match table {
        "stage_executions" => vec![to_session],
        "llm_interactions" | "mcp_communications" => vec![to_session, to_stage],
        "chats" => return vec!["FOREIGN KEY(session_id) REFERENCES alert_sessions (session_id)".to_owned()],
        "chat_user_messages" => {
            return vec!["FOREIGN KEY(chat_id) REFERENCES chats (chat_id) ON DELETE CASCADE".to_owned()];
        }
        _ => return keys,
    };
    let was_rebuilt = table == "stage_executions" && revision >= 18;
    for (column, target) in of_table {
        let old = format!("FOREIGN KEY({column}) REFERENCES {target}");
        let unnamed = format!("{old} ON DELETE CASCADE");
        let named = format!("CONSTRAINT fk_{table}_{column} {unnamed}");
        keys.extend(match (is_sqlite, order) {
            // A later release's database that was rolled back.
            (true, _) if revision < 6 && born >= Born::C => {
                vec![format!("CONSTRAINT fk_{table}_{column} {old}"), unnamed]
            }
            _ if revision < 6 => vec![old],
            (false, _) => vec![named],
            (true, _) if born >= Born::C => vec![unnamed],
            (true, _) if was_rebuilt => vec![named],
            (true, Doubled::NewFirst) => vec![named, old],
            (true, Doubled::OldFirst) => vec![old, named],
        });
    }
    if was_rebuilt {
        let to_parent = "FOREIGN KEY(parent_stage_execution_id) REFERENCES stage_executions (execution_id)";
        if !is_sqlite {
            keys.push(format!("CONSTRAINT fk_stage_executions_parent {to_parent}"));
        }
        if born == Born::D {
            keys.push(to_parent.to_owned());
        }
    }
    keys
}

/// Writes a ledger that names a revision.
pub(crate) fn stamp(database: &Database, revision: usize) {
    database.execute(&format!(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,
                                       CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
         INSERT INTO alembic_version VALUES ('{}')",
        IDS[revision - 1]
    ));
}

/// Makes a database as TARSy leaves it, with a session and its rows.
pub(crate) fn create(database: &Database, born: Born, revision: usize) {
    create_with(database, born, revision, Doubled::NewFirst);
}

/// The same with doubled keys in this order.
pub(crate) fn create_with(database: &Database, born: Born, revision: usize, order: Doubled) {
    database.execute(&ddl(database.is_sqlite(), born, revision, order));
    stamp(database, revision);
    fill(database, revision);
}

/// Writes a session as the backend of that revision does.
pub(crate) fn fill(database: &Database, revision: usize) {
    let [alert_id, alert] = if revision < 4 { [", alert_id", ", 'alert'"] } else { [""; 2] };
    let [parallel, single] =
        if revision < 18 { [""; 2] } else { [", parallel_index, parallel_type", ", 1, 'replica'"] };
    database.execute(&format!(
        "INSERT INTO alert_sessions (session_id, agent_type, status, chain_id, started_at_us{alert_id})
         VALUES ('s', 'kubernetes', 'completed', 'chain', 1700000000000000{alert});
         INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status{parallel})
         VALUES ('e', 's', 'a', 0, 'A', 'k', 'completed'{single});
         INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, timestamp_us, duration_ms, success,
                                       model_name, conversation)
         VALUES ('l', 's', 'e', 1700000000000001, 5, true, 'm', '{{\"messages\": [\"Final Answer: 42\"]}}');
         INSERT INTO mcp_communications (communication_id, step_description, request_id, session_id, stage_execution_id,
                                         timestamp_us, duration_ms, success, server_name, communication_type)
         VALUES ('m', 'look', 'r', 's', 'e', 1700000000000002, 5, false, 'kubernetes', 'tool_call')"
    ));
    if revision >= 3 {
        database.execute(r#"INSERT INTO events (channel, payload) VALUES ('sessions', '{"id": 1}')"#);
    }
    if revision >= 11 {
        database.execute(
            "INSERT INTO chats (chat_id, session_id, conversation_history, chain_id) VALUES ('c', 's', '', 'chain');
             INSERT INTO chat_user_messages (message_id, chat_id, content, author) VALUES ('u', 'c', 'why?', 'me')",
        );
    }
}

/// The revision that brings a table, its name, its primary key.
const TABLES: [(usize, &str, &str); 7] = [
    (1, "alert_sessions", "session_id"),
    (1, "stage_executions", "execution_id"),
    (1, "llm_interactions", "interaction_id"),
    (1, "mcp_communications", "communication_id"),
    (3, "events", "id"),
    (11, "chats", "chat_id"),
    (11, "chat_user_messages", "message_id"),
];

/// Behind the last revision.
const STAYS: usize = 24;

/// The table, the revision that brings the column, the one that takes it, its definition for shape A.
const COLUMNS: &[(&str, usize, usize, &str)] = &[
    ("alert_sessions", 1, STAYS, "agent_type VARCHAR NOT NULL"),
    ("alert_sessions", 1, STAYS, "alert_data JSON"),
    ("alert_sessions", 1, 4, "alert_id VARCHAR NOT NULL"),
    ("alert_sessions", 1, STAYS, "alert_type VARCHAR"),
    ("alert_sessions", 1, STAYS, "chain_definition JSON"),
    ("alert_sessions", 1, STAYS, "chain_id VARCHAR NOT NULL"),
    ("alert_sessions", 1, STAYS, "completed_at_us BIGINT"),
    ("alert_sessions", 1, STAYS, "current_stage_id VARCHAR"),
    ("alert_sessions", 1, STAYS, "current_stage_index INTEGER"),
    ("alert_sessions", 1, STAYS, "error_message VARCHAR"),
    ("alert_sessions", 1, STAYS, "final_analysis VARCHAR"),
    ("alert_sessions", 1, STAYS, "session_id VARCHAR NOT NULL"),
    ("alert_sessions", 1, STAYS, "session_metadata JSON"),
    ("alert_sessions", 1, STAYS, "started_at_us BIGINT"),
    ("alert_sessions", 1, STAYS, "status VARCHAR NOT NULL"),
    ("alert_sessions", 5, STAYS, "last_interaction_at BIGINT"),
    ("alert_sessions", 5, STAYS, "pod_id VARCHAR(255)"),
    ("alert_sessions", 8, STAYS, "author VARCHAR(255)"),
    ("alert_sessions", 9, STAYS, "runbook_url VARCHAR"),
    ("alert_sessions", 10, STAYS, "mcp_selection JSON"),
    ("alert_sessions", 13, STAYS, "pause_metadata JSON"),
    ("alert_sessions", 16, STAYS, "final_analysis_summary VARCHAR"),
    ("alert_sessions", 22, STAYS, "executive_summary_error VARCHAR"),
    ("alert_sessions", 23, STAYS, "slack_message_fingerprint VARCHAR"),
    ("stage_executions", 1, STAYS, "agent VARCHAR NOT NULL"),
    ("stage_executions", 1, STAYS, "completed_at_us BIGINT"),
    ("stage_executions", 1, STAYS, "duration_ms INTEGER"),
    ("stage_executions", 1, STAYS, "error_message VARCHAR"),
    ("stage_executions", 1, STAYS, "execution_id VARCHAR NOT NULL"),
    ("stage_executions", 1, STAYS, "session_id VARCHAR NOT NULL"),
    ("stage_executions", 1, STAYS, "stage_id VARCHAR NOT NULL"),
    ("stage_executions", 1, STAYS, "stage_index INTEGER NOT NULL"),
    ("stage_executions", 1, STAYS, "stage_name VARCHAR NOT NULL"),
    ("stage_executions", 1, STAYS, "stage_output JSON"),
    ("stage_executions", 1, STAYS, "started_at_us BIGINT"),
    ("stage_executions", 1, STAYS, "status VARCHAR NOT NULL"),
    ("stage_executions", 11, STAYS, "chat_id VARCHAR"),
    ("stage_executions", 11, STAYS, "chat_user_message_id VARCHAR"),
    ("stage_executions", 12, STAYS, "current_iteration INTEGER"),
    ("stage_executions", 18, STAYS, "parallel_index INTEGER DEFAULT 0 NOT NULL"),
    ("stage_executions", 18, STAYS, "parallel_type VARCHAR DEFAULT 'single' NOT NULL"),
    ("stage_executions", 18, STAYS, "parent_stage_execution_id VARCHAR"),
    ("stage_executions", 19, STAYS, "expected_parallel_count INTEGER"),
    ("stage_executions", 20, STAYS, "paused_at_us BIGINT"),
    ("stage_executions", 21, STAYS, "iteration_strategy VARCHAR"),
    ("llm_interactions", 1, STAYS, "conversation JSON"),
    ("llm_interactions", 1, STAYS, "duration_ms INTEGER NOT NULL"),
    ("llm_interactions", 1, STAYS, "error_message VARCHAR"),
    ("llm_interactions", 1, STAYS, "input_tokens INTEGER"),
    ("llm_interactions", 1, STAYS, "interaction_id VARCHAR NOT NULL"),
    ("llm_interactions", 1, STAYS, "model_name VARCHAR NOT NULL"),
    ("llm_interactions", 1, STAYS, "output_tokens INTEGER"),
    ("llm_interactions", 1, STAYS, "provider VARCHAR"),
    ("llm_interactions", 1, STAYS, "session_id VARCHAR NOT NULL"),
    ("llm_interactions", 1, STAYS, "stage_execution_id VARCHAR"),
    ("llm_interactions", 1, STAYS, "success BOOLEAN NOT NULL"),
    ("llm_interactions", 1, STAYS, "temperature FLOAT"),
    ("llm_interactions", 1, STAYS, "timestamp_us BIGINT"),
    ("llm_interactions", 1, STAYS, "total_tokens INTEGER"),
    ("llm_interactions", 2, STAYS, "interaction_type VARCHAR(50) DEFAULT 'investigation' NOT NULL"),
    ("llm_interactions", 7, STAYS, "mcp_event_id VARCHAR"),
    ("llm_interactions", 14, STAYS, "response_metadata JSON"),
    ("llm_interactions", 15, STAYS, "native_tools_config JSON"),
    ("llm_interactions", 17, STAYS, "thinking_content VARCHAR"),
    ("mcp_communications", 1, STAYS, "available_tools JSON"),
    ("mcp_communications", 1, STAYS, "communication_id VARCHAR NOT NULL"),
    ("mcp_communications", 1, STAYS, "communication_type VARCHAR NOT NULL"),
    ("mcp_communications", 1, STAYS, "duration_ms INTEGER NOT NULL"),
    ("mcp_communications", 1, STAYS, "end_time_us BIGINT"),
    ("mcp_communications", 1, STAYS, "error_message VARCHAR"),
    ("mcp_communications", 1, STAYS, "request_id VARCHAR NOT NULL"),
    ("mcp_communications", 1, STAYS, "server_name VARCHAR NOT NULL"),
    ("mcp_communications", 1, STAYS, "session_id VARCHAR NOT NULL"),
    ("mcp_communications", 1, STAYS, "stage_execution_id VARCHAR"),
    ("mcp_communications", 1, STAYS, "start_time_us BIGINT"),
    ("mcp_communications", 1, STAYS, "step_description VARCHAR NOT NULL"),
    ("mcp_communications", 1, STAYS, "success BOOLEAN NOT NULL"),
    ("mcp_communications", 1, STAYS, "timestamp_us BIGINT"),
    ("mcp_communications", 1, STAYS, "tool_arguments JSON"),
    ("mcp_communications", 1, STAYS, "tool_name VARCHAR"),
    ("mcp_communications", 1, STAYS, "tool_result JSON"),
    ("events", 3, STAYS, "channel VARCHAR(100) NOT NULL"),
    ("events", 3, STAYS, "created_at DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL"),
    ("events", 3, STAYS, "id INTEGER NOT NULL"),
    ("events", 3, STAYS, "payload JSON"),
    ("chats", 11, STAYS, "chain_id VARCHAR NOT NULL"),
    ("chats", 11, STAYS, "chat_id VARCHAR NOT NULL"),
    ("chats", 11, STAYS, "context_captured_at_us BIGINT"),
    ("chats", 11, STAYS, "conversation_history VARCHAR NOT NULL"),
    ("chats", 11, STAYS, "created_at_us BIGINT"),
    ("chats", 11, STAYS, "created_by VARCHAR"),
    ("chats", 11, STAYS, "last_interaction_at BIGINT"),
    ("chats", 11, STAYS, "mcp_selection JSON"),
    ("chats", 11, STAYS, "pod_id VARCHAR"),
    ("chats", 11, STAYS, "session_id VARCHAR"),
    ("chat_user_messages", 11, STAYS, "author VARCHAR NOT NULL"),
    ("chat_user_messages", 11, STAYS, "chat_id VARCHAR"),
    ("chat_user_messages", 11, STAYS, "content VARCHAR NOT NULL"),
    ("chat_user_messages", 11, STAYS, "created_at_us BIGINT"),
    ("chat_user_messages", 11, STAYS, "message_id VARCHAR NOT NULL"),
];

/// The table, the revision that brings the index, the one that takes it, its name and columns.
const INDEXES: [(&str, usize, usize, &str, &str); 25] = [
    ("alert_sessions", 1, STAYS, "ix_alert_sessions_agent_type", "agent_type"),
    ("alert_sessions", 1, 4, "ix_alert_sessions_alert_id", "alert_id"),
    ("alert_sessions", 1, STAYS, "ix_alert_sessions_alert_type", "alert_type"),
    ("alert_sessions", 1, STAYS, "ix_alert_sessions_started_at_us", "started_at_us"),
    ("alert_sessions", 1, STAYS, "ix_alert_sessions_status", "status"),
    ("alert_sessions", 1, STAYS, "ix_alert_sessions_status_started_at", "status, started_at_us"),
    ("alert_sessions", 5, STAYS, "ix_alert_sessions_status_last_interaction", "status, last_interaction_at"),
    ("stage_executions", 1, STAYS, "ix_stage_executions_session_id", "session_id"),
    ("stage_executions", 1, STAYS, "ix_stage_executions_stage_index", "stage_index"),
    ("stage_executions", 18, 19, "ix_stage_executions_parent_stage_execution_id", "parent_stage_execution_id"),
    ("stage_executions", 18, 19, "ix_stage_executions_session_parent", "session_id, parent_stage_execution_id"),
    ("llm_interactions", 1, STAYS, "ix_llm_interactions_session_id", "session_id"),
    ("llm_interactions", 1, STAYS, "ix_llm_interactions_stage_execution_id", "stage_execution_id"),
    ("llm_interactions", 1, STAYS, "ix_llm_interactions_timestamp_us", "timestamp_us"),
    ("mcp_communications", 1, STAYS, "ix_mcp_communications_session_id", "session_id"),
    ("mcp_communications", 1, STAYS, "ix_mcp_communications_stage_execution_id", "stage_execution_id"),
    ("mcp_communications", 1, STAYS, "ix_mcp_communications_timestamp_us", "timestamp_us"),
    ("events", 3, STAYS, "idx_events_channel_id", "channel, id"),
    ("events", 3, STAYS, "idx_events_created_at", "created_at"),
    ("events", 3, STAYS, "ix_events_channel", "channel"),
    ("chats", 11, STAYS, "ix_chats_created_at", "created_at_us"),
    ("chats", 11, STAYS, "ix_chats_pod_last_interaction", "pod_id, last_interaction_at"),
    ("chats", 11, STAYS, "ix_chats_session_id", "session_id"),
    ("chat_user_messages", 11, STAYS, "ix_chat_user_messages_chat_id", "chat_id"),
    ("chat_user_messages", 11, STAYS, "ix_chat_user_messages_created_at", "created_at_us"),
];
