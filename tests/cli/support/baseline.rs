//! The baseline as TARSy's own migrations create it, and the definitions in a database.
//!
//! The listings come from databases that TARSy made; the queries are not those of the code under test.

use super::Database;

/// Asserts that the database has the baseline and nothing else.
#[track_caller]
pub(crate) fn is_there(database: &Database) {
    is_listed(database, expected(database));
}

/// The listing of the baseline.
pub(crate) fn expected(database: &Database) -> &'static str {
    if database.is_sqlite() { SQLITE } else { POSTGRESQL }
}

/// Asserts that the database has the expected definitions and nothing else.
#[track_caller]
pub(crate) fn is_listed(database: &Database, expected: &str) {
    let found = listing(database);
    let lines_of = |one: &str, other: &str| {
        one.lines().filter(|line| !other.lines().any(|other| other == *line)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (lacking, additional) = (lines_of(expected, &found), lines_of(&found, expected));
    assert!(found == expected, "lacking: {lacking:#?}\nadditional: {additional:#?}");
}

/// The definitions: `table.column TYPE`, constraints as the server prints them, indexes.
pub(crate) fn listing(database: &Database) -> String {
    let queries: &[&str] = if database.is_sqlite() { &SQLITE_QUERIES } else { &POSTGRESQL_QUERIES };
    let mut lines: Vec<String> = database
        .with_connection(|connection| queries.iter().flat_map(|query| connection.texts(query)).flatten().collect());
    lines.sort();
    lines.join("\n")
}

const POSTGRESQL_QUERIES: [&str; 4] = [
    "SELECT table_name || '.' || column_name || ' ' || format_type(a.atttypid, a.atttypmod)
            || CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END || coalesce(' DEFAULT ' || column_default, '')
     FROM information_schema.columns
     JOIN pg_attribute a ON a.attrelid = table_name::text::regclass AND a.attname = column_name
     WHERE table_schema = 'public'",
    // An action other than NO ACTION, DEFERRABLE and NOT VALID would be named here. `n` is NOT NULL since 18.
    "SELECT conrelid::regclass::text || ': ' || conname || ' ' || pg_get_constraintdef(oid)
     FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
    "SELECT tablename || ': ' || regexp_replace(indexdef, '^CREATE (.*) ON public\\.\\w+ ', '\\1 ')
     FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)",
    "SELECT s.seqrelid::regclass::text || ': ' || s.seqtypid::regtype::text || ' SEQUENCE OWNED BY '
            || d.refobjid::regclass::text || '.' || a.attname
     FROM pg_sequence s LEFT JOIN pg_depend d ON d.objid = s.seqrelid AND d.deptype = 'a'
     LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid",
];

const SQLITE_QUERIES: [&str; 4] = [
    "SELECT m.name || '.' || c.name || ' ' || c.type || iif(c.\"notnull\", ' NOT NULL', '')
            || coalesce(' DEFAULT ' || c.dflt_value, '')
     FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table'",
    "SELECT m.name || ': '
            || iif(replace(m.sql, '\"', '') LIKE '%CONSTRAINT alembic_version_pkc PRIMARY KEY%', 'alembic_version_pkc ', '') || 'PRIMARY KEY (' || group_concat(c.name, ', ') || ')'
     FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.pk > 0 GROUP BY m.name",
    "SELECT m.name || ': FOREIGN KEY (' || group_concat(f.\"from\", ', ') || ') REFERENCES ' || f.\"table\" || '('
            || group_concat(f.\"to\", ', ') || ') ON DELETE ' || f.on_delete || ' ON UPDATE ' || f.on_update
     FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' GROUP BY m.name, f.id",
    "SELECT m.name || ': ' || iif(l.\"unique\", 'UNIQUE ', '') || 'INDEX ' || l.name || ' ('
            || group_concat(c.name || iif(c.\"desc\", ' DESC', ''), ', ')
            || ')' || iif(l.partial, ' WHERE', '')
     FROM sqlite_schema m JOIN pragma_index_list(m.name) l JOIN pragma_index_xinfo(l.name) c
     WHERE m.type = 'table' AND l.origin <> 'pk' AND c.key = 1 GROUP BY m.name, l.name",
];

const POSTGRESQL: &str = "\
alembic_version.version_num character varying(32) NOT NULL
alembic_version: alembic_version_pkc PRIMARY KEY (version_num)
alert_sessions.agent_type character varying NOT NULL
alert_sessions.alert_data json
alert_sessions.alert_id character varying NOT NULL
alert_sessions.alert_type character varying
alert_sessions.chain_definition json
alert_sessions.chain_id character varying NOT NULL
alert_sessions.completed_at_us bigint
alert_sessions.current_stage_id character varying
alert_sessions.current_stage_index integer
alert_sessions.error_message character varying
alert_sessions.final_analysis character varying
alert_sessions.session_id character varying NOT NULL
alert_sessions.session_metadata json
alert_sessions.started_at_us bigint
alert_sessions.status character varying NOT NULL
alert_sessions: INDEX ix_alert_sessions_agent_type USING btree (agent_type)
alert_sessions: INDEX ix_alert_sessions_alert_type USING btree (alert_type)
alert_sessions: INDEX ix_alert_sessions_started_at_us USING btree (started_at_us)
alert_sessions: INDEX ix_alert_sessions_status USING btree (status)
alert_sessions: INDEX ix_alert_sessions_status_started_at USING btree (status, started_at_us)
alert_sessions: UNIQUE INDEX ix_alert_sessions_alert_id USING btree (alert_id)
alert_sessions: alert_sessions_pkey PRIMARY KEY (session_id)
llm_interactions.conversation jsonb
llm_interactions.duration_ms integer NOT NULL
llm_interactions.error_message character varying
llm_interactions.input_tokens integer
llm_interactions.interaction_id character varying NOT NULL
llm_interactions.model_name character varying NOT NULL
llm_interactions.output_tokens integer
llm_interactions.provider character varying
llm_interactions.session_id character varying NOT NULL
llm_interactions.stage_execution_id character varying
llm_interactions.success boolean NOT NULL
llm_interactions.temperature double precision
llm_interactions.timestamp_us bigint
llm_interactions.total_tokens integer
llm_interactions: INDEX ix_llm_interactions_conversation USING gin (conversation jsonb_path_ops)
llm_interactions: INDEX ix_llm_interactions_session_id USING btree (session_id)
llm_interactions: INDEX ix_llm_interactions_stage_execution_id USING btree (stage_execution_id)
llm_interactions: INDEX ix_llm_interactions_timestamp_us USING btree (timestamp_us)
llm_interactions: llm_interactions_pkey PRIMARY KEY (interaction_id)
llm_interactions: llm_interactions_session_id_fkey FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id)
llm_interactions: llm_interactions_stage_execution_id_fkey FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id)
mcp_communications.available_tools json
mcp_communications.communication_id character varying NOT NULL
mcp_communications.communication_type character varying NOT NULL
mcp_communications.duration_ms integer NOT NULL
mcp_communications.end_time_us bigint
mcp_communications.error_message character varying
mcp_communications.request_id character varying NOT NULL
mcp_communications.server_name character varying NOT NULL
mcp_communications.session_id character varying NOT NULL
mcp_communications.stage_execution_id character varying
mcp_communications.start_time_us bigint
mcp_communications.step_description character varying NOT NULL
mcp_communications.success boolean NOT NULL
mcp_communications.timestamp_us bigint
mcp_communications.tool_arguments json
mcp_communications.tool_name character varying
mcp_communications.tool_result json
mcp_communications: INDEX ix_mcp_communications_session_id USING btree (session_id)
mcp_communications: INDEX ix_mcp_communications_stage_execution_id USING btree (stage_execution_id)
mcp_communications: INDEX ix_mcp_communications_timestamp_us USING btree (timestamp_us)
mcp_communications: mcp_communications_pkey PRIMARY KEY (communication_id)
mcp_communications: mcp_communications_session_id_fkey FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id)
mcp_communications: mcp_communications_stage_execution_id_fkey FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id)
stage_executions.agent character varying NOT NULL
stage_executions.completed_at_us bigint
stage_executions.duration_ms integer
stage_executions.error_message character varying
stage_executions.execution_id character varying NOT NULL
stage_executions.session_id character varying NOT NULL
stage_executions.stage_id character varying NOT NULL
stage_executions.stage_index integer NOT NULL
stage_executions.stage_name character varying NOT NULL
stage_executions.stage_output json
stage_executions.started_at_us bigint
stage_executions.status character varying NOT NULL
stage_executions: INDEX ix_stage_executions_session_id USING btree (session_id)
stage_executions: INDEX ix_stage_executions_stage_index USING btree (stage_index)
stage_executions: stage_executions_pkey PRIMARY KEY (execution_id)
stage_executions: stage_executions_session_id_fkey FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id)";

const SQLITE: &str = "\
alembic_version.version_num VARCHAR(32) NOT NULL
alembic_version: alembic_version_pkc PRIMARY KEY (version_num)
alert_sessions.agent_type VARCHAR NOT NULL
alert_sessions.alert_data JSON
alert_sessions.alert_id VARCHAR NOT NULL
alert_sessions.alert_type VARCHAR
alert_sessions.chain_definition JSON
alert_sessions.chain_id VARCHAR NOT NULL
alert_sessions.completed_at_us BIGINT
alert_sessions.current_stage_id VARCHAR
alert_sessions.current_stage_index INTEGER
alert_sessions.error_message VARCHAR
alert_sessions.final_analysis VARCHAR
alert_sessions.session_id VARCHAR NOT NULL
alert_sessions.session_metadata JSON
alert_sessions.started_at_us BIGINT
alert_sessions.status VARCHAR NOT NULL
alert_sessions: INDEX ix_alert_sessions_agent_type (agent_type)
alert_sessions: INDEX ix_alert_sessions_alert_type (alert_type)
alert_sessions: INDEX ix_alert_sessions_started_at_us (started_at_us)
alert_sessions: INDEX ix_alert_sessions_status (status)
alert_sessions: INDEX ix_alert_sessions_status_started_at (status, started_at_us)
alert_sessions: PRIMARY KEY (session_id)
alert_sessions: UNIQUE INDEX ix_alert_sessions_alert_id (alert_id)
llm_interactions.conversation JSON
llm_interactions.duration_ms INTEGER NOT NULL
llm_interactions.error_message VARCHAR
llm_interactions.input_tokens INTEGER
llm_interactions.interaction_id VARCHAR NOT NULL
llm_interactions.model_name VARCHAR NOT NULL
llm_interactions.output_tokens INTEGER
llm_interactions.provider VARCHAR
llm_interactions.session_id VARCHAR NOT NULL
llm_interactions.stage_execution_id VARCHAR
llm_interactions.success BOOLEAN NOT NULL
llm_interactions.temperature FLOAT
llm_interactions.timestamp_us BIGINT
llm_interactions.total_tokens INTEGER
llm_interactions: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE NO ACTION ON UPDATE NO ACTION
llm_interactions: FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id) ON DELETE NO ACTION ON UPDATE NO ACTION
llm_interactions: INDEX ix_llm_interactions_conversation (conversation)
llm_interactions: INDEX ix_llm_interactions_session_id (session_id)
llm_interactions: INDEX ix_llm_interactions_stage_execution_id (stage_execution_id)
llm_interactions: INDEX ix_llm_interactions_timestamp_us (timestamp_us)
llm_interactions: PRIMARY KEY (interaction_id)
mcp_communications.available_tools JSON
mcp_communications.communication_id VARCHAR NOT NULL
mcp_communications.communication_type VARCHAR NOT NULL
mcp_communications.duration_ms INTEGER NOT NULL
mcp_communications.end_time_us BIGINT
mcp_communications.error_message VARCHAR
mcp_communications.request_id VARCHAR NOT NULL
mcp_communications.server_name VARCHAR NOT NULL
mcp_communications.session_id VARCHAR NOT NULL
mcp_communications.stage_execution_id VARCHAR
mcp_communications.start_time_us BIGINT
mcp_communications.step_description VARCHAR NOT NULL
mcp_communications.success BOOLEAN NOT NULL
mcp_communications.timestamp_us BIGINT
mcp_communications.tool_arguments JSON
mcp_communications.tool_name VARCHAR
mcp_communications.tool_result JSON
mcp_communications: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE NO ACTION ON UPDATE NO ACTION
mcp_communications: FOREIGN KEY (stage_execution_id) REFERENCES stage_executions(execution_id) ON DELETE NO ACTION ON UPDATE NO ACTION
mcp_communications: INDEX ix_mcp_communications_session_id (session_id)
mcp_communications: INDEX ix_mcp_communications_stage_execution_id (stage_execution_id)
mcp_communications: INDEX ix_mcp_communications_timestamp_us (timestamp_us)
mcp_communications: PRIMARY KEY (communication_id)
stage_executions.agent VARCHAR NOT NULL
stage_executions.completed_at_us BIGINT
stage_executions.duration_ms INTEGER
stage_executions.error_message VARCHAR
stage_executions.execution_id VARCHAR NOT NULL
stage_executions.session_id VARCHAR NOT NULL
stage_executions.stage_id VARCHAR NOT NULL
stage_executions.stage_index INTEGER NOT NULL
stage_executions.stage_name VARCHAR NOT NULL
stage_executions.stage_output JSON
stage_executions.started_at_us BIGINT
stage_executions.status VARCHAR NOT NULL
stage_executions: FOREIGN KEY (session_id) REFERENCES alert_sessions(session_id) ON DELETE NO ACTION ON UPDATE NO ACTION
stage_executions: INDEX ix_stage_executions_session_id (session_id)
stage_executions: INDEX ix_stage_executions_stage_index (stage_index)
stage_executions: PRIMARY KEY (execution_id)";
