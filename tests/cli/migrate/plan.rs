//! `migrate-sqlite-to-postgres`: the plan and the warnings before the first row is copied, with `--dry-run` or without,
//! and the operator's own keys, views and child tables after the move.

use serde_json::{Value, json};

use crate::support::cases::each;
use crate::support::history::{NOW_US, full_history, insert_many, insert_session};
use crate::support::migration::{arguments, migrate, one_session_and_target, picture, source_and_target};
use crate::support::role::give_tables_to;
use crate::support::server::closed_port;
use crate::support::sqlite_file::files;
use crate::support::{Database, Outcome, Role, Schema, apply, bare_tarsy_db, test};

fn rehearse(source: &Database, target: &Database) -> Outcome {
    Outcome::of(migrate(source, target).arg("--dry-run"))
}

/// The same with tables instead of JSON.
fn rehearsal_shown(source: &Database, target: &Database) -> Outcome {
    Outcome::of(bare_tarsy_db(source.directory()).args(&arguments(target)[..5]).arg("--dry-run"))
}

/// Name, rows and bytes of each table of a document.
fn amounts(document: &Value) -> Vec<(String, i64, i64)> {
    let tables = document["tables"].as_array().expect("a list of tables").iter();
    let amount = |table: &Value| {
        let [rows, bytes] = ["rows", "bytes"].map(|name| table[name].as_i64().expect("a number"));
        (table["table"].as_str().expect("a name").to_owned(), rows, bytes)
    };
    tables.map(amount).collect()
}

/// The rows of a table of the source, and the bytes of their values: those of texts, and eight of each number.
fn amount(source: &Database, table: &str) -> (String, i64, i64) {
    let size = |column: &String| {
        format!("CASE typeof({column}) WHEN 'null' THEN 0 WHEN 'text' THEN octet_length({column}) ELSE 8 END")
    };
    let columns = source.texts(&format!("SELECT name FROM pragma_table_info('{table}')"));
    let sizes = columns.iter().flatten().map(size).collect::<Vec<_>>().join(" + ");
    (table.to_owned(), source.count(table), source.number(&format!("SELECT coalesce(sum({sizes}), 0) FROM {table}")))
}

#[apply(test)]
fn a_rehearsal_knows_every_row_and_byte_and_changes_nothing() {
    let target = Database::postgresql();
    let source = full_history();
    let tables = [
        "alert_sessions",
        "stage_executions",
        "llm_interactions",
        "mcp_communications",
        "events",
        "chats",
        "chat_user_messages",
    ];
    let expected = tables.map(|table| amount(&source, table));
    let before = files(source.directory());
    // On an empty database, and on one that was prepared.
    each([false, true], |is_prepared| {
        if is_prepared {
            target.create_schema(Schema::Head);
        }
        let as_it_was = picture(&target);
        let planned = rehearse(&source, &target).expect(0);
        assert_eq!(planned.stderr, "");
        let planned = planned.json();
        assert!(picture(&target) == as_it_was, "is prepared: {is_prepared}");
        assert_eq!(planned["outcome"], "planned");
        assert_eq!(planned["source"], source.file().display().to_string());
        assert_eq!(planned["snapshot"], json!({ "origin": "at_rest" }));
        assert_eq!(planned["revision"], "b67c135119d7");
        assert!(planned["target"].as_str().is_some_and(|place| place.ends_with(target.name())), "{planned:#}");
        assert_eq!(amounts(&planned), expected);
        assert_eq!(planned["rows"], expected.iter().map(|(_, rows, _)| rows).sum::<i64>());
        assert_eq!(planned["bytes"], expected.iter().map(|(_, _, bytes)| bytes).sum::<i64>());
        assert_eq!((&planned["forecast"], &planned["warnings"]), (&Value::Null, &json!([])));
    });
    assert!(before == files(source.directory()));
    // The move finds as much.
    let moved = Outcome::of(&mut migrate(&source, &target)).expect(0).json();
    assert_eq!(amounts(&moved), expected);
}

#[apply(test)]
fn people_read_the_plan_too() {
    let (source, target) = one_session_and_target();
    let shown = rehearsal_shown(&source, &target).expect(0).stdout;
    for words in [
        "plan (nothing was changed)",
        "history.db: not in use, read in place",
        "in one transaction, at revision ae85467a75d2 (1 of 23)",
        "a few seconds",
        "mcp_communications",
    ] {
        assert!(shown.contains(words), "no `{words}` in {shown}");
    }
    assert!(!shown.contains("warning: "), "{shown}");
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn the_compression_is_lz4_where_the_server_has_it_unless_it_is_to_be_kept() {
    let (source, target) = one_session_and_target();
    let has_lz4 =
        "SELECT count(*) FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)";
    let expected = if target.number(has_lz4) == 1 { "lz4" } else { "as the server is set" };
    assert_eq!(rehearse(&source, &target).expect(0).json()["compression"], expected);
    let kept = Outcome::of(migrate(&source, &target).args(["--dry-run", "--toast", "keep"])).expect(0).json();
    assert_eq!(kept["compression"], "as the server is set");
    let compression = "SELECT DISTINCT pg_column_compression(final_analysis) FROM alert_sessions";
    source.execute("UPDATE alert_sessions SET final_analysis = replace(hex(zeroblob(50000)), '00', 'long ')");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    if expected == "lz4" {
        assert_eq!(target.texts(compression), [Some("lz4".to_owned())]);
    }
}

#[apply(test)]
fn a_rehearsal_lists_hazards_and_obstacles_as_the_move_would() {
    let (source, target) = one_session_and_target();
    source.execute("UPDATE alert_sessions SET final_analysis = 'a' || char(0)");
    let before = picture(&target);
    let refused = rehearse(&source, &target).expect(65).json();
    let details = refused["error"]["details"].as_array().expect("a list of hazards").clone();
    assert_eq!(details.len(), 1);
    assert_eq!((&details[0]["primary_key"], &details[0]["class"]), (&json!("one"), &json!("nul")));
    assert!(picture(&target) == before);
    insert_session(&target, "theirs", "completed", Some(NOW_US));
    let before = picture(&target);
    let refused = rehearse(&source, &target).expect(7);
    assert_eq!(refused.json()["error"]["details"][0]["kind"], "rows");
    refused.fails_with(&["alert_sessions", "holds 1 row"]);
    assert!(picture(&target) == before);
    source.execute("ALTER TABLE llm_interactions ADD COLUMN our_score REAL");
    let empty = target.another().with_schema(Schema::Baseline);
    rehearse(&source, &empty).expect(7).fails_with(&["--ignore llm_interactions.our_score"]);
}

#[apply(test)]
fn warnings_are_in_the_plan() {
    let (source, target) = one_session_and_target();
    target.execute("ALTER TABLE llm_interactions ADD CONSTRAINT ours CHECK (duration_ms >= 0)");
    let planned = rehearse(&source, &target).expect(0).json();
    let warnings = planned["warnings"].as_array().expect("a list of warnings");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let of = |name: &str| warnings[0][name].as_str().expect("a text").to_owned();
    assert_eq!(["kind", "object", "weight"].map(of), ["condition", "llm_interactions", "warning"]);
    assert!(!of("advice").is_empty() && of("what").contains("duration_ms >= 0"));
    let shown = rehearsal_shown(&source, &target).expect(0).stdout;
    let line = "warning: llm_interactions has a constraint of your own";
    assert!(shown.lines().any(|shown| shown.starts_with(line)), "{shown}");
}

/// Checks the source alone.
fn check(source: &Database, more: &[&str]) -> Outcome {
    let mut command = bare_tarsy_db(source.directory());
    Outcome::of(command.args(["migrate-sqlite-to-postgres", "--check-only"]).args(more)).expect(0)
}

#[apply(test)]
fn what_only_a_server_can_decide_is_not_promised_without_one() {
    let (source, _) = one_session_and_target();
    source.execute("UPDATE alert_sessions SET alert_type = replace(hex(zeroblob(3000)), '00', 'x')");
    let shown = check(&source, &[]).stdout;
    assert!(shown.contains("PostgreSQL can hold every value unchanged, except perhaps these"), "{shown}");
    let question = ["index-entry", "alert_sessions.alert_type", " 1 ", "one"];
    let line = shown.lines().find(|line| question.iter().all(|word| line.contains(word)));
    assert!(line.is_some(), "{shown}");
    let found = &check(&source, &["--output", "json"]).json()["undecided"];
    let expected = json!([{
        "table": "alert_sessions", "columns": ["alert_type"], "class": "index-entry", "count": 1, "example": "one",
    }]);
    assert_eq!(*found, expected);
    let cut = check(&source, &["--on", "index-entry=truncate", "--report", "report.json", "--output", "json"]).json();
    assert_eq!(cut["undecided"], json!([]));
}

#[apply(test)]
fn a_dry_run_asks_the_target_which_long_values_it_takes() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    insert_session(&source, "two", "completed", Some(NOW_US));
    // The server compresses this one until it fits.
    source.execute(
        "UPDATE alert_sessions SET alert_type = replace(hex(zeroblob(3000)), '00', 'x') WHERE session_id = 'one'",
    );
    rehearse(&source, &target).expect(0);
    source.execute("UPDATE alert_sessions SET agent_type = hex(randomblob(6000)) WHERE session_id = 'two'");
    // On an empty database, for a move, and beside rows of the target.
    let filled = target.another().with_schema(Schema::Baseline);
    insert_session(&filled, "theirs", "completed", Some(NOW_US));
    let refusals = [
        rehearse(&source, &target),
        Outcome::of(&mut migrate(&source, &target)),
        Outcome::of(migrate(&source, &filled).args(["--append", "--dry-run"])),
        Outcome::of(migrate(&source, &filled).arg("--append")),
    ];
    each(refusals, |refused| {
        let document = refused.expect(65).json();
        let hazards = document["error"]["details"].as_array().expect("a list");
        let [hazard] = &hazards[..] else { panic!("{hazards:?}") };
        let of = |name: &str| hazard[name].as_str().expect("a text");
        assert_eq!(["primary_key", "column", "class"].map(of), ["two", "agent_type", "index-entry"]);
        assert!(of("postgresql").starts_with("rejects it: index row "), "{hazard}");
    });
    assert!(picture(&target).is_empty());
    assert_eq!(filled.count("alert_sessions"), 1);
    source.execute("UPDATE alert_sessions SET agent_type = 'k'");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.number("SELECT max(length(alert_type))::bigint FROM alert_sessions"), 3000);
}

#[apply(test)]
fn a_long_value_in_a_row_with_another_hazard_is_said_to_be_undecided() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    insert_session(&source, "two", "completed", Some(NOW_US));
    source.execute(
        "UPDATE alert_sessions SET alert_type = 'x' || char(0) || hex(randomblob(6000)) WHERE session_id = 'two'",
    );
    let document = rehearse(&source, &target).expect(65).json();
    let expected = json!([{
        "table": "alert_sessions", "columns": ["alert_type"], "class": "index-entry", "count": 1, "example": "two",
    }]);
    assert_eq!(document["undecided"], expected);
    let shown = rehearsal_shown(&source, &target).expect(65).stdout;
    assert!(shown.contains("values that the server decides about when the other values"), "{shown}");
    assert!(shown.contains("the server decides about 1 undecided value when the command runs"), "{shown}");
}

#[apply(test)]
fn the_command_has_no_policy_twice() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    // Only one of the two can be NULL.
    source.execute("UPDATE alert_sessions SET status = 'x' || char(0), final_analysis = 'x' || char(0)");
    source.execute("UPDATE llm_interactions SET duration_ms = 3000000000, input_tokens = 3000000000");
    let mut command = migrate(&source, &target);
    command.args(["--dry-run", "--on", "integer-range=null", "--report", "report.json"]);
    let document = Outcome::of(&mut command).expect(65).json();
    let next = document["next_command"].as_str().expect("a command");
    assert_eq!(next.matches("--on integer-range=").count(), 1, "{next}");
    assert!(next.contains("--on integer-range=clamp") && next.contains("--on nul=replace"), "{next}");
}

#[apply(test)]
fn a_rejected_entry_is_named_without_the_temporary_table() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    source.execute("UPDATE alert_sessions SET alert_type = hex(randomblob(2000))");
    let hazards = rehearse(&source, &target).expect(65).json()["hazards"].clone();
    let answer = hazards[0]["postgresql"].as_str().expect("an answer");
    assert!(answer.starts_with("rejects it: index row ") && answer.ends_with(" 2704"), "{answer}");
}

/// The limit without an answer is four times `connect_timeout`.
#[apply(test)]
fn a_dry_run_waits_for_a_server_that_works_on_one_index() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    target.create_schema(Schema::Baseline);
    target.execute(
        "CREATE FUNCTION slow(value varchar) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_catalog.pg_sleep(11); RETURN value; END $$;
         CREATE INDEX slow ON alert_sessions (slow(agent_type))",
    );
    let url = format!("{}?connect_timeout=2", target.url());
    let mut command = bare_tarsy_db(source.directory());
    command.args(["migrate-sqlite-to-postgres", "--dry-run", "--to", &url]);
    Outcome::of(&mut command).expect(0);
}

/// An index of an operator by its name, and what its statement says after that.
const OWN_INDEXES: &[(&str, &str)] = &[
    ("expression", "INDEX expression ON alert_sessions ((alert_data::text))"),
    ("including", "INDEX including ON alert_sessions (started_at_us) INCLUDE (error_message)"),
    ("partial", "INDEX partial ON alert_sessions (session_id) WHERE alert_type::int > 0"),
    ("words", "INDEX words ON alert_sessions USING gin (string_to_array(error_message, ' '))"),
    ("several", "UNIQUE INDEX several ON alert_sessions (agent_type) WHERE status = 'completed'"),
    ("lower", "UNIQUE INDEX lower ON alert_sessions (lower(agent_type))"),
    ("nulls", "UNIQUE INDEX nulls ON alert_sessions (current_stage_id) NULLS NOT DISTINCT"),
];

#[apply(test)]
fn a_dry_run_asks_the_indexes_of_an_operator_and_ends_as_the_move_does() {
    let (source, target) = source_and_target();
    for session in ["one", "two"] {
        insert_session(&source, session, "completed", Some(NOW_US));
    }
    source.execute(
        "UPDATE alert_sessions SET alert_data = json_quote(hex(randomblob(6000))), error_message = hex(randomblob(6000)),
             alert_type = 'PodCrash', current_stage_id = NULL",
    );
    let sound = [
        "INDEX numbers ON alert_sessions ((started_at_us / 1000)) WHERE status <> 'x'",
        "INDEX documents ON llm_interactions USING gin (conversation)",
        "INDEX equal ON alert_sessions USING hash (error_message)",
    ];
    target.create_schema(Schema::Baseline);
    for index in sound {
        target.execute(&format!("CREATE {index}"));
    }
    let before = picture(&target);
    each(OWN_INDEXES, |(name, definition)| {
        target.execute(&format!("CREATE {definition}"));
        let refused = [rehearse(&source, &target), Outcome::of(&mut migrate(&source, &target))];
        let errors = refused.map(|refused| {
            let error = refused.json()["error"].clone();
            (refused.code, error["message"].clone())
        });
        assert_eq!(errors[0], errors[1], "{name}");
        assert!(errors[0].0 != Some(0) && errors[0].1.to_string().contains(name), "{:?}", errors[0]);
        target.execute(&format!("DROP INDEX {name}"));
    });
    rehearse(&source, &target).expect(0);
    assert_eq!(picture(&target), before);
    Outcome::of(&mut migrate(&source, &target)).expect(0);

    // Beside rows of the target.
    let filled = target.another().with_schema(Schema::Baseline);
    insert_session(&filled, "theirs", "completed", Some(NOW_US));
    filled.execute("CREATE INDEX expression ON alert_sessions ((alert_data::text))");
    let rehearsed = Outcome::of(migrate(&source, &filled).args(["--append", "--dry-run"]));
    assert!(rehearsed.code != Some(0), "{}", rehearsed.stdout);
    assert_eq!(rehearsed.code, Outcome::of(migrate(&source, &filled).arg("--append")).code);
}

#[apply(test)]
fn a_dry_run_runs_the_function_of_an_index_as_the_owner_of_its_table() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    target.create_schema(Schema::Baseline);
    target.execute(
        "CREATE FUNCTION planted(value varchar) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
             IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN RAISE 'it runs as a superuser'; END IF;
             RETURN value; END $$;
         CREATE INDEX planted ON alert_sessions (planted(agent_type))",
    );
    rehearse(&source, &target).expect(65).tells(&["refused to recreate index `planted`", "it runs as a superuser"]);
    let owner = Role::new(&target);
    target.execute(&format!("GRANT USAGE, CREATE ON SCHEMA public TO {}", owner.name));
    give_tables_to(&target, &owner.name);
    rehearse(&source, &target).expect(0);
    Outcome::of(&mut migrate(&source, &target)).expect(0);
}

#[apply(test)]
fn an_index_that_only_the_move_can_ask_about_is_named() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    target.create_schema(Schema::Baseline);
    target.execute("ALTER TABLE alert_sessions ADD mine text; CREATE INDEX mine ON alert_sessions (lower(mine))");
    let warned = rehearse(&source, &target).expect(0);
    warned.tells(&["the index `mine` of alert_sessions may reject rows; only the migration shows it"]);
}

#[apply(test)]
fn a_value_in_two_indexes_is_counted_once() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    // `status` has an index of its own, and one with `started_at_us`.
    source.execute("UPDATE alert_sessions SET status = hex(randomblob(6000))");
    let undecided = check(&source, &["--output", "json"]).json()["undecided"].clone();
    let expected = json!([{
        "table": "alert_sessions", "columns": ["status"], "class": "index-entry", "count": 1, "example": "one",
    }]);
    assert_eq!(undecided, expected);
    let refused = rehearse(&source, &target).expect(65).json();
    assert_eq!(refused["error"]["details"].as_array().map(Vec::len), Some(1), "{refused:#}");
}

/// An array of more than 2^24 items would be too large for the server.
#[apply(test)]
fn very_large_json_is_undecided_until_the_server_takes_it() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    source.execute(
        r#"UPDATE llm_interactions SET conversation = '["' || replace(hex(zeroblob(17000000)), '00', 'xx') || '"]'"#,
    );
    let undecided = &check(&source, &["--output", "json"]).json()["undecided"];
    assert_eq!((&undecided[0]["class"], &undecided[0]["example"]), (&json!("too-large"), &json!("llm-one")));
    rehearse(&source, &target).expect(0);
}

#[apply(test)]
fn a_large_history_has_a_forecast_that_the_move_keeps_to() {
    let (source, target) = source_and_target();
    insert_many(&source, 4000, 20_000, NOW_US);
    let planned = rehearse(&source, &target).expect(0).json();
    assert!(picture(&target).is_empty());
    let of = |name: &str| planned["forecast"][name].as_i64().unwrap_or_else(|| panic!("no {name} in {planned:#}"));
    let target_bytes = of("target_bytes");
    assert!(target_bytes > 0 && of("seconds") > 0 && of("bytes_per_second") > 0, "{planned:#}");
    assert_eq!(amounts(&planned)[2], amount(&source, "llm_interactions"));

    let moved = Outcome::of(&mut migrate(&source, &target)).expect(0);
    let announced = moved.stderr.lines().find(|line| line.contains("this will take about "));
    let announced = announced.unwrap_or_else(|| panic!("no forecast in {}", moved.stderr));
    assert!(announced.contains("the target will need about "), "{announced}");
    assert!(moved.stderr.contains("moving 8,000 rows with about "), "{}", moved.stderr);
    let size = target.number(
        "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    );
    assert!(target_bytes < 3 * size && size < 3 * target_bytes, "{target_bytes} forecast, {size} taken");
}

#[apply(test)]
fn a_large_history_with_a_hazard_is_refused_as_a_small_one() {
    let (source, target) = source_and_target();
    insert_many(&source, 3000, 20_000, NOW_US);
    source.execute(
        r#"UPDATE llm_interactions SET conversation = '["\u0000"]' WHERE interaction_id IN ('l-2', 'l-2999')"#,
    );
    each([&[][..], &["--dry-run"]], |option| {
        let refused = Outcome::of(migrate(&source, &target).args(option)).expect(65).json();
        assert_eq!(refused["error"]["details"].as_array().map(Vec::len), Some(2), "{option:?}");
        assert!(picture(&target).is_empty(), "{option:?}");
    });
}

#[apply(test)]
fn a_check_needs_no_server() {
    let source = full_history();
    let before = files(source.directory());
    let (_socket, port) = closed_port();
    let mut command = bare_tarsy_db(source.directory());
    command.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only", "--output", "json"]);
    let checked = Outcome::of(command.env("DATABASE_URL", format!("postgresql://tarsy@127.0.0.1:{port}/tarsy")));
    let checked = checked.expect(0).json();
    assert_eq!((&checked["outcome"], &checked["revision"]), (&json!("checked"), &json!("b67c135119d7")));
    assert_eq!(amounts(&checked)[0], amount(&source, "alert_sessions"));
    assert!(before == files(source.directory()));
    let mut command = bare_tarsy_db(source.directory());
    let shown = Outcome::of(command.args(["migrate-sqlite-to-postgres", "--check-only"])).expect(0).stdout;
    assert!(
        shown.contains("history.db, at revision b67c135119d7 (23 of 23): PostgreSQL can hold every value"),
        "{shown}"
    );
    source.execute("UPDATE events SET payload = '[NaN]' WHERE id = 3");
    let mut command = bare_tarsy_db(source.directory());
    let refused = Outcome::of(command.args(["migrate-sqlite-to-postgres", "--check-only"])).expect(65);
    let line = refused.stdout.lines().find(|line| line.contains("events.payload"));
    assert!(
        line.is_some_and(|line| line.contains("non-finite") && line.contains("null, string")),
        "{}",
        refused.stdout
    );
}

#[apply(test)]
fn a_check_and_a_dry_run_end_with_the_command_that_moves_the_history_in_spite_of_its_values() {
    let (source, target) = source_and_target();
    for session in ["one", "two"] {
        insert_session(&source, session, "completed", Some(NOW_US));
    }
    source.execute(
        "UPDATE alert_sessions SET final_analysis = 'a' || char(0);
         UPDATE mcp_communications SET tool_result = '[NaN]' WHERE session_id = 'two'",
    );
    each(["--check-only", "--dry-run"], |mode| {
        let to = if mode == "--check-only" { &[][..] } else { &["--to", target.url()] };
        let run = |more: &[&str]| {
            let mut command = bare_tarsy_db(source.directory());
            Outcome::of(command.arg("migrate-sqlite-to-postgres").args(to).arg(mode).args(more)).expect(65)
        };
        let shown = run(&[]);
        let line = |words: &[&str]| shown.stdout.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(line(&["nul", "alert_sessions.final_analysis", " 2 ", "one", "replace, strip"]), "{}", shown.stdout);
        assert!(line(&["non-finite", "mcp_communications.tool_result", " 1 ", "mcp-two"]), "{}", shown.stdout);
        assert_eq!(shown.stderr.lines().filter(|line| line.contains("U+0000")).count(), 0, "{}", shown.stderr);
        shown.tells(&["3 values of the source cannot be converted exactly", "`--report FILE` lists each"]);
        let command = shown.stdout.lines().last().expect("a command");
        let start = format!("tarsy-db migrate-sqlite-to-postgres --from {}", source.file().display());
        assert!(command.starts_with(&start), "{command}");
        assert!(command.ends_with(" --on nul=replace --on non-finite=string --report report.json"), "{command}");
        assert_eq!(command.contains(" --to postgresql://"), mode == "--dry-run", "{command}");
        let document = run(&["--output", "json"]).json();
        assert_eq!((&document["outcome"], &document["next_command"]), (&json!("failed"), &json!(command)));
        assert_eq!(document["hazards"][0]["count"], 2);
    });
}

/// Runs a command that was printed, as it stands. No word of it has a blank or a quote in it.
fn paste(source: &Database, command: &str, variable: (&str, &str)) -> Outcome {
    let words = command.split(' ').skip(1).map(|word| word.trim_matches('\''));
    Outcome::of(bare_tarsy_db(source.directory()).args(words).env(variable.0, variable.1))
}

#[apply(test)]
fn the_command_moves_the_history_to_the_database_that_was_asked_about() {
    let with_parameters = "?connect_timeout=7&sslmode=disable";
    let cases = [
        ("--dry-run", "--to", ""),
        ("--dry-run", "--database-url", ""),
        ("--check-only", "--database-url", ""),
        ("--dry-run", "--to", with_parameters),
    ];
    each(cases, |(mode, flag, parameters)| {
        let (source, target) = source_and_target();
        insert_session(&source, "one", "completed", Some(NOW_US));
        source.execute("UPDATE alert_sessions SET final_analysis = 'a' || char(0)");
        let url = format!("{}{parameters}", target.url());
        let mut command = bare_tarsy_db(source.directory());
        command.args(["migrate-sqlite-to-postgres", mode, flag, &url, "--lock-timeout", "7s"]);
        let shown = Outcome::of(&mut command).expect(65).stdout;
        let (login, place) = url.rsplit_once('@').expect("the URL has a login");
        let (user, password) = login.rsplit_once(':').expect("the login has a password");
        assert!(!shown.contains(password), "{shown}");
        let lines: Vec<_> = shown.lines().collect();
        let [.., lacks, heading, command] = lines[..] else { panic!("{shown}") };
        assert_eq!(lacks, "the command lacks the password: set PGPASSWORD or use a password file");
        assert_eq!(heading, "to move the history with these values changed:");
        let quote = if parameters.is_empty() { "" } else { "'" };
        let expected = format!(" {flag} {quote}{user}@{place}{quote} --lock-timeout 7s ");
        assert!(command.contains(&expected), "{command}");
        paste(&source, command, ("PGPASSWORD", password)).expect(0);
        assert_eq!(target.count("alert_sessions"), 1);
    });
}

#[apply(test)]
fn the_command_does_not_name_what_the_environment_names() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    source.execute("UPDATE alert_sessions SET final_analysis = 'a' || char(0)");
    std::fs::write(source.directory().join("other.toml"), "").expect("a file can be written");
    let mut command = bare_tarsy_db(source.directory());
    command.args(["migrate-sqlite-to-postgres", "--dry-run", "--config", "other.toml", "--report", "list.json"]);
    let shown = Outcome::of(command.env("DATABASE_URL", target.url())).expect(65);
    shown.tells(&["list.json lists each of these values"]);
    let command = shown.stdout.lines().last().expect("a command");
    assert!(command.ends_with(" --config other.toml --on nul=replace --report list.json"), "{command}");
    assert!(!command.contains("postgresql://") && !shown.stdout.contains("lacks"), "{}", shown.stdout);
    paste(&source, command, ("DATABASE_URL", target.url())).expect(0);
    assert_eq!(target.count("alert_sessions"), 1);
}

#[apply(test)]
fn what_only_a_server_can_decide_is_listed_beside_what_no_server_takes() {
    let (source, _) = one_session_and_target();
    source.execute(
        "UPDATE alert_sessions SET alert_type = replace(hex(zeroblob(3000)), '00', 'x');
         UPDATE mcp_communications SET tool_result = '[NaN]'",
    );
    let check = |more: &[&str]| {
        let mut command = bare_tarsy_db(source.directory());
        Outcome::of(command.args(["migrate-sqlite-to-postgres", "--check-only"]).args(more)).expect(65)
    };
    let shown = check(&[]).stdout;
    assert!(shown.contains("values that only a server can decide about"), "{shown}");
    let lines: Vec<_> = shown.lines().collect();
    let [.., decided, _, command] = lines[..] else { panic!("{shown}") };
    assert_eq!(decided, "the server decides about 1 undecided value when the command runs");
    assert!(command.contains(" --on non-finite=string ") && !command.contains("index-entry"), "{command}");
    let undecided = &check(&["--output", "json"]).json()["undecided"];
    assert_eq!((&undecided[0]["class"], &undecided[0]["example"]), (&json!("index-entry"), &json!("one")));
}

#[apply(test)]
fn a_class_without_a_policy_is_said_to_have_none() {
    let (source, _) = one_session_and_target();
    source.execute("UPDATE llm_interactions SET success = 2");
    let mut command = bare_tarsy_db(source.directory());
    let shown = Outcome::of(command.args(["migrate-sqlite-to-postgres", "--check-only"])).expect(65).stdout;
    let line = shown.lines().find(|line| line.contains("llm_interactions.success"));
    assert!(line.is_some_and(|line| line.contains("inexact") && line.contains("none")), "{shown}");
    assert!(shown.ends_with("1 value without a policy: correct it in a copy of the source first\n"), "{shown}");
}

#[apply(test)]
fn options_that_mean_nothing_together_are_a_usage_error() {
    let source = Database::sqlite();
    let cases = [
        &["--check-only", "--dry-run"][..],
        &["--check-only", "--verify-only"],
        &["--dry-run", "--verify-only"],
        &["--check-only", "--to", "postgresql://tarsy@db/tarsy"],
        &["--check-only", "--verify", "full"],
        &["--verify-only", "--verify", "counts"],
        &["--verify-only", "--toast", "keep"],
    ];
    each(cases, |options| {
        let mut command = bare_tarsy_db(source.directory());
        let refused = Outcome::of(command.arg("migrate-sqlite-to-postgres").args(options)).expect(2);
        assert!(refused.stderr.contains("cannot be used with"), "{options:?}: {}", refused.stderr);
    });
}

#[apply(test)]
fn after_a_move_people_are_told_what_is_next_and_what_to_keep() {
    let (source, target) = one_session_and_target();
    let mut command = bare_tarsy_db(source.directory());
    let shown = Outcome::of(command.args(&arguments(&target)[..5])).expect(0).stdout;
    let file = source.file().display().to_string();
    assert!(shown.starts_with(&format!("moved {file} to ")), "{shown}");
    let line = |start: &str| {
        let line = shown.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("no `{start}` in {shown}")).to_owned()
    };
    let next = line("next: ");
    assert!(next.contains(&format!("127.0.0.1:{}/{}", target.port(), target.name())), "{next}");
    assert!(next.contains("DATABASE_URL=postgresql://") && next.contains("`tarsy-db check --deep`"), "{next}");
    assert!(!shown.contains("test-password"), "{shown}");
    assert_eq!(line("keep: "), format!("keep: {file}, which was not changed"));
}

/// Comments on the primary key of a table, as a constraint and as an index.
fn comments(target: &Database) -> Vec<Option<String>> {
    target.texts(
        "SELECT concat_ws(', ', obj_description(oid, 'pg_constraint'), obj_description(conindid, 'pg_class'))
         FROM pg_constraint WHERE contype = 'p' AND conrelid = 'alert_sessions'::regclass",
    )
}

#[apply(test)]
fn a_primary_key_comes_back_with_its_comments() {
    let (source, target) = one_session_and_target();
    target.execute(
        "COMMENT ON CONSTRAINT alert_sessions_pkey ON alert_sessions IS 'it''s a key';
         COMMENT ON INDEX alert_sessions_pkey IS 'an index'",
    );
    let before = (picture(&target), comments(&target));
    assert_eq!(before.1, [Some("it's a key, an index".to_owned())]);
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(comments(&target), before.1);
    let keys = |picture: Vec<String>| picture.into_iter().filter(|line| line.contains("_pkey")).collect::<Vec<_>>();
    assert_eq!(keys(picture(&target)), keys(before.0));
    target.execute("INSERT INTO alert_sessions SELECT * FROM alert_sessions ON CONFLICT (session_id) DO NOTHING");
    assert_eq!(target.count("alert_sessions"), 1);
}

#[apply(test)]
fn a_primary_key_with_a_name_an_option_or_a_role_of_its_own_stays_as_it_is() {
    let cases = [
        r#"ALTER TABLE alert_sessions RENAME CONSTRAINT alert_sessions_pkey TO "Our key""#,
        "ALTER INDEX alert_sessions_pkey SET (fillfactor = 70)",
        "ALTER TABLE alert_sessions REPLICA IDENTITY USING INDEX alert_sessions_pkey",
        "CLUSTER alert_sessions USING alert_sessions_pkey",
        "ALTER TABLE alert_sessions REPLICA IDENTITY FULL",
    ];
    each(cases, |alteration| {
        let (source, target) = one_session_and_target();
        target.execute(alteration);
        let of_key = "SELECT format('%s %s %s %s %s %s', conname, pg_get_constraintdef(p.oid), c.reloptions,
                                    i.indisreplident, i.indisclustered, t.relreplident)
                      FROM pg_constraint p JOIN pg_index i ON i.indexrelid = conindid
                           JOIN pg_class c ON c.oid = conindid JOIN pg_class t ON t.oid = conrelid
                      WHERE contype = 'p' AND conrelid = 'alert_sessions'::regclass";
        let before = target.texts(of_key);
        Outcome::of(&mut migrate(&source, &target)).expect(0);
        assert_eq!(target.texts(of_key), before, "{alteration}");
        assert_eq!(target.count("alert_sessions"), 1, "{alteration}");
    });
}

#[apply(test)]
fn a_view_that_groups_by_the_primary_key_is_no_obstacle() {
    let (source, target) = one_session_and_target();
    target.execute(
        "CREATE VIEW by_session AS SELECT session_id, status FROM alert_sessions GROUP BY session_id;
         CREATE MATERIALIZED VIEW stages AS SELECT execution_id, agent, count(*) AS number FROM stage_executions
             GROUP BY execution_id",
    );
    let keys =
        |target: &Database| picture(target).into_iter().filter(|line| line.contains("_pkey")).collect::<Vec<_>>();
    let before = keys(&target);
    assert_eq!(rehearse(&source, &target).expect(0).json()["outcome"], "planned");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(keys(&target), before);
    assert_eq!(target.texts("SELECT session_id || ' ' || status FROM by_session"), [Some("one completed".to_owned())]);
    target.execute("REFRESH MATERIALIZED VIEW stages");
    assert_eq!(target.texts("SELECT execution_id FROM stages"), [Some("stage-one".to_owned())]);
}

#[apply(test)]
fn rows_of_a_child_table_are_none_of_its_parents_when_it_is_read_back() {
    let (source, target) = one_session_and_target();
    target.execute("CREATE TABLE child (ours int) INHERITS (alert_sessions)");
    // An empty one is worth a warning.
    let planned = rehearse(&source, &target).expect(0).json();
    assert_eq!(planned["warnings"][0]["kind"], "inheritance");
    each(["full", "counts"], |verify| {
        let moved = Outcome::of(migrate(&source, &target).args(["--verify", verify])).expect(0);
        assert!(moved.stderr.contains("alert_sessions has the child table child"), "{}", moved.stderr);
        target.execute("TRUNCATE alert_sessions CASCADE");
    });
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    target.execute(
        "INSERT INTO child (session_id, alert_id, agent_type, status, chain_id) VALUES ('theirs', 'a', 'k', 's', 'c')",
    );
    assert_eq!(target.count("alert_sessions"), 2);
    let before = picture(&target);
    let compared = Outcome::of(migrate(&source, &target).arg("--verify-only")).expect(0).json();
    assert_eq!(amounts(&compared)[0], amount(&source, "alert_sessions"));
    assert!(picture(&target) == before);
}

#[apply(test)]
fn rows_of_a_child_table_keep_a_history_from_being_moved_and_stay() {
    let (source, target) = one_session_and_target();
    target.execute(
        "CREATE TABLE child () INHERITS (alert_sessions);
         INSERT INTO child (session_id, alert_id, agent_type, status, chain_id) VALUES ('theirs', 'a', 'k', 's', 'c')",
    );
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(7);
    assert_eq!(refused.json()["error"]["details"][0]["kind"], "rows");
    assert_eq!(target.texts("SELECT session_id FROM child"), [Some("theirs".to_owned())]);
    assert_eq!(target.number("SELECT count(*) FROM ONLY alert_sessions"), 0);
}
