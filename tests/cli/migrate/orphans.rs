//! `migrate-sqlite-to-postgres --on orphan=POLICY`: rows whose parents are missing are left out with all rows that
//! reference them, or arrive with placeholders as parents.

use serde_json::{Value, json};

use crate::support::append::{append_with, came, two_histories};
use crate::support::birth::{self, Born};
use crate::support::cases::each;
use crate::support::change::{changes, dropped_rows, with_policies};
use crate::support::history::{NOW_US, insert_session};
use crate::support::migration::{assert_no_tables, migrate, read_report, read_report_at, source_and_target, source_at};
use crate::support::revision::init_to;
use crate::support::{Database, Outcome, apply, bare_tarsy_db, tarsy_db, test};

/// Rows at the newest revision, half of which belong to a missing session: a stage, a stage within that one, an
/// interaction and a communication of these two in the existing session, a chat and its message.
fn source_with_orphans() -> Database {
    let source = source_at("head");
    source.execute(
        r#"PRAGMA foreign_keys = OFF;
        INSERT INTO alert_sessions (session_id, agent_type, status, started_at_us, chain_id)
        VALUES ('here', 'kubernetes', 'completed', 1769904000000000, 'chain');
        INSERT INTO stage_executions (execution_id, session_id, parent_stage_execution_id, stage_id, stage_index,
                                      stage_name, agent, status, started_at_us, stage_output)
        VALUES ('e-kept', 'here', NULL, 'analysis', 0, 'Analysis', 'agent', 'completed', 1769904000000009, '{}'),
               ('e-orphan', 'gone', NULL, 'analysis', 0, 'Ana' || char(0), 'agent', 'completed', NULL, '{"a" : NaN}'),
               ('e-within', 'here', 'e-orphan', 'analysis', 1, 'Analysis', 'agent', 'completed', NULL, NULL);
        INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, timestamp_us, duration_ms, success,
                                      model_name, interaction_type, temperature, conversation)
        VALUES ('l-kept', 'here', 'e-kept', 1769904000000010, 1, 1, 'gemini', 'investigation', 0.5, '[]'),
               ('l-hangs', 'here', 'e-orphan', 1769904000000011, 1, 1, 'gemini', 'investigation', 0.1 + 0.2, x'00ff');
        INSERT INTO mcp_communications (communication_id, step_description, request_id, session_id, stage_execution_id,
                                        timestamp_us, duration_ms, success, server_name, communication_type)
        VALUES ('m-kept', 'look', 'r', 'here', NULL, 1769904000000012, 1, 1, 'kubernetes', 'tool_call'),
               ('m-hangs', 'look', 'r', 'here', 'e-within', 1769904000000013, 1, 1, 'kubernetes', 'tool_call');
        INSERT INTO chats (chat_id, session_id, conversation_history, chain_id, created_at_us)
        VALUES ('c-kept', 'here', 'why?', 'chain', 1769904000000014),
               ('c-orphan', 'gone', 'why?', 'chain', 1769904000000015);
        INSERT INTO chat_user_messages (message_id, chat_id, content, author, created_at_us)
        VALUES ('u-kept', 'c-kept', 'because', 'me', 1769904000000016),
               ('u-hangs', 'c-orphan', 'because', 'é', 1769904000000017)"#,
    );
    source
}

/// Makes it one without other hazards.
const REPAIR: &str =
    "UPDATE stage_executions SET stage_name = 'Ana', stage_output = NULL WHERE execution_id = 'e-orphan';
     UPDATE llm_interactions SET conversation = '[1]' WHERE interaction_id = 'l-hangs'";

/// The rows of [`source_with_orphans`] that hang on the missing session.
const HANGING: [(&str, &str, &str); 6] = [
    ("stage_executions", "execution_id", "e-orphan"),
    ("stage_executions", "execution_id", "e-within"),
    ("llm_interactions", "interaction_id", "l-hangs"),
    ("mcp_communications", "communication_id", "m-hangs"),
    ("chats", "chat_id", "c-orphan"),
    ("chat_user_messages", "message_id", "u-hangs"),
];

/// The primary keys of all rows of a target at the newest revision.
fn keys(target: &Database) -> Vec<String> {
    let keys = target.texts(
        "SELECT session_id FROM alert_sessions UNION ALL SELECT execution_id FROM stage_executions
         UNION ALL SELECT interaction_id FROM llm_interactions UNION ALL SELECT communication_id FROM mcp_communications
         UNION ALL SELECT chat_id FROM chats UNION ALL SELECT message_id FROM chat_user_messages ORDER BY 1",
    );
    keys.into_iter().flatten().collect()
}

/// Moves a source with these policies. Returns the report.
fn move_with(source: &Database, target: &Database, policies: &[&str], more: &[&str]) -> Value {
    Outcome::of(migrate(source, target).args(with_policies(policies)).args(more)).expect(0);
    read_report(source)
}

#[apply(test)]
fn dropped_orphans_stay_behind_with_all_that_hangs_on_them_and_the_report_brings_each_row_back() {
    let target = Database::postgresql();
    let source = source_with_orphans();
    let arguments = with_policies(&["orphan=drop"]);
    let moved = Outcome::of(migrate(&source, &target).args(&arguments)).expect(0).json();
    assert_eq!(keys(&target), ["c-kept", "e-kept", "here", "l-kept", "m-kept", "u-kept"]);
    assert_eq!(moved["rows"], 6);
    let mut expected = HANGING.map(|(table, column, key)| format!("{table} {key} {column} orphan=drop row "));
    expected.sort();
    let report = read_report(&source);
    assert_eq!(changes(&report), expected);
    let rows = |table: &str, key_column: &str| {
        let columns = source.texts(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let values = columns.iter().flatten().map(|name| format!("typeof({name}) || hex({name}) || quote({name})"));
        let values = values.collect::<Vec<_>>().join(" || ");
        source.texts(&format!("SELECT {values} FROM {table} ORDER BY {key_column}"))
    };
    let before = HANGING.map(|(table, key_column, _)| rows(table, key_column));
    for (table, key_column, key) in HANGING {
        source.execute(&format!("PRAGMA foreign_keys = OFF; DELETE FROM {table} WHERE {key_column} = '{key}'"));
    }
    for insert in dropped_rows(&report) {
        source.execute(&format!("PRAGMA foreign_keys = OFF; {insert}"));
    }
    assert!(before == HANGING.map(|(table, key_column, _)| rows(table, key_column)));
    Outcome::of(tarsy_db(&target).args(["check", "--deep"])).expect(0);
    Outcome::of(migrate(&source, &target).args(["--verify-only", "--on", "orphan=drop", "--report", "again.json"]))
        .expect(0);
}

#[apply(test)]
fn dropped_orphans_leave_the_list_and_other_hazards_stay_on_it() {
    let target = Database::postgresql();
    let source = source_with_orphans();
    source.execute(
        "UPDATE chats SET conversation_history = 'a' || char(0) WHERE chat_id = 'c-kept';
         UPDATE chats SET pod_id = hex(randomblob(6000)) WHERE chat_id = 'c-orphan'",
    );
    let refused = Outcome::of(migrate(&source, &target).args(with_policies(&["orphan=drop"]))).expect(65).json();
    let hazards = refused["error"]["details"].as_array().expect("a list of hazards").clone();
    assert_eq!(hazards.len(), 1, "{hazards:?}");
    assert_eq!((&hazards[0]["primary_key"], &hazards[0]["class"]), (&json!("c-kept"), &json!("nul")));
    assert_eq!(dropped_rows(&read_report(&source)).len(), HANGING.len());
    assert_no_tables(&target);
}

#[apply(test)]
fn dropped_orphans_are_neither_duplicates_nor_too_long_for_an_index() {
    let target = Database::postgresql();
    let source = source_with_orphans();
    let table = source.texts("SELECT sql FROM sqlite_schema WHERE name = 'mcp_communications'").remove(0);
    let table = table.expect("a table").replace(r#"PRIMARY KEY ("communication_id"),"#, "");
    source.execute_unguarded(&format!(
        "UPDATE chats SET pod_id = replace(hex(zeroblob(6000)), '00', 'x') WHERE chat_id = 'c-orphan';
         ALTER TABLE mcp_communications RENAME TO before; {table};
         INSERT INTO mcp_communications SELECT * FROM before;
         UPDATE before SET session_id = 'gone'; INSERT INTO mcp_communications SELECT * FROM before; DROP TABLE before"
    ));
    let drop = with_policies(&["orphan=drop"]);
    let mut check = bare_tarsy_db(source.directory());
    check.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only"]);
    let checked = Outcome::of(check.args(&drop)).expect(0);
    assert!(!checked.stderr.contains("too long"), "{}", checked.stderr);
    std::fs::remove_file(source.directory().join("report.json")).expect("the report");
    Outcome::of(migrate(&source, &target).args(&drop)).expect(0);
    assert_eq!(keys(&target), ["c-kept", "e-kept", "here", "l-kept", "m-kept", "u-kept"]);
}

#[apply(test)]
fn adopted_orphans_arrive_below_a_placeholder() {
    let target = Database::postgresql();
    let source = source_with_orphans();
    source.execute(REPAIR);
    let report = move_with(&source, &target, &["orphan=adopt"], &[]);
    assert_eq!(target.count("stage_executions"), 3);
    assert_eq!(
        target.texts("SELECT session_id FROM stage_executions WHERE execution_id = 'e-orphan'"),
        [Some("gone".to_owned())]
    );
    assert_eq!(target.texts("SELECT session_id FROM chats WHERE chat_id = 'c-orphan'"), [Some("gone".to_owned())]);
    let placeholder = target.texts(
        "SELECT concat_ws(' ', agent_type, status, chain_id, started_at_us) FROM alert_sessions
         WHERE session_id = 'gone' AND error_message LIKE 'placeholder made by tarsy-db%'",
    );
    // It began with the first of its children whose time is known.
    assert_eq!(placeholder, [Some("unknown failed unknown 1769904000000015".to_owned())]);
    assert_eq!(changes(&report), ["alert_sessions gone session_id orphan=adopt absent "]);
    Outcome::of(tarsy_db(&target).args(["check", "--deep"])).expect(0);
    let again = ["--verify-only", "--on", "orphan=adopt", "--report", "again.json"];
    Outcome::of(migrate(&source, &target).args(again)).expect(0);
}

#[apply(test)]
fn chains_of_missing_rows_are_made_up_from_the_bottom() {
    let target = Database::postgresql();
    let source = source_with_orphans();
    source.execute(REPAIR);
    // A stage, its session, a chat and the parent stage of a stage: all of them are missing.
    source.execute(
        "PRAGMA foreign_keys = OFF;
         DELETE FROM stage_executions WHERE execution_id IN ('e-kept', 'e-orphan');
         DELETE FROM chats;
         UPDATE llm_interactions SET session_id = 'also-gone' WHERE interaction_id = 'l-kept'",
    );
    let report = move_with(&source, &target, &["orphan=adopt"], &[]);
    let stages = target.texts(
        "SELECT concat_ws(' ', execution_id, session_id, parent_stage_execution_id, status, stage_id)
         FROM stage_executions ORDER BY 1",
    );
    let expected = [
        "e-kept also-gone failed unknown",
        "e-orphan here failed unknown",
        "e-within here e-orphan completed analysis",
    ];
    assert_eq!(stages, expected.map(|stage| Some(stage.to_owned())));
    let messages = target.texts("SELECT m.message_id FROM chat_user_messages m JOIN chats USING (chat_id) ORDER BY 1");
    assert_eq!(messages, [Some("u-hangs".to_owned()), Some("u-kept".to_owned())]);
    let made_up = changes(&report);
    let cases = [
        "alert_sessions also-gone session_id",
        "chats c-kept chat_id",
        "chats c-orphan chat_id",
        "stage_executions e-kept execution_id",
        "stage_executions e-orphan execution_id",
    ];
    each(cases, |row| {
        let line = format!("{row} orphan=adopt absent ");
        assert_eq!(made_up.iter().filter(|made_up| **made_up == line).count(), 1, "{row} in {made_up:#?}");
    });
    Outcome::of(tarsy_db(&target).args(["check", "--deep"])).expect(0);
}

#[apply(test)]
fn a_made_up_stage_of_an_unknown_session_gets_a_made_up_session() {
    let target = Database::postgresql();
    let source = Database::sqlite();
    birth::create(&source, Born::D, 23);
    source.execute(
        "PRAGMA foreign_keys = OFF;
         UPDATE stage_executions SET session_id = NULL, parent_stage_execution_id = 'gone'",
    );
    let report = move_with(&source, &target, &["orphan=adopt"], &[]);
    let stages = "SELECT concat_ws(' ', execution_id, session_id, parent_stage_execution_id) FROM stage_executions
                  ORDER BY 1";
    assert_eq!(target.texts(stages), [Some("e gone".to_owned()), Some("gone gone".to_owned())]);
    let expected = [
        "alert_sessions gone session_id orphan=adopt absent ",
        "stage_executions gone execution_id orphan=adopt absent ",
    ];
    assert_eq!(changes(&report), expected);
    Outcome::of(tarsy_db(&target).args(["check", "--deep"])).expect(0);
}

#[apply(test)]
fn a_placeholder_begins_when_the_first_of_its_children_did_whatever_their_tables() {
    let (source, target) = source_and_target();
    for (session, started) in [("late", NOW_US + 5), ("early", NOW_US - 5), ("none", 0)] {
        insert_session(&source, session, "completed", (started > 0).then_some(started));
    }
    source.execute(&format!(
        "PRAGMA foreign_keys = OFF; DELETE FROM alert_sessions;
         UPDATE stage_executions SET started_at_us = {} WHERE session_id = 'early'",
        NOW_US - 7
    ));
    move_with(&source, &target, &["orphan=adopt"], &[]);
    let started = |session: &str| {
        target.texts(&format!("SELECT started_at_us::text FROM alert_sessions WHERE session_id = '{session}'"))
    };
    assert_eq!(started("late"), [Some((NOW_US + 5).to_string())]);
    assert_eq!(started("early"), [Some((NOW_US - 7).to_string())]);
    // Without any known time it gets the current one, so that `prune` can remove it later.
    assert_ne!(started("none"), [None]);
}

#[apply(test)]
fn placeholders_for_rows_without_a_time_are_the_same_in_every_run() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    insert_session(&source, "gone", "completed", None);
    source.execute("PRAGMA foreign_keys = OFF; DELETE FROM alert_sessions WHERE session_id = 'gone'");
    move_with(&source, &target, &["orphan=adopt"], &[]);
    assert_eq!(target.number("SELECT count(*) FROM alert_sessions WHERE started_at_us IS NOT NULL"), 2);
    let again = ["--verify-only", "--on", "orphan=adopt", "--report", "again.json"];
    Outcome::of(migrate(&source, &target).args(again)).expect(0);
}

/// A source with orphans whose session the target has, one whose session neither side has, and one whose session is no
/// text, to be appended.
fn orphans_of_an_append() -> (Database, Database) {
    let (source, target) = two_histories();
    source.execute(
        "PRAGMA foreign_keys = OFF;
         INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
         VALUES ('late', 'theirs', 'x', 0, 'X', 'A', 'completed'), ('lost', 'nowhere', 'x', 0, 'X', 'A', 'completed');
         INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, timestamp_us, duration_ms, success,
                                       model_name, conversation)
         VALUES ('of-late', 'theirs', 'late', 7, 1, 1, 'gemini', '[]'),
                ('of-lost', 'nowhere', 'lost', 7, 1, 1, 'gemini', '[]')",
    );
    (source, target)
}

#[apply(test)]
fn of_an_append_only_rows_whose_parents_neither_side_has_are_dropped() {
    let (source, target) = orphans_of_an_append();
    source.execute(
        "PRAGMA foreign_keys = OFF;
         INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
         VALUES ('no-text', CAST(x'ff' AS TEXT), 'x', 0, 'X', 'A', 'completed'),
                ('nul', 'theirs' || char(0), 'x', 0, 'X', 'A', 'completed')",
    );
    let arguments = with_policies(&["orphan=drop"]);
    let appended = append_with(&source, &target, &arguments).expect(0).json();
    assert_eq!(came(&appended), [Some(6), Some(6), Some(0)]);
    let report = read_report(&source);
    assert_eq!(dropped_rows(&report).len(), 4);
    let expected = [
        "llm_interactions of-lost interaction_id orphan=drop row ",
        "stage_executions lost execution_id orphan=drop row ",
        "stage_executions no-text execution_id orphan=drop row ",
        "stage_executions nul execution_id orphan=drop row ",
    ];
    assert_eq!(changes(&report), expected);
    Outcome::of(tarsy_db(&target).args(["check", "--deep"])).expect(0);
}

#[apply(test)]
fn of_an_append_what_references_a_dropped_key_that_the_target_has_is_not_dropped() {
    let (source, target) = orphans_of_an_append();
    source.execute(
        "INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, timestamp_us, duration_ms, success,
                                       model_name, conversation)
         VALUES ('kept', 'one', 'lost', 7, 1, 1, 'gemini', '[]')",
    );
    // Another stage with the key of the one that has no session.
    target.execute(
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
         VALUES ('lost', 'theirs', 'x', 0, 'X', 'A', 'completed')",
    );
    let appended = append_with(&source, &target, &with_policies(&["orphan=drop"])).expect(0).json();
    assert_eq!(came(&appended), [Some(7), Some(7), Some(0)]);
    let expected = [
        "llm_interactions of-lost interaction_id orphan=drop row ",
        "stage_executions lost execution_id orphan=drop row ",
    ];
    assert_eq!(changes(&read_report(&source)), expected);
    assert_eq!(target.number("SELECT count(*) FROM llm_interactions WHERE interaction_id = 'kept'"), 1);
}

#[apply(test)]
fn of_an_append_only_rows_that_neither_side_has_get_a_placeholder() {
    let (source, target) = orphans_of_an_append();
    // The session of a placeholder may be on the target, too.
    source.execute("PRAGMA foreign_keys = OFF; DELETE FROM stage_executions WHERE execution_id = 'late'");
    let appended = append_with(&source, &target, &with_policies(&["orphan=adopt"])).expect(0).json();
    assert_eq!(came(&appended), [Some(9), Some(9), Some(0)]);
    let expected = [
        "alert_sessions nowhere session_id orphan=adopt absent ",
        "stage_executions late execution_id orphan=adopt absent ",
    ];
    assert_eq!(changes(&read_report(&source)), expected);
    let stage = "SELECT session_id || ' ' || started_at_us FROM stage_executions WHERE execution_id = 'late'";
    assert_eq!(target.texts(stage), [Some("theirs 7".to_owned())]);
    Outcome::of(tarsy_db(&target).args(["check", "--deep"])).expect(0);
    // Once more, all of them are on the target.
    let again = ["--on", "orphan=adopt", "--report", "again.json"];
    assert_eq!(came(&append_with(&source, &target, &again).expect(0).json())[1], Some(0));
    assert_eq!(changes(&read_report_at(&source.directory().join("again.json"))), [""; 0]);
}

#[apply(test)]
fn rows_below_dropped_ones_stay_behind_however_deep_they_are() {
    let target = Database::postgresql();
    let source = source_with_orphans();
    source.execute(
        "PRAGMA foreign_keys = OFF;
         WITH RECURSIVE numbers (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM numbers WHERE value < 20)
         INSERT INTO stage_executions (execution_id, session_id, parent_stage_execution_id, stage_id, stage_index,
                                       stage_name, agent, status)
         SELECT 'e-' || value, 'here', iif(value = 1, 'e-within', 'e-' || (value - 1)), 'x', 1, 'X', 'agent', 'completed'
         FROM numbers;
         UPDATE llm_interactions SET stage_execution_id = 'e-20' WHERE interaction_id = 'l-kept'",
    );
    let report = move_with(&source, &target, &["orphan=drop"], &[]);
    assert_eq!(keys(&target), ["c-kept", "e-kept", "here", "m-kept", "u-kept"]);
    assert_eq!(dropped_rows(&report).len(), HANGING.len() + 21);
}

/// A source with a stage of an existing session and stages of these sessions, whose table of the stages has something
/// else in its definition.
fn stages(from: &str, to: &str, sessions: &[&str]) -> Database {
    let source = source_at("head");
    let definitions = source.texts("SELECT sql FROM sqlite_schema WHERE tbl_name = 'stage_executions' AND sql <> ''");
    let definitions = definitions.into_iter().flatten().collect::<Vec<_>>().join("; ");
    assert!(definitions.contains(from), "{definitions}");
    source.execute_unguarded(&format!("DROP TABLE stage_executions; {}", definitions.replacen(from, to, 1)));
    source.execute(
        "INSERT INTO alert_sessions (session_id, agent_type, status, started_at_us, chain_id)
         VALUES ('here', 'kubernetes', 'completed', 1769904000000000, 'chain')",
    );
    for (number, session) in ["'here'"].iter().chain(sessions).enumerate() {
        source.execute_unguarded(&format!(
            "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
             VALUES ('e-{number}', {session}, 'x', 0, 'X', 'agent', 'completed')"
        ));
    }
    source
}

#[apply(test)]
fn only_orphans_are_dropped_whatever_identifies_the_rows_of_their_table() {
    let end = "(execution_id));";
    each(
        [("(execution_id)) WITHOUT ROWID;", &[][..]), (end, &["--ignore", "stage_executions.rowid"])],
        |(to, more)| {
            let target = Database::postgresql();
            let source = stages(end, to, &["'gone'", "'here'"]);
            if !more.is_empty() {
                source.execute("ALTER TABLE stage_executions ADD COLUMN rowid INTEGER DEFAULT 1");
            }
            source.execute_unguarded(
            "INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, duration_ms, success, model_name)
             VALUES ('below', 'here', 'e-1', 1, 1, 'gemini'), ('kept', 'here', 'e-2', 1, 1, 'gemini')",
        );
            let report = move_with(&source, &target, &["orphan=drop"], more);
            assert_eq!(keys(&target), ["e-0", "e-2", "here", "kept"]);
            let expected = [
                "llm_interactions below interaction_id orphan=drop row ",
                "stage_executions e-1 execution_id orphan=drop row ",
            ];
            assert_eq!(changes(&report), expected);
        },
    );
}

#[apply(test)]
fn what_references_a_key_of_which_one_copy_is_kept_is_not_dropped() {
    let target = Database::postgresql();
    let source = stages(r#"PRIMARY KEY ("execution_id"), "#, "", &["'gone'", "'gone'", "'gone'"]);
    // Of e-1 a copy stays. Of e-2 there is none, and of e-3 one that belongs to e-2.
    source.execute_unguarded(
        "INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status,
                                       parent_stage_execution_id)
         VALUES ('e-1', 'here', 'x', 0, 'X', 'agent', 'completed', NULL),
                ('e-3', 'here', 'x', 0, 'X', 'agent', 'completed', 'e-2'),
                ('within', 'here', 'x', 0, 'X', 'agent', 'completed', 'e-1');
         INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, duration_ms, success, model_name)
         VALUES ('kept', 'here', 'e-1', 1, 1, 'gemini'), ('below-2', 'here', 'e-2', 1, 1, 'gemini'),
                ('below-3', 'here', 'e-3', 1, 1, 'gemini')",
    );
    let report = move_with(&source, &target, &["orphan=drop"], &[]);
    assert_eq!(keys(&target), ["e-0", "e-1", "here", "kept", "within"]);
    let dropped = changes(&report);
    let interactions =
        ["below-2", "below-3"].map(|key| format!("llm_interactions {key} interaction_id orphan=drop row "));
    assert_eq!(dropped[..2], interactions);
    let stages =
        ["e-1", "e-2", "e-3", "e-3"].map(|key| format!("stage_executions {key} execution_id orphan=drop row "));
    assert_eq!(dropped[2..], stages);
}

#[apply(test)]
fn a_key_that_differs_in_case_references_another_row_whatever_the_collation_of_the_source_is() {
    let column = r#""session_id" VARCHAR NOT NULL, "stage_id""#;
    let source =
        stages(column, &column.replace("VARCHAR", "VARCHAR COLLATE NOCASE"), &["'HERE'", "'THEIRS'", "'theirs'"]);
    let target = Database::postgresql();
    let report = move_with(&source, &target, &["orphan=drop"], &[]);
    assert_eq!(dropped_rows(&report).len(), 3);
    target.execute(
        "INSERT INTO alert_sessions (session_id, agent_type, status, chain_id) VALUES ('theirs', 'k', 'failed', 'c')",
    );
    let more = ["--on", "orphan=drop", "--report", "appended.json"];
    append_with(&source, &target, &more).expect(0);
    let dropped = ["e-1", "e-2"].map(|key| format!("stage_executions {key} execution_id orphan=drop row "));
    assert_eq!(changes(&read_report_at(&source.directory().join("appended.json"))), dropped);
    let more = ["--on", "orphan=adopt", "--report", "adopted.json"];
    append_with(&source, &target, &more).expect(0);
    let adopted = ["HERE", "THEIRS"].map(|key| format!("alert_sessions {key} session_id orphan=adopt absent "));
    assert_eq!(changes(&read_report_at(&source.directory().join("adopted.json"))), adopted);
}

#[apply(test)]
fn a_reference_that_is_not_utf_8_is_a_hazard_or_replaced_before_it_is_adopted() {
    let (source, target) = (stages("x", "x", &["CAST(x'61ff' AS TEXT)"]), Database::postgresql());
    let refused = Outcome::of(migrate(&source, &target).args(with_policies(&["orphan=adopt"]))).expect(65).json();
    assert_eq!(refused["error"]["counts"], json!({ "invalid-utf8": 1 }));
    let report = move_with(&source, &target, &["orphan=adopt", "invalid-utf8=replace"], &[]);
    let expected = [
        "alert_sessions a\u{fffd} session_id orphan=adopt absent ",
        "stage_executions e-1 session_id invalid-utf8=replace text 61FF",
    ];
    assert_eq!(changes(&report), expected);
}

/// A stage of a session with an interaction; both keys of the session are SQL expressions.
fn stage_of(session: &str, reference: &str) -> Database {
    let source = source_at("head");
    source.execute(&format!(
        "PRAGMA foreign_keys = OFF;
         INSERT INTO alert_sessions (session_id, agent_type, status, started_at_us, chain_id)
         VALUES ({session}, 'kubernetes', 'completed', 1769904000000000, 'chain');
         INSERT INTO stage_executions (execution_id, session_id, stage_id, stage_index, stage_name, agent, status)
         VALUES ('stage', {reference}, 'x', 0, 'X', 'agent', 'completed');
         INSERT INTO llm_interactions (interaction_id, session_id, stage_execution_id, duration_ms, success, model_name)
         VALUES ('interaction', {session}, 'stage', 1, 1, 'gemini')"
    ));
    source
}

#[apply(test)]
fn a_row_whose_parent_arrives_by_a_policy_is_no_orphan() {
    let cases = [
        ("'s'", "x'73'", ["storage-class=convert", "orphan=drop"]),
        ("'s'", "x'73'", ["storage-class=convert", "orphan=adopt"]),
        ("x'73'", "'s'", ["storage-class=convert", "orphan=drop"]),
        ("'s'", "'s' || char(0)", ["nul=strip", "orphan=drop"]),
        ("'s' || char(65533)", "'s' || char(0)", ["nul=replace", "orphan=adopt"]),
        ("CAST(x'73ff' AS TEXT)", "CAST(x'73fe' AS TEXT)", ["invalid-utf8=replace", "orphan=drop"]),
        ("'s'", "x'73'", ["storage-class=convert", "orphan=fail"]),
    ];
    each(cases, |(session, reference, policies)| {
        let (source, target) = (stage_of(session, reference), Database::postgresql());
        let mut check = bare_tarsy_db(source.directory());
        check.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only"]);
        let both = ["--on", policies[0], "--on", policies[1]];
        Outcome::of(check.args(both).args(["--report", "check.json"])).expect(0);
        let report = move_with(&source, &target, &policies, &[]);
        assert!(changes(&report).iter().all(|change| !change.contains("orphan")), "{:?}", changes(&report));
        let joined = "SELECT execution_id FROM alert_sessions JOIN stage_executions USING (session_id)
                      JOIN llm_interactions ON stage_execution_id = execution_id";
        assert_eq!(target.texts(joined), [Some("stage".to_owned())]);
        let again = [&both[..], &["--report", "again.json"]].concat();
        assert_eq!(came(&append_with(&source, &target, &again).expect(0).json())[1], Some(0));
    });
}

#[apply(test)]
fn a_row_that_only_lacks_a_policy_for_its_reference_is_not_dropped() {
    let (source, target) = (stage_of("'s'", "x'73'"), Database::postgresql());
    let refused = Outcome::of(migrate(&source, &target).args(with_policies(&["orphan=drop"]))).expect(65).json();
    assert_eq!(refused["error"]["counts"], json!({ "storage-class": 1 }));
    assert_eq!(changes(&read_report(&source)), [""; 0]);
}

#[apply(test)]
fn a_reference_that_becomes_null_is_none_to_a_missing_row() {
    let (source, target) = (stage_of("'s'", "'s'"), Database::postgresql());
    source.execute("PRAGMA foreign_keys = OFF; UPDATE llm_interactions SET stage_execution_id = x'ff'");
    move_with(&source, &target, &["inexact=null", "orphan=drop"], &[]);
    assert_eq!(target.number("SELECT count(*) FROM llm_interactions WHERE stage_execution_id IS NULL"), 1);
}

#[apply(test)]
fn of_an_append_a_parent_on_the_target_is_found_by_the_converted_reference() {
    let (source, target) = two_histories();
    source.execute("PRAGMA foreign_keys = OFF; UPDATE stage_executions SET session_id = CAST('theirs' AS BLOB)");
    for choice in ["orphan=drop", "orphan=adopt"] {
        let more = ["--on", choice, "--on", "storage-class=convert", "--report", &format!("{choice}.json")];
        append_with(&source, &target, &more).expect(0);
        let report = read_report_at(&source.directory().join(format!("{choice}.json")));
        assert!(changes(&report).iter().all(|change| !change.contains("orphan")), "{:?}", changes(&report));
    }
}

#[apply(test)]
fn of_an_append_rows_with_a_foreign_key_of_the_operators_are_never_dropped() {
    each([("known", 0), ("unknown", 65)], |(reference, code)| {
        let (source, target) = two_histories();
        target.execute(
            "UPDATE alert_sessions SET alert_id = 'known'; UPDATE stage_executions SET agent = 'known';
             ALTER TABLE stage_executions ADD CONSTRAINT ours FOREIGN KEY (agent) REFERENCES alert_sessions (alert_id)",
        );
        source.execute(&format!("UPDATE stage_executions SET agent = '{reference}'"));
        let appended = append_with(&source, &target, &with_policies(&["orphan=drop"])).expect(code);
        assert_eq!(changes(&read_report(&source)), [""; 0]);
        match code {
            0 => assert_eq!(came(&appended.json()), [Some(4), Some(4), Some(0)]),
            _ => appended.fails_with(&["stage_executions", "agent", "references a missing row"]),
        }
    });
}

#[apply(test)]
fn rows_with_a_foreign_key_to_a_table_of_the_operators_on_the_target_are_left_to_the_server() {
    each([("known", 0), ("unknown", 65)], |(reference, code)| {
        let (source, target) = (source_with_orphans(), Database::postgresql());
        source.execute(REPAIR);
        source.execute(&format!("UPDATE alert_sessions SET agent_type = '{reference}'"));
        init_to(&target, "head");
        target.execute(
            "CREATE TABLE ours (id text PRIMARY KEY); INSERT INTO ours VALUES ('known');
             ALTER TABLE alert_sessions ADD CONSTRAINT ours FOREIGN KEY (agent_type) REFERENCES ours (id)",
        );
        Outcome::of(migrate(&source, &target).args(["--dry-run", "--on", "orphan=drop", "--report", "plan.json"]))
            .expect(0);
        let moved = Outcome::of(migrate(&source, &target).args(with_policies(&["orphan=drop"]))).expect(code);
        if code != 0 {
            moved.fails_with(&["foreign key `ours`", "(unknown) is not present"]);
            let refused = Outcome::of(&mut migrate(&source, &target)).expect(65).json();
            assert_eq!(refused["error"]["counts"], json!({ "orphan": 2 }));
        }
    });
}
