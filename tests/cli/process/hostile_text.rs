//! Characters that a terminal obeys, in whatever a database, a server or a command line may hold: they are seen, never
//! obeyed, no line is forged, and JSON means what it meant.

use serde_json::Value;

use crate::support::cases::each;
use crate::support::history::{NOW, OLD_US, insert_session};
use crate::support::migration::{arguments, source_and_target};
use crate::support::terminal::{answered_to, shown_on_a_terminal};
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, tarsy_db, test};

/// Sets a terminal's title, begins a line, colours it (with C1 as well), and turns the direction around.
const HOSTILE: &str = "x\u{1b}]0;owned\u{7}\nerror: forged\r\u{9b}31m\u{202e}txt\u{2066}";
/// How it is shown.
const SHOWN: &str = r"x\u{1b}]0;owned\u{7}\nerror: forged\r\u{9b}31m\u{202e}txt\u{2066}";

fn is_obeyed(character: char) -> bool {
    let turns =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character != '\n' && (character.is_control() || turns)
}

/// Makes sure that nothing in an output is obeyed by a terminal, or begins a line that is not the program's.
#[track_caller]
fn is_clean(outcome: &Outcome) {
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains(is_obeyed), "{text:?}");
        let is_forged = |line: &str| line.trim_start_matches([' ', '│', '┆']).starts_with("error: forged");
        assert!(!text.lines().any(is_forged), "{text}");
    }
}

/// Runs a command in all its forms; each output has to be clean. Gives the one for people and the document.
#[track_caller]
fn clean(database: &Database, arguments: &[&str], code: i32) -> (Outcome, Value) {
    let run = |more: &[&str]| {
        let outcome = Outcome::of(tarsy_db(database).args(arguments).args(more)).expect(code);
        is_clean(&outcome);
        outcome
    };
    let logged = run(&["--log-format", "json", "-v"]).stderr;
    assert!(logged.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{logged}");
    (run(&[]), run(&["--output", "json"]).json())
}

fn database_with_hostile_session(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute(&format!(
        "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, started_at_us, chain_id)
         VALUES ('{HOSTILE}', 'a', '{HOSTILE}', '{HOSTILE}', {OLD_US}, '{HOSTILE}')"
    ));
}

#[apply(test)]
fn keys_and_states_of_sessions_are_shown_and_not_obeyed(database: &Database) {
    database_with_hostile_session(database);
    let (shown, plan) = clean(database, &["prune", "--now", NOW, "--dry-run"], 0);
    assert!(shown.stdout.contains(SHOWN), "{}", shown.stdout);
    assert_eq!(plan["plan"]["kept"][0]["session_id"], HOSTILE);
    assert_eq!(plan["plan"]["kept"][0]["status"], HOSTILE);
    let (shown, info) = clean(database, &["info"], 0);
    assert!(shown.stdout.contains(SHOWN), "{}", shown.stdout);
    assert_eq!(info["sessions"]["by_status"][0]["status"], HOSTILE);
    clean(database, &["check"], 0);
    // In a warning as well.
    let (shown, _) = clean(database, &["prune", "--now", NOW, "--dry-run", "--alert-type", HOSTILE], 0);
    assert!(shown.stderr.contains(SHOWN), "{}", shown.stderr);
}

#[apply(test)]
fn names_of_tables_and_indexes_are_shown_and_not_obeyed(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute(&format!(
        r#"CREATE TABLE "{HOSTILE}" (one INTEGER); CREATE INDEX "i{HOSTILE}" ON alert_sessions (chain_id);
           ALTER TABLE alert_sessions ADD COLUMN "c{HOSTILE}" INTEGER"#
    ));
    let (shown, info) = clean(database, &["info"], 0);
    assert!(shown.stdout.contains(SHOWN), "{}", shown.stdout);
    let tables = info["tables"].as_array().expect("a list");
    assert!(tables.iter().any(|table| table["table"] == HOSTILE), "{info}");
    let (shown, check) = clean(database, &["check"], 0);
    assert!(shown.stdout.contains("additional index i"), "{}", shown.stdout);
    let detail = check["checks"].as_array().expect("a list").iter().find(|check| check["name"] == "schema");
    let detail = detail.and_then(|check| check["detail"].as_str()).expect("a text");
    assert!(detail.contains(&format!("additional index i{HOSTILE}")), "{detail}");
    // Drift, as an error.
    database.execute(&format!(r#"ALTER TABLE stage_executions RENAME COLUMN agent TO "{HOSTILE}""#));
    let (shown, failure) = clean(database, &["init", "--to", "2"], 4);
    assert!(shown.worries()[0].starts_with("error: the tables do not match revision"), "{}", shown.stderr);
    assert_eq!(failure["error"]["exit_code"], 4);
}

#[apply(test)]
fn what_a_server_says_is_shown_and_not_obeyed(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(OLD_US));
    database.execute(&match database.is_sqlite() {
        true => {
            format!("CREATE TRIGGER mine BEFORE DELETE ON alert_sessions BEGIN SELECT raise(ABORT, '{HOSTILE}'); END")
        }
        false => format!(
            "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN RAISE '%', '{HOSTILE}'; END $$;
             CREATE TRIGGER mine BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION mine()"
        ),
    });
    let (shown, pruned) = clean(database, &["prune", "--now", NOW, "--yes", "--max-share", "100%"], 4);
    assert!(shown.stdout.contains(SHOWN) && shown.stderr.contains(SHOWN), "{}{}", shown.stdout, shown.stderr);
    assert_eq!(pruned["stuck"][0]["reason"], HOSTILE);
    assert!(pruned["error"]["causes"].to_string().contains("owned"), "{pruned}");
}

#[apply(test)]
fn values_that_were_asked_for_are_shown_and_not_obeyed() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(OLD_US));
    source.execute(&format!(
        "PRAGMA foreign_keys = off;
         UPDATE llm_interactions SET interaction_id = '{HOSTILE}', conversation = 'no JSON {HOSTILE}'"
    ));
    let run = |more: &[&str], code| {
        let mut command = bare_tarsy_db(source.directory());
        let outcome = Outcome::of(command.args(arguments(&target)).arg("--show-values").args(more)).expect(code);
        is_clean(&outcome);
        outcome
    };
    let refused = run(&[], 65).json();
    assert_eq!(refused["error"]["details"][0]["primary_key"], HOSTILE);
    let mut people = bare_tarsy_db(source.directory());
    people.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--check-only", "--show-values"]);
    let people = Outcome::of(&mut people).expect(65);
    is_clean(&people);
    assert!(people.stderr.contains(SHOWN), "{}", people.stderr);
    run(&["--on", "invalid-json=string", "--report", "move.json"], 0);
    let report = std::fs::read_to_string(source.directory().join("move.json")).expect("a report");
    assert!(!report.contains(is_obeyed), "{report:?}");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert!(report["changes"].as_array().expect("a list").iter().any(|change| change.to_string().contains("owned")));
}

#[apply(test)]
fn command_lines_and_paths_are_shown_and_not_obeyed() {
    let database = Database::sqlite();
    let url = format!("sqlite:///{HOSTILE}.db");
    each(
        [&["info"][..], &["prune", "--older-than", HOSTILE], &[HOSTILE], &["--config", HOSTILE, "info"]],
        |arguments| {
            for more in [&[][..], &["--output", "json"], &["--log-format", "json"]] {
                let mut command = bare_tarsy_db(database.directory());
                is_clean(&Outcome::of(command.env("DATABASE_URL", &url).args(arguments).args(more)));
            }
        },
    );
    let mut waiting = bare_tarsy_db(database.directory());
    waiting.env("DATABASE_URL", format!("postgresql://tarsy@{HOSTILE}/tarsy"));
    is_clean(&Outcome::of(waiting.args(["wait", "--max-attempts", "1"])));
}

#[apply(test)]
fn a_question_shows_and_does_not_obey() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(0));
    let directory = database.directory();
    std::fs::rename(directory.join("history.db"), directory.join("\u{1b}]0;owned\u{7}.db")).expect("it can be renamed");
    let settings = "[database]\nurl = \"sqlite:///\\u001b]0;owned\\u0007.db\"\n";
    std::fs::write(directory.join("tarsy-db.toml"), settings).expect("the file can be written");
    let (code, shown) = answered_to("prune --max-share 100%", &database, "n\n");
    assert_eq!(code, Some(7), "{shown:?}");
    assert!(
        shown.contains("would remove 1 session from /") && shown.contains(r"/\u{1b}]0;owned\u{7}.db: "),
        "{shown:?}"
    );
    assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
}

#[apply(test)]
fn bars_show_names_and_do_not_obey_them() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(OLD_US));
    target.create_schema(Schema::Baseline);
    // An index that takes a second to build: a bar is drawn several times meanwhile.
    target.execute(
        "CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql
             AS $$ BEGIN PERFORM pg_sleep(1); RETURN $1; END $$;
         CREATE INDEX \"\u{1b}]0;owned\u{7}\" ON alert_sessions (slow(chain_id))",
    );
    let words = ["migrate-sqlite-to-postgres", "--from", "history.db", "--to", target.url()].join(" ");
    let shown = shown_on_a_terminal(&source, ("TERM", "xterm"), &words);
    assert!(shown.contains(r"\u{1b}]0;owned\u{7}"), "{shown:?}");
    assert!(!shown.contains("\u{1b}]0;owned"), "{shown:?}");
}

#[apply(test)]
fn a_script_is_exact() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database
        .execute("ALTER TABLE stage_executions RENAME CONSTRAINT stage_executions_session_id_fkey TO \"\u{1b}mine\"");
    let printed = Outcome::of(tarsy_db(&database).args(["init", "--to", "head", "--sql"])).expect(0);
    assert!(printed.stdout.contains("\"\u{1b}mine\""), "it would drop another key");
    database.execute(&printed.stdout);
}
