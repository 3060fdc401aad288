//! The variants of each revision, with the DDL that SQLAlchemy writes: `check` accepts and names them, `init` leaves
//! them unchanged and upgrades them.

use crate::support::baseline;
use crate::support::birth::{self, Born, Doubled};
use crate::support::cases::each;
use crate::support::check::{check, finding, finds, is_found};
use crate::support::history::{columns, contents, values};
use crate::support::revision::{IDS, init_to, ledger};
use crate::support::{Database, Outcome, apply, tarsy_db, test};

/// Makes sure that `check` accepts a database at its revision and reports `origin`, and that `init` changes nothing.
#[track_caller]
fn is_sound(database: &Database, revision: usize, origin: &str) {
    let before = (baseline::listing(database), contents(database), ledger(database));
    for arguments in [&[][..], &["--deep"]] {
        let outcome = check(database, arguments).expect(0);
        is_found(&outcome, "revision", "ok", IDS[revision - 1]);
        is_found(&outcome, "schema", "ok", origin);
    }
    Outcome::of(tarsy_db(database).arg("init")).expect(0);
    init_to(database, &revision.to_string());
    assert!((baseline::listing(database), contents(database), ledger(database)) == before);
}

/// Makes sure that a database reaches head with all its data, and is still of the same variant there.
#[track_caller]
fn reaches_head(database: &Database, origin: &str) {
    let columns = columns(database).into_iter().map(|(table, columns)| {
        let columns = columns.into_iter().filter(|column| column != "alert_id").collect();
        (table, columns)
    });
    let columns = columns.collect();
    let before = values(database, &columns);
    init_to(database, "head");
    assert_eq!(values(database, &columns), before);
    is_sound(database, 23, origin);
}

const ORIGIN_B: &str = "variant B: created at revision 04 or 05";
const ORIGIN_C: &str = "variant C: created at revisions 06 to 17";
const ORIGIN_D: &str = "variant D: created at revisions 18 to 23";
const OLDER: &str = "created before EP-0020: INTEGER timestamps";
const ROLLED_BACK: &str = "rolled back by TARSy's backend from a later revision";
const TWICE: &str = "some foreign keys exist twice";

#[apply(test)]
fn born_with_ep_0020_is_sound_at_head(database: &Database) {
    birth::create(database, Born::A, 23);
    is_sound(database, 23, if database.is_sqlite() { TWICE } else { "" });
    let (_, detail) = finding(&check(database, &[]), "schema");
    assert!(!detail.contains("shape"), "{detail}");
}

#[apply(test)]
fn born_with_revision_04_is_sound_at_head(database: &Database) {
    birth::create(database, Born::B, 23);
    is_sound(database, 23, ORIGIN_B);
}

#[apply(test)]
fn born_with_revision_06_is_sound_at_head(database: &Database) {
    birth::create(database, Born::C, 23);
    is_sound(database, 23, ORIGIN_C);
}

#[apply(test)]
fn born_with_revision_18_is_sound_at_head(database: &Database) {
    birth::create(database, Born::D, 23);
    is_sound(database, 23, ORIGIN_D);
}

#[apply(test)]
fn born_with_ep_0020_goes_from_10_to_head(database: &Database) {
    birth::create(database, Born::A, 10);
    is_sound(database, 10, if database.is_sqlite() { TWICE } else { "" });
    // Foreign keys that TARSy doubled in other tables remain.
    reaches_head(database, if database.is_sqlite() { TWICE } else { "" });
}

#[apply(test)]
fn born_with_revision_04_goes_from_5_to_head(database: &Database) {
    birth::create(database, Born::B, 5);
    database.execute("UPDATE alert_sessions SET pod_id = 'pod', last_interaction_at = 1");
    is_sound(database, 5, ORIGIN_B);
    reaches_head(database, ORIGIN_B);
}

#[apply(test)]
fn born_with_revision_06_goes_from_10_to_head(database: &Database) {
    birth::create(database, Born::C, 10);
    database.execute("UPDATE stage_executions SET session_id = NULL");
    is_sound(database, 10, ORIGIN_C);
    reaches_head(database, ORIGIN_C);
}

#[apply(test)]
fn born_with_revision_18_goes_from_18_and_20_to_head(database: &Database) {
    each([18, 20], |revision| {
        let database = database.another();
        birth::create(&database, Born::D, revision);
        is_sound(&database, revision, ORIGIN_D);
        reaches_head(&database, ORIGIN_D);
    });
}

#[apply(test)]
fn every_birth_is_sound_at_every_revision_since(database: &Database) {
    let births = [(Born::A, 1, ""), (Born::B, 5, ORIGIN_B), (Born::C, 6, ORIGIN_C), (Born::D, 18, ORIGIN_D)];
    each(births, |(born, first, origin)| {
        for revision in [1, 2, 3, 4, 5, 6, 10, 11, 17, 18, 19, 22, 23] {
            if revision < first {
                continue;
            }
            let database = database.another();
            database.execute(&birth::tables(&database, born, revision));
            birth::stamp(&database, revision);
            finds(&database, 0, "schema", "ok", origin);
        }
    });
}

/// The tables of a database that TARSy's backend rolled back from head to one of the first five revisions.
fn rolled_back(database: &Database, born: Born, revision: usize) -> String {
    birth::tables(database, born, revision).replace("alert_id VARCHAR NOT NULL", "alert_id VARCHAR")
}

#[apply(test)]
fn rolled_back_by_the_backend_is_sound_and_goes_to_head(database: &Database) {
    // Older revisions than 05 lose the column `pod_id`, and an upgrade adds it with the limit.
    let cases = [
        (Born::A, 3, ROLLED_BACK, ""),
        (Born::A, 1, ROLLED_BACK, ""),
        (Born::C, 5, ROLLED_BACK, ORIGIN_C),
        (Born::C, 4, ROLLED_BACK, ROLLED_BACK),
        (Born::C, 1, ROLLED_BACK, ROLLED_BACK),
    ];
    each(cases, |(born, revision, origin, origin_at_head)| {
        let database = database.another();
        database.execute(&rolled_back(&database, born, revision));
        birth::stamp(&database, revision);
        birth::fill(&database, revision);
        if revision < 4 {
            database.execute("UPDATE alert_sessions SET alert_id = NULL");
        }
        if revision == 5 {
            database.execute("UPDATE alert_sessions SET pod_id = 'pod', last_interaction_at = 1");
        }
        is_sound(&database, revision, origin);
        reaches_head(&database, origin_at_head);
    });
}

#[apply(test)]
fn rolled_back_and_upgraded_again_by_the_backend_is_sound(database: &Database) {
    let sql = birth::tables(database, Born::C, 23);
    // That of the sessions.
    assert!(sql.contains("pod_id VARCHAR,"), "{sql}");
    database.execute(&sql.replacen("pod_id VARCHAR,", "pod_id VARCHAR(255),", 1));
    birth::stamp(database, 23);
    is_sound(database, 23, ROLLED_BACK);
}

#[apply(test)]
fn a_mixture_of_births_is_drift(database: &Database) {
    let cases = [
        (
            Born::C,
            "session_id VARCHAR, \n\tstage_id",
            "session_id VARCHAR NOT NULL, \n\tstage_id",
            "stage_executions.session_id is NOT NULL, expected nullable",
        ),
        (
            Born::D,
            "parallel_index INTEGER NOT NULL",
            "parallel_index INTEGER DEFAULT 0 NOT NULL",
            "stage_executions.parallel_",
        ),
        (
            Born::A,
            "parallel_index INTEGER DEFAULT 0 NOT NULL",
            "parallel_index INTEGER NOT NULL",
            "stage_executions.parallel_index has the default none",
        ),
    ];
    each(cases, |(born, column, other, detail)| {
        let database = database.another();
        let mixed = birth::tables(&database, born, 23);
        assert!(mixed.contains(column), "{mixed}");
        database.execute(&mixed.replace(column, other));
        birth::stamp(&database, 23);
        finds(&database, 4, "schema", "failed", detail);
    });
}

#[apply(test)]
fn keys_that_do_not_cascade_are_drift(database: &Database) {
    let sql = birth::tables(database, Born::D, 23);
    let stages = sql.find("stage_executions (execution_id) ON DELETE CASCADE").expect("a key");
    let (before, after) = sql.split_at(stages);
    database.execute(&format!("{before}{}", after.replacen(" ON DELETE CASCADE", "", 1)));
    birth::stamp(database, 23);
    let detail = "the foreign key llm_interactions(stage_execution_id) to stage_executions(execution_id) \
                  has NO ACTION on delete, expected CASCADE on delete";
    finds(database, 4, "schema", "failed", detail);
}

#[apply(test)]
fn doubled_keys_are_sound_in_either_order() {
    each([(Born::A, 6), (Born::A, 17), (Born::B, 10), (Born::A, 23), (Born::Before, 23)], |(born, revision)| {
        let database = Database::sqlite();
        birth::create_with(&database, born, revision, Doubled::OldFirst);
        is_sound(&database, revision, TWICE);
        if revision < 23 {
            reaches_head(&database, TWICE);
            let keys = "SELECT count(*) FROM pragma_foreign_key_list('stage_executions')";
            assert_eq!(database.number(keys), 2, "the session's once, and the parent's");
        }
    });
}

#[apply(test)]
fn keys_of_stages_that_are_twice_after_revision_18_are_drift() {
    let database = Database::sqlite();
    let sql = birth::tables(&database, Born::A, 23);
    let key = "CONSTRAINT fk_stage_executions_session_id FOREIGN KEY(session_id) REFERENCES alert_sessions (session_id) ON DELETE CASCADE";
    assert!(sql.contains(key), "{sql}");
    let twice = format!("{key}, \n\tFOREIGN KEY(session_id) REFERENCES alert_sessions (session_id)");
    database.execute(&sql.replace(key, &twice));
    birth::stamp(&database, 23);
    finds(&database, 4, "schema", "failed", "additional foreign key stage_executions(session_id)");
}

#[apply(test)]
fn older_than_ep_0020_is_adopted_and_upgraded() {
    let database = Database::sqlite();
    database.execute(&birth::tables(&database, Born::Before, 1));
    birth::fill(&database, 1);
    finds(&database, 3, "schema", "ok", OLDER);
    let before = contents(&database);
    Outcome::of(tarsy_db(&database).arg("init")).expect(0);
    assert_eq!(contents(&database), before);
    is_sound(&database, 1, OLDER);
    reaches_head(&database, OLDER);
}

#[apply(test)]
fn older_than_ep_0020_is_sound_at_every_revision() {
    each([1, 5, 6, 10, 17, 18, 23], |revision| {
        let database = Database::sqlite();
        birth::create(&database, Born::Before, revision);
        is_sound(&database, revision, OLDER);
    });
}

#[apply(test)]
fn required_timestamps_are_drift_unless_they_are_integer() {
    let database = Database::sqlite();
    let sql = birth::tables(&database, Born::A, 23);
    database.execute(&sql.replace("started_at_us BIGINT", "started_at_us BIGINT NOT NULL"));
    birth::stamp(&database, 23);
    finds(&database, 4, "schema", "failed", "alert_sessions.started_at_us is NOT NULL, expected nullable");
}

#[apply(test)]
fn integer_timestamps_are_drift_on_postgresql() {
    let database = Database::postgresql();
    let sql = birth::tables(&database, Born::A, 23);
    database.execute(&sql.replace("started_at_us BIGINT", "started_at_us INTEGER"));
    birth::stamp(&database, 23);
    finds(&database, 4, "schema", "failed", "alert_sessions.started_at_us is integer, expected bigint");
}
