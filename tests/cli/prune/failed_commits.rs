//! `prune` after a COMMIT that failed: it reports exactly the rows that it removed.

use std::fs;

use crate::support::cases::each;
use crate::support::history::{NOW, OLD_US, insert_many, session_ids};
use crate::support::small_disk::SmallDisk;
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

const MANY: i64 = 200;

/// A history in WAL mode of which a copy fits on a small disk.
fn history() -> Database {
    let database = Database::sqlite();
    database.create_schema(Schema::Baseline);
    insert_many(&database, 200, 60_000, OLD_US);
    // Each page is rewritten when its rows go, so that it has to fit into the `-wal`.
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    database
}

#[apply(test)]
fn on_a_full_disk_what_is_said_to_be_removed_is_gone() {
    each([false, true], remove_on_a_full_disk);
}

fn remove_on_a_full_disk(has_orphans: bool) {
    let original = history();
    if has_orphans {
        // They belong to old sessions as well, so that the plan counts them twice.
        original.execute_unguarded(
            "UPDATE llm_interactions SET stage_execution_id = 'gone'
             WHERE session_id IN (SELECT session_id FROM alert_sessions ORDER BY started_at_us LIMIT 50);
             PRAGMA wal_checkpoint(TRUNCATE)",
        );
    }
    let more: &[&str] = if has_orphans { &["--orphans"] } else { &[] };
    let mut codes = Vec::new();
    each([100, 300, 600, 1024, 2048], |free_kib| {
        let disk = SmallDisk::mount(40);
        let copy = Database::sqlite_in(disk.path());
        fs::copy(original.file(), copy.file()).expect("it fits");
        let filler = disk.fill(free_kib);
        let arguments = ["prune", "--now", NOW, "--output", "json", "--max-share", "100%", "--yes"];
        let run = Outcome::of(tarsy_db(&copy).args(arguments).args(more));
        SmallDisk::make_room(&filler);
        let (told, left) = (run.json(), i64::try_from(session_ids(&copy).len()).expect("few"));
        let removed = &told["removed"];
        let expected = (serde_json::Value::from(MANY - left), &true.into(), serde_json::Value::from(MANY - left));
        assert_eq!(
            (removed["sessions"].clone(), &removed["confirmed"], removed["rows"]["llm_interactions"].clone()),
            expected,
            "{free_kib} KiB: {}",
            run.stderr
        );
        assert_eq!(run.code == Some(0), left == 0, "{free_kib} KiB: {} are left, exit code {:?}", left, run.code);
        assert_eq!(copy.count("llm_interactions"), left);
        codes.push(run.code);
    });
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(74)), "{codes:?}: the disk was always or never full");
}

#[apply(test)]
fn a_commit_that_the_server_refuses_is_not_counted_and_its_session_is_named() {
    let database = Database::postgresql();
    database.create_schema(Schema::Baseline);
    insert_many(&database, 40, 64, OLD_US);
    database.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
             IF OLD.session_id = 's-7' THEN RAISE EXCEPTION 'the auditors want s-7'; END IF; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER keep AFTER DELETE ON alert_sessions DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION keep()",
    );
    let arguments = ["prune", "--now", NOW, "--output", "json", "--max-share", "100%", "--yes"];
    let told = Outcome::of(tarsy_db(&database).args(arguments)).json();
    let removed = &told["removed"];
    assert_eq!((&removed["sessions"], &removed["confirmed"]), (&39.into(), &true.into()));
    assert_eq!(told["stuck"][0]["session_id"], "s-7");
    assert_eq!(session_ids(&database), ["s-7"]);
}
