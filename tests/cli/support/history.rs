//! Sessions for the tests, in SQL that both backends accept.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::connection::Connection;
use super::{Database, Schema};

/// 2026-02-01T00:00:00Z, the time that tests use as now.
pub(crate) const NOW: &str = "2026-02-01T00:00:00Z";
/// The same in microseconds since the epoch.
pub(crate) const NOW_US: i64 = 1_769_904_000_000_000;
/// A day in microseconds.
pub(crate) const DAY_US: i64 = 86_400_000_000;
/// The start of a session that is older than the retention.
pub(crate) const OLD_US: i64 = NOW_US - 120 * DAY_US;

/// The tables of the baseline.
pub(crate) const TABLES: [&str; 4] = ["alert_sessions", "stage_executions", "llm_interactions", "mcp_communications"];

/// The time of the clock, in microseconds.
pub(crate) fn now_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    i64::try_from(since_epoch.as_micros()).expect("the clock is right")
}

/// Writes a session with one stage, one LLM interaction and one MCP communication.
pub(crate) fn insert_session(database: &Database, id: &str, status: &str, started_at_us: Option<i64>) {
    let started = started_at_us.map_or("NULL".to_owned(), |started| started.to_string());
    database.execute(&format!(
        r#"
        INSERT INTO alert_sessions (session_id, alert_id, alert_data, agent_type, alert_type, status, started_at_us, chain_id)
        VALUES ('{id}', 'alert-{id}', '{{"severity": "high", "emoji": "\ud83d\ude80"}}', 'kubernetes', 'PodCrash',
                '{status}', {started}, 'chain');
        INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
        VALUES ('stage-{id}', '{id}', 'analysis', 0, 'Analysis', 'KubernetesAgent', 'completed');
        INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, timestamp_us, duration_ms, success,
                                      model_name, temperature, conversation)
        VALUES ('llm-{id}', '{id}', 'stage-{id}', {started}, 1200, true, 'gemini', 0.1,
                '{{"messages": [{{"role": "user", "content": "was ist los? \u00e9"}}]}}');
        INSERT INTO mcp_communications (communication_id, step_description, request_id, session_id, stage_execution_id,
                                        duration_ms, success, server_name, communication_type, tool_result)
        VALUES ('mcp-{id}', 'look', 'request', '{id}', 'stage-{id}', 30, false, 'kubernetes', 'tool_call', 'null');
        "#
    ));
}

/// The primary key's column, and the key of the row that [`insert_session`] makes.
pub(crate) fn row_key(table: &str, session: &str) -> (&'static str, String) {
    match table {
        "alert_sessions" => ("session_id", session.to_owned()),
        "stage_executions" => ("execution_id", format!("stage-{session}")),
        "llm_interactions" => ("interaction_id", format!("llm-{session}")),
        _ => ("communication_id", format!("mcp-{session}")),
    }
}

/// Creates the baseline with old sessions `1`, `2` and so on, which started one microsecond after the other.
pub(crate) fn insert_old_sessions(database: &Database, count: i64) {
    database.create_schema(Schema::Baseline);
    for number in 1..=count {
        insert_session(database, &number.to_string(), "completed", Some(OLD_US + number));
    }
}

/// Three old sessions on a server.
pub(crate) fn three_old_sessions() -> Database {
    let database = Database::postgresql();
    insert_old_sessions(&database, 3);
    database
}

/// The keys of the existing sessions.
pub(crate) fn session_ids(database: &Database) -> Vec<String> {
    database.texts("SELECT session_id FROM alert_sessions ORDER BY 1").into_iter().flatten().collect()
}

/// The statement that inserts a session without other rows.
pub(crate) fn session_statement(id: &str) -> String {
    format!(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id)
         VALUES ('{id}', '{id}', 'kubernetes', 'completed', 'chain')"
    )
}

/// Writes many sessions at once, each with an LLM interaction of about `conversation_bytes`.
/// They started one minute after the other, the first at `first_started_at_us`.
pub(crate) fn insert_many(database: &Database, sessions: u32, conversation_bytes: u32, first_started_at_us: i64) {
    let repeat = match database.is_sqlite() {
        true => format!("replace(hex(zeroblob({})), '0', 'x')", conversation_bytes / 2),
        false => format!("repeat(md5(n::text), {})", conversation_bytes / 32),
    };
    let json_cast = if database.is_sqlite() { "" } else { "::jsonb" };
    let numbers =
        format!("WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {sessions})");
    database.execute(&format!(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, started_at_us, chain_id)
         {numbers} SELECT 's-' || n, 'a-' || n, 'kubernetes', 'completed',
                          {first_started_at_us} + n * CAST(60000000 AS BIGINT), 'chain'
         FROM numbers;
         INSERT INTO llm_interactions (interaction_id, session_id, duration_ms, success, model_name, conversation)
         {numbers} SELECT 'l-' || n, 's-' || n, 1, true, 'gemini', ('{{\"messages\": [\"' || {repeat} || '\"]}}'){json_cast}
         FROM numbers;"
    ));
}

/// Tables with columns of theirs.
pub(crate) type Columns = Vec<(String, Vec<String>)>;

/// TARSy's tables that are there, with all their columns in the order of the names.
pub(crate) fn columns(database: &Database) -> Columns {
    let tables = [
        "alert_sessions",
        "chat_user_messages",
        "chats",
        "events",
        "llm_interactions",
        "mcp_communications",
        "stage_executions",
    ];
    let of_table = |connection: &mut Connection, table: &str| {
        let names = match database.is_sqlite() {
            true => format!("SELECT name FROM pragma_table_info('{table}') ORDER BY 1"),
            false => format!(
                "SELECT attname::text FROM pg_attribute
                 WHERE attrelid = to_regclass('{table}') AND attnum > 0 AND NOT attisdropped ORDER BY 1"
            ),
        };
        (table.to_owned(), connection.texts(&names).into_iter().flatten().collect::<Vec<_>>())
    };
    let all: Columns = database.with_connection(|connection| tables.map(|table| of_table(connection, table)).to_vec());
    all.into_iter().filter(|(_, columns)| !columns.is_empty()).collect()
}

/// The columns of a baseline that every revision has.
pub(crate) fn lasting_columns(database: &Database) -> Columns {
    let mut columns = columns(database);
    columns[0].1.retain(|column| column != "alert_id");
    columns
}

/// Every row of these columns as text that shows each octet, in a fixed order.
pub(crate) fn values(database: &Database, columns: &Columns) -> Vec<String> {
    let value = |column: &String| match database.is_sqlite() {
        true => format!(
            "typeof(\"{column}\") || ' ' || iif(typeof(\"{column}\") IN ('text', 'blob'), hex(\"{column}\"), quote(\"{column}\"))"
        ),
        false => format!("coalesce(quote_literal(\"{column}\"::text), 'NULL')"),
    };
    let rows = |connection: &mut Connection, (table, columns): &(String, Vec<String>)| {
        let row = columns.iter().map(value).collect::<Vec<_>>().join(" || ', ' || ");
        connection.texts(&format!("SELECT '{table} ' || {row} FROM {table} ORDER BY 1"))
    };
    database.with_connection(|connection| columns.iter().flat_map(|table| rows(connection, table)).flatten().collect())
}

/// Every row of every table as text that shows each octet, in a fixed order.
pub(crate) fn contents(database: &Database) -> Vec<String> {
    values(database, &columns(database))
}

/// The rows of sessions and of their child tables, by table and primary key.
pub(crate) type Rows = BTreeMap<(&'static str, String), String>;

/// The tables of [`Rows`] and their primary keys.
const KEYS: [(&str, &str); 6] = [
    ("alert_sessions", "session_id"),
    ("stage_executions", "execution_id"),
    ("llm_interactions", "interaction_id"),
    ("mcp_communications", "communication_id"),
    ("chats", "chat_id"),
    ("chat_user_messages", "message_id"),
];

/// The rows, written alike on both backends, so that an archive can be compared with its database. Keys are without
/// blanks, and no JSON is a bare number or truth value.
pub(crate) fn rows(database: &Database) -> Rows {
    let columns = columns(database);
    database.with_connection(|connection| {
        let mut rows = Rows::new();
        for (table, columns) in columns {
            let Some((table, key)) = KEYS.into_iter().find(|(known, _)| *known == table) else { continue };
            let value = |column: &String| {
                let text = format!("CAST(\"{column}\" AS TEXT)");
                // SQLite has numbers for truth values.
                format!("coalesce(CASE {text} WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE {text} END, 'NULL')")
            };
            let values = columns.iter().map(value).collect::<Vec<_>>().join(" || ', ' || ");
            let found = connection.texts(&format!("SELECT {key} || ' ' || {values} FROM {table}"));
            for row in found.into_iter().flatten() {
                let (key, values) = row.split_once(' ').expect("a key and a blank");
                rows.insert((table, key.to_owned()), values.to_owned());
            }
        }
        rows
    })
}

/// Writes sessions `s1`, `s2` and so on with all that there is at TARSy's newest revision: two parallel stages, a chat
/// with a message, an LLM interaction and an MCP communication, whose keys end in `@` and the session. They started one
/// second after the other.
pub(crate) fn insert_whole_sessions(database: &Database, sessions: u32, first_started_at_us: i64) {
    let numbers = format!(
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {sessions}) SELECT"
    );
    let json = if database.is_sqlite() { "" } else { "::json" };
    let jsonb = if database.is_sqlite() { "" } else { "::jsonb" };
    database.execute(&format!(
        r#"INSERT INTO alert_sessions (session_id, alert_data, agent_type, alert_type, status, started_at_us, chain_id)
           {numbers} 's' || n, ('{{"number": ' || n || ',  "emoji": "\ud83d\ude80"}}'){json}, 'kubernetes', 'PodCrash', 'completed',
                     {first_started_at_us} + n * CAST(1000000 AS BIGINT), 'chain' FROM numbers;
           INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                         parallel_index, parallel_type)
           {numbers} 'stage@s' || n, 's' || n, 'analysis', 0, 'Analysis', 'Agent', 'completed', 0, 'replica' FROM numbers;
           INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                         parallel_index, parallel_type, parent_stage_execution_id)
           {numbers} 'child@s' || n, 's' || n, 'analysis', 0, 'Analysis', 'Agent', 'failed', 1, 'replica', 'stage@s' || n
           FROM numbers;
           INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, timestamp_us, duration_ms, success,
                                         model_name, temperature, conversation, interaction_type)
           {numbers} 'llm@s' || n, 's' || n, 'child@s' || n, n, 1200, true, 'gemini', 0.1,
                     ('{{"messages": ["was ist los? é ' || n || '"]}}'){jsonb}, 'investigation' FROM numbers;
           INSERT INTO mcp_communications (communication_id, step_description, request_id, session_id, stage_execution_id,
                                           timestamp_us, duration_ms, success, server_name, communication_type, tool_result)
           {numbers} 'mcp@s' || n, 'look', 'request', 's' || n, 'stage@s' || n, n, 30, false, 'kubernetes', 'tool_call',
                     'null' FROM numbers;
           INSERT INTO chats (chat_id, session_id, conversation_history, chain_id, created_at_us)
           {numbers} 'chat@s' || n, 's' || n, 'why?', 'chain', n FROM numbers;
           INSERT INTO chat_user_messages (message_id, chat_id, content, author, created_at_us)
           {numbers} 'message@s' || n, 'chat@s' || n, 'because', 'me', n FROM numbers;"#
    ));
}

/// A file at the newest revision: every table, some 500 rows, a sequence, foreign keys of every kind.
pub(crate) fn full_history() -> Database {
    let source = Database::sqlite().with_schema(Schema::Head);
    let numbers = |last: u32| {
        format!("WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}) SELECT")
    };
    source.execute(&format!(
        r#"INSERT INTO alert_sessions (session_id, agent_type, status, started_at_us, chain_id, alert_data)
           {hundred} 's-' || n, 'kubernetes', 'completed', 1769904000000000 + n, 'chain', '{{"number":  ' || n || '}}'
           FROM numbers;
           INSERT INTO chats (chat_id, session_id, conversation_history, chain_id, created_at_us)
           {hundred} 'c-' || n, 's-' || n, 'why?', 'chain', n FROM numbers;
           INSERT INTO chat_user_messages (message_id, chat_id, content, author, created_at_us)
           {hundred} 'm-' || n, 'c-' || n, 'because', 'me', n FROM numbers;
           INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
           {hundred} 'e-' || n, 's-' || n, 'analysis', 0, 'Analysis', 'KubernetesAgent', 'completed' FROM numbers;
           INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, duration_ms, success, model_name,
                                         interaction_type, conversation)
           {hundred} 'l-' || n, 's-' || n, 'e-' || n, 1, 1, 'gemini', 'investigation',
                     '{{"messages": ["' || hex(randomblob(1000)) || '"]}}' FROM numbers;
           INSERT INTO events (id, channel, payload, created_at)
           {hundred} 3 * n, 'sessions', '{{"n": ' || n || '}}', '2026-01-31 12:00:00' FROM numbers;"#,
        hundred = numbers(100)
    ));
    source
}

/// The rows of each of the [`TABLES`].
pub(crate) fn counts(database: &Database) -> [i64; 4] {
    TABLES.map(|table| database.count(table))
}

/// Asserts that every remaining row has its parents, and each session its four rows.
pub(crate) fn assert_whole(database: &Database, sessions: i64) {
    assert_eq!(counts(database), [sessions; 4]);
    for table in &TABLES[1..] {
        let orphans = "SELECT count(*) FROM {} WHERE session_id NOT IN (SELECT session_id FROM alert_sessions)";
        assert_eq!(database.number(&orphans.replace("{}", table)), 0, "{table}");
    }
    if database.is_sqlite() {
        assert!(database.texts("PRAGMA foreign_key_check").is_empty());
    }
}
