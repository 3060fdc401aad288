//! `check`: what can be wrong is named, with its exit code, and nothing is changed.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::support::activity::wait_for_lock;
use crate::support::baseline;
use crate::support::birth::{self, Born};
use crate::support::cases::each;
use crate::support::check::{check, finding, finds, is_found};
use crate::support::history::{DAY_US, NOW_US, contents, insert_session, now_us};
use crate::support::process::Held;
use crate::support::server::{self, Server};
use crate::support::{Database, Outcome, Role, Running, Schema, apply, run_at, tarsy_db, test};

#[apply(test)]
fn a_lost_table_is_found_at_a_revision_whose_shape_is_not_known(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("UPDATE alembic_version SET version_num = 'b67c135119d7'; DROP TABLE llm_interactions");
    finds(database, 4, "revision", "failed", "llm_interactions");
    // What is left can still be looked at.
    Outcome::of(tarsy_db(database).arg("info")).expect(0);
}

#[apply(test)]
fn a_sound_baseline_is_sound(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "s-1", "completed", Some(NOW_US));
    each([&[][..], &["--deep"]], |arguments| {
        let report = check(database, arguments).expect(0).json();
        assert_eq!(report["sound"], true);
        let checks = report["checks"].as_array().expect("a list of checks");
        let names: Vec<_> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
        let of_postgresql = ["protection", "server", "encoding", "time zone", "capacity"];
        let mut expected = vec![
            "connection",
            "protection",
            "server",
            "encoding",
            "time zone",
            "writable",
            "capacity",
            "privileges",
            "revision",
            "schema",
            "indexes",
            "foreign keys",
            "integrity",
            "sequences",
            "integers",
            "retention",
        ];
        expected.retain(|name| !database.is_sqlite() || !of_postgresql.contains(name));
        assert_eq!(names, expected);
        assert!(checks.iter().all(|check| check["status"] == "ok"), "{report:#}");
    });
}

#[apply(test)]
fn a_table_whose_file_the_server_may_not_read_is_no_missing_privilege() {
    let server = Server::start(&[]);
    let database = Database::on(&server.url("postgres")).with_schema(Schema::Baseline);
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    let file = database.texts("SELECT pg_relation_filepath('alert_sessions')").remove(0).expect("a path");
    let file = server.socket_directory().join("data").join(file);
    server.stop("fast");
    std::fs::set_permissions(&file, Permissions::from_mode(0o000)).expect("the file is ours");
    server.run();
    let checked = check(&database, &["--deep"]).expect(74);
    is_found(&checked, "foreign keys", "failed", "could not open file");
    run_at(database.url(), &["info"]).tells(&["check the disk of the server"]);
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("the file is ours");
}

#[apply(test)]
fn a_server_without_room_for_another_backend_is_warned_of() {
    let database = Database::postgresql().with_schema(Schema::Head);
    finds(&database, 0, "capacity", "ok", "each backend replica may open 15 connections\nroom for ");
    let role = Role::new(&database);
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let with = |limit: i32, size: &str| {
        database.execute(&format!("ALTER ROLE {} CONNECTION LIMIT {limit}", role.name));
        let mut command = tarsy_db(&database);
        command.env("DATABASE_URL", role.url()).env("POSTGRES_POOL_SIZE", size).env("POSTGRES_MAX_OVERFLOW", "1");
        Outcome::of(command.args(["check", "--output", "json"])).expect(0)
    };
    is_found(
        &with(12, "5"),
        "capacity",
        "ok",
        "may open 6 connections\nroom for 2 more replicas\n12 for this role, 0 in use",
    );
    is_found(&with(12, "12"), "capacity", "warning", "no room for one more\n12 for this role, 0 in use");
    is_found(&with(12, "0"), "capacity", "note", "has no limit\n12 more connections\n12 for this role, 0 in use");
    // What the role may do it may do in every database, but the limit of this one is its own.
    database.execute(&format!("ALTER DATABASE {} CONNECTION LIMIT 2", database.name()));
    is_found(&with(-1, "5"), "capacity", "warning", "\n2 for this database, 0 in use");
}

#[apply(test)]
fn an_empty_database_needs_init(database: &Database) {
    database.execute("SELECT 1");
    finds(database, 3, "revision", "failed", "no schema yet: run `tarsy-db init`");
}

#[apply(test)]
fn tables_without_a_ledger_need_init(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("DROP TABLE alembic_version");
    finds(database, 3, "revision", "failed", "the tables have no `alembic_version`: run `tarsy-db init` to adopt them");
}

#[apply(test)]
fn tables_with_differences_are_corrected_before_they_are_adopted(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("DROP TABLE alembic_version; DROP INDEX ix_alert_sessions_status");
    let words = "the tables have no `alembic_version`: correct the differences below first, then run `tarsy-db init`";
    finds(database, 4, "revision", "failed", words);
    finds(database, 4, "schema", "failed", "missing index ix_alert_sessions_status");
}

#[apply(test)]
fn a_ledger_without_a_row_is_not_called_missing(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("DELETE FROM alembic_version");
    let words = "`alembic_version` of these tables has no rows: run `tarsy-db init` to adopt them";
    finds(database, 3, "revision", "failed", words);
    let info = || Outcome::of(tarsy_db(database).arg("info")).expect(0).stdout;
    let shown = info();
    assert!(shown.contains("not recorded (`alembic_version` has no rows)"), "{shown}");
    database.execute("INSERT INTO alembic_version VALUES ('7c617b3e7c2c'), ('ae85467a75d2')");
    let shown = info();
    assert!(shown.contains("not recorded (`alembic_version` has 2 rows)"), "{shown}");
}

#[apply(test)]
fn a_column_that_was_renamed_is_drift_for_every_command(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "old", "completed", Some(NOW_US));
    database.execute("ALTER TABLE alert_sessions RENAME COLUMN started_at_us TO begun_at_us");
    database.execute("ALTER TABLE stage_executions RENAME COLUMN started_at_us TO begun_at_us");
    for arguments in [&["info"][..], &["prune", "--older-than", "90d", "--yes"]] {
        let failed = Outcome::of(tarsy_db(database).args(arguments)).expect(4);
        failed.tells(&["`tarsy-db check` names the differences"]);
    }
    let checked = check(database, &[]).expect(4);
    assert_eq!(finding(&checked, "integers").0, "ok");
    is_found(&checked, "schema", "failed", "started_at_us");
}

#[apply(test)]
fn two_rows_in_the_ledger_are_a_failure(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("INSERT INTO alembic_version VALUES ('7c617b3e7c2c')");
    finds(
        database,
        4,
        "revision",
        "failed",
        "`alembic_version` has 2 rows, and must have one: 7c617b3e7c2c (2 of 23), ae85467a75d2 (1 of 23)",
    );
}

#[apply(test)]
fn an_unknown_revision_is_5(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute("UPDATE alembic_version SET version_num = 'feedfacecafe'");
    finds(database, 5, "revision", "failed", "feedfacecafe (unknown to this version)");
}

#[apply(test)]
fn a_later_revision_is_named_and_compared_with_its_own_shape(database: &Database) {
    database.create_schema(Schema::Head);
    finds(database, 0, "revision", "ok", "b67c135119d7 (23 of 23)");
    finds(database, 0, "schema", "ok", "as in revision b67c135119d7 (23 of 23)");
}

#[apply(test)]
fn a_revision_that_the_settings_ask_for_is_pending(database: &Database) {
    database.create_schema(Schema::Baseline);
    let check = Outcome::of(tarsy_db(database).env("TARSY_DB_SCHEMA", "head").args(["check", "--output", "json"]));
    is_found(&check.expect(3), "revision", "failed", "`schema.target` asks for b67c135119d7 (23 of 23)");
}

#[apply(test)]
fn sessions_that_are_due_are_noted_and_those_that_are_overdue_warned_of(database: &Database) {
    database.create_schema(Schema::Baseline);
    let cutoff_us = now_us() - 3650 * DAY_US;
    insert_session(database, "due", "completed", Some(cutoff_us - DAY_US / 2));
    finds(database, 0, "retention", "note", "sessions older than 3650 days: 1; the next `tarsy-db prune`");
    check(database, &["--fail-if-overdue"]).expect(0);
    insert_session(database, "overdue", "failed", Some(0));
    insert_session(database, "overdue-too", "timed_out", Some(cutoff_us - 2 * DAY_US));
    let detail = "sessions more than a day past the retention of 3650 days: 2, the oldest from \
                  1970-01-01T00:00:00Z; `tarsy-db prune` did not run, or could not remove them";
    finds(database, 0, "retention", "warning", detail);
    let failed = check(database, &["--fail-if-overdue"]).expect(6);
    is_found(&failed, "retention", "failed", detail);
}

#[apply(test)]
fn old_sessions_that_prune_keeps_are_never_overdue(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "active", "in_progress", Some(0));
    insert_session(database, "needed", "completed", Some(0));
    insert_session(database, "new", "completed", Some(NOW_US));
    insert_session(database, "without-a-start", "completed", None);
    database.execute("UPDATE llm_interactions SET stage_execution_id = 'stage-needed' WHERE session_id = 'new'");
    let outcome = check(database, &["--fail-if-overdue"]).expect(0);
    let detail = "sessions older than 3650 days that `prune` keeps, because they are open or in use: 2";
    is_found(&outcome, "retention", "note", detail);
    let (_, text) = finding(&outcome, "retention");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[apply(test)]
fn a_retention_that_removes_everything_is_78(database: &Database) {
    database.create_schema(Schema::Baseline);
    let zero = Outcome::of(tarsy_db(database).env("HISTORY_RETENTION_DAYS", "0").arg("check")).expect(78);
    assert!(zero.stdout.contains("retention"), "{}", zero.stdout);
}

#[apply(test)]
fn the_table_for_people_says_the_same(database: &Database) {
    database.create_schema(Schema::Baseline);
    let sound = Outcome::of(tarsy_db(database).arg("check")).expect(0);
    assert!(sound.stdout.trim_end().ends_with("is sound"), "{}", sound.stdout);
    database.execute("DROP INDEX ix_alert_sessions_status");
    let unsound = Outcome::of(tarsy_db(database).arg("check")).expect(4);
    assert!(unsound.stdout.trim_end().ends_with("is NOT sound (exit code 4)"), "{}", unsound.stdout);
    assert!(unsound.stdout.contains("missing index ix_alert_sessions_status"), "{}", unsound.stdout);
}

const PARENT_INDEX: &str = "ix_stage_executions_parent ON stage_executions (parent_stage_execution_id) \
                            WHERE parent_stage_execution_id IS NOT NULL";

#[apply(test)]
fn the_index_for_parallel_parents_is_recommended_and_can_be_created_as_it_is_told() {
    let database = Database::postgresql();
    Outcome::of(tarsy_db(&database).args(["init", "--to", "17"])).expect(0);
    finds(&database, 0, "indexes", "ok", "no index is needed");
    database.create_schema(Schema::Head);
    let command = format!("CREATE INDEX CONCURRENTLY {PARENT_INDEX}");
    finds(&database, 0, "indexes", "note", &command);
    database.execute(&command);
    finds(&database, 0, "indexes", "ok", "ix_stage_executions_parent");
    finds(&database, 0, "schema", "note", "additional index ix_stage_executions_parent");
    database
        .execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_stage_executions_parent'::regclass");
    finds(&database, 0, "indexes", "note", "`REINDEX INDEX CONCURRENTLY \"ix_stage_executions_parent\"`");
}

#[apply(test)]
fn the_index_for_parallel_parents_is_recommended_on_sqlite_where_a_key_uses_it() {
    let database = Database::sqlite();
    database.execute(&birth::tables(&database, Born::D, 23));
    database.create_schema(Schema::Baseline);
    let command = format!("CREATE INDEX {PARENT_INDEX}");
    finds(&database, 0, "indexes", "note", &command);
    database.execute(&command);
    finds(&database, 0, "indexes", "ok", "ix_stage_executions_parent");
    finds(&database, 0, "schema", "note", "additional index ix_stage_executions_parent");
}

fn check_at(url: &str, database: &Database) -> Outcome {
    Running::start_at(url, database.directory(), &["check", "--output", "json"]).finish()
}

#[apply(test)]
fn an_unreachable_server_is_69() {
    let (_socket, port) = server::closed_port();
    let url = format!("postgresql://tarsy:secret@127.0.0.1:{port}/tarsy");
    let outcome = check_at(&url, &Database::sqlite()).expect(69);
    assert_eq!(outcome.json()["error"]["causes"][0], "connection refused");
    assert!(!(outcome.stdout + &outcome.stderr).contains("secret"));
}

#[apply(test)]
fn a_wrong_password_is_77_at_once() {
    let database = Database::postgresql();
    let started = Instant::now();
    let outcome = check_at(&database.url_with_password("Wr0ng-Secret"), &database).expect(77);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!(outcome.stdout + &outcome.stderr).contains("Wr0ng-Secret"));
}

#[apply(test)]
fn a_role_that_may_only_select_is_enough() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    let role = Role::new(&database);
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let before = (contents(&database), baseline::listing(&database));

    let outcome = check_at(&role.url(), &database).expect(0);
    is_found(&outcome, "privileges", "warning", "the role lacks DELETE on alert_sessions, ");
    is_found(&outcome, "schema", "ok", "");

    assert_eq!((contents(&database), baseline::listing(&database)), before);

    // A sound schema is recognised without a replay, and what it lacks is not called sound without one.
    database.execute(&format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", database.name()));
    is_found(&check_at(&role.url(), &database).expect(0), "schema", "ok", "");
    database.execute("DROP INDEX ix_alert_sessions_status; ALTER TABLE alert_sessions DROP COLUMN error_message");
    let outcome = check_at(&role.url(), &database).expect(4);
    for says in
        ["missing column alert_sessions.error_message", "cannot create the expected schema", "permission denied"]
    {
        is_found(&outcome, "schema", "failed", says);
    }
}

#[apply(test)]
fn a_role_that_may_not_select_is_77() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    let role = Role::new(&database);
    check_at(&role.url(), &database).expect(77);
    database.execute(&format!("GRANT SELECT ON alembic_version, alert_sessions TO {}", role.name));
    let outcome = check_at(&role.url(), &database).expect(77);
    let lacking = "the role lacks SELECT on llm_interactions, mcp_communications, stage_executions";
    is_found(&outcome, "privileges", "failed", lacking);
}

#[apply(test)]
fn a_role_that_may_not_use_the_schema_is_77() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    let role = Role::new(&database);
    database.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC");
    check_at(&role.url(), &database).expect(77);
}

#[apply(test)]
fn a_sequence_that_the_role_may_not_read_is_not_behind() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute("CREATE TABLE mine (id SERIAL PRIMARY KEY); INSERT INTO mine DEFAULT VALUES");
    let role = Role::new(&database);
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let (status, detail) = finding(&check_at(&role.url(), &database).expect(0), "sequences");
    assert_ne!(status, "failed", "{detail}");
}

#[apply(test)]
fn a_sequence_behind_its_data_is_named() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute(
        "CREATE TABLE mine (id SERIAL PRIMARY KEY); INSERT INTO mine (id) VALUES (1), (7);
         CREATE TABLE yours (id BIGINT GENERATED BY DEFAULT AS IDENTITY); INSERT INTO yours (id) VALUES (3)",
    );
    let outcome = check(&database, &[]).expect(0);
    is_found(&outcome, "sequences", "warning", "the next value of `mine_id_seq` is 1, but `mine.id` goes up to 7");
    is_found(&outcome, "sequences", "warning", "the next value of `yours_id_seq` is 1, but `yours.id` goes up to 3");
    database.execute("SELECT setval('mine_id_seq', 7); SELECT setval('yours_id_seq', 3)");
    finds(&database, 0, "sequences", "ok", "2 sequences ahead of the data");
}

#[apply(test)]
fn a_sequence_whose_next_number_is_free_is_not_behind() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute("CREATE TABLE mine (id SERIAL PRIMARY KEY); INSERT INTO mine (id) VALUES (7)");
    // As after a restore: the sequence has given nothing yet, and begins behind the data.
    database.execute("SELECT setval('mine_id_seq', 8, false)");
    finds(&database, 0, "sequences", "ok", "1 sequence ahead of the data");
}

#[apply(test)]
fn another_time_zone_is_a_warning() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute(&format!("ALTER DATABASE {} SET timezone = 'Europe/Berlin'", database.name()));
    finds(&database, 0, "time zone", "warning", "Europe/Berlin");
    // That of the role comes first, and that of the role in the database before it.
    let (role, name) = (Role::new(&database), database.name());
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let words = ["check", "--output", "json"];
    database.execute(&format!("ALTER ROLE {} SET timezone = 'Etc/UTC'", role.name));
    is_found(&run_at(&role.url(), &words), "time zone", "ok", "UTC");
    database.execute(&format!("ALTER ROLE {} IN DATABASE {name} SET timezone = 'Asia/Tokyo'", role.name));
    let checked = run_at(&role.url(), &words);
    is_found(&checked, "time zone", "warning", "sessions of this role are set to Asia/Tokyo");
    // Another session than the one that is counted is not needed.
    database.execute(&format!("ALTER ROLE {} CONNECTION LIMIT 1", role.name));
    assert_eq!(run_at(&role.url(), &words).code, checked.code);
    // The variables of the backend's sessions come before both.
    for (variable, value) in [("PGTZ", "Asia/Tokyo"), ("PGOPTIONS", "-c timezone=Asia/Tokyo")] {
        let checked = Outcome::of(tarsy_db(&database).env(variable, value).args(words));
        is_found(&checked, "time zone", "warning", "sessions of this role are set to Asia/Tokyo");
    }
    let nowhere = Outcome::of(tarsy_db(&database).env("PGTZ", "Mars/Utopia").args(words)).expect(78);
    nowhere.tells(&["Mars/Utopia"]);
}

#[apply(test)]
fn another_time_zone_of_the_server_is_a_warning() {
    let server = Server::start(&["timezone = 'Europe/Berlin'"]);
    let database = Database::on(&server.url("postgres")).with_schema(Schema::Baseline);
    finds(&database, 0, "time zone", "warning", "sessions of this role are set to Europe/Berlin");
    database.execute(&format!("ALTER DATABASE {} SET timezone = 'UTC'", database.name()));
    finds(&database, 0, "time zone", "ok", "UTC");
}

/// Only a session without synchronous commits can prepare it.
#[apply(test)]
fn a_server_whose_commits_wait_for_a_standby_is_69() {
    const WAITS: &str =
        "commits wait for a standby, because `synchronous_standby_names` is `elsewhere`, and none is connected";
    let server = Server::start(&["synchronous_standby_names = 'elsewhere'", "synchronous_commit = local"]);
    let database = Database::on(&server.url("postgres")).with_schema(Schema::Baseline);
    let unused = Database::on(&server.url("postgres"));
    unused.execute("SELECT 1");
    finds(&database, 0, "writable", "ok", "the server accepts writes");
    for of in [&database, &unused] {
        of.execute(&format!("ALTER DATABASE {} SET synchronous_commit = on", of.name()));
    }
    finds(&database, 69, "writable", "failed", WAITS);
    let once = ["wait", "--max-attempts", "1"];
    run_at(database.url(), &once).expect(69).tells(&[WAITS, "start that standby"]);
    run_at(database.url(), &[&once[..], &["--for", "connect"]].concat()).expect(0);
    run_at(unused.url(), &["init"]).expect(69).tells(&[WAITS]);
    let arguments = ["prune", "--yes", "--older-than", "90d", "--retry-for", "0s"];
    let sessions = "INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, started_at_us, chain_id)
                    VALUES ('old', 'a', 'k', 'completed', 1, 'c')";
    database.execute(&format!("SET synchronous_commit = local; {sessions}"));
    run_at(database.url(), &arguments).expect(69).tells(&[WAITS]);
    assert_eq!(database.count("alert_sessions"), 1);
}

#[apply(test)]
fn read_only_transactions_are_69() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()));
    let outcome = check(&database, &[]).expect(69);
    is_found(&outcome, "writable", "failed", "transactions are read-only by default");
    is_found(&outcome, "schema", "ok", "");
}

#[apply(test)]
fn a_foreign_key_that_was_never_proven_is_named() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute(
        "ALTER TABLE stage_executions DROP CONSTRAINT stage_executions_session_id_fkey,
                      ADD CONSTRAINT stage_executions_session_id_fkey
                      FOREIGN KEY (session_id) REFERENCES alert_sessions NOT VALID",
    );
    finds(&database, 4, "foreign keys", "failed", "stage_executions(session_id) is NOT VALID");
}

#[apply(test)]
fn a_fault_of_another_applications_table_is_only_warned_of() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    database.execute(
        "CREATE TABLE parents (id int PRIMARY KEY);
         CREATE TABLE others (id int CONSTRAINT unproven REFERENCES parents);
         ALTER TABLE others DROP CONSTRAINT unproven,
                            ADD CONSTRAINT unproven FOREIGN KEY (id) REFERENCES parents NOT VALID",
    );
    finds(&database, 0, "foreign keys", "warning", "others(id) is NOT VALID");
}

#[apply(test)]
fn a_foreign_key_whose_triggers_are_disabled_is_not_called_enforced() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    let statements = |table: &str, keys: &str| {
        let words = format!(
            "{keys} is not enforced, because its triggers on public.{table} are disabled; \
             as a superuser run `ALTER TABLE public.{table} ENABLE TRIGGER ALL`"
        );
        for arguments in [&[][..], &["--deep"]] {
            is_found(&check(&database, arguments).expect(4), "foreign keys", "failed", &words);
        }
        database.execute(&format!("ALTER TABLE {table} ENABLE TRIGGER ALL"));
        finds(&database, 0, "foreign keys", "ok", "enforced by the server");
    };
    database.execute("ALTER TABLE llm_interactions DISABLE TRIGGER ALL");
    statements("llm_interactions", "llm_interactions(session_id)");
    // On the side of the parent.
    database.execute("ALTER TABLE alert_sessions DISABLE TRIGGER ALL");
    statements("alert_sessions", "stage_executions(session_id)");
    database.execute(
        "DO $$ DECLARE t text; BEGIN
             FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'stage_executions'::regclass LOOP
                 EXECUTE format('ALTER TABLE stage_executions ENABLE REPLICA TRIGGER %I', t);
             END LOOP; END $$",
    );
    statements("stage_executions", "stage_executions(session_id)");
    database.execute(
        "CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE others (id int REFERENCES parents);
         ALTER TABLE others DISABLE TRIGGER ALL",
    );
    finds(&database, 0, "foreign keys", "warning", "others(id) is not enforced");
    database.execute("DROP TABLE others");
    database.execute(&format!("ALTER DATABASE {} SET session_replication_role = replica", database.name()));
    finds(&database, 4, "foreign keys", "failed", "`session_replication_role` is `replica` for this session");
}

#[apply(test)]
fn privileges_on_all_columns_are_as_good_as_those_on_the_table() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    let role = Role::new(&database);
    let on_columns = |table: &str, except: &str| {
        database.execute(&format!(
            "DO $$ BEGIN EXECUTE (SELECT format('GRANT SELECT (%1$s), INSERT (%1$s), UPDATE (%1$s) ON {table} TO {0}',
                                                string_agg(quote_ident(attname), ', '))
                                  FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attname <> '{except}');
             END $$",
            role.name
        ));
    };
    database.execute(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {0};
         REVOKE SELECT, INSERT, UPDATE ON mcp_communications FROM {0}",
        role.name
    ));
    on_columns("mcp_communications", "tool_name");
    let lacking =
        "the role lacks SELECT on mcp_communications; INSERT on mcp_communications; UPDATE on mcp_communications";
    is_found(&check_at(&role.url(), &database).expect(77), "privileges", "failed", lacking);
    on_columns("mcp_communications", "");
    is_found(&check_at(&role.url(), &database).expect(0), "privileges", "ok", "can read and write all tables");
}

#[apply(test)]
fn a_small_sequence_that_is_new_is_not_nearly_exhausted() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    database.execute("CREATE SEQUENCE few MAXVALUE 9; CREATE TABLE mine (id int DEFAULT nextval('few'))");
    database.execute("ALTER SEQUENCE few OWNED BY mine.id");
    finds(&database, 0, "sequences", "ok", "2 sequences ahead of the data");
}

#[apply(test)]
fn a_sequence_that_runs_out_is_warned_of_and_then_fails() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    let set = |number: i64| database.execute(&format!("SELECT setval('events_id_seq', {number})"));
    set(1_932_735_282);
    finds(&database, 0, "sequences", "ok", "1 sequence ahead of the data");
    set(1_932_735_283);
    let nearly = "the next number of `events_id_seq` is 1932735284, and the largest possible one is 2147483647";
    finds(&database, 0, "sequences", "warning", nearly);
    set(2_147_483_647);
    let none = "`events_id_seq` has no number left after 2147483647, so the next insert into `events` fails";
    finds(&database, 4, "sequences", "failed", none);
    is_found(&check(&database, &["--fix"]).expect(4), "repairs", "ok", "nothing to repair");
    database.execute("TRUNCATE events RESTART IDENTITY");
    finds(&database, 0, "sequences", "ok", "1 sequence ahead of the data");
    database.execute("CREATE TABLE mine (id smallserial PRIMARY KEY); SELECT setval('mine_id_seq', 32767)");
    finds(&database, 0, "sequences", "warning", "`mine_id_seq` has no number left after 32767");
    database.execute("ALTER TABLE mine ALTER COLUMN id TYPE bigint");
    finds(&database, 0, "sequences", "warning", "widen the column and the sequence to bigint");
    database.execute("ALTER SEQUENCE mine_id_seq AS bigint");
    finds(&database, 0, "sequences", "ok", "2 sequences ahead of the data");
    database.execute("SELECT setval('mine_id_seq', 9223372036854775806)");
    finds(&database, 0, "sequences", "warning", "the largest possible one is 9223372036854775807");
    database.execute("SELECT nextval('mine_id_seq')");
    finds(&database, 0, "sequences", "warning", "`mine_id_seq` has no number left after 9223372036854775807");
    finds(&database, 0, "sequences", "warning", "RESTART WITH");
    let next = check(&database, &[]).expect(0).json();
    let of_sequences = next["checks"].as_array().expect("checks").iter().find(|check| check["name"] == "sequences");
    let figures = of_sequences.map(|check| check["data"]["sequences"].to_string()).unwrap_or_default();
    assert!(figures.contains("9223372036854775808"), "{figures}");
    database.execute("ALTER SEQUENCE mine_id_seq MAXVALUE 700 RESTART WITH 700; SELECT nextval('mine_id_seq')");
    finds(&database, 0, "sequences", "warning", "`mine_id_seq` has no number left after 700");
    finds(&database, 0, "sequences", "warning", "NO MAXVALUE");
}

#[apply(test)]
fn values_of_32_bits_that_run_out_are_warned_of() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    birth::fill(&database, 23);
    is_found(&check(&database, &["--deep"]).expect(0), "integers", "ok", "no column of 32 bits is nearly full");
    database.execute("UPDATE llm_interactions SET total_tokens = 2000000000");
    finds(&database, 0, "integers", "ok", "no stage takes too long (`--deep` also reads the columns)");
    let large = "the largest value of `llm_interactions.total_tokens` is 2000000000, and the limit is 2147483647";
    is_found(&check(&database, &["--deep"]).expect(0), "integers", "warning", large);
    let began = |days: i64| {
        let started = now_us() - days * DAY_US;
        database.execute(&format!("UPDATE stage_executions SET completed_at_us = NULL, started_at_us = {started}"));
    };
    began(22);
    finds(&database, 0, "integers", "ok", "");
    began(23);
    finds(&database, 0, "integers", "note", "stages without an end that began more than 22 days ago: 1; ");
}

#[apply(test)]
fn while_a_check_waits_for_a_table_it_keeps_no_lock_of_another_one() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let holder = Held::begin(&database, "LOCK TABLE alert_sessions IN ACCESS EXCLUSIVE MODE");
    let running = Running::start(&database, &["check"]);
    wait_for_lock(&database);
    let kept = "SELECT c.relname::text FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.application_name = 'tarsy'
                JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = 'public'::regnamespace
                WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND l.granted AND c.relkind IN ('r', 'S')";
    assert_eq!(database.texts(kept), [] as [Option<String>; 0]);
    holder.close();
    running.finish().expect(0);
}

#[apply(test)]
fn the_integers_of_a_locked_table_are_not_checked() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let holder = Held::begin(&database, "LOCK TABLE mcp_communications IN ACCESS EXCLUSIVE MODE");
    let checked = check(&database, &["--deep"]);
    is_found(&checked, "integers", "skipped", "another session has locked a table");
    holder.close();
}

#[apply(test)]
fn each_locked_table_is_75_and_its_holder_is_named() {
    let server = Server::start(&["max_prepared_transactions = 2"]);
    let database = Database::on(&server.url("postgres")).with_schema(Schema::Head);
    let tables = ["chats", "llm_interactions", "alembic_version"];
    each(tables, |table| {
        database
            .execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'left over'"));
        let holder = "the prepared transaction `left over` (`ROLLBACK PREPARED` or `COMMIT PREPARED` ends it)";
        finds(&database, 75, "locks", "failed", &format!("{holder} has locked `{table}`"));
        database.execute("ROLLBACK PREPARED 'left over'");
    });
    // Others can still read the table.
    let writer = Held::begin(&database, "LOCK TABLE chats IN EXCLUSIVE MODE");
    check(&database, &[]).expect(0);
    writer.close();
}

#[apply(test)]
fn a_published_table_without_a_replica_identity_is_4() {
    let database = Database::postgresql().with_schema(Schema::Head);
    database.execute(
        "CREATE UNIQUE INDEX mine ON chats (chat_id); ALTER TABLE chats REPLICA IDENTITY USING INDEX mine; DROP INDEX mine;
         CREATE TABLE child () INHERITS (events); CREATE TABLE other (id INTEGER)",
    );
    check(&database, &[]).expect(0);
    let has_schemas = database.number("SELECT current_setting('server_version_num')::bigint") >= 150_000;
    let of_schema = if has_schemas { "TABLES IN SCHEMA public" } else { "ALL TABLES" };
    let cases = [
        ("TABLE chats", "updates and deletes of `public.chats`", "`ALTER TABLE public.chats REPLICA IDENTITY DEFAULT`"),
        ("ALL TABLES", "updates and deletes of `public.child`", "`ALTER TABLE public.child REPLICA IDENTITY FULL`"),
        (of_schema, "updates and deletes of `public.chats`", "because of the publication `p`"),
        ("TABLE chats WITH (publish = 'delete')", "refuses deletes of `public.chats`", "REPLICA IDENTITY DEFAULT"),
        (
            "TABLE chats WITH (publish = 'insert, update')",
            "refuses updates of `public.chats`",
            "REPLICA IDENTITY DEFAULT",
        ),
    ];
    each(cases, |(tables, refused, remedy)| {
        database.execute(&format!("CREATE PUBLICATION p FOR {tables}"));
        let outcome = check(&database, &[]).expect(4);
        is_found(&outcome, "replica identity", "failed", refused);
        is_found(&outcome, "replica identity", "failed", remedy);
        database.execute("DROP PUBLICATION p");
    });
    database.execute("CREATE PUBLICATION p FOR TABLE chats, child, other WITH (publish = 'insert')");
    check(&database, &[]).expect(0);
    database.execute("DROP PUBLICATION p; CREATE PUBLICATION p FOR TABLE other, alert_sessions");
    check(&database, &[]).expect(0);
    database.execute("ALTER TABLE chats REPLICA IDENTITY FULL; ALTER PUBLICATION p ADD TABLE chats");
    check(&database, &[]).expect(0);
}
