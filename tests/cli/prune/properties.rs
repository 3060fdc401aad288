//! `prune` on histories, plans and crashes drawn from a seed: whatever happens, exactly what the policy names is gone,
//! and an archive and its database together are what was there.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::support::activity::wait_for_no_session_of_the_tool;
use crate::support::archive::{archive_path, assert_whole_in_either, rows_of_archive};
use crate::support::history::{DAY_US, NOW, NOW_US, Rows, rows};
use crate::support::process::wait_until;
use crate::support::prune::prune;
use crate::support::random::Random;
use crate::support::{Database, Running, Schema, apply, campaign};

const EDGE_US: i64 = NOW_US - 90 * DAY_US;
const TERMINAL: [&str; 4] = ["completed", "failed", "cancelled", "timed_out"];
const STATUSES: [&str; 8] =
    ["completed", "failed", "cancelled", "timed_out", "in_progress", "pending", "paused", "it's \"odd\""];
const TYPES: [Option<&str>; 4] = [None, Some("PodCrash"), Some("it's \"quoted\"; --"), Some("ünïcode")];
const AGENTS: [&str; 2] = ["kubernetes", "o'agent"];

struct Session {
    id: String,
    status: &'static str,
    alert_type: Option<&'static str>,
    agent_type: &'static str,
    started_at_us: Option<i64>,
}

/// The rows of a session, or orphans.
struct Child {
    key: (&'static str, String),
    session: String,
    /// Whose stage it refers to.
    needs: Option<String>,
    /// Whether something that it refers to is missing, or is such a row.
    is_orphan: bool,
}

/// A history, and the SQL that writes it.
#[derive(Default)]
struct History {
    sessions: Vec<Session>,
    children: Vec<Child>,
    sql: String,
}

/// A list of SQL's values.
fn values(values: &[Option<&str>]) -> String {
    let quoted =
        |value: Option<&str>| value.map_or("NULL".to_owned(), |text| format!("'{}'", text.replace('\'', "''")));
    values.iter().copied().map(quoted).collect::<Vec<_>>().join(", ")
}

impl History {
    fn draw(random: &mut Random) -> Self {
        let mut history = Self::default();
        for number in 0..10 + random.below(15) {
            let started_at_us = match random.below(8) {
                0 => None,
                1 => Some(EDGE_US),
                2 => Some(EDGE_US - 1),
                3 => Some(-5),
                4 => Some(NOW_US - DAY_US),
                days => Some(EDGE_US - i64::try_from(days).expect("few") * DAY_US),
            };
            let id = format!("s{number}");
            let session = Session {
                status: if random.one_in(3) { random.pick(&STATUSES) } else { "completed" },
                alert_type: random.pick(&TYPES),
                agent_type: random.pick(&AGENTS),
                started_at_us,
                id,
            };
            let Session { id, status, alert_type, agent_type, .. } = &session;
            let words = values(&[Some(id), Some(status), *alert_type, Some(agent_type)]);
            let started = started_at_us.map_or("NULL".to_owned(), |started| started.to_string());
            history.write(
                "alert_sessions",
                "session_id, status, alert_type, agent_type, chain_id, started_at_us",
                &format!("{words}, 'chain', {started}"),
            );
            history.sessions.push(session);
        }
        let ids: Vec<String> = history.sessions.iter().map(|session| session.id.clone()).collect();
        for id in &ids {
            history.hang_on(random, id, false);
        }
        // Rows of one session that refer to a stage of another.
        for number in 0..random.below(4) {
            let [from, to] = [0, 1].map(|_| ids[usize::try_from(random.below(ids.len() as u64)).expect("few")].clone());
            let (key, stage) = (format!("cross{number}-{to}@{from}"), format!("stage@{to}"));
            match random.one_in(2) {
                true => history.llm(&key, &from, Some(&to), Some(&stage), false),
                false => history.stage(&key, &from, Some(&to), Some(&stage), false),
            }
        }
        for number in 0..random.below(3) {
            history.hang_on(random, &format!("lost{number}"), true);
            let (id, needed) = (format!("lost{number}"), &ids[usize::try_from(number).expect("few")]);
            if random.one_in(2) {
                history.llm(&format!("needs@{id}"), &id, Some(needed), Some(&format!("stage@{needed}")), true);
            }
            // One that has its session, and not its stage.
            history.llm(&format!("of-{needed}@{id}"), needed, None, Some("nowhere"), true);
        }
        history
    }

    fn write(&mut self, table: &str, columns: &str, values: &str) {
        writeln!(self.sql, "INSERT INTO {table} ({columns}) VALUES ({values});").expect("memory");
    }

    fn child(&mut self, table: &'static str, key: &str, session: &str, needs: Option<&str>, is_orphan: bool) {
        let (session, needs) = (session.to_owned(), needs.map(str::to_owned));
        self.children.push(Child { key: (table, key.to_owned()), session, needs, is_orphan });
    }

    fn stage(&mut self, key: &str, session: &str, needs: Option<&str>, parent: Option<&str>, is_orphan: bool) {
        let columns = "execution_id, session_id, parent_stage_execution_id, stage_id, stage_index, stage_name, agent, status, \
                       parallel_index, parallel_type";
        let keys = values(&[Some(key), Some(session), parent]);
        self.write("stage_executions", columns, &format!("{keys}, 'a', 0, 'A', 'k', 'completed', 0, 'replica'"));
        self.child("stage_executions", key, session, needs, is_orphan);
    }

    fn llm(&mut self, key: &str, session: &str, needs: Option<&str>, stage: Option<&str>, is_orphan: bool) {
        let columns = "interaction_id, session_id, stage_execution_id, duration_ms, success, model_name, interaction_type, \
                       conversation";
        let keys = values(&[Some(key), Some(session), stage]);
        self.write(
            "llm_interactions",
            columns,
            &format!("{keys}, 5, true, 'm', 'investigation', '{{\"messages\": []}}'"),
        );
        self.child("llm_interactions", key, session, needs, is_orphan);
    }

    /// Stages, some of them parallel, interactions and chats of a session, which there may not be.
    fn hang_on(&mut self, random: &mut Random, id: &str, is_orphan: bool) {
        let stage = format!("stage@{id}");
        self.stage(&stage, id, None, None, is_orphan);
        for number in 0..random.below(3) {
            // Some come before their parent in the order of the keys, and some after.
            let key = format!("{}child{number}@{id}", random.pick(&["a-", "z-"]));
            self.stage(&key, id, None, Some(&stage), is_orphan);
            self.llm(&format!("llm-{number}@{id}"), id, None, Some(&key), is_orphan);
        }
        if random.one_in(2) {
            self.llm(&format!("llm@{id}"), id, None, None, is_orphan);
        }
        if random.one_in(2) {
            let key = format!("mcp@{id}");
            let keys = values(&[Some(&key), Some(id), Some(&stage)]);
            let columns = "communication_id, session_id, stage_execution_id, step_description, request_id, duration_ms, \
                           success, server_name, communication_type, tool_result";
            self.write(
                "mcp_communications",
                columns,
                &format!("{keys}, 'look', 'r', 5, false, 'kubernetes', 'tool_call', 'null'"),
            );
            self.child("mcp_communications", &key, id, None, is_orphan);
        }
        for number in 0..random.below(3) {
            let (chat, message) = (format!("chat{number}@{id}"), format!("message{number}@{id}"));
            let keys = values(&[Some(&chat), Some(id)]);
            self.write(
                "chats",
                "chat_id, session_id, conversation_history, chain_id, created_at_us",
                &format!("{keys}, 'why?', 'chain', 1"),
            );
            self.child("chats", &chat, id, None, is_orphan);
            let keys = values(&[Some(&message), Some(&chat)]);
            self.write(
                "chat_user_messages",
                "message_id, chat_id, content, author, created_at_us",
                &format!("{keys}, 'because', 'me', 2"),
            );
            self.child("chat_user_messages", &message, id, None, is_orphan);
        }
    }
}

/// The arguments of a run.
#[derive(Debug, Default)]
struct Orders {
    arguments: Vec<String>,
    statuses: Vec<&'static str>,
    alert_types: Vec<&'static str>,
    agent_types: Vec<&'static str>,
    with_active: bool,
    with_orphans: bool,
}

impl Orders {
    fn draw(random: &mut Random) -> Self {
        let mut orders = Self::default();
        if random.one_in(3) {
            // The last one is not TARSy's, and so an error once no session has it.
            orders.statuses = (0..3).map(|_| random.pick(&STATUSES[..7])).collect();
        }
        if random.one_in(4) {
            orders.alert_types = (0..2).filter_map(|_| random.pick(&TYPES)).collect();
        }
        if random.one_in(4) {
            orders.agent_types = vec![random.pick(&AGENTS)];
        }
        (orders.with_active, orders.with_orphans) = (random.one_in(2), random.one_in(2));
        let lists = [
            ("--status", &orders.statuses),
            ("--alert-type", &orders.alert_types),
            ("--agent-type", &orders.agent_types),
        ];
        for (flag, values) in lists {
            orders.arguments.extend(values.iter().flat_map(|value| [flag.to_owned(), (*value).to_owned()]));
        }
        let flags = [(orders.with_active, "--include-active"), (orders.with_orphans, "--orphans")];
        orders.arguments.extend(flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag.to_owned()));
        if random.one_in(2) {
            orders.arguments.extend(["--batch-time".to_owned(), "1us".to_owned()]);
        }
        orders
    }

    fn name(&self, session: &Session) -> bool {
        let is_one_of =
            |list: &[&str], value: Option<&str>| list.is_empty() || value.is_some_and(|value| list.contains(&value));
        session.started_at_us.is_some_and(|started| started < EDGE_US)
            && (self.with_active || TERMINAL.contains(&session.status))
            && is_one_of(&self.statuses, Some(session.status))
            && is_one_of(&self.alert_types, session.alert_type)
            && is_one_of(&self.agent_types, Some(session.agent_type))
    }
}

/// What is left in the end of a history, and the sessions that the first run removes: one stays for as long as a row
/// that is not its own refers to its stages.
fn left(history: &History, orders: &Orders) -> (BTreeSet<(&'static str, String)>, usize) {
    let all: BTreeSet<&str> = history.sessions.iter().map(|session| session.id.as_str()).collect();
    let (mut sessions, mut with_orphans, mut first) = (all.clone(), true, None);
    loop {
        let is_there = |child: &&Child| {
            let session = child.session.as_str();
            (with_orphans || !child.is_orphan) && (sessions.contains(session) || !all.contains(session))
        };
        let children = history.children.iter().filter(is_there);
        let needed = children.filter_map(|child| child.needs.as_deref().filter(|needs| *needs != child.session));
        let needed: BTreeSet<&str> = needed.collect();
        let is_named = |id: &&str| history.sessions.iter().any(|session| session.id == *id && orders.name(session));
        let gone: Vec<&str> = sessions.difference(&needed).copied().filter(is_named).collect();
        first.get_or_insert(gone.len());
        if gone.is_empty() && with_orphans != orders.with_orphans {
            let children = history.children.iter().filter(is_there).map(|child| child.key.clone());
            let sessions = sessions.iter().map(|id| ("alert_sessions", (*id).to_owned()));
            return (children.chain(sessions).collect(), first.unwrap_or_default());
        }
        sessions.retain(|id| !gone.contains(id));
        with_orphans = !orders.with_orphans;
    }
}

fn holds(database: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let (history, orders) = (History::draw(&mut random), Orders::draw(&mut random));
    let kills = random.below(4);
    let archive = random.one_in(2).then(Database::sqlite);
    let what = format!("seed {seed}: {:?}, {kills} kills, archive: {}", orders.arguments, archive.is_some());
    database.create_schema(Schema::Head);
    database.execute_unguarded(&history.sql);
    let original = rows(database);
    let (left, first) = left(&history, &orders);

    let path = archive.as_ref().map(archive_path).unwrap_or_default();
    let mut arguments: Vec<&str> = vec!["--yes"];
    arguments.extend(orders.arguments.iter().map(String::as_str));
    if archive.is_some() {
        arguments.extend(["--archive", &path]);
    }
    let assert_nothing_is_lost = |after: &Rows, what: &str| {
        // Without an archive a session must be removed completely.
        let elsewhere = archive.as_ref().map_or_else(|| gone(&original, after), rows_of_archive);
        for key in original.keys().filter(|key| !after.contains_key(key)) {
            assert!(!left.contains(key), "{key:?} is gone: {what}");
            assert!(elsewhere.contains_key(key), "{key:?} is nowhere: {what}");
        }
        // Orphans are removed one by one.
        let of_sessions = |rows: &Rows| {
            let of_sessions = rows.iter().filter(|((_, key), _)| !key.contains("lost"));
            of_sessions.map(|(key, values)| (key.clone(), values.clone())).collect()
        };
        let [original, after, elsewhere] = [&original, after, &elsewhere].map(of_sessions);
        assert_whole_in_either(&original, &after, &elsewhere, what);
    };
    for kill in 0..kills {
        let sessions = database.count("alert_sessions");
        let until = i64::try_from(random.below(u64::try_from(sessions).expect("some") + 1)).expect("few");
        let command = ["prune", "--older-than", "90d", "--now", NOW, "--max-share", "100%"];
        let mut run = Running::start(database, &[&command[..], &arguments].concat());
        wait_until("it has come so far", || run.is_over() || database.count("alert_sessions") <= until);
        run.kill();
        wait_for_no_session_of_the_tool(database);
        assert_nothing_is_lost(&rows(database), &format!("{what}, kill {kill} at {until} of {sessions}"));
    }
    let mut runs = 0;
    loop {
        let pruned = prune(database, &arguments).expect(0).json();
        if kills == 0 && runs == 0 {
            assert_eq!(pruned["plan"]["sessions"], first, "{what}");
        }
        if pruned["removed"].is_null() {
            break;
        }
        assert_eq!(pruned["removed"]["sessions"], pruned["plan"]["sessions"], "{what}");
        runs += 1;
        assert!(runs < 20, "it comes to no end: {what}");
    }
    let after = rows(database);
    assert_nothing_is_lost(&after, &what);
    let found: BTreeSet<_> = after.keys().cloned().collect();
    let [kept, missing] =
        [(&found, &left), (&left, &found)].map(|(one, other)| one.difference(other).collect::<Vec<_>>());
    assert!(kept.is_empty() && missing.is_empty(), "still there: {kept:?}; missing: {missing:?}; {what}");
    if let Some(archive) = &archive {
        let mut union = rows_of_archive(archive);
        assert!(union.keys().all(|key| !after.contains_key(key)), "in both: {what}");
        union.extend(after);
        assert!(union == original, "{what}");
    }
}

/// What one of them lacks.
fn gone(original: &Rows, after: &Rows) -> Rows {
    let gone = original.iter().filter(|(key, _)| !after.contains_key(key));
    gone.map(|(key, values)| (key.clone(), values.clone())).collect()
}

#[apply(campaign)]
fn exactly_what_the_policy_names_is_gone_after_any_number_of_crashes(database: &Database) {
    for seed in campaign::seeds(8) {
        holds(&database.another(), seed);
    }
}
