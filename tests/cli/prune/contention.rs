//! `prune` beside other sessions: they wait only briefly, and the rows that they have locked are skipped.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::activity::WAITS_FOR_LOCK;
use crate::support::archive::prune_into;
use crate::support::cases::each;
use crate::support::history::{
    NOW, NOW_US, OLD_US, assert_whole, insert_many, insert_session, insert_whole_sessions, rows, session_ids,
    three_old_sessions,
};
use crate::support::process::{Held, wait_until};
use crate::support::prune::{prune, start_to_prune, start_to_prune_at};
use crate::support::revision::init;
use crate::support::server::Server;
use crate::support::{Database, Outcome, Role, Running, Schema, apply, tarsy_db, test};

/// What a writer of TARSy's waits at most, by default.
const PATIENCE: Duration = Duration::from_secs(5);
const INDEX: &str = "tarsy_db_prune_stage_parent";

#[apply(test)]
fn who_opens_a_file_that_is_pruned_alone_comes_to_write_soon() {
    let database = Database::sqlite();
    database.execute("PRAGMA journal_mode = WAL");
    database.create_schema(Schema::Baseline);
    insert_session(&database, "new", "pending", Some(NOW_US));
    insert_many(&database, 60_000, 320, OLD_US);
    let mut run = Running::start(
        &database,
        &["prune", "--max-share", "100%", "--older-than", "1d", "--now", NOW, "--yes", "--output", "json"],
    );
    // To ask the database would be to open it.
    let log = database.directory().join("history.db-wal");
    wait_until("it is at work", || run.is_over() || fs::metadata(&log).is_ok_and(|log| log.len() > 500_000));
    let came = Instant::now();
    database.execute("UPDATE alert_sessions SET status = 'completed' WHERE session_id = 'new'");
    let waited = came.elapsed();
    assert!(!run.is_over(), "the run was over before another session came");
    assert!(waited < PATIENCE / 2, "{waited:?}");
    let pruned = run.finish().expect(0).json();
    assert_eq!(pruned["removed"]["sessions"], 60_000);
    assert_eq!(session_ids(&database), ["new"]);
    assert_eq!(database.count("llm_interactions"), 1);
}

#[apply(test)]
fn a_session_with_a_locked_child_is_retried_and_then_named() {
    each(["llm_interactions", "stage_executions", "mcp_communications"], |table| {
        let database = Database::postgresql();
        database.create_schema(Schema::Baseline);
        for number in 1..=20 {
            insert_session(&database, &number.to_string(), "completed", Some(OLD_US + number));
        }
        let before = rows(&database);
        let writer = Held::begin(&database, &format!("UPDATE {table} SET duration_ms = 7 WHERE session_id = '7'"));
        let run = prune(&database, &["--yes", "--retry-for", "1s"]).expect(75);
        run.tells(&["hint: run the same command again later, or set a longer `--retry-for`\n"]);
        let pruned = run.json();
        assert_eq!((&pruned["removed"]["sessions"], &pruned["remaining_sessions"]), (&19.into(), &1.into()), "{table}");
        let reason = "locked by another session: canceling statement due to lock timeout";
        assert_eq!(pruned["stuck"], serde_json::json!([{ "session_id": "7", "reason": reason }]));
        let left = rows(&database);
        assert_eq!(left.len(), 4);
        assert!(left.iter().all(|(key, values)| before.get(key) == Some(values)));
        let mut run = start_to_prune(&database, &[]);
        run.says("locked by another session: canceling statement due to lock timeout; retrying for up to 1m");
        writer.close();
        assert_eq!(run.finish().expect(0).json()["removed"]["sessions"], 1);
    });
}

#[apply(test)]
fn sessions_behind_a_lock_of_a_table_are_retried_and_then_named() {
    // More than 100 of them end the run.
    each([(3, 3, serde_json::Value::Null), (101, 100, "failure".into())], |(sessions, stuck, stopped)| {
        let database = Database::postgresql();
        database.create_schema(Schema::Head);
        insert_whole_sessions(&database, sessions, OLD_US);
        let before = rows(&database);
        let other = Held::begin(&database, "LOCK TABLE mcp_communications IN SHARE MODE");
        let run = prune(&database, &["--yes", "--retry-for", "1s"]).expect(75);
        run.tells(&["WARN one of TARSy's tables is locked by pid ", ", idle in transaction since "]);
        run.tells(&["has locked one of TARSy's tables\n", "hint: end that session, or set a longer `--retry-for`\n"]);
        let pruned = run.json();
        assert_eq!((&pruned["outcome"], &pruned["removed"]["stopped"]), (&"failed".into(), &stopped));
        assert_eq!(pruned["stuck"].as_array().map(Vec::len), Some(stuck));
        assert_eq!(pruned["error"]["class"], "busy");
        assert_eq!(rows(&database), before);
        other.close();
        assert_eq!(prune(&database, &["--yes"]).expect(0).json()["removed"]["sessions"], sessions);
    });
}

#[apply(test)]
fn the_session_that_keeps_a_run_from_planning_is_named() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    let holder =
        Held::begin(&database, "SET application_name = 'holder'; LOCK TABLE alert_sessions IN ACCESS EXCLUSIVE MODE");
    let pid = database.number(
        "SELECT pid::bigint FROM pg_stat_activity WHERE application_name = 'holder'
                               AND datname = current_database()",
    );
    each(["--yes", "--dry-run"], |mode| {
        let run = prune(&database, &[mode, "--retry-for", "1s"]).expect(75);
        run.tells(&[
            &format!("because: pid {pid} (role "),
            "application `holder`",
            "has locked one of TARSy's tables",
            "hint: end that session, or set a longer `--retry-for`\n",
        ]);
    });
    holder.close();
    prune(&database, &["--yes"]).expect(0);
}

fn has_index(database: &Database) -> bool {
    database.number(&format!("SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('{INDEX}') AND indisvalid"))
        == 1
}

fn has_trace_of_index(database: &Database) -> bool {
    database.number(&format!("SELECT count(*) FROM pg_class WHERE relname = '{INDEX}'")) == 1
}

/// A database at the newest revision with twice as many stages as sessions.
fn at_head(sessions: u32) -> Database {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    insert_whole_sessions(&database, sessions, OLD_US);
    database
}

#[apply(test)]
fn an_index_for_the_parents_of_stages_is_there_for_as_long_as_the_run() {
    let database = at_head(150);
    let halt = Held::halt_commits(&database, "alert_sessions", "DELETE");
    let run = start_to_prune(&database, &["--older-than", "90d"]);
    Held::wait_for_halted_commit(&database);
    assert!(has_index(&database));
    halt.close();
    assert_eq!(run.finish().expect(0).json()["removed"]["sessions"], 150);
    assert!(!has_trace_of_index(&database));
}

#[apply(test)]
fn where_a_backup_keeps_a_limited_run_from_building_the_index_sessions_are_removed_without_it() {
    let database = at_head(150);
    let backup = Held::begin(&database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM chats");
    let mut run = start_to_prune(&database, &["--older-than", "90d", "--max-duration", "16s"]);
    run.says("the server waits for older transactions of other sessions, such as a backup: CREATE INDEX");
    run.says("so each removed stage scans the whole table; creating one failed: ");
    let removed = run.finish().expect(0).json()["removed"]["sessions"].as_u64();
    assert!(removed > Some(0), "{removed:?}");
    backup.close();
    prune(&database, &["--older-than", "90d", "--yes"]).expect(0);
    assert!(!has_trace_of_index(&database));
    assert!(session_ids(&database).is_empty());
}

#[apply(test)]
fn for_a_few_stages_there_is_no_index() {
    let database = at_head(3);
    let halt = Held::halt_commits(&database, "alert_sessions", "DELETE");
    let run = start_to_prune(&database, &["--older-than", "90d"]);
    Held::wait_for_halted_commit(&database);
    assert!(!has_trace_of_index(&database));
    halt.close();
    run.finish().expect(0);
}

#[apply(test)]
fn an_index_that_a_crash_left_behind_is_used_and_dropped() {
    let database = at_head(4);
    let index = format!(
        "CREATE INDEX {INDEX} ON stage_executions (parent_stage_execution_id)
         WHERE parent_stage_execution_id IS NOT NULL"
    );
    let broken = format!("{index}; UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass");
    each([(index, "2025-10-04T00:00:03Z"), (broken, "2026-01-01T00:00:00Z")], |(left_over, cutoff)| {
        database.execute(&left_over);
        prune(&database, &["--yes", "--before", cutoff]).expect(0);
        assert!(!has_trace_of_index(&database));
    });
    assert_eq!(session_ids(&database).len(), 0);
}

#[apply(test)]
fn an_index_of_the_operators_is_left_alone() {
    let database = at_head(150);
    database.execute("CREATE INDEX ours ON stage_executions (parent_stage_execution_id)");
    prune(&database, &["--yes"]).expect(0);
    assert!(!has_trace_of_index(&database));
    assert_eq!(database.number("SELECT count(*) FROM pg_class WHERE relname = 'ours'"), 1);
}

#[apply(test)]
fn a_role_that_may_not_build_an_index_is_told_and_goes_without() {
    let database = at_head(150);
    let role = Role::new(&database);
    database.execute(&format!("GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let arguments = ["prune", "--older-than", "90d", "--max-share", "100%", "--now", NOW, "--yes"];
    let outcome = Running::start_at(&role.url(), database.directory(), &arguments).finish().expect(0);
    assert!(outcome.stderr.contains("`stage_executions.parent_stage_execution_id` has no index"), "{}", outcome.stderr);
    assert_eq!(session_ids(&database).len(), 0);
}

#[apply(test)]
fn a_table_of_the_operators_that_needs_a_session_keeps_it(database: &Database) {
    database.create_schema(Schema::Baseline);
    for session in ["one", "two", "three"] {
        insert_session(database, session, "completed", Some(OLD_US));
    }
    database.execute(
        "CREATE TABLE ours (session_id VARCHAR REFERENCES alert_sessions (session_id));
                      INSERT INTO ours VALUES ('two'), (NULL)",
    );
    let pruned = prune(database, &["--yes"]).expect(4).json();
    assert_eq!(pruned["stuck"][0]["session_id"], "two");
    assert_eq!(session_ids(database), ["two"]);
    assert_eq!((database.count("ours"), rows(database).len()), (2, 4));
}

#[apply(test)]
fn a_table_of_the_operators_that_follows_a_session_goes_with_it(database: &Database) {
    database.create_schema(Schema::Baseline);
    for session in ["one", "two"] {
        insert_session(database, session, "completed", Some(OLD_US));
    }
    insert_session(database, "new", "completed", Some(NOW_US));
    database.execute(
        "CREATE TABLE ours (stage VARCHAR REFERENCES stage_executions (execution_id) ON DELETE CASCADE);
         INSERT INTO ours VALUES ('stage-one'), ('stage-new')",
    );
    prune(database, &["--yes"]).expect(0);
    assert_eq!(database.texts("SELECT stage FROM ours"), [Some("stage-new".to_owned())]);
    assert_eq!(session_ids(database), ["new"]);
}

/// A database that notes how many of the server's processes remove sessions at the same time.
fn with_noted_workers(sessions: u32) -> Database {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_many(&database, sessions, 640, OLD_US);
    database.execute(
        "CREATE TABLE workers (number bigint);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS
         $$ BEGIN
             INSERT INTO public.workers SELECT count(DISTINCT l.pid) FROM pg_locks l
             JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
             WHERE l.relation = 'public.alert_sessions'::regclass AND l.mode = 'RowExclusiveLock';
             RETURN NULL; END $$;
         CREATE TRIGGER noted AFTER DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION note()",
    );
    database
}

fn workers(database: &Database) -> i64 {
    database.number("SELECT max(number) FROM workers")
}

#[apply(test)]
fn on_a_quiet_server_two_connections_work_at_once_around_what_cannot_be_removed() {
    each([false, true], two_work_at_once);
}

fn two_work_at_once(is_archived: bool) {
    let database = with_noted_workers(500);
    database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN RAISE 'not this one'; END $$;
         CREATE TRIGGER refused BEFORE DELETE ON alert_sessions FOR EACH ROW
         WHEN (old.session_id IN ('s-7', 's-300', 's-301', 's-500')) EXECUTE FUNCTION refuse()",
    );
    let archive = is_archived.then(Database::sqlite);
    let outcome = match &archive {
        Some(archive) => prune_into(&database, archive, &[]),
        None => prune(&database, &["--yes"]),
    };
    assert!(outcome.code.is_some_and(|code| code != 0), "{}", outcome.stdout);
    assert_eq!(session_ids(&database), ["s-300", "s-301", "s-500", "s-7"]);
    assert_eq!(database.count("llm_interactions"), 4);
    let pruned = outcome.json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["remaining_sessions"]), (&496.into(), &4.into()));
    assert_eq!(pruned["removed"]["rows"]["llm_interactions"], 496);
    assert_eq!(pruned["stuck"].as_array().map(Vec::len), Some(4));
    assert_eq!(workers(&database), 2);
    if let Some(archive) = archive {
        assert_eq!((archive.count("alert_sessions"), archive.count("llm_interactions")), (496, 496));
        let refused = "SELECT count(*) FROM alert_sessions WHERE session_id IN ('s-7', 's-300', 's-301', 's-500')";
        assert_eq!(archive.number(refused), 0);
    }
}

#[apply(test)]
fn the_rows_of_few_sessions_are_looked_up() {
    let server = Server::start(&["log_statement = all"]);
    let database = Database::on(&server.url("postgres"));
    database.create_schema(Schema::Baseline);
    for session in ["one", "two"] {
        insert_session(&database, session, "completed", Some(OLD_US));
    }
    insert_session(&database, "new", "completed", Some(NOW_US));
    let lost = "UPDATE llm_interactions SET stage_execution_id = 'stage-one' WHERE session_id = 'new'";
    database.execute(lost);
    let pruned = prune(&database, &["--yes"]).expect(0).json();
    assert_eq!((&pruned["plan"]["sessions"], &pruned["plan"]["kept"][0]["session_id"]), (&1.into(), &"one".into()));
    assert_eq!(session_ids(&database), ["new", "one"]);

    let looked_up =
        r#"IS DISTINCT FROM "s"."session_id") AND "o"."stage_execution_id" = ANY(ARRAY (SELECT "execution_id" FROM"#;
    let log = server.log();
    assert!(log.contains(looked_up), "{log}");
}

#[apply(test)]
fn beside_others_one_connection_works() {
    let database = with_noted_workers(500);
    database.execute("CREATE TABLE is_over (yes boolean)");
    let pruned = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            database.execute(
                "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM is_over) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$",
            );
        });
        database.wait_until(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'DO %'",
        );
        let pruned = prune(&database, &["--yes"]);
        database.execute("INSERT INTO is_over VALUES (true)");
        other.join().expect("the other ends");
        pruned
    });
    assert_eq!(pruned.expect(0).json()["removed"]["sessions"], 500);
    assert_eq!(workers(&database), 1);
}

#[apply(test)]
fn where_no_second_connection_is_to_be_had_one_works() {
    let database = with_noted_workers(500);
    let role = Role::new(&database);
    // One says that this prune is the only one, one works.
    database.execute(&format!(
        "ALTER ROLE {name} CONNECTION LIMIT 2;
         GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}",
        name = role.name
    ));
    let arguments = ["prune", "--max-share", "100%", "--now", NOW, "--yes", "--output", "json"];
    let pruned = Running::start_at(&role.url(), database.directory(), &arguments).finish().expect(0).json();
    assert_eq!(pruned["removed"]["sessions"], 500);
    assert_eq!(workers(&database), 1);
}

#[apply(test)]
fn a_lock_at_the_start_is_waited_for() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    let writer = Held::begin(&database, "LOCK TABLE alert_sessions");
    let arguments = ["prune", "--now", NOW, "--max-share", "100%", "--yes", "--output", "json"];
    let mut run = Running::start(&database, &arguments);
    run.says("retrying for up to 1m");
    writer.close();
    assert_eq!(run.finish().expect(0).json()["removed"]["sessions"], 1);

    let writer = Held::begin(&database, "LOCK TABLE alert_sessions");
    each([("--retry-for", "1s"), ("--max-duration", "3s")], |(flag, time)| {
        Running::start(&database, &[&arguments[..], &[flag, time]].concat()).finish().expect(75);
    });
    writer.close();
}

#[apply(test)]
fn sessions_in_use_are_told_of() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    for session in ["one", "two"] {
        insert_session(&database, session, "completed", Some(OLD_US));
    }
    let writer = Held::begin(&database, "UPDATE alert_sessions SET agent_type = 'a' WHERE session_id = 'two'");
    let arguments = ["prune", "--now", NOW, "--max-share", "100%", "--yes"];
    let shown = Outcome::of(tarsy_db(&database).args(arguments)).expect(0).stdout;
    assert!(shown.contains("that were locked or in use, or that other sessions need: 1;"), "{shown}");
    writer.close();
}

#[apply(test)]
fn a_locked_session_is_skipped_and_counted() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    for session in ["one", "two", "three"] {
        insert_session(&database, session, "completed", Some(OLD_US));
    }
    let backend = Held::begin(&database, "SELECT session_id FROM alert_sessions WHERE session_id = 'two' FOR UPDATE");
    let pruned = prune(&database, &["--yes", "--batch-time", "1us"]).expect(0).json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["remaining_sessions"]), (&2.into(), &1.into()));
    assert_eq!(session_ids(&database), ["two"]);
    prune(&database, &["--yes", "--fail-if-remaining"]).expect(6);
    backend.close();
    assert_whole(&database, 1);
    prune(&database, &["--yes", "--fail-if-remaining"]).expect(0);
    assert_whole(&database, 0);
}

#[apply(test)]
fn a_file_with_a_writer_is_busy_and_loses_nothing() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "old", "completed", Some(OLD_US));
    let writer = Held::begin(&database, "UPDATE alert_sessions SET status = 'failed'");
    // The driver's own wait would be 5 seconds.
    let mut command = tarsy_db(&database);
    command.env("DATABASE_URL", "sqlite:///history.db?timeout=0.2");
    command.args(["prune", "--max-share", "100%", "--retry-for", "500ms", "--yes", "--now", NOW]);
    Outcome::of(&mut command).expect(75);
    writer.close();
    assert_whole(&database, 1);
    Outcome::of(&mut command).expect(0);
    assert_whole(&database, 0);
}

#[apply(test)]
fn a_run_that_cannot_measure_what_it_left_is_done() {
    let database = three_old_sessions();
    init(&database, &["--to", "head"]).expect(0);
    let halt = Held::halt_removals(&database);
    let run = start_to_prune(&database, &["--older-than", "1d"]);
    database.wait_until(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'tarsy' AND wait_event = 'PgSleep'",
    );
    let other = Held::begin(&database, "LOCK TABLE events");
    halt.close();
    let pruned = run.finish().expect(0);
    other.close();
    pruned.tells(&["cannot measure the reclaimable space"]);
    assert_eq!((&pruned.json()["removed"]["sessions"], &pruned.json()["space"]), (&3.into(), &Value::Null));
}

#[apply(test)]
fn time_limits_of_the_role_for_short_queries_do_not_end_a_run() {
    let database = three_old_sessions();
    let role = Role::new(&database);
    let name = &role.name;
    let limits = "SELECT name FROM pg_settings
        WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')";
    for limit in database.texts(limits).into_iter().flatten() {
        database.execute(&format!("ALTER ROLE {name} SET {limit} = '500ms'"));
    }
    database.execute(&format!("GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}"));
    let halt = Held::halt_removals(&database);
    let ledger = Held::begin(&database, "LOCK TABLE alembic_version");
    let run = start_to_prune_at(&role.url(), &database, &[]);
    // It waits for the lock of the other session longer than a statement may take.
    database.wait_until(&format!("{WAITS_FOR_LOCK} AND query_start < clock_timestamp() - interval '1 s'"));
    ledger.close();
    Held::wait_for_halted_removal(&database, "1");
    halt.close();
    let pruned = run.finish().expect(0).json();
    assert_eq!((&pruned["removed"]["sessions"], &pruned["removed"]["confirmed"]), (&3.into(), &true.into()));
}
