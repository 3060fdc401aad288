//! `-v` and `-vv`: what is done, statement by statement, and all that a server says.

use crate::support::cases::each;
use crate::support::history::{NOW, insert_old_sessions};
use crate::support::migration::{arguments, one_session_and_target};
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, tarsy_db, test};

/// The lines of a level on standard error.
fn lines<'o>(outcome: &'o Outcome, level: &str) -> Vec<&'o str> {
    outcome.stderr.lines().map(str::trim_start).filter(|line| line.starts_with(level)).collect()
}

#[apply(test)]
fn statements_that_change_something_are_logged_with_v_and_all_with_vv(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_old_sessions(database, 3);
    let run = |more: &[&str]| {
        let prune = ["prune", "--now", NOW, "--yes", "--max-share", "100%", "--include-active", "--dry-run"];
        Outcome::of(tarsy_db(database).args(prune).args(more)).expect(0)
    };
    assert_eq!(lines(&run(&[]), "DEBUG"), [""; 0]);
    assert!(lines(&run(&["-vv"]), "DEBUG").iter().any(|line| line.starts_with("DEBUG SELECT")));
    let init = Outcome::of(tarsy_db(database).args(["init", "--to", "head", "-v"])).expect(0);
    let changes = lines(&init, "DEBUG");
    // SQLite's driver commits without a statement.
    let commit = if database.is_sqlite() { "DEBUG DROP" } else { "DEBUG COMMIT" };
    for start in ["DEBUG CREATE", "DEBUG ALTER TABLE", commit] {
        assert!(changes.iter().any(|line| line.starts_with(start)), "no {start}: {changes:#?}");
    }
    assert!(!changes.iter().any(|line| line.starts_with("DEBUG SELECT")), "{changes:#?}");
}

#[apply(test)]
fn each_json_line_has_a_message(database: &Database) {
    database.create_schema(Schema::Baseline);
    let arguments = ["init", "--to", "head", "--log-format", "json", "-vv"];
    let logged = Outcome::of(tarsy_db(database).args(arguments)).expect(0).stderr;
    let mut statements = 0;
    for line in logged.lines() {
        let document: serde_json::Value = serde_json::from_str(line).expect(line);
        let fields = &document["fields"];
        let message = fields["message"].as_str().unwrap_or_else(|| panic!("no message: {line}"));
        assert!(!message.is_empty() && !message.contains(['\n', '…']), "{line}");
        statements += usize::from(!fields["summary"].is_null() && message.starts_with("ALTER TABLE"));
    }
    assert!(statements > 0, "{logged}");
}

#[apply(test)]
fn what_is_done_to_a_copy_of_the_schema_is_not_logged(database: &Database) {
    database.create_schema(Schema::Head);
    // An index that is missing makes the check look for the closest variant, by a replay.
    database.execute("DROP INDEX ix_alert_sessions_status");
    let run = |arguments: &[&str]| Outcome::of(tarsy_db(database).args(arguments).arg("-v"));
    let checked = run(&["check"]).expect(4);
    assert_eq!(lines(&checked, "DEBUG CREATE"), [""; 0]);
    database.execute("CREATE INDEX ix_alert_sessions_status ON alert_sessions (status)");
    let older = database.another().with_schema(Schema::Baseline);
    let printed = Outcome::of(tarsy_db(&older).args(["init", "--to", "head", "--sql", "-v"])).expect(0);
    assert_eq!(lines(&printed, "DEBUG CREATE"), [""; 0]);
    assert_eq!(lines(&printed, "DEBUG ALTER"), [""; 0]);
}

#[apply(test)]
fn batches_are_logged(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_old_sessions(database, 3);
    let prune = ["prune", "--now", NOW, "--yes", "--max-share", "100%", "-v"];
    let pruned = Outcome::of(tarsy_db(database).args(prune)).expect(0);
    let batch = |line: &&str| line.starts_with("DEBUG 1 batch committed: ") && line.contains(" removed in ");
    assert!(lines(&pruned, "DEBUG").iter().any(batch), "{}", pruned.stderr);
}

#[apply(test)]
fn a_lock_of_a_reader_is_not_logged_and_a_moved_sequence_is() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    let run = |arguments: &[&str]| Outcome::of(tarsy_db(&database).args(arguments).arg("-v"));
    database.execute("CREATE TABLE mine (id int)");
    assert_eq!(lines(&run(&["info", "--exact"]).expect(0), "DEBUG LOCK"), [""; 0]);
    database.execute("INSERT INTO events (id, channel, created_at) VALUES (1000, 'sessions', now())");
    let fixed = run(&["check", "--fix"]).expect(0);
    assert!(lines(&fixed, "DEBUG SELECT setval(").len() == 1, "{}", fixed.stderr);
}

#[apply(test)]
fn what_goes_from_a_file_into_an_archive_is_logged() {
    let database = Database::sqlite().with_schema(Schema::Baseline);
    insert_old_sessions(&database, 3);
    let prune = ["prune", "--now", NOW, "--yes", "--max-share", "100%", "--archive", "archive.db", "-v"];
    let pruned = Outcome::of(bare_tarsy_db(database.directory()).env("DATABASE_URL", database.url()).args(prune));
    let pruned = pruned.expect(0);
    // One line a batch, as the line of its commit.
    let [of_table, of_batch] =
        ["DEBUG DELETE FROM alert_sessions, and INSERT into the archive: ", "DEBUG 1 batch committed"]
            .map(|start| lines(&pruned, start).len());
    assert!(of_table > 0 && of_table == of_batch, "{}", pruned.stderr);
}

#[apply(test)]
fn a_move_logs_its_copies() {
    let (source, target) = one_session_and_target();
    let mut command = bare_tarsy_db(source.directory());
    let moved = Outcome::of(command.args(arguments(&target)).arg("-v")).expect(0);
    let found = lines(&moved, "DEBUG");
    for start in ["DEBUG COPY", "DEBUG TRUNCATE", "DEBUG COMMIT"] {
        assert!(found.iter().any(|line| line.starts_with(start)), "no {start}: {found:#?}");
    }
}

#[apply(test)]
fn each_attempt_of_wait_is_logged_with_the_sqlstate_of_the_server() {
    let target = Database::postgresql();
    let url = format!("{}_missing", target.url());
    let wait = ["--database-url", &url, "wait", "--max-attempts", "2", "--output", "json", "-v"];
    let failed = Outcome::of(bare_tarsy_db(target.directory()).args(wait)).expect(78);
    for attempt in ["DEBUG attempt 1: ", "DEBUG attempt 2: "] {
        let line = |line: &&str| line.starts_with(attempt) && line.ends_with("(SQLSTATE 3D000)");
        assert!(lines(&failed, "DEBUG").iter().any(line), "{}", failed.stderr);
    }
    assert_eq!(failed.json()["error"]["server"]["sqlstate"], "3D000");
}

#[apply(test)]
fn what_a_server_says_is_kept_and_the_place_of_its_error_is_shown_with_vv_only() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    insert_old_sessions(&database, 1);
    database.execute(
        "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
             RAISE EXCEPTION 'not this one' USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = 'P0001'; END $$;
         CREATE TRIGGER mine BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION mine()",
    );
    each([("-v", false), ("-vv", true)], |(flag, has_context)| {
        let prune = ["prune", "--now", NOW, "--yes", "--max-share", "100%", "--output", "json", flag];
        let failed = Outcome::of(tarsy_db(&database).args(prune)).expect(4);
        let answer = "DEBUG the server answers SQLSTATE P0001: not this one; DETAIL: the detail; HINT: the hint";
        let line = lines(&failed, "DEBUG").into_iter().find(|line| line.starts_with(answer));
        let line = line.unwrap_or_else(|| panic!("{}", failed.stderr));
        assert_eq!(line.contains("; CONTEXT: PL/pgSQL function"), has_context, "{line}");
        let server = &failed.json()["error"]["server"];
        assert_eq!((&server["sqlstate"], &server["hint"]), (&"P0001".into(), &"the hint".into()));
    });
}
