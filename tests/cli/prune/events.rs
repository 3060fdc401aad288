//! `prune --events`: old events go, to the microsecond, and only where they are asked for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::cases::each;
use crate::support::event::{init_with_events, insert_events};
use crate::support::history::{NOW, NOW_US, OLD_US, insert_session};
use crate::support::process::Held;
use crate::support::prune::{prune, refuse_to_delete, rows_by_table};
use crate::support::{Database, Outcome, Running, Schema, apply, tarsy_db, test};

/// Writes this many events of 2020.
fn insert_many_events(database: &Database, events: u32) {
    database.execute(&format!(
        "INSERT INTO events (id, channel, payload, created_at)
         WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {events})
         SELECT n, 'sessions', 'null', {} FROM numbers",
        if database.is_sqlite() { "'2020-01-01 00:00:00'" } else { "timestamp '2020-01-01'" }
    ));
}

fn events(database: &Database) -> Vec<i64> {
    database.column("SELECT CAST(id AS BIGINT) AS event FROM events ORDER BY id")
}

/// What the plan says about each table.
fn planned(document: &Value) -> BTreeMap<String, u64> {
    rows_by_table(&document["plan"]["tables"]).into_iter().collect()
}

/// Both forms that TARSy writes, around the time 24 hours before [`NOW`].
const AROUND_THE_CUTOFF: [&str; 8] = [
    "'2020-01-01 00:00:00'",
    "'2026-01-30 23:59:59'",
    "'2026-01-30 23:59:59.999999'",
    "'2026-01-30T23:59:59.9'",
    "'2026-01-31 00:00:00'",
    "'2026-01-31 00:00:00.000000'",
    "'2026-01-31 00:00:00.000001'",
    "'2026-02-01 00:00:00'",
];

#[apply(test)]
fn events_from_before_the_cutoff_go_and_the_edge_stays_in_both_forms(database: &Database) {
    init_with_events(database);
    insert_events(database, &AROUND_THE_CUTOFF);
    let pruned = prune(database, &["--events", "--yes"]).expect(0).json();
    assert_eq!(events(database), [5, 6, 7, 8]);
    assert_eq!(pruned["event_cutoff"], "2026-01-31T00:00:00Z");
    assert_eq!(pruned["removed"]["rows"]["events"], 4);
    assert_eq!(pruned["removed"]["sessions"], 0);

    let later = ["prune", "--max-share", "100%", "--events", "--yes", "--now", "2026-02-01T00:00:00.000001Z"];
    Outcome::of(tarsy_db(database).args(later)).expect(0);
    assert_eq!(events(database), [7, 8]);
}

#[apply(test)]
fn a_dry_run_plans_events_with_their_bytes_and_changes_nothing(database: &Database) {
    init_with_events(database);
    insert_session(database, "old", "completed", Some(OLD_US));
    insert_events(database, &AROUND_THE_CUTOFF);
    let plan = prune(database, &["--events", "--dry-run"]).expect(0).json();
    assert_eq!(planned(&plan)["events"], 4);
    let last = plan["plan"]["tables"].as_array().expect("a list of tables").last().expect("tables");
    assert_eq!(last["table"], "events");
    assert!(last["bytes"].as_u64() > Some(4 * 26), "{last}");
    assert_eq!((&plan["plan"]["sessions"], &plan["removed"]), (&1.into(), &Value::Null));
    assert_eq!((database.count("events"), database.count("alert_sessions")), (8, 1));

    let shown = Outcome::of(tarsy_db(database).args(["prune", "--events", "--dry-run", "--now", NOW])).expect(0).stdout;
    assert!(shown.contains("2026-01-31T00:00:00Z") && shown.contains("│ events"), "{shown}");
    let pruned = prune(database, &["--events", "--yes"]).expect(0).json();
    assert_eq!(pruned["plan"], plan["plan"]);
    assert_eq!(
        pruned["removed"]["rows"],
        json!({
            "alert_sessions": 1, "events": 4, "llm_interactions": 1, "mcp_communications": 1, "stage_executions": 1,
        })
    );
}

#[apply(test)]
fn without_the_flag_events_stay_and_are_not_mentioned(database: &Database) {
    init_with_events(database);
    insert_session(database, "old", "completed", Some(OLD_US));
    insert_events(database, &AROUND_THE_CUTOFF);
    let pruned = prune(database, &["--yes"]).expect(0).json();
    assert_eq!(pruned["event_cutoff"], Value::Null);
    assert!(!planned(&pruned).contains_key("events"));
    assert_eq!(pruned["removed"]["rows"].get("events"), None);
    assert_eq!((database.count("events"), database.count("alert_sessions")), (8, 0));
    // A setting that is not used is not checked.
    Outcome::of(tarsy_db(database).env("EVENT_RETENTION_HOURS", "0").args(["prune", "--max-share", "100%", "--yes"]))
        .expect(0);
}

#[apply(test)]
fn old_events_without_old_sessions_are_confirmed_and_removed(database: &Database) {
    init_with_events(database);
    insert_session(database, "new", "completed", Some(NOW_US));
    insert_events(database, &AROUND_THE_CUTOFF);
    let refused = prune(database, &["--events"]).expect(7).json();
    let message = refused["error"]["message"].as_str().expect("a message");
    assert!(message.contains("0 sessions and 4 events from ") && message.contains(": 4 rows with "), "{message}");
    assert_eq!(database.count("events"), 8);
    let removed =
        Outcome::of(tarsy_db(database).args(["prune", "--max-share", "100%", "--events", "--yes", "--now", NOW]))
            .expect(0)
            .stdout;
    assert!(removed.contains("and 4 events from before 2026-01-31T00:00:00Z"), "{removed}");
    assert_eq!((database.count("events"), database.count("alert_sessions")), (4, 1));
    let nothing = Outcome::of(tarsy_db(database).args(["prune", "--events", "--now", NOW])).expect(0).stdout;
    assert!(nothing.contains("no event is from before 2026-01-31T00:00:00Z"), "{nothing}");
}

#[apply(test)]
fn where_there_is_no_table_of_events_it_says_so(database: &Database) {
    database.create_schema(Schema::Baseline);
    let run = |arguments: &[&str]| {
        let mut command = tarsy_db(database);
        let outcome =
            Outcome::of(command.args(["prune", "--max-share", "100%", "--events", "--now", NOW]).args(arguments));
        let stdout = outcome.expect(0).stdout;
        assert!(
            stdout.contains("no events to remove: the table `events` exists only since"),
            "{arguments:?}: {stdout}"
        );
    };
    run(&["--dry-run"]);
    run(&["--yes"]);
    insert_session(database, "old", "completed", Some(OLD_US));
    run(&["--dry-run"]);
    run(&["--yes"]);
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn a_table_of_other_events_is_not_touched(database: &Database) {
    database.create_schema(Schema::Baseline);
    database.execute(
        "CREATE TABLE events (id int, created_at varchar(30), title varchar(30));
                      INSERT INTO events VALUES (1, '2020-01-01 00:00:00', 'ours')",
    );
    prune(database, &["--events", "--yes"]).expect(0);
    assert_eq!(database.count("events"), 1);
}

#[apply(test)]
fn the_setting_chooses_how_long_events_are_kept(database: &Database) {
    init_with_events(database);
    insert_events(database, &AROUND_THE_CUTOFF);
    let file = database.directory().join("tarsy-db.toml");
    std::fs::write(file, "[history]\nevent_retention_hours = 48\n").expect("the file can be written");
    let arguments = ["prune", "--events", "--dry-run", "--now", NOW, "--output", "json"];
    let from_file = Outcome::of(tarsy_db(database).args(arguments)).expect(0).json();
    assert_eq!((&from_file["event_cutoff"], planned(&from_file)["events"]), (&"2026-01-30T00:00:00Z".into(), 1));
    let mut command = tarsy_db(database);
    let from_environment = Outcome::of(command.env("EVENT_RETENTION_HOURS", "1").args(arguments)).expect(0).json();
    assert_eq!(planned(&from_environment)["events"], 7);
    // How long sessions are kept is another matter.
    let older = Outcome::of(tarsy_db(database).args(arguments).args(["--older-than", "1d"])).expect(0).json();
    assert_eq!(older["event_cutoff"], "2026-01-30T00:00:00Z");
    assert_eq!(database.count("events"), 8);
}

#[apply(test)]
fn a_retention_that_would_remove_every_event_is_a_configuration_error(database: &Database) {
    init_with_events(database);
    insert_session(database, "old", "completed", Some(OLD_US));
    insert_events(database, &AROUND_THE_CUTOFF);
    each(["0", "-1", "a day", "4294967295"], |hours| {
        let mut command = tarsy_db(database);
        command.env("EVENT_RETENTION_HOURS", hours).args([
            "prune",
            "--max-share",
            "100%",
            "--events",
            "--yes",
            "--output",
            "json",
        ]);
        let refused = Outcome::of(&mut command).expect(78).json();
        assert!(refused["error"].to_string().contains("EVENT_RETENTION_HOURS"), "{hours}: {refused}");
    });
    assert_eq!((database.count("events"), database.count("alert_sessions")), (8, 1));
}

#[apply(test)]
fn thousands_of_events_go_batch_after_batch_and_one_that_fails_is_rolled_back(database: &Database) {
    init_with_events(database);
    insert_session(database, "old", "completed", Some(OLD_US));
    insert_many_events(database, 2500);
    refuse_to_delete(database, "events", "OLD.id = 1500");
    let failed = prune(database, &["--events", "--yes"]);
    assert!(failed.code.is_some_and(|code| code != 0), "{}", failed.stdout);
    assert!(failed.stderr.contains("not this one"), "{}", failed.stderr);
    let removed = &failed.json()["removed"];
    let gone = removed["rows"]["events"].as_i64().expect("a number");
    assert!(removed["sessions"] == 1 && (1..1500).contains(&gone), "{removed}");
    assert_eq!(events(database), (gone + 1..=2500).collect::<Vec<_>>());

    database.execute(if database.is_sqlite() { "DROP TRIGGER refuse" } else { "DROP TRIGGER refuse ON events" });
    let pruned = prune(database, &["--events", "--yes"]).expect(0).json();
    assert_eq!(pruned["removed"]["rows"]["events"], 2500 - gone);
    assert_eq!(database.count("events"), 0);
}

#[apply(test)]
fn events_that_the_database_keeps_end_the_run(database: &Database) {
    init_with_events(database);
    insert_events(database, &AROUND_THE_CUTOFF);
    match database.is_sqlite() {
        true => database.execute("CREATE TRIGGER keep BEFORE DELETE ON events BEGIN SELECT RAISE(IGNORE); END"),
        false => database.execute("CREATE RULE keep AS ON DELETE TO events DO INSTEAD NOTHING"),
    }
    let failed = prune(database, &["--events", "--yes"]).expect(4);
    assert!(failed.stderr.contains("a trigger or rule kept rows of events"), "{}", failed.stderr);
    assert_eq!(database.count("events"), 8);
}

#[apply(test)]
fn an_invalid_time_is_never_old_and_stops_nothing() {
    let database = Database::sqlite();
    init_with_events(&database);
    let kept = [
        "''",
        "'yesterday'",
        "'2020-01-01'",
        "'2020-01-01 00:00'",
        "'2020-01-01 00:00:00Z'",
        "'2020-01-01 00:00:00+00:00'",
        "'2020-01-01 00:00:00.5Z'",
        "'2020-01-01 00:00:00.'",
        "'2020-01-01 00:00:00.0000000'",
        "'2020-01-01 00:00:00.00x000'",
        "'2020-01-01 00:00:00' || char(0)",
        "'2020-01-01 00:00:00.000000' || char(0)",
        "' 2020-01-01 00:00:00'",
        "'2020-1-1 00:00:00.00'",
        "'2020-02-30 00:00:00'",
        "'2020-13-01 00:00:00'",
        "'2020-01-01 24:00:00'",
        "'2016-12-31 23:59:60'",
        "'0'",
        "1577836800",
        "2458849.5",
        "x'323032302d30312d30312030303a30303a3030'",
    ];
    insert_events(&database, &kept);
    let old = i64::try_from(kept.len()).expect("few") + 1;
    database.execute(&format!("INSERT INTO events VALUES ({old}, 'sessions', NULL, '2020-02-29 23:59:59.5')"));
    prune(&database, &["--events", "--yes"]).expect(0);
    assert_eq!(events(&database), (1..old).collect::<Vec<_>>());
}

#[apply(test)]
fn a_locked_event_is_skipped() {
    let database = Database::postgresql();
    init_with_events(&database);
    insert_events(&database, &AROUND_THE_CUTOFF);
    let backend = Held::begin(&database, "SELECT id FROM events WHERE id = 2 FOR UPDATE");
    // What remains is said of sessions.
    let pruned = prune(&database, &["--events", "--yes", "--fail-if-remaining"]).expect(0).json();
    assert_eq!(pruned["removed"]["rows"]["events"], 3);
    backend.close();
    assert_eq!(events(&database), [2, 5, 6, 7, 8]);
}

#[apply(test)]
fn the_servers_time_zone_does_not_matter() {
    let database = Database::postgresql();
    init_with_events(&database);
    insert_events(&database, &AROUND_THE_CUTOFF);
    database.execute(&format!("ALTER DATABASE {} SET TimeZone = 'Asia/Tokyo'", database.name()));
    prune(&database, &["--events", "--yes"]).expect(0);
    assert_eq!(events(&database), [5, 6, 7, 8]);
}

#[apply(test)]
fn interrupted_in_the_events_it_tells_what_is_gone() {
    let database = Database::postgresql();
    init_with_events(&database);
    insert_session(&database, "old", "completed", Some(OLD_US));
    insert_many_events(&database, 2500);
    let halt = Held::halt_commits(&database, "events", "DELETE");
    let running = Running::start(
        &database,
        &["prune", "--max-share", "100%", "--events", "--now", NOW, "--output", "json", "--yes"],
    );
    Held::wait_for_halted_commit(&database);
    running.signal("TERM");
    halt.close();
    let stopped = running.finish().expect(143).json();
    assert_eq!((&stopped["removed"]["sessions"], &stopped["removed"]["rows"]["events"]), (&1.into(), &1.into()));
    assert_eq!((database.count("events"), database.count("alert_sessions")), (2499, 0));
}
