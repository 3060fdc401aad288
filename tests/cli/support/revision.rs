//! TARSy's revisions: what each of them adds and removes, and which one a database has.
//!
//! The lines come from databases that TARSy upgraded, but for two improvements on SQLite: no foreign key exists
//! twice, and the key to the parent of parallel stages exists as on PostgreSQL.

use super::{Database, Outcome, baseline, tarsy_db};

/// The ids of all revisions, oldest first.
pub(crate) const IDS: [&str; 23] = [
    "ae85467a75d2",
    "7c617b3e7c2c",
    "3eafea61046d",
    "9d8fd988188d",
    "3d5f7251e766",
    "3717971cb125",
    "8bc629164789",
    "ab12cd34ef56",
    "9f8e7d6c5b4a",
    "da4300b74d0e",
    "11b500f06df2",
    "09f57a2a2439",
    "88f7a5fba343",
    "921cbd5111ad",
    "01b89ac17a5e",
    "aedb48dd0326",
    "c2f1e3d4a5b6",
    "d7e8f9a0b1c2",
    "f0dd17b71ce2",
    "a1b2c3d4e5f6",
    "b31503eedb30",
    "c4d5e6f7g8h9",
    "b67c135119d7",
];

/// Runs `init`.
pub(crate) fn init(database: &Database, arguments: &[&str]) -> Outcome {
    Outcome::of(tarsy_db(database).arg("init").args(arguments))
}

/// Brings the database to a revision.
#[track_caller]
pub(crate) fn init_to(database: &Database, target: &str) -> Outcome {
    init(database, &["--to", target]).expect(0)
}

/// What the ledger says.
pub(crate) fn ledger(database: &Database) -> Vec<Option<String>> {
    database.texts("SELECT version_num FROM alembic_version ORDER BY 1")
}

/// Makes sure that the database has this revision and nothing else, and that the ledger says so.
#[track_caller]
pub(crate) fn stands_at(database: &Database, number: usize) {
    assert_eq!(ledger(database), [Some(IDS[number - 1].to_owned())]);
    baseline::is_listed(database, &expected(database, number));
}

/// The listing of a revision: the baseline's with the lines that came since, without those that went.
fn expected(database: &Database, number: usize) -> String {
    let changes = if database.is_sqlite() { SQLITE } else { POSTGRESQL };
    let mut lines: Vec<&str> = baseline::expected(database).lines().collect();
    for change in changes.lines() {
        let (revision, line) = change.split_once(' ').expect("a revision and its line");
        let (sign, line) = line.split_at(2);
        match sign {
            _ if revision.parse::<usize>().expect("a number") > number => {}
            "+ " => lines.push(line),
            _ => {
                let place = lines.iter().position(|other| *other == line).expect("what goes was there");
                lines.remove(place);
            }
        }
    }
    lines.sort_unstable();
    lines.join("\n")
}

const POSTGRESQL: &str = "\
02 + llm_interactions.interaction_type character varying(50) NOT NULL DEFAULT 'investigation'::character varying
03 + events.channel character varying(100) NOT NULL
03 + events.created_at timestamp without time zone NOT NULL DEFAULT now()
03 + events.id integer NOT NULL DEFAULT nextval('events_id_seq'::regclass)
03 + events.payload json
03 + events: INDEX idx_events_channel_id USING btree (channel, id)
03 + events: INDEX idx_events_created_at USING btree (created_at)
03 + events: INDEX ix_events_channel USING btree (channel)
03 + events: events_pkey PRIMARY KEY (id)
03 + events_id_seq: integer SEQUENCE OWNED BY events.id
04 - alert_sessions.alert_id character varying NOT NULL
04 - alert_sessions: UNIQUE INDEX ix_alert_sessions_alert_id USING btree (alert_id)
05 + alert_sessions.last_interaction_at bigint
05 + alert_sessions.pod_id character varying(255)
05 + alert_sessions: INDEX ix_alert_sessions_status_last_interaction USING btree (status, last_interaction_at)
06 - llm_interactions: llm_interactions_session_id_fkey FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id)
06 - llm_interactions: llm_interactions_stage_execution_id_fkey FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id)
06 - mcp_communications: mcp_communications_session_id_fkey FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id)
06 - mcp_communications: mcp_communications_stage_execution_id_fkey FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id)
06 - stage_executions: stage_executions_session_id_fkey FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id)
06 + llm_interactions: fk_llm_interactions_session_id FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE CASCADE
06 + llm_interactions: fk_llm_interactions_stage_execution_id FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id) ON DELETE CASCADE
06 + mcp_communications: fk_mcp_communications_session_id FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE CASCADE
06 + mcp_communications: fk_mcp_communications_stage_execution_id FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id) ON DELETE CASCADE
06 + stage_executions: fk_stage_executions_session_id FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE CASCADE
07 + llm_interactions.mcp_event_id character varying
08 + alert_sessions.author character varying(255)
09 + alert_sessions.runbook_url character varying
10 + alert_sessions.mcp_selection json
11 + chat_user_messages.author character varying NOT NULL
11 + chat_user_messages.chat_id character varying
11 + chat_user_messages.content character varying NOT NULL
11 + chat_user_messages.created_at_us bigint
11 + chat_user_messages.message_id character varying NOT NULL
11 + chat_user_messages: INDEX ix_chat_user_messages_chat_id USING btree (chat_id)
11 + chat_user_messages: INDEX ix_chat_user_messages_created_at USING btree (created_at_us)
11 + chat_user_messages: chat_user_messages_chat_id_fkey FOREIGN KEY (chat_id) REFERENCES chats(chat_id) ON DELETE CASCADE
11 + chat_user_messages: chat_user_messages_pkey PRIMARY KEY (message_id)
11 + chats.chain_id character varying NOT NULL
11 + chats.chat_id character varying NOT NULL
11 + chats.context_captured_at_us bigint
11 + chats.conversation_history character varying NOT NULL
11 + chats.created_at_us bigint
11 + chats.created_by character varying
11 + chats.last_interaction_at bigint
11 + chats.mcp_selection json
11 + chats.pod_id character varying
11 + chats.session_id character varying
11 + chats: INDEX ix_chats_created_at USING btree (created_at_us)
11 + chats: INDEX ix_chats_pod_last_interaction USING btree (pod_id, last_interaction_at)
11 + chats: INDEX ix_chats_session_id USING btree (session_id)
11 + chats: chats_pkey PRIMARY KEY (chat_id)
11 + chats: chats_session_id_fkey FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id)
11 + stage_executions.chat_id character varying
11 + stage_executions.chat_user_message_id character varying
12 + stage_executions.current_iteration integer
13 + alert_sessions.pause_metadata json
14 + llm_interactions.response_metadata json
15 + llm_interactions.native_tools_config json
16 + alert_sessions.final_analysis_summary character varying
17 + llm_interactions.thinking_content character varying
18 + stage_executions.parallel_index integer NOT NULL DEFAULT 0
18 + stage_executions.parallel_type character varying NOT NULL DEFAULT 'single'::character varying
18 + stage_executions.parent_stage_execution_id character varying
18 + stage_executions: INDEX ix_stage_executions_parent_stage_execution_id USING btree (parent_stage_execution_id)
18 + stage_executions: INDEX ix_stage_executions_session_parent USING btree (session_id, parent_stage_execution_id)
18 + stage_executions: fk_stage_executions_parent FOREIGN KEY (parent_stage_execution_id) REFERENCES stage_executions(execution_id)
19 - stage_executions: INDEX ix_stage_executions_parent_stage_execution_id USING btree (parent_stage_execution_id)
19 - stage_executions: INDEX ix_stage_executions_session_parent USING btree (session_id, parent_stage_execution_id)
19 + stage_executions.expected_parallel_count integer
20 + stage_executions.paused_at_us bigint
21 + stage_executions.iteration_strategy character varying
22 + alert_sessions.executive_summary_error character varying
23 + alert_sessions.slack_message_fingerprint character varying";

const SQLITE: &str = "\
02 + llm_interactions.interaction_type VARCHAR(50) NOT NULL DEFAULT 'investigation'
03 + events.channel VARCHAR(100) NOT NULL
03 + events.created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
03 + events.id INTEGER NOT NULL
03 + events.payload JSON
03 + events: INDEX idx_events_channel_id (channel, id)
03 + events: INDEX idx_events_created_at (created_at)
03 + events: INDEX ix_events_channel (channel)
03 + events: PRIMARY KEY (id)
04 - alert_sessions.alert_id VARCHAR NOT NULL
04 - alert_sessions: UNIQUE INDEX ix_alert_sessions_alert_id (alert_id)
05 + alert_sessions.last_interaction_at BIGINT
05 + alert_sessions.pod_id VARCHAR(255)
05 + alert_sessions: INDEX ix_alert_sessions_status_last_interaction (status, last_interaction_at)
06 - llm_interactions: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE NO ACTION ON UPDATE NO ACTION
06 - llm_interactions: FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id) ON DELETE NO ACTION ON UPDATE NO ACTION
06 - mcp_communications: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE NO ACTION ON UPDATE NO ACTION
06 - mcp_communications: FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id) ON DELETE NO ACTION ON UPDATE NO ACTION
06 - stage_executions: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE NO ACTION ON UPDATE NO ACTION
06 + llm_interactions: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE CASCADE ON UPDATE NO ACTION
06 + llm_interactions: FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id) ON DELETE CASCADE ON UPDATE NO ACTION
06 + mcp_communications: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE CASCADE ON UPDATE NO ACTION
06 + mcp_communications: FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id) ON DELETE CASCADE ON UPDATE NO ACTION
06 + stage_executions: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE CASCADE ON UPDATE NO ACTION
07 + llm_interactions.mcp_event_id VARCHAR
08 + alert_sessions.author VARCHAR(255)
09 + alert_sessions.runbook_url VARCHAR
10 + alert_sessions.mcp_selection JSON
11 + chat_user_messages.author VARCHAR NOT NULL
11 + chat_user_messages.chat_id VARCHAR
11 + chat_user_messages.content VARCHAR NOT NULL
11 + chat_user_messages.created_at_us BIGINT
11 + chat_user_messages.message_id VARCHAR NOT NULL
11 + chat_user_messages: FOREIGN KEY (chat_id) REFERENCES chats(chat_id) ON DELETE CASCADE ON UPDATE NO ACTION
11 + chat_user_messages: INDEX ix_chat_user_messages_chat_id (chat_id)
11 + chat_user_messages: INDEX ix_chat_user_messages_created_at (created_at_us)
11 + chat_user_messages: PRIMARY KEY (message_id)
11 + chats.chain_id VARCHAR NOT NULL
11 + chats.chat_id VARCHAR NOT NULL
11 + chats.context_captured_at_us BIGINT
11 + chats.conversation_history VARCHAR NOT NULL
11 + chats.created_at_us BIGINT
11 + chats.created_by VARCHAR
11 + chats.last_interaction_at BIGINT
11 + chats.mcp_selection JSON
11 + chats.pod_id VARCHAR
11 + chats.session_id VARCHAR
11 + chats: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE NO ACTION ON UPDATE NO ACTION
11 + chats: INDEX ix_chats_created_at (created_at_us)
11 + chats: INDEX ix_chats_pod_last_interaction (pod_id, last_interaction_at)
11 + chats: INDEX ix_chats_session_id (session_id)
11 + chats: PRIMARY KEY (chat_id)
11 + stage_executions.chat_id VARCHAR
11 + stage_executions.chat_user_message_id VARCHAR
12 + stage_executions.current_iteration INTEGER
13 + alert_sessions.pause_metadata JSON
14 + llm_interactions.response_metadata JSON
15 + llm_interactions.native_tools_config JSON
16 + alert_sessions.final_analysis_summary VARCHAR
17 + llm_interactions.thinking_content VARCHAR
18 + stage_executions.parallel_index INTEGER NOT NULL DEFAULT 0
18 + stage_executions.parallel_type VARCHAR NOT NULL DEFAULT 'single'
18 + stage_executions.parent_stage_execution_id VARCHAR
18 + stage_executions: INDEX ix_stage_executions_parent_stage_execution_id (parent_stage_execution_id)
18 + stage_executions: INDEX ix_stage_executions_session_parent (session_id, parent_stage_execution_id)
18 + stage_executions: FOREIGN KEY (parent_stage_execution_id) REFERENCES stage_executions(execution_id) ON DELETE NO ACTION ON UPDATE NO ACTION
19 - stage_executions: INDEX ix_stage_executions_parent_stage_execution_id (parent_stage_execution_id)
19 - stage_executions: INDEX ix_stage_executions_session_parent (session_id, parent_stage_execution_id)
19 + stage_executions.expected_parallel_count INTEGER
20 + stage_executions.paused_at_us BIGINT
21 + stage_executions.iteration_strategy VARCHAR
22 + alert_sessions.executive_summary_error VARCHAR
23 + alert_sessions.slack_message_fingerprint VARCHAR";
