//! The space that removed rows left: `info` shows it, and the library's vacuum gives it back.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tarsy_db::internals::{
    Access, AutoVacuum, DatabaseError, DatabaseUrl, ErrorClass, Freed, PoolLimits, Space, open, read_schema,
    reclaimable,
};

use crate::support::database::block_on;
use crate::support::history::{NOW_US, contents, insert_many, insert_session};
use crate::support::info::info;
use crate::support::process::Held;
use crate::support::{Database, Outcome, Role, Schema, apply, tarsy_db, test};

/// Vacuums a database as the user of this URL; what could be given back before comes along.
fn vacuum_at(url: &str, temporary: Option<&Path>) -> (Space, Result<Freed, DatabaseError>) {
    let url: DatabaseUrl = url.parse().expect("a URL");
    block_on(async {
        let connection =
            open(&url, Access::Write, PoolLimits::ONE, Duration::from_millis(300)).await.expect("a connection");
        let schema = connection.reading(async |reading| read_schema(reading).await).await.expect("a schema");
        let space =
            async |reading: &_| Ok::<_, sea_orm::DbErr>(reclaimable(reading, &schema).await.expect("the space"));
        let before = connection.reading(space).await.expect("a transaction");
        let freed = tarsy_db::internals::vacuum(&connection, &schema, temporary).await;
        connection.close().await.expect("the connection closes");
        (before, freed)
    })
}

fn url(database: &Database) -> String {
    match database.is_sqlite() {
        true => format!("sqlite:///{}", database.file().display()),
        false => database.url().to_owned(),
    }
}

fn vacuum(database: &Database) -> Freed {
    vacuum_at(&url(database), None).1.expect("a vacuum")
}

/// A history of a few megabytes of which the first rows are left, so that a table's end is free.
fn mostly_removed(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_many(database, 300, 20_480, NOW_US);
    if !database.is_sqlite() {
        database.execute(
            "ALTER TABLE llm_interactions SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);
             ALTER TABLE alert_sessions SET (autovacuum_enabled = off)",
        );
    }
    database.execute("DELETE FROM llm_interactions WHERE length(interaction_id) > 3");
}

/// Removes nine of ten sessions of a history of some 20 MB, whose large values cannot be compressed.
fn leave_space(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_many(database, 500, 40_960, NOW_US);
    if !database.is_sqlite() {
        // Values that cannot be compressed; emptied and not updated, so that no row has been dead before.
        database.execute(
            "ALTER TABLE llm_interactions SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);
             CREATE TABLE these AS SELECT * FROM llm_interactions; TRUNCATE llm_interactions;
             UPDATE these SET conversation = (
                 SELECT jsonb_build_array(string_agg(md5(interaction_id || n), '')) FROM generate_series(1, 1280) n);
             INSERT INTO llm_interactions SELECT * FROM these; DROP TABLE these; ANALYZE llm_interactions",
        );
    }
    database.execute("DELETE FROM llm_interactions WHERE interaction_id NOT LIKE '%0'");
}

#[apply(test)]
fn space_that_was_left_is_shown_with_what_reclaims_it(database: &Database) {
    leave_space(database);
    if !database.is_sqlite() {
        // The session that removed the rows reports them when it ends, which is not awaited.
        database.wait_until("SELECT (pg_stat_get_dead_tuples('llm_interactions'::regclass) > 400)::int::bigint");
    }
    let space = &info(database, &[])["space"];
    let command = if database.is_sqlite() { "tarsy-db prune --vacuum" } else { "VACUUM (ANALYZE) llm_interactions" };
    assert_eq!(space["next_command"], command, "{space:#}");
    let reclaimable = space["reclaimable_bytes"].as_u64().expect("a number");
    assert!(reclaimable > 15_000_000, "{space:#}");
    if database.is_sqlite() {
        assert_eq!(space["file"]["reclaimable_bytes"], reclaimable);
        assert_eq!(space["file"]["auto_vacuum"], "none");
    } else {
        let tables = space["tables"].as_array().expect("a list of tables");
        let table = tables.iter().find(|table| table["table"] == "llm_interactions").expect("the table");
        assert_eq!(table["dead_rows"], 450);
        assert_eq!(table["last_autovacuum"], Value::Null);
        assert_eq!(table["may_vacuum"], true);
    }
    let shown = Outcome::of(tarsy_db(database).arg("info")).expect(0).stdout;
    assert!(shown.contains(&format!("`{command}` reclaims this space")), "{shown}");
}

#[apply(test)]
fn the_space_of_a_partitioned_table_is_that_of_its_partitions() {
    let database = Database::postgresql();
    mostly_removed(&database);
    database.execute(
        "ALTER TABLE llm_interactions RENAME TO one;
         CREATE TABLE llm_interactions (LIKE one) PARTITION BY LIST (interaction_id);
         ALTER TABLE llm_interactions ATTACH PARTITION one DEFAULT",
    );
    let report = info(&database, &[]);
    let of = |tables: &Value| {
        let tables = tables.as_array().expect("a list of tables").clone();
        tables.into_iter().find(|table| table["table"] == "llm_interactions").expect("the table")
    };
    let table = of(&report["tables"]);
    let bytes = ["table_bytes", "index_bytes", "toast_bytes"].map(|kind| table[kind].as_u64().expect("a number"));
    assert!(bytes.iter().all(|bytes| *bytes > 0), "{table:#}");
    assert_eq!(of(&report["space"]["tables"])["bytes"].as_u64().map(|whole| whole >= bytes.iter().sum()), Some(true));
    let freed = vacuum(&database);
    let part = freed.parts.iter().find(|part| part.name == "llm_interactions").expect("the part");
    assert!(part.bytes_after < part.bytes_before, "{freed:?}");
}

#[apply(test)]
fn little_space_has_no_next_command(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "s", "completed", Some(NOW_US));
    database.execute("DELETE FROM mcp_communications");
    assert_eq!(info(database, &[])["space"]["next_command"], Value::Null);
}

#[apply(test)]
fn what_removed_rows_left_goes_back_and_no_row_changes(database: &Database) {
    mostly_removed(database);
    let before = contents(database);
    let freed = vacuum(database);
    let name = if database.is_sqlite() { "file" } else { "llm_interactions" };
    let part = freed.parts.iter().find(|part| part.name == name).expect("the part");
    assert!(part.bytes_after < part.bytes_before, "{freed:?}");
    assert_eq!(part.dead_rows_kept, 0, "{freed:?}");
    assert!(freed.returned_bytes() > 0 && !freed.is_held_up && freed.not_permitted.is_empty(), "{freed:?}");
    assert!(contents(database) == before);
    if database.is_sqlite() {
        assert_eq!((database.file_bytes(), part.reusable_bytes), (part.bytes_after, 0));
        assert!(part.bytes_after < 3_000_000, "{freed:?}");
    }
}

#[apply(test)]
fn a_file_with_incremental_vacuum_shrinks_step_by_step() {
    let database = Database::sqlite();
    database.execute("PRAGMA auto_vacuum = INCREMENTAL; VACUUM; PRAGMA journal_mode = WAL; CREATE TABLE mine (x)");
    mostly_removed(&database);
    // So many that it takes several steps.
    database.execute("INSERT INTO mine VALUES (zeroblob(10000000)); DELETE FROM mine");
    let (before, freed) = vacuum_at(&url(&database), None);
    let freed = freed.expect("a vacuum");
    assert!(matches!(&before, Space::File(file) if file.auto_vacuum == AutoVacuum::Incremental), "{before:?}");
    assert!(before.reclaimable_bytes() > 12_000_000, "{before:?}");
    assert!(freed.returned_bytes() >= before.reclaimable_bytes(), "{freed:?}");
    assert_eq!((freed.reusable_bytes(), database.file_bytes()), (0, freed.parts[0].bytes_after));
    assert!(database.texts("PRAGMA integrity_check") == [Some("ok".to_owned())]);
}

#[apply(test)]
fn a_file_without_free_pages_is_not_written_again() {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    let (before, freed) = vacuum_at(&url(&database), Some(Path::new("/proc")));
    assert_eq!(before.reclaimable_bytes(), 0);
    // There is no room in that directory, which is not used.
    assert_eq!(freed.expect("nothing to do").returned_bytes(), 0);
}

#[apply(test)]
fn a_disk_without_room_is_found_before_the_vacuum() {
    let database = Database::sqlite();
    mostly_removed(&database);
    let error = vacuum_at(&url(&database), Some(Path::new("/proc"))).1.expect_err("there is no room");
    assert_eq!(error.cause.class, ErrorClass::DiskFull);
    assert!(error.cause.message.contains("/proc"), "{}", error.cause);
}

#[apply(test)]
fn a_file_with_a_writer_is_busy_and_one_with_a_reader_shrinks_later() {
    let database = Database::sqlite();
    mostly_removed(&database);
    let writer = Held::begin(&database, "UPDATE alembic_version SET version_num = version_num");
    let error = vacuum_at(&url(&database), None).1.expect_err("another program writes");
    assert_eq!(error.cause.class, ErrorClass::Busy, "{}", error.cause);
    writer.close();

    let mut reader = Held::connect(&database);
    reader.execute("BEGIN; SELECT count(*) FROM alert_sessions");
    let freed = vacuum(&database);
    assert!(freed.is_held_up && database.file_bytes() > freed.parts[0].bytes_after, "{freed:?}");
    reader.close();
    assert!(!vacuum(&database).is_held_up);
    assert_eq!(database.file_bytes(), freed.parts[0].bytes_after);
}

#[apply(test)]
fn a_role_vacuums_what_it_may_and_its_limits_do_not_end_that() {
    let database = Database::postgresql();
    mostly_removed(&database);
    let role = Role::new(&database);
    database.execute(&format!(
        "ALTER TABLE llm_interactions OWNER TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name};
         ALTER ROLE {name} SET statement_timeout = '1s'",
        name = role.name
    ));
    let url = role.url();
    let lock = Held::begin(&database, "LOCK TABLE llm_interactions IN SHARE UPDATE EXCLUSIVE MODE");
    let freed = std::thread::scope(|scope| {
        let vacuum = scope.spawn(|| vacuum_at(&url, None).1);
        // Longer than the role's limit and the connection's for locks.
        database.wait_until(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'VACUUM%'
             AND wait_event_type = 'Lock' AND state_change < clock_timestamp() - interval '1.2 s'",
        );
        lock.close();
        vacuum.join().expect("no panic").expect("a vacuum")
    });
    assert_eq!(freed.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["llm_interactions"]);
    assert_eq!(freed.not_permitted, ["alert_sessions", "mcp_communications", "stage_executions"]);
    assert!(freed.lines().iter().any(|line| line.contains("not vacuumed")), "{:?}", freed.lines());
}

#[apply(test)]
fn rows_that_an_open_transaction_may_see_stay_and_are_told() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_many(&database, 100, 320, NOW_US);
    let reader =
        Held::begin(&database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM alembic_version");
    database.execute("DELETE FROM llm_interactions");
    let freed = vacuum(&database);
    reader.close();
    let part = freed.parts.iter().find(|part| part.name == "llm_interactions").expect("the table");
    assert_eq!(part.dead_rows_kept, 100, "{freed:?}");
    let line = "100 dead rows of llm_interactions stay: an open transaction may see them";
    assert!(freed.lines().iter().any(|told| told == line), "{:?}", freed.lines());
}
