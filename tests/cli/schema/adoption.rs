//! Missing, empty and wrong ledgers, and upgrades that TARSy's backend did not finish: `init` completes what it can,
//! and otherwise names the fault and changes nothing.

use crate::support::baseline;
use crate::support::birth::{self, Born};
use crate::support::cases::each;
use crate::support::check::{check, finds, is_found};
use crate::support::history::contents;
use crate::support::revision::{IDS, init_to, ledger, stands_at};
use crate::support::{Database, Outcome, apply, tarsy_db, test};

/// Makes sure that `init` with the default target adopts the database at this revision and keeps its data.
#[track_caller]
fn is_adopted(database: &Database, number: usize) {
    let before = contents(database);
    let report = Outcome::of(tarsy_db(database).args(["init", "--output", "json"])).expect(0).json();
    assert_eq!((&report["outcome"], &report["revision"]), (&"adopted".into(), &IDS[number - 1].into()));
    assert_eq!(report["applied"], serde_json::json!([]));
    assert_eq!(ledger(database), [Some(IDS[number - 1].to_owned())]);
    assert_eq!(contents(database), before);
    check(database, &[]).expect(0);
}

/// Makes sure that `init`, with any target, and `check` exit with 4 and these words, and change nothing.
#[track_caller]
fn is_refused(database: &Database, words: &[&str], finding: (&str, &str)) {
    let before = (baseline::listing(database), contents(database));
    for target in ["baseline", "head"] {
        for arguments in [&[][..], &["--dry-run"], &["--sql"]] {
            let refused = Outcome::of(tarsy_db(database).args(["init", "--to", target]).args(arguments)).expect(4);
            for words in words {
                assert!(refused.stderr.contains(words), "no `{words}` in {}", refused.stderr);
            }
            assert!(refused.stdout.is_empty(), "{}", refused.stdout);
        }
    }
    let (name, detail) = finding;
    finds(database, 4, name, "failed", detail);
    assert!((baseline::listing(database), contents(database)) == before, "something changed");
}

/// A session that waits for a pod, as the backend writes it at revision 05 or later.
const PENDING: &str = "INSERT INTO alert_sessions (session_id, agent_type, status, chain_id)
                       VALUES ('pending', 'k', 'pending', 'c')";

#[apply(test)]
fn tables_of_later_revisions_are_adopted_at_their_revision(database: &Database) {
    each([(Born::A, 2), (Born::A, 5), (Born::C, 10), (Born::A, 19), (Born::A, 23), (Born::D, 23)], |(born, number)| {
        let database = database.another();
        database.execute(&birth::tables(&database, born, number));
        birth::fill(&database, number);
        if number >= 5 {
            database.execute(PENDING);
        }
        finds(
            &database,
            3,
            "revision",
            "failed",
            "the tables have no `alembic_version`: run `tarsy-db init` to adopt them",
        );
        is_adopted(&database, number);
        if number >= 5 {
            let waiting = "SELECT count(*) FROM alert_sessions
                           WHERE session_id = 'pending' AND pod_id IS NULL AND last_interaction_at IS NULL";
            assert_eq!(database.number(waiting), 1);
        }
    });
}

#[apply(test)]
fn every_revision_is_recognised_by_its_tables(database: &Database) {
    each(1..=23, |number| {
        init_to(database, &number.to_string());
        database.execute("DROP TABLE alembic_version");
        let report = Outcome::of(tarsy_db(database).args(["init", "--output", "json"])).expect(0).json();
        assert_eq!(report["revision"], IDS[number - 1]);
    });
}

#[apply(test)]
fn an_empty_ledger_gets_the_revision_of_the_tables(database: &Database) {
    init_to(database, "20");
    birth::fill(database, 20);
    database.execute("DELETE FROM alembic_version");
    is_adopted(database, 20);
    stands_at(database, 20);
}

#[apply(test)]
fn adopted_tables_are_upgraded_to_the_target(database: &Database) {
    init_to(database, "10");
    birth::fill(database, 10);
    database.execute(PENDING);
    database.execute("DROP TABLE alembic_version");
    let report = Outcome::of(tarsy_db(database).args(["init", "--to", "head", "--output", "json"])).expect(0).json();
    assert_eq!((&report["outcome"], &report["from"]), (&"adopted".into(), &IDS[9].into()));
    assert_eq!(report["applied"].as_array().map(Vec::len), Some(13));
    stands_at(database, 23);
    assert_eq!(database.number("SELECT count(*) FROM alert_sessions WHERE pod_id IS NULL"), 2);
}

#[apply(test)]
fn a_stamp_without_tables_gets_those_of_its_revision(database: &Database) {
    each([1, 10, 23], |number| {
        let database = database.another();
        birth::stamp(&database, number);
        finds(&database, 3, "revision", "failed", "`alembic_version` exists, but no tables: run `tarsy-db init`");
        Outcome::of(tarsy_db(&database).arg("init")).expect(0);
        stands_at(&database, number);
    });
}

#[apply(test)]
fn a_stamp_without_tables_below_the_target_gets_those_of_the_target(database: &Database) {
    birth::stamp(database, 1);
    init_to(database, "head");
    stands_at(database, 23);
}

#[apply(test)]
fn ep_0020_that_is_stamped_head_is_named(database: &Database) {
    database.execute(&birth::tables(database, Born::A, 1));
    birth::stamp(database, 23);
    birth::fill(database, 1);
    let update = "run `UPDATE alembic_version SET version_num = 'ae85467a75d2'`";
    let words = ["b67c135119d7 (23 of 23)", "ae85467a75d2 (1 of 23)", update];
    is_refused(database, &words, ("schema", update));
    // TARSy's backend creates missing tables at every start, and nothing else.
    let all = birth::tables(database, Born::D, 23);
    let events = all.find("CREATE TABLE events").expect("a table");
    let end = all.find("CREATE INDEX").expect("an index");
    database.execute(&all[events..end]);
    is_refused(database, &words, ("schema", update));
    database.execute("UPDATE alembic_version SET version_num = 'ae85467a75d2'");
    init_to(database, "head");
    check(database, &[]).expect(0);
}

#[apply(test)]
fn head_that_is_stamped_with_the_baseline_is_named(database: &Database) {
    init_to(database, "head");
    database.execute("UPDATE alembic_version SET version_num = 'ae85467a75d2'");
    let refused = Outcome::of(tarsy_db(database).args(["init", "--to", "head"])).expect(4);
    assert!(refused.stderr.contains("b67c135119d7 (23 of 23)"), "{}", refused.stderr);
    assert!(refused.stderr.contains("SET version_num = 'b67c135119d7'"), "{}", refused.stderr);
    finds(database, 4, "schema", "failed", "missing column alert_sessions.alert_id");
}

#[apply(test)]
fn lost_tables_are_distinguished_from_a_wrong_ledger(database: &Database) {
    init_to(database, "head");
    database.execute("DROP TABLE chat_user_messages; DROP TABLE chats");
    let words = ["chats, chat_user_messages missing, although the ledger names revision `b67c135119d7`", "restore"];
    is_refused(database, &words, ("revision", "these tables are missing: chats, chat_user_messages"));
}

#[apply(test)]
fn two_rows_are_refused_at_head(database: &Database) {
    init_to(database, "head");
    database.execute("INSERT INTO alembic_version VALUES ('ae85467a75d2')");
    is_refused(database, &["`alembic_version` has 2 rows"], ("revision", "delete the others"));
}

#[apply(test)]
fn an_unknown_revision_is_left_alone_by_every_target(database: &Database) {
    init_to(database, "head");
    database.execute("UPDATE alembic_version SET version_num = 'feedfacecafe'");
    let before = baseline::listing(database);
    let present = init_to(database, "head");
    assert!(present.stdout.contains("feedfacecafe (unknown to this version): nothing to do"), "{}", present.stdout);
    Outcome::of(tarsy_db(database).args(["init", "--to", "head", "--strict"])).expect(5);
    is_found(&check(database, &[]).expect(5), "revision", "failed", "feedfacecafe");
    assert_eq!(ledger(database), [Some("feedfacecafe".to_owned())]);
    assert_eq!(baseline::listing(database), before);
}

#[apply(test)]
fn a_copy_that_the_backend_left_behind_is_named() {
    let database = Database::sqlite();
    init_to(&database, "5");
    birth::fill(&database, 5);
    database.execute("CREATE TABLE _alembic_tmp_alert_sessions AS SELECT * FROM alert_sessions");
    let left = "an interrupted upgrade by TARSy's backend left `_alembic_tmp_alert_sessions` behind";
    is_refused(&database, &[left, "DROP TABLE _alembic_tmp_alert_sessions"], ("revision", "DROP TABLE"));
    assert_eq!(database.count("_alembic_tmp_alert_sessions"), 1);
    database.execute("DROP TABLE _alembic_tmp_alert_sessions");
    init_to(&database, "head");
    stands_at(&database, 23);
}

/// Makes sure that `init` completes an upgrade that the backend began.
#[track_caller]
fn is_completed(database: &Database) {
    init_to(database, "head");
    stands_at(database, 23);
    check(database, &[]).expect(0);
}

/// The statement of a revision that begins with this text.
fn statement(database: &Database, revision: usize, begin: &str) -> String {
    let sql = birth::tables(database, Born::A, revision);
    let start = sql.find(begin).expect("a statement");
    let end = sql[start..].find(";\n").expect("an end");
    sql[start..start + end].to_owned()
}

#[apply(test)]
fn chats_without_their_indexes_are_completed() {
    let database = Database::sqlite();
    init_to(&database, "10");
    birth::fill(&database, 10);
    database.execute(&statement(&database, 11, "CREATE TABLE chats"));
    is_completed(&database);
}

#[apply(test)]
fn a_column_whose_index_was_already_dropped_is_dropped() {
    let database = Database::sqlite();
    init_to(&database, "3");
    birth::fill(&database, 3);
    database.execute("DROP INDEX ix_alert_sessions_alert_id");
    let advice = "an upgrade to revision 9d8fd988188d (4 of 23) was interrupted: `tarsy-db init --to 4` completes it";
    finds(&database, 4, "schema", "failed", advice);
    is_completed(&database);
}

#[apply(test)]
fn keys_that_were_changed_in_one_table_only_are_changed_in_all() {
    let database = Database::sqlite();
    let begin = "CREATE TABLE llm_interactions";
    let (old, new) = (statement(&database, 5, begin), statement(&database, 6, begin));
    assert_eq!(new.matches("FOREIGN KEY").count(), 4);
    database.execute(&birth::tables(&database, Born::A, 5).replace(&old, &new));
    birth::stamp(&database, 5);
    birth::fill(&database, 5);
    is_completed(&database);
}

#[apply(test)]
fn columns_that_were_added_in_part_are_added_wholly() {
    let cases = [
        (1, "llm_interactions ADD COLUMN interaction_type VARCHAR(50) NOT NULL DEFAULT 'investigation'"),
        (4, "alert_sessions ADD COLUMN pod_id VARCHAR(255)"),
        (17, "stage_executions ADD COLUMN parallel_index INTEGER NOT NULL DEFAULT 0"),
        (18, "stage_executions ADD COLUMN expected_parallel_count INTEGER"),
    ];
    each(cases, |(revision, column)| {
        let database = Database::sqlite();
        init_to(&database, &revision.to_string());
        birth::fill(&database, revision);
        database.execute(&format!("ALTER TABLE {column}"));
        is_completed(&database);
    });
}

#[apply(test)]
fn tables_that_no_interrupted_upgrade_leaves_are_not_completed() {
    let cases = [
        (10, "DROP INDEX ix_alert_sessions_status", "missing index ix_alert_sessions_status"),
        (
            5,
            "ALTER TABLE alert_sessions DROP COLUMN chain_definition",
            "missing column alert_sessions.chain_definition",
        ),
        (3, "DROP INDEX idx_events_channel_id", "missing index idx_events_channel_id"),
    ];
    each(cases, |(revision, change, detail)| {
        let database = Database::sqlite();
        init_to(&database, &revision.to_string());
        birth::fill(&database, revision);
        database.execute(change);
        let before = (baseline::listing(&database), contents(&database));
        let refused = Outcome::of(tarsy_db(&database).args(["init", "--to", "head"])).expect(4);
        assert!(refused.stderr.contains(detail), "{}", refused.stderr);
        assert_eq!((baseline::listing(&database), contents(&database)), before);
    });
}
