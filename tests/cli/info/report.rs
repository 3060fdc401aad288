//! `info`: what is in the database, what the retention would remove, and where each setting came from.

use serde_json::{Value, json};

use crate::support::cases::each;
use crate::support::history::{DAY_US, insert_many, insert_session, now_us};
use crate::support::info::info;
use crate::support::process::Held;
use crate::support::{Database, Outcome, Role, Running, Schema, apply, tarsy_db, test};

/// 2026-01-05T00:00:00Z, a Monday.
const MONDAY_US: i64 = 1_767_571_200_000_000;

/// What is said of one table.
#[track_caller]
fn table<'r>(report: &'r Value, name: &str) -> &'r Value {
    let tables = report["tables"].as_array().expect("a list of tables");
    tables.iter().find(|table| table["table"] == name).unwrap_or_else(|| panic!("no `{name}` in {report:#}"))
}

#[apply(test)]
fn an_empty_database_is_described(database: &Database) {
    database.execute("SELECT 1");
    let report = info(database, &[]);
    assert_eq!(report["backend"], if database.is_sqlite() { "sqlite" } else { "postgresql" });
    assert_eq!(report["revision"], Value::Null);
    assert_eq!(report["tables"], json!([]));
    assert_eq!(report["sessions"], Value::Null);
    let table = Outcome::of(tarsy_db(database).arg("info")).expect(0).stdout;
    assert!(table.contains("no `alembic_version`"), "{table}");
}

#[apply(test)]
fn rows_and_bytes_are_those_of_the_tables(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_many(database, 200, 4096, MONDAY_US);
    insert_session(database, "s", "failed", None);
    let report = info(database, &["--exact"]);
    assert_eq!(report["revision"], "ae85467a75d2");
    let cases = [
        ("alembic_version", 1),
        ("alert_sessions", 201),
        ("stage_executions", 1),
        ("llm_interactions", 201),
        ("mcp_communications", 1),
    ];
    each(cases, |(name, rows)| {
        assert_eq!(table(&report, name)["rows"], rows, "{name}");
        assert_eq!(table(&report, name)["exact"], true, "{name}");
    });
    let bytes = |kind: &str| table(&report, "llm_interactions")[kind].as_u64().expect("a number");
    let data = bytes("table_bytes") + if database.is_sqlite() { 0 } else { bytes("toast_bytes") };
    // PostgreSQL compresses what repeats itself.
    assert!(data > if database.is_sqlite() { 200 * 4096 } else { 8192 }, "{data}");
    assert!(bytes("index_bytes") > 0);
    assert!(report["bytes"].as_u64().expect("a number") >= data + bytes("index_bytes"));
}

#[apply(test)]
fn sessions_are_counted_by_status_and_week(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "s-1", "completed", Some(MONDAY_US - 1));
    insert_session(database, "s-2", "completed", Some(MONDAY_US));
    insert_session(database, "s-3", "failed", Some(MONDAY_US + 7 * DAY_US - 1));
    insert_session(database, "s-4", "in_progress", Some(MONDAY_US + 14 * DAY_US));
    insert_session(database, "s-5", "completed", None);
    let report = &info(database, &[])["sessions"];
    assert_eq!(report["oldest"], "2026-01-04T23:59:59.999999Z");
    assert_eq!(report["newest"], "2026-01-19T00:00:00Z");
    assert_eq!(
        report["by_status"],
        json!([
            { "status": "completed", "sessions": 3 },
            { "status": "failed", "sessions": 1 },
            { "status": "in_progress", "sessions": 1 },
        ])
    );
    assert_eq!(
        report["by_week"],
        json!([
            {"monday": "2025-12-29", "sessions": 1},
            {"monday": "2026-01-05", "sessions": 2},
            {"monday": "2026-01-12", "sessions": 0},
            {"monday": "2026-01-19", "sessions": 1},
        ])
    );
    let table = Outcome::of(tarsy_db(database).arg("info")).expect(0).stdout;
    let bars = table.lines().map(|line| line.matches('█').count()).filter(|width| *width > 0);
    assert_eq!(bars.collect::<Vec<_>>(), [20, 40, 20], "{table}");
}

/// Values that are no text, in SQL, and how they are shown.
const NO_TEXTS: [(&str, &str); 2] = [("x'6162'", "X'6162'"), ("CAST(x'61ff' AS TEXT)", "X'61FF'")];

#[apply(test)]
fn a_status_that_is_no_text_is_shown_as_it_is() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "sound", "completed", None);
    for (number, (value, _)) in NO_TEXTS.iter().enumerate() {
        insert_session(&database, &number.to_string(), "completed", None);
        database.execute(&format!("UPDATE alert_sessions SET status = {value} WHERE session_id = '{number}'"));
    }
    let mut statuses = [NO_TEXTS[0].1, NO_TEXTS[1].1, "completed"].map(|name| json!({ "status": name, "sessions": 1 }));
    let mut found = info(&database, &[])["sessions"]["by_status"].as_array().expect("a list").clone();
    for list in [&mut statuses[..], &mut found[..]] {
        list.sort_by_key(ToString::to_string);
    }
    assert_eq!(found, statuses);
}

#[apply(test)]
fn sessions_without_a_status_are_counted(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "one", "completed", None);
    database.execute_unguarded(match database.is_sqlite() {
        true => {
            "ALTER TABLE alert_sessions RENAME TO before; CREATE TABLE alert_sessions AS SELECT * FROM before;
             UPDATE alert_sessions SET status = NULL"
        }
        false => "ALTER TABLE alert_sessions ALTER status DROP NOT NULL; UPDATE alert_sessions SET status = NULL",
    });
    let report = info(database, &[]);
    assert_eq!(report["sessions"]["by_status"], json!([{ "status": "NULL", "sessions": 1 }]));
}

#[apply(test)]
fn a_revision_that_is_no_text_is_unknown() {
    each(NO_TEXTS, |(value, shown)| {
        let database = Database::sqlite();
        database.create_schema(Schema::Baseline);
        database.execute(&format!("UPDATE alembic_version SET version_num = {value}"));
        let described = info(&database, &[]);
        assert_eq!(described["revision"], shown);
        let refused = Outcome::of(tarsy_db(&database).args(["prune", "--dry-run", "--older-than", "90d"])).expect(5);
        assert!(refused.stderr.contains(&format!("the database is at revision `{shown}`")), "{}", refused.stderr);
        Outcome::of(tarsy_db(&database).arg("check")).expect(5);
    });
}

#[apply(test)]
fn a_revision_of_none_in_spite_of_its_constraint_is_none() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    let definition = |from: &str, to: &str| {
        format!(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, '{from}', '{to}') WHERE name = 'alembic_version';
             PRAGMA writable_schema = RESET;"
        )
    };
    database.execute(&format!(
        "{} UPDATE alembic_version SET version_num = NULL; {}",
        definition(" NOT NULL", " /**/"),
        definition(" /**/", " NOT NULL")
    ));
    assert_eq!(info(&database, &[])["revision"], Value::Null);
}

#[apply(test)]
fn a_gap_of_years_or_a_time_without_a_date_does_not_hide_the_last_weeks(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "s-1", "completed", Some(MONDAY_US - 3650 * DAY_US));
    insert_session(database, "s-2", "completed", Some(MONDAY_US));
    insert_session(database, "no date", "completed", Some(i64::MAX));
    let report = info(database, &[]);
    let weeks = report["sessions"]["by_week"].as_array().expect("a list of weeks");
    assert_eq!(weeks.len(), 26);
    assert_eq!(weeks[25], json!({"monday": "2026-01-05", "sessions": 1}));
    assert_eq!(weeks[0], json!({"monday": "2025-07-14", "sessions": 0}));
}

#[apply(test)]
fn the_retention_in_force_is_planned(database: &Database) {
    database.create_schema(Schema::Baseline);
    let now_us = now_us();
    insert_session(database, "old", "completed", Some(now_us - 31 * DAY_US));
    insert_session(database, "old-and-active", "in_progress", Some(now_us - 40 * DAY_US));
    insert_session(database, "young", "completed", Some(now_us - 29 * DAY_US));
    let command = |days: &str| {
        let mut command = tarsy_db(database);
        Outcome::of(command.env("HISTORY_RETENTION_DAYS", days).args(["info", "--output", "json"])).expect(0).json()
    };
    let sessions = &command("30")["sessions"];
    assert_eq!(sessions["retention_days"], 30);
    let plan = &sessions["would_remove"];
    assert_eq!(plan["sessions"], 1);
    assert_eq!(plan["kept"].as_array().expect("a list of sessions").len(), 1, "{plan:#}");
    each(["alert_sessions", "stage_executions", "llm_interactions", "mcp_communications"], |name| {
        let tables = plan["tables"].as_array().expect("a list of tables");
        assert_eq!(tables.iter().find(|table| table["table"] == name).expect("the table")["rows"], 1, "{name}");
    });
    assert_eq!(command("90")["sessions"]["would_remove"]["sessions"], 0);
    assert_eq!(database.count("alert_sessions"), 3);
}

#[apply(test)]
fn each_setting_says_where_it_came_from(database: &Database) {
    database.create_schema(Schema::Baseline);
    let file = database.directory().join("tarsy-db.toml");
    std::fs::write(&file, "[postgres]\npool_size = 7\nmax_overflow = 1\n").expect("the file can be written");
    let mut command = tarsy_db(database);
    command.env("HISTORY_RETENTION_DAYS", "30").env("POSTGRES_MAX_OVERFLOW", "2");
    let report = Outcome::of(command.args(["info", "--output", "json"])).expect(0).json();
    let setting = |name: &str| {
        let setting = &report["settings"][name];
        (setting["value"].clone(), setting["source"].as_str().expect("a source"))
    };
    assert_eq!(setting("database.url").1, "DATABASE_URL");
    assert_eq!(setting("history.retention_days"), (json!(30), "HISTORY_RETENTION_DAYS"));
    assert_eq!(setting("postgres.pool_size"), (json!(7), "tarsy-db.toml"));
    assert_eq!(setting("postgres.max_overflow"), (json!(2), "POSTGRES_MAX_OVERFLOW"));
    assert_eq!(setting("postgres.pool_timeout"), (json!(30), "default"));
    assert_eq!(setting("postgres.pool_recycle"), (json!(3600), "default"));
    assert_eq!(setting("postgres.pool_pre_ping"), (json!(true), "default"));
    assert_eq!(setting("history.enabled"), (json!(true), "default"));
    assert_eq!(setting("history.event_retention_hours"), (json!(24), "default"));
    assert_eq!(setting("schema.target"), (json!("ae85467a75d2 (1 of 23)"), "default"));
    assert_eq!(report["settings"].as_object().expect("settings").len(), 11);

    let flagged = tarsy_db(database)
        .env("DATABASE_URL", "sqlite:///other.db")
        .args(["info", "--output", "json", "--database-url", database.url()])
        .output()
        .expect("the binary runs");
    assert_eq!(Outcome::from(flagged).expect(0).json()["settings"]["database.url"]["source"], "--database-url");
}

#[apply(test)]
fn rows_are_estimated_unless_they_have_to_be_exact() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    database.execute("ALTER TABLE alert_sessions SET (autovacuum_enabled = off)");
    insert_many(&database, 10, 320, MONDAY_US);
    database.execute("ANALYZE alert_sessions");
    for number in 0..3 {
        insert_session(&database, &format!("later-{number}"), "completed", Some(MONDAY_US));
    }
    let estimated = info(&database, &[]);
    assert_eq!(table(&estimated, "alert_sessions")["rows"], 10);
    assert_eq!(table(&estimated, "alert_sessions")["exact"], false);
    let counted = info(&database, &["--exact"]);
    assert_eq!(table(&counted, "alert_sessions")["rows"], 13);
    assert_eq!(table(&counted, "alert_sessions")["exact"], true);
    let shown = Outcome::of(tarsy_db(&database).arg("info")).expect(0).stdout;
    assert!(shown.contains("~10"), "{shown}");
}

#[apply(test)]
fn the_server_and_the_role_are_named_but_no_password() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    let role = Role::new(&database);
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    let run = |arguments: &[&str]| Running::start_at(&role.url(), database.directory(), arguments).finish().expect(0);
    let json = run(&["info", "--output", "json", "-vv"]);
    let report = json.json();
    assert_eq!(report["role"], role.name.as_str());
    assert_eq!(report["protection"]["kind"], "loopback");
    let space = report["space"]["tables"].as_array().expect("a list of tables");
    assert!(space.iter().all(|table| table["may_vacuum"] == false), "{report:#}");
    let version = database.texts("SELECT current_setting('server_version')").remove(0).expect("a version");
    assert_eq!(report["server_version"], version);
    let shown = report["database"].as_str().expect("a text");
    assert!(shown.starts_with(&format!("{}@", role.name)) && shown.ends_with(database.name()), "{shown}");
    let people = run(&["info", "-vv"]);
    assert!(people.stdout.contains(shown), "{}", people.stdout);
    for text in [json.stdout, json.stderr, people.stdout, people.stderr] {
        assert!(!text.contains("role-password"), "{text}");
    }
}

/// What a report cannot read, joined.
fn unreadable(report: &Value) -> String {
    let parts = report["unreadable"].as_array().expect("a list of parts");
    let parts = parts.iter().map(|part| format!("{}: {}", part["part"], part["reason"]));
    parts.collect::<Vec<_>>().join("; ").replace('"', "")
}

#[apply(test)]
fn everything_else_is_shown_where_the_role_may_not_read_one_table_or_column() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s", "completed", Some(MONDAY_US));
    let role = Role::new(&database);
    let statements = [
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO role; REVOKE SELECT ON llm_interactions FROM role",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO role; REVOKE SELECT ON alert_sessions FROM role;
         GRANT SELECT (session_id, started_at_us, completed_at_us) ON alert_sessions TO role",
    ];
    let names = ["llm_interactions", "alert_sessions"];
    for (statements, name) in statements.iter().zip(names) {
        database.execute(&statements.replace("role", &role.name));
        for arguments in [&["info"][..], &["info", "--exact"]] {
            let refused =
                Running::start_at(&role.url(), database.directory(), &[arguments, &["--output", "json"]].concat());
            let refused = refused.finish().expect(77);
            let report = refused.json();
            assert_eq!(report["revision"], "ae85467a75d2");
            assert_eq!(table(&report, "stage_executions")["table"], "stage_executions");
            assert_eq!(report["sessions"]["oldest_us"], MONDAY_US);
            let reason = format!("permission denied for table {name}");
            assert!(unreadable(&report).contains(&reason), "{report:#}");
            refused.fails_with(&[&reason, "grant the role what it lacks"]);
        }
    }
}

#[apply(test)]
fn everything_else_is_shown_where_the_role_may_not_measure_the_database() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s", "completed", Some(MONDAY_US));
    let role = Role::new(&database);
    let name = &role.name;
    database.execute(&format!(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}; REVOKE EXECUTE ON FUNCTION pg_database_size(name) FROM PUBLIC"
    ));
    let refused = Running::start_at(&role.url(), database.directory(), &["info", "--output", "json"]);
    let refused = refused.finish().expect(77);
    let report = refused.json();
    assert_eq!((&report["bytes"], &report["revision"]), (&Value::Null, &"ae85467a75d2".into()));
    assert_eq!(report["sessions"]["oldest_us"], MONDAY_US);
    assert!(unreadable(&report).contains("the size of the database: permission denied for function"), "{report:#}");
    let shown = Running::start_at(&role.url(), database.directory(), &["info"]).finish().expect(77).stdout;
    assert!(shown.contains("alert_sessions"), "{shown}");
}

#[apply(test)]
fn everything_else_is_shown_and_checked_without_the_ledger() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s", "completed", Some(MONDAY_US));
    let role = Role::new(&database);
    let privileges = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO role; REVOKE SELECT ON alembic_version FROM role";
    database.execute(&privileges.replace("role", &role.name));
    let run =
        |url: &str, command| Running::start_at(url, database.directory(), &[command, "--output", "json"]).finish();
    let expect = |url: &str, exit_code, reason: &str| {
        let refused = run(url, "info").expect(exit_code);
        let report = refused.json();
        assert_eq!(report["revision"], Value::Null);
        assert_eq!(report["sessions"]["oldest_us"], MONDAY_US);
        assert!(unreadable(&report).contains(&format!("the ledger: {reason}")), "{report:#}");
        refused.fails_with(&["cannot read the ledger", reason]);

        let report = run(url, "check").expect(exit_code).json();
        let checks = report["checks"].as_array().expect("a list of checks");
        let status = |name: &str| &checks.iter().find(|check| check["name"] == name).expect("a check")["status"];
        let (revision, schema) = (status("revision"), status("schema"));
        assert_eq!((revision, schema), (&json!("failed"), &json!("ok")), "{report:#}");
    };
    expect(&role.url(), 77, "permission denied for table alembic_version");
    let held = Held::begin(&database, "LOCK TABLE alembic_version");
    expect(database.url(), 75, "canceling statement due to lock timeout");
    held.close();
}

#[apply(test)]
fn everything_else_is_shown_while_another_session_has_locked_a_table_or_an_index() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s", "completed", Some(MONDAY_US));
    let locks = ["LOCK TABLE llm_interactions", "REINDEX TABLE llm_interactions"];
    each(locks, |lock| {
        let held = Held::begin(&database, lock);
        let busy = Outcome::of(tarsy_db(&database).args(["info", "--output", "json"])).expect(75);
        held.close();
        let report = busy.json();
        assert_eq!(table(&report, "llm_interactions")["table_bytes"], Value::Null);
        assert!(table(&report, "alert_sessions")["table_bytes"].is_u64(), "{report:#}");
        assert_eq!(report["sessions"]["by_status"], json!([{ "status": "completed", "sessions": 1 }]));
        assert!(unreadable(&report).contains("llm_interactions: another session has locked it"), "{report:#}");
        busy.fails_with(&["cannot measure llm_interactions"]);
    });
}

#[apply(test)]
fn a_damaged_table_of_another_application_is_named() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_session(&database, "s", "completed", Some(MONDAY_US));
    database.execute("CREATE TABLE dashboards (id INTEGER, text TEXT); INSERT INTO dashboards VALUES (1, 'one')");
    let page = database.number("SELECT rootpage FROM sqlite_schema WHERE name = 'dashboards'");
    let mut bytes = std::fs::read(database.file()).expect("a file");
    let start = usize::try_from(page - 1).expect("a page") * 4096;
    bytes[start..start + 100].fill(0xff);
    std::fs::write(database.file(), bytes).expect("it can be written");
    for arguments in [&[][..], &["--exact"]] {
        let report = info(&database, arguments);
        assert_eq!(table(&report, "alert_sessions")["rows"], 1);
        assert!(table(&report, "alert_sessions")["table_bytes"].is_u64(), "{report:#}");
        assert!(unreadable(&report).contains("the rows of dashboards: database disk image is malformed"), "{report:#}");
    }
}

#[apply(test)]
fn a_role_that_may_not_select_is_77() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    let role = Role::new(&database);
    let outcome = Running::start_at(&role.url(), database.directory(), &["info"]).finish().expect(77);
    assert!(outcome.stderr.contains("permission denied"), "{}", outcome.stderr);
}

#[apply(test)]
fn tables_of_others_that_cannot_be_read_are_named_and_tarsys_are_shown() {
    let database = Database::postgresql();
    database.create_schema(Schema::Head);
    let role = Role::new(&database);
    database.execute(&format!(
        "CREATE TABLE dashboards (id integer PRIMARY KEY); CREATE TABLE a_list (id serial PRIMARY KEY CHECK (id > 0));
         CREATE INDEX ON a_list ((id + 1)) WHERE id > 1;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}; GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {name};
         REVOKE SELECT ON dashboards FROM {name}",
        name = role.name
    ));
    let run = |command: &[&str]| {
        let mut info = tarsy_db(&database);
        Outcome::of(info.env("DATABASE_URL", role.url()).args(command).args(["--output", "json"])).expect(0).json()
    };
    for arguments in [&["info"][..], &["info", "--exact"]] {
        let report = run(arguments);
        assert_eq!(report["tables"][0]["table"], "alembic_version", "TARSy's come first");
        assert_eq!(table(&report, "dashboards")["rows"], Value::Null);
        assert_eq!(table(&report, "events")["rows"], 0);
        let reason = "permission denied for table dashboards";
        assert_eq!(report["unreadable"], json!([{ "part": "the rows of dashboards", "reason": reason }]));
    }
    let _held = Held::begin(&database, "LOCK TABLE a_list");
    for arguments in [&["info"][..], &["info", "--exact"]] {
        let report = run(arguments);
        let reason = "another session has locked it";
        assert_eq!(report["unreadable"][0], json!({ "part": "a_list", "reason": reason }));
        assert_eq!(table(&report, "a_list")["table_bytes"], Value::Null);
    }
    let checked = run(&["check"]);
    assert_eq!(checked["sound"], true, "{checked:#}");
}
