//! Writes a realistic TARSy history at the baseline into a new SQLite database, in WAL mode as TARSy leaves its own.
//!
//! ```sh
//! cargo run --release --example generate_history -- --bytes 500MB --output history.db
//! ```
//!
//! The same arguments give the same rows: all choices come from `--seed`, all times from `--now`, and every value
//! also fits PostgreSQL, unless `--hazards` is given. A session is generated in memory, then inserted. The schema is
//! that of `tarsy-db init`.
//!
//! One GB is 2,050 sessions with 24,700 LLM interactions, whose conversations grow from 5 to 96 kB, and 50,600
//! communications. With `--profile small` it is 2.1 million rows, nearly all below 400 bytes.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::{Parser, ValueEnum};
use migration::Revision;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite, SqliteConnection, SqlitePool, query, query_scalar};
use tarsy_db::internals::{Connection, upgrade};

const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const CONVERSATION_INDEX: &str = "ix_llm_interactions_conversation";
/// The numbers of interactions and communications in the sessions of `--profile small`.
const SMALL_SESSION_EVENTS: usize = 30;
const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
/// Longer than any session, so that none of them ends after `--now`.
const LONGEST_SESSION_US: i64 = 120 * MINUTE_US;

/// Writes a realistic TARSy history into a new SQLite database.
#[derive(Parser)]
struct Arguments {
    /// The database to create; an existing file is refused.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Number of sessions to write.
    #[arg(long, value_name = "COUNT", required_unless_present = "bytes", conflicts_with = "bytes")]
    sessions: Option<u64>,
    /// Instead, the size of the history if all sessions were average: bytes, or with kB, MB or GB, e.g. `500MB`.
    ///
    /// The index on conversations does not count: it holds every conversation a second time, so that the file is
    /// nearly twice as large.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    bytes: Option<u64>,
    /// The size and number of rows.
    #[arg(long, value_enum, default_value_t = Profile::Conversations)]
    profile: Profile,
    /// Give the first session one more communication, whose result has about this size.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    largest_value: Option<u64>,
    /// Replace a value in one row each by something that PostgreSQL cannot hold, and leave one row without its parent.
    ///
    /// For trying out what a migration does with them. The history needs at least 5 sessions.
    #[arg(long)]
    hazards: bool,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End of the history, in RFC 3339.
    #[arg(long, value_name = "TIME", default_value = "2026-02-01T00:00:00Z")]
    now: DateTime<Utc>,
    /// Days before `--now` over which the sessions are spread.
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Profile {
    /// Complete conversations and tool results, as TARSy writes them.
    Conversations,
    /// As many rows as possible: short conversations and results only.
    Small,
}

impl Profile {
    /// The measured size of an average session in the file.
    fn session_bytes(self) -> u64 {
        match self {
            Self::Conversations => 488_000,
            Self::Small => 29_400,
        }
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let units = [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let with_unit = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (digits, factor) = with_unit.unwrap_or((text, 1));
    let number: u64 = digits.parse().map_err(|_| "expected a whole number, alone or with kB, MB or GB")?;
    number.checked_mul(factor).ok_or_else(|| "more bytes than 64 bits can count".to_owned())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if arguments.output.exists() {
        let output = arguments.output.display();
        writeln!(io::stderr(), "error: {output} already exists; name another file with --output")?;
        std::process::exit(1);
    }
    let start = Instant::now();
    let pool = connect(&arguments.output).await?;
    let database = Connection::of_sqlite(pool.clone());
    upgrade(&database, Revision::BASELINE, LOCK_TIMEOUT, &|| ()).await?;
    // A new schema uses WAL, which an unfinished file does not need.
    query("PRAGMA journal_mode = OFF").execute(&pool).await?;
    let session_bytes = arguments.profile.session_bytes();
    let sessions = arguments.sessions.or(arguments.bytes.map(|bytes| bytes.div_ceil(session_bytes)));
    let sessions = sessions.expect("clap demands one of the two");
    let rows = fill(&pool, sessions, &arguments).await?;
    if arguments.hazards {
        add_hazards(&pool).await?;
    }
    query("PRAGMA journal_mode = WAL").execute(&pool).await?;
    pool.close().await;

    let bytes = arguments.output.metadata()?.len();
    let (seconds, rate) = (start.elapsed().as_secs_f64(), u128::from(bytes) / start.elapsed().as_micros());
    writeln!(io::stdout(), "{sessions} sessions, {rows} rows, {bytes} bytes, {seconds:.1} seconds, {rate} MB/s")?;
    Ok(())
}

/// Opens a single connection, without durability, which an unfinished file does not need.
async fn connect(output: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(output)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .statement_cache_capacity(500)
        .pragma("cache_size", "-262144");
    SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).connect_with(options).await
}

/// Writes that many sessions in the order of their start and returns the number of rows.
async fn fill(pool: &SqlitePool, sessions: u64, arguments: &Arguments) -> Result<u64, sqlx::Error> {
    // The index has a second copy of the conversations; building it once is faster than keeping it sorted.
    let create_index: String =
        query_scalar("SELECT sql FROM sqlite_master WHERE name = ?").bind(CONVERSATION_INDEX).fetch_one(pool).await?;
    query(AssertSqlSafe(format!("DROP INDEX {CONVERSATION_INDEX}"))).execute(pool).await?;

    let mut random = Random(arguments.seed);
    let mut rows = 0;
    let span_us = i64::from(arguments.days) * DAY_US;
    let mut transaction = pool.begin().await?;
    for number in 0..sessions {
        let offset_us = i128::from(span_us - LONGEST_SESSION_US) * i128::from(number) / i128::from(sessions);
        let age_us = span_us - i64::try_from(offset_us).expect("less than the span");
        let largest_value = arguments.largest_value.filter(|_| number == 0);
        let session = tell_session(&mut random, arguments, age_us, largest_value);
        rows += insert(&mut transaction, "alert_sessions", vec![session.row]).await?;
        rows += insert(&mut transaction, "stage_executions", session.stages).await?;
        rows += insert(&mut transaction, "llm_interactions", session.interactions).await?;
        rows += insert(&mut transaction, "mcp_communications", session.communications).await?;
    }
    transaction.commit().await?;
    query(AssertSqlSafe(create_index)).execute(pool).await?;
    Ok(rows)
}

/// Table and column, and the SQL expression of a value that PostgreSQL cannot hold; each goes into a row of its own.
const HAZARDS: [(&str, &str, &str); 12] = [
    ("alert_sessions", "final_analysis", "'before' || char(0) || 'after'"),
    ("alert_sessions", "error_message", "CAST(x'74696d656f7574ff' AS TEXT)"),
    ("alert_sessions", "chain_id", "CAST('kubernetes-chain' AS BLOB)"),
    ("alert_sessions", "completed_at_us", "'yesterday'"),
    ("stage_executions", "duration_ms", "3000000000"),
    ("llm_interactions", "conversation", r#"'{"messages": ["half of \ud83d"]}'"#),
    ("llm_interactions", "conversation", r#"'{"messages": [], "score": 1e200000}'"#),
    ("llm_interactions", "conversation", r#"'{"messages": [], "messages": null}'"#),
    (
        "llm_interactions",
        "conversation",
        "replace(hex(zeroblob(20000)), '00', '[') || replace(hex(zeroblob(20000)), '00', ']')",
    ),
    ("mcp_communications", "tool_result", r#"'{"load": NaN}'"#),
    ("mcp_communications", "tool_result", r#"'{"result": "cut off'"#),
    ("mcp_communications", "session_id", "'a-session-that-is-gone'"),
];

/// Writes the values that PostgreSQL cannot hold, where a table has that many rows.
async fn add_hazards(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    // The connection enforces foreign keys, and TARSy's first release did not.
    query("PRAGMA foreign_keys = OFF").execute(pool).await?;
    for (number, (table, column, value)) in HAZARDS.into_iter().enumerate() {
        let update = format!("UPDATE {table} SET {column} = {value} WHERE rowid = {}", number + 1);
        query(AssertSqlSafe(update)).execute(pool).await?;
    }
    Ok(())
}

/// Inserts rows and returns their number. Each statement wakes another thread, which costs more than a row.
async fn insert(connection: &mut SqliteConnection, table: &str, rows: Vec<Value>) -> Result<u64, sqlx::Error> {
    let Some(Value::Object(first)) = rows.first() else { return Ok(0) };
    let columns: Vec<&str> = first.keys().map(String::as_str).collect();
    let mut insert: QueryBuilder<Sqlite> = QueryBuilder::new(format!("INSERT INTO {table} ({}) ", columns.join(", ")));
    insert.push_values(rows, |mut values, mut row| {
        for value in row.as_object_mut().expect("a row is an object").values_mut() {
            match value.take() {
                Value::String(text) => values.push_bind(text),
                Value::Bool(flag) => values.push_bind(flag),
                Value::Number(number) if number.is_f64() => values.push_bind(number.as_f64()),
                other => values.push_bind(other.as_i64()),
            };
        }
    });
    Ok(insert.build().execute(connection).await?.rows_affected())
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Completed,
    Failed,
    InProgress,
    Pending,
}

impl Status {
    /// Draws a status: one session in eleven failed, and mostly those of the last days are still open.
    fn draw(random: &mut Random, age_us: i64) -> Self {
        match (random.below(1000), age_us < 5 * DAY_US) {
            (0..3, _) | (3..350, true) => Self::InProgress,
            (3..5, _) | (350..550, true) => Self::Pending,
            (910.., _) => Self::Failed,
            _ => Self::Completed,
        }
    }
}

/// A session as rows, each an object of column names and values.
#[derive(Default)]
struct Session {
    row: Value,
    stages: Vec<Value>,
    interactions: Vec<Value>,
    communications: Vec<Value>,
}

/// A growing conversation: its messages as JSON, and their contents as one text.
#[derive(Default)]
struct Conversation {
    messages: Vec<String>,
    history: String,
}

impl Conversation {
    fn push(&mut self, role: &str, content: &str) {
        self.messages.push(python_json(&json!({"role": role, "content": content})));
        self.history.extend([content, "\n"]);
    }
}

/// A session that is being generated, and its current time.
struct Story<'random> {
    random: &'random mut Random,
    session_id: String,
    now_us: i64,
    alert: String,
    profile: Profile,
    session: Session,
}

/// Generates a session of about the given age with all its rows.
fn tell_session(random: &mut Random, arguments: &Arguments, age_us: i64, largest_value: Option<u64>) -> Session {
    let started_at_us = arguments.now.timestamp_micros() - age_us + random.between(0, 20 * MINUTE_US);
    let status = Status::draw(random, age_us);
    let (chain_id, agent, alert_types, stages) = random.pick(&CHAINS);
    let stage = |name: &&str| json!({"name": name, "agent": agent, "iteration_strategy": "react"});
    let definitions: Value = stages.iter().map(stage).collect();
    let chain = json!({"chain_id": chain_id, "alert_types": alert_types, "stages": definitions, "description": null});
    let metadata = if random.below(4) == 0 { json!({"source": "alertmanager", "tags": []}) } else { Value::Null };
    let alert_type = random.pick(alert_types);
    let alert = python_json(&json!({
        "severity": random.pick(&["critical", "warning", "info"]), "alert_type": alert_type,
        "timestamp": started_at_us - random.between(0, MINUTE_US), "environment": "production",
        "runbook": format!("https://github.com/example/runbooks/blob/master/{alert_type}.md"),
        "message": format!("{} – {}", random.sentence(), random.pick(&PHRASES)),
        "labels": {"app": random.pick(&APPS), "load": 0.5, "paged": true, "silence": null, "": []},
    }));
    let alert_id = format!("{alert_type}_{:012x}_{started_at_us}", random.next() >> 16);
    let session_id = random.uuid();
    let (now_us, profile, session) = (started_at_us, arguments.profile, Session::default());
    let mut story = Story { random, session_id, now_us, alert, profile, session };
    let stages = if let Profile::Small = arguments.profile { &stages[..1] } else { stages };
    let reached = match status {
        Status::Completed => stages.len(),
        Status::Failed | Status::InProgress => 1 + story.random.below(stages.len()),
        Status::Pending => 0,
    };
    for (index, name) in stages[..reached].iter().enumerate() {
        story.stage(index, name, agent, if index + 1 == reached { status } else { Status::Completed });
    }
    if let Some(bytes) = largest_value {
        story.call_long(bytes);
    }
    let analysis = (status == Status::Completed).then(|| story.analysis(alert_type));
    let error = (status == Status::Failed).then_some("Chain processing failed: 1 stage failure");
    let completed_at_us = (analysis.is_some() || error.is_some()).then_some(story.now_us);
    story.session.row = json!({
        "session_id": story.session_id, "alert_id": alert_id, "alert_data": story.alert,
        "agent_type": format!("chain:{chain_id}"), "alert_type": alert_type, "status": status,
        "started_at_us": started_at_us, "completed_at_us": completed_at_us,
        "error_message": error, "final_analysis": analysis, "session_metadata": python_json(&metadata),
        "chain_id": chain_id, "chain_definition": python_json(&chain),
        "current_stage_index": reached.checked_sub(1),
        "current_stage_id": story.session.stages.last().map(|stage| &stage["execution_id"]),
    });
    story.session
}

impl Story<'_> {
    /// Generates a stage: thoughts, tools and observations in turn, until the answer, a failure or `--now`.
    fn stage(&mut self, index: usize, name: &str, agent: &str, status: Status) {
        let (id, started_at_us) = (self.random.uuid(), self.now_us);
        let mut conversation = match self.profile {
            Profile::Conversations => self.investigate(&id),
            Profile::Small => self.hurry(&id),
        };

        let (mut output, mut error) = (Value::Null, None);
        if status == Status::Failed {
            error = Some(format!("Stage '{name}' failed with agent '{agent}': {}", self.fail_llm(&id)));
        } else if status == Status::Completed {
            let report = self.report();
            conversation.push("assistant", &format!("Thought: enough is known.\nFinal Answer: {report}"));
            self.call_llm(Some(&id), Ok(&conversation));
            output = json!({
                "status": "completed", "agent_name": agent, "stage_name": name, "stage_description": null,
                "timestamp_us": self.now_us, "result_summary": report, "final_analysis": report, "error_message": null,
                "complete_conversation_history": conversation.history, "duration_ms": null,
            });
        }
        let completed_at_us = (error.is_some() || !output.is_null()).then_some(self.now_us);
        self.session.stages.push(json!({
            "execution_id": id, "session_id": self.session_id,
            "stage_id": format!("{name}_{index}"), "stage_index": index, "stage_name": name, "agent": agent,
            "status": if status == Status::InProgress { json!("active") } else { json!(status) },
            "started_at_us": started_at_us, "completed_at_us": completed_at_us,
            "duration_ms": completed_at_us.map(|at_us| (at_us - started_at_us) / 1000),
            "stage_output": python_json(&output), "error_message": error,
        }));
    }

    /// Alternates thoughts and tool calls; each thought includes all earlier observations.
    fn investigate(&mut self, stage_id: &str) -> Conversation {
        self.list_tools(stage_id);
        let mut conversation = Conversation::default();
        let handbook_bytes = 4_000 + self.random.below(21_000);
        let handbook = self.random.text(handbook_bytes);
        conversation.push("system", &format!("{INSTRUCTIONS}\n\n{handbook}"));
        conversation.push("user", &format!("Question: what happened?\n\n## Alert\n{}\n\n{RUNBOOK}", self.alert));
        for _ in 0..=self.random.below(8) {
            if self.random.below(30) == 0 {
                self.fail_llm(stage_id);
            }
            let (server, tools) = self.random.pick(&SERVERS);
            let (tool, thought) = (self.random.pick(tools), self.random.text(800));
            conversation.push("assistant", &format!("Thought: {thought}\nAction: {server}.{tool}\nAction Input: {{}}"));
            self.call_llm(Some(stage_id), Ok(&conversation));
            for _ in 0..=self.random.below(4) {
                let observation = self.call_tool(stage_id, server, tool);
                conversation.push("user", &format!("Observation: {server}.{tool}: {observation}"));
            }
        }
        conversation
    }

    /// Many short requests without tools and without earlier messages.
    fn hurry(&mut self, stage_id: &str) -> Conversation {
        for _ in 0..SMALL_SESSION_EVENTS {
            let mut conversation = Conversation::default();
            conversation.push("user", self.random.pick(&APPS));
            self.call_llm(Some(stage_id), Ok(&conversation));
            self.call_mcp(Some(stage_id), "all_servers", None, Ok(&json!({})));
        }
        Conversation::default()
    }

    fn report(&mut self) -> String {
        match self.profile {
            Profile::Conversations => self.random.report(),
            Profile::Small => self.random.sentence(),
        }
    }

    /// Calls a tool with a very long answer, which is not passed to a model.
    fn call_long(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).expect("a value fits into memory");
        let result = json!({"result": self.random.text(bytes)});
        self.call_mcp(None, "kubernetes-server", Some("pods_log"), Ok(&result));
    }

    /// Writes the final analysis, now and then by a call that belongs to no stage.
    fn analysis(&mut self, alert_type: &str) -> String {
        let report = self.report();
        if self.random.below(5) == 0 {
            let results = self.random.text(5_000);
            self.ask(None, "You are an SRE. Write the report from the results of all stages.", &results, &report);
        }
        format!("# Alert Analysis Report\n\n**Alert Type:** {alert_type}\n\n## Analysis\n\n{report}")
    }

    /// Advances the time by up to that many milliseconds. Returns how many.
    fn wait(&mut self, most_ms: i64) -> i64 {
        let duration_ms = self.random.between(most_ms / 100, most_ms);
        self.now_us += duration_ms * 1000 + self.random.between(0, 999);
        duration_ms
    }

    fn ask(&mut self, stage_id: Option<&str>, system: &str, question: &str, answer: &str) {
        let mut conversation = Conversation::default();
        conversation.push("system", system);
        conversation.push("user", question);
        conversation.push("assistant", answer);
        self.call_llm(stage_id, Ok(&conversation));
    }

    /// Adds a failed call. Returns the error.
    fn fail_llm(&mut self, stage_id: &str) -> String {
        let reason = format!("API error: {}; {}", self.random.pick(&ERRORS), self.random.pick(&PHRASES));
        self.call_llm(Some(stage_id), Err(&reason));
        reason
    }

    fn call_llm(&mut self, stage_id: Option<&str>, outcome: Result<&Conversation, &str>) {
        let duration_ms = self.wait(40_000);
        let (mut model, mut tokens, mut text) = (self.random.pick(&MODELS), Value::Null, "null".to_owned());
        if let Ok(conversation) = outcome {
            text = format!("{{\"messages\": [{}]}}", conversation.messages.join(", "));
            let (input, output) = (text.len() / 4, self.random.below(900));
            tokens = json!([input, output, input + output]);
        } else if self.random.below(3) == 0 {
            model = ("unknown", None, None);
        }
        self.session.interactions.push(json!({
            "interaction_id": self.random.uuid(), "session_id": self.session_id, "stage_execution_id": stage_id,
            "timestamp_us": self.now_us, "duration_ms": duration_ms,
            "success": outcome.is_ok(), "error_message": outcome.err(),
            "model_name": model.0, "provider": model.1, "temperature": model.2, "conversation": text,
            "input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": tokens[2],
        }));
    }

    fn list_tools(&mut self, stage_id: &str) {
        let schema = json!({"type": "object", "properties": {"limit": {"type": "integer", "default": 50}}});
        let tool = |name: &&str| json!({"name": name, "description": format!("{name} 🚦"), "inputSchema": schema});
        let tools = SERVERS.iter().map(|(server, tools)| (*server, tools.iter().map(tool).collect::<Value>()));
        self.call_mcp(Some(stage_id), "all_servers", None, Ok(&tools.collect()));
    }

    /// Calls a tool. Returns the part of its result that is passed to the model.
    fn call_tool(&mut self, stage_id: &str, server: &str, tool: &str) -> String {
        if self.random.below(25) == 0 {
            let error = format!("Failed to call tool {tool}: {} ⏱ after \"30s\"", self.random.pick(&ERRORS));
            self.call_mcp(Some(stage_id), server, Some(tool), Err(&error));
            return error;
        }
        // From 140 bytes to 14 kB, half of them below 500 bytes. One in thirty is so long that it is summarized.
        let root = 100 + self.random.below(901);
        let result = self.random.text(140_000_000 / (root * root));
        self.call_mcp(Some(stage_id), server, Some(tool), Ok(&json!({"result": result})));
        if result.len() < 9_000 {
            return result;
        }
        let summary = self.random.text(600);
        self.ask(Some(stage_id), "You are an expert at summarizing technical output from tools.", &result, &summary);
        summary
    }

    /// Adds a request to an MCP server: the call of a tool, or the listing of all tools.
    fn call_mcp(&mut self, stage_id: Option<&str>, server: &str, tool: Option<&str>, outcome: Result<&Value, &str>) {
        let (started_at_us, duration_ms) = (self.now_us, self.wait(9_000));
        let response = outcome.map_or("null".to_owned(), python_json);
        let (kind, step, arguments, result, tools) = match tool {
            Some(tool) => {
                let arguments = json!({"kind": "Pod", "limit": self.random.below(500), "selector": "app in (a,b)"});
                ("tool_call", format!("Execute {tool} via {server}"), arguments, response.as_str(), "null")
            }
            None => ("tool_list", "Discover available tools from all servers".into(), Value::Null, "null", &*response),
        };
        self.session.communications.push(json!({
            "communication_id": self.random.uuid(), "step_description": step,
            "request_id": format!("req_{:08x}", self.random.next() >> 32),
            "session_id": self.session_id, "stage_execution_id": stage_id,
            "timestamp_us": self.now_us, "duration_ms": duration_ms,
            "success": outcome.is_ok(), "error_message": outcome.err(),
            "server_name": server, "communication_type": kind, "tool_name": tool,
            "tool_arguments": python_json(&arguments), "tool_result": result, "available_tools": tools,
            "start_time_us": started_at_us, "end_time_us": self.now_us,
        }));
    }
}

/// Renders JSON as Python's `json.dumps` does: ASCII only, with a blank after each comma and colon.
fn python_json(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(key, value)| format!("{}: {}", python_json(&json!(key)), python_json(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        scalar => {
            let mut ascii = String::new();
            for unit in scalar.to_string().encode_utf16() {
                match u8::try_from(unit) {
                    Ok(byte @ b' '..=b'~') => ascii.push(char::from(byte)),
                    _ => ascii.extend([format!("\\u{unit:04x}")]),
                }
            }
            ascii
        }
    }
}

/// The splitmix64 generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("less than a usize")
    }

    /// Draws from `least` to `most`, both included.
    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (least.abs_diff(most) + 1)).cast_signed()
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn uuid(&mut self) -> String {
        let hex = format!("{:016x}{:016x}", self.next(), self.next());
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    fn sentence(&mut self) -> String {
        let (app, event, cause) = (self.pick(&APPS), self.pick(&EVENTS), self.pick(&CAUSES));
        format!("{app} in team-{} {event} because {cause}", self.below(40))
    }

    /// Writes a tool's output of about `bytes` bytes: pods, log lines and, one line in eight, a phrase.
    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            let (app, number) = (self.pick(&APPS), self.next());
            let line = match number % 8 {
                0..4 => format!("- name: {app}-{number:x}\n  status: Running\n  note: \"it's ok\"\n"),
                4..7 => format!("{number:016x} INFO [{app}]\ttook={}ms {}\n", number >> 52, self.sentence()),
                _ => format!("E{number} {app}: {}\r\n", self.pick(&PHRASES)),
            };
            text.push_str(&line);
        }
        // TARSy strips white space around the contents of messages.
        text.trim_end().to_owned()
    }

    fn report(&mut self) -> String {
        let mut report = format!("# Report\n\n* cause: \"{}\" {}", self.sentence(), self.pick(&PHRASES));
        for step in 1..=self.between(3, 15) {
            let line = format!("\n{step}. **{}**: don't panic, 100% of `{}`", self.sentence(), self.uuid());
            report.push_str(&line);
        }
        report
    }
}

/// Identifier, agent, alert types and the names of the stages.
type Chain = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const CHAINS: [Chain; 5] = [
    ("kubernetes-chain", "KubernetesAgent", &["NamespaceTerminating", "UnidledPods"], &["analysis"]),
    ("login-chain", "ConfigurableAgent:security", &["SuspiciousLogin"], &["analysis"]),
    ("argocd-chain", "ConfigurableAgent:argo", &["OutOfSyncApplication"], &["collect", "report"]),
    ("certificate-chain", "KubernetesAgent", &["CertificateExpiry"], &["collect", "assess – оценка 🔐", "final"]),
    ("storage-chain", "KubernetesAgent", &["VolumeFillingUp"], &["収集", "分析", "確認", "報告"]),
];
/// Name, provider and temperature of the models.
const MODELS: [(&str, Option<&str>, Option<f64>); 3] = [
    ("gemini-2.5-pro", Some("google-default"), Some(0.1)),
    ("claude-sonnet-4", Some("anthropic-default"), None),
    ("gpt-5", Some("openai-default"), Some(1.0)),
];
/// Names and tools of the MCP servers.
const SERVERS: [(&str, &[&str]); 2] = [
    ("kubernetes-server", &["resources_get", "resources_list", "pods_log", "events_list"]),
    ("argocd-server", &["app_get", "app_diff", "app_history"]),
];
const APPS: [&str; 7] = ["api", "checkout", "frontend", "billing-worker", "registry", "postgres", "vault-agent"];
const EVENTS: [&str; 4] = ["restarts again and again", "is stuck in Terminating", "was evicted", "is out of sync"];
const CAUSES: [&str; 3] = ["a finalizer stays", "its node ran out of disk", "someone renamed C:\\deploy\\values.yaml"];
const ERRORS: [&str; 4] = ["connection reset", "timeout", "429 Too Many Requests", "model overloaded"];
const PHRASES: [&str; 6] = [
    "🚀🔥 deployed by 👩‍🚀 under flag 🇨🇿",
    "сервис недоступен, повторите попытку",
    "节点磁盘已满，请检查存储 / ノードが応答しません",
    "combining e\u{301} n\u{303} Z\u{335}\u{30a}, right to left مرحبا \u{200f}بالعالم",
    "control \u{1b}[31mred\u{1b}[0m \u{1}\u{8}\u{c}\u{7f}, invisible \u{200b}\u{feff}\u{2028}\u{fffe}\u{10ffff}",
    "tabs\tand \"double\" and 'single' quotes, a backslash \\ and a slash /",
];
const INSTRUCTIONS: &str = "You are an SRE agent for a Kubernetes platform.\n\n\
    Answer in the form Thought / Action / Action Input. When you know enough, finish with \"Final Answer:\".";
const RUNBOOK: &str = "## Runbook\n1. List the pods and events of the namespace.\n\
    2. If it terminates, look for finalizers: `kubectl get ns $NS -o json | jq .spec.finalizers`.\n\
    3. Write down cause, impact and remedy. If unsure, escalate to the owners (владельцы, 担当者).";
