//! `migrate-sqlite-to-postgres` where TARSy's models were ahead of its migrations: a history born at revision 04, 12,
//! 14 or 18 has columns of the next revision already, and their values arrive. What the target lacks is counted
//! before it is left out.

use crate::support::birth::{self, Born};
use crate::support::cases::each;
use crate::support::check::{check, is_found};
use crate::support::migration::{compare, migrate, one_session_and_target};
use crate::support::revision::{IDS, init_to, ledger};
use crate::support::{Database, Outcome, apply, tarsy_db, test};

/// A column of the next revision: how it is declared by the models, its type on PostgreSQL, and a value.
#[derive(Debug)]
struct Early {
    table: &'static str,
    name: &'static str,
    declared: &'static str,
    kind: &'static str,
    value: &'static str,
}

/// A history with columns of the revision after the one it is at.
#[derive(Debug)]
struct Birth {
    born: Born,
    revision: usize,
    columns: &'static [Early],
}

/// 256 characters: one more than the migration allows.
const LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
                    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
                    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
                    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

const LAST: Early = Early {
    table: "alert_sessions",
    name: "last_interaction_at",
    declared: "BIGINT",
    kind: "bigint",
    value: "1769904000000003",
};

/// As TARSy's releases make them, and at 04 also with the limit that the migration gives the column.
const BIRTHS: [Birth; 5] = [
    Birth {
        born: Born::B,
        revision: 4,
        columns: &[
            Early {
                table: "alert_sessions",
                name: "pod_id",
                declared: "VARCHAR",
                kind: "character varying",
                value: LONG,
            },
            LAST,
        ],
    },
    Birth {
        born: Born::A,
        revision: 4,
        columns: &[
            Early {
                table: "alert_sessions",
                name: "pod_id",
                declared: "VARCHAR(255)",
                kind: "character varying(255)",
                value: "pod-1",
            },
            LAST,
        ],
    },
    Birth {
        born: Born::C,
        revision: 12,
        columns: &[Early {
            table: "alert_sessions",
            name: "pause_metadata",
            declared: "JSON",
            kind: "json",
            value: r#"{"reason":  "\u00e9", "b":1}"#,
        }],
    },
    Birth {
        born: Born::C,
        revision: 14,
        columns: &[Early {
            table: "llm_interactions",
            name: "native_tools_config",
            declared: "JSON",
            kind: "json",
            value: "null",
        }],
    },
    Birth {
        born: Born::D,
        revision: 18,
        columns: &[Early {
            table: "stage_executions",
            name: "expected_parallel_count",
            declared: "INTEGER",
            kind: "integer",
            value: "3",
        }],
    },
];

impl Birth {
    /// A database as TARSy's backend creates it.
    fn create(&self, database: &Database) {
        database.execute(&birth::tables(database, self.born, self.revision));
        birth::stamp(database, self.revision);
        for Early { table, name, declared, .. } in self.columns {
            database.execute(&format!("ALTER TABLE {table} ADD COLUMN {name} {declared}"));
        }
    }

    /// One with values in the columns of the next revision.
    fn source(&self) -> Database {
        let source = Database::sqlite();
        self.create(&source);
        self.fill(&source);
        source
    }

    /// Writes a session, with values in these columns.
    fn fill(&self, database: &Database) {
        birth::fill(database, self.revision);
        for Early { table, name, value, .. } in self.columns {
            database.execute(&format!("UPDATE {table} SET {name} = '{value}'"));
        }
    }

    /// Asserts that a target has the source's values and is at the same revision.
    #[track_caller]
    fn has_arrived(&self, target: &Database) {
        let Self { born, revision, .. } = self;
        assert_eq!(ledger(target), [Some(IDS[revision - 1].to_owned())]);
        for Early { table, name, kind, value, .. } in self.columns {
            let values = target.texts(&format!("SELECT {name}::text FROM {table} WHERE {name} IS NOT NULL"));
            assert_eq!(values, [Some((*value).to_owned())], "{table}.{name} of {born:?} at {revision}");
            assert_eq!(type_of(target, table, name), *kind, "{table}.{name} of {born:?} at {revision}");
        }
    }
}

fn type_of(target: &Database, table: &str, column: &str) -> String {
    let sql = format!(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute
         WHERE attrelid = '{table}'::regclass AND attname = '{column}' AND NOT attisdropped"
    );
    target.texts(&sql).into_iter().flatten().next().unwrap_or_else(|| "none".to_owned())
}

/// A target at the revision of each birth: without the columns of the next one, and some with them.
fn prepared_targets() -> impl Iterator<Item = (&'static Birth, bool, Database)> {
    let without = BIRTHS.iter().map(|birth| (birth, false));
    let with = [&BIRTHS[0], &BIRTHS[4]].map(|birth| (birth, true));
    without.chain(with).map(|(birth, is_born)| {
        let target = Database::postgresql();
        match is_born {
            true => birth.create(&target),
            false => drop(init_to(&target, &birth.revision.to_string())),
        }
        (birth, is_born, target)
    })
}

#[apply(test)]
fn columns_of_the_next_revision_are_legitimate(database: &Database) {
    each(BIRTHS, |birth| {
        let database = database.another();
        birth.create(&database);
        let found = check(&database, &[]).expect(0);
        is_found(&found, "schema", "ok", birth.columns[0].name);
        init_to(&database, "head");
        is_found(&check(&database, &[]).expect(0), "schema", "ok", "as in revision");
    });
}

#[apply(test)]
fn a_column_of_the_next_revision_with_another_type_is_drift() {
    let database = Database::postgresql();
    init_to(&database, "12");
    database.execute("ALTER TABLE alert_sessions ADD pause_metadata text");
    is_found(
        &check(&database, &[]).expect(4),
        "schema",
        "failed",
        "alert_sessions.pause_metadata is text, expected json",
    );
}

#[apply(test)]
fn values_of_the_next_revision_arrive_and_the_target_goes_on_as_the_source_does() {
    each(BIRTHS, |birth| {
        let (source, target) = (birth.source(), Database::postgresql());
        let check_only = ["migrate-sqlite-to-postgres", "--check-only"];
        Outcome::of(tarsy_db(&source).args(check_only)).expect(0);
        Outcome::of(migrate(&source, &target).arg("--dry-run")).expect(0);
        assert_eq!(target.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
        Outcome::of(&mut migrate(&source, &target)).expect(0);
        birth.has_arrived(&target);
        is_found(&check(&target, &["--deep"]).expect(0), "schema", "ok", birth.columns[0].name);
        compare(&source, &target).expect(0);

        init_to(&target, "head");
        init_to(&source, "head");
        assert_eq!(ledger(&target), [Some(IDS[22].to_owned())]);
        for Early { table, name, value, .. } in birth.columns {
            let values = target.texts(&format!("SELECT {name}::text FROM {table}"));
            assert_eq!(values, [Some((*value).to_owned())], "{table}.{name}");
        }
        is_found(&check(&target, &["--deep"]).expect(0), "schema", "ok", "as in revision");
        compare(&source, &target).expect(0);
    });
}

#[apply(test)]
fn a_target_that_was_prepared_takes_them_with_and_without_the_columns() {
    each(prepared_targets(), |(birth, is_born, target)| {
        let source = birth.source();
        let Early { table, name, kind, .. } = &birth.columns[0];
        Outcome::of(migrate(&source, &target).arg("--dry-run")).expect(0);
        assert_eq!(type_of(&target, table, name), if is_born { *kind } else { "none" });
        Outcome::of(&mut migrate(&source, &target)).expect(0);
        birth.has_arrived(&target);
    });
}

#[apply(test)]
fn a_target_before_the_revision_that_has_a_column_already_keeps_its_type() {
    let (source, target) = (BIRTHS[2].source(), Database::postgresql());
    init_to(&target, "11");
    target.execute("ALTER TABLE alert_sessions ADD pause_metadata text");
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(4);
    refused.fails_with(&["alert_sessions.pause_metadata is text, expected json"]);
    target.execute("ALTER TABLE alert_sessions ALTER pause_metadata TYPE json USING NULL");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    BIRTHS[2].has_arrived(&target);
}

#[apply(test)]
fn rows_are_appended_with_them() {
    each(prepared_targets(), |(birth, is_born, target)| {
        let source = birth.source();
        let Early { table, name, kind, .. } = &birth.columns[0];
        target.execute(
            "INSERT INTO alert_sessions (session_id, agent_type, status, chain_id) VALUES ('theirs', 'k', 's', 'c')",
        );
        let planned = Outcome::of(migrate(&source, &target).args(["--append", "--dry-run"])).expect(0);
        assert_eq!(planned.stderr.contains("other sessions wait"), !is_born, "{}", planned.stderr);
        assert_eq!(type_of(&target, table, name), if is_born { *kind } else { "none" });
        Outcome::of(migrate(&source, &target).arg("--append")).expect(0);
        birth.has_arrived(&target);
        assert_eq!(target.count("alert_sessions"), 2);
    });
}

#[apply(test)]
fn an_archive_keeps_them_and_they_come_back(database: &Database) {
    each([&BIRTHS[0], &BIRTHS[2], &BIRTHS[4]], |birth| {
        let database = database.another();
        birth.create(&database);
        let archive = Database::sqlite();
        let path = archive.file();
        // The second time it already exists.
        for _ in 0..2 {
            birth.fill(&database);
            let prune = ["prune", "--older-than", "30d", "--max-share", "100%", "--yes", "--archive"];
            Outcome::of(tarsy_db(&database).args(prune).arg(&path)).expect(0);
            assert_eq!(database.count("alert_sessions"), 0);
        }
        let target = Database::postgresql();
        birth.create(&target);
        Outcome::of(migrate(&archive, &target).arg("--append")).expect(0);
        birth.has_arrived(&target);
    });
}

#[apply(test)]
fn what_was_appended_with_them_is_there_the_second_time() {
    let (source, target) = (BIRTHS[2].source(), Database::postgresql());
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    let again = Outcome::of(migrate(&source, &target).arg("--append")).expect(0);
    assert!(again.stdout.contains(r#""inserted": 0"#), "{}", again.stdout);
}

#[apply(test)]
fn what_a_target_was_filled_without_is_counted_when_it_is_compared() {
    let (source, target) = (BIRTHS[0].source(), Database::postgresql());
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    target.execute("ALTER TABLE alert_sessions DROP pod_id");
    compare(&source, &target).expect(7).tells(&["alert_sessions.pod_id (1 value)", "leaves out 1 value"]);
}

#[apply(test)]
fn columns_of_several_later_revisions_arrive() {
    let (source, target) = (Database::sqlite(), Database::postgresql());
    init_to(&source, "17");
    birth::fill(&source, 17);
    source.execute(
        "ALTER TABLE stage_executions ADD COLUMN parallel_type VARCHAR DEFAULT 'single' NOT NULL;
         ALTER TABLE alert_sessions ADD COLUMN slack_message_fingerprint VARCHAR;
         UPDATE stage_executions SET parallel_type = 'replica';
         UPDATE alert_sessions SET slack_message_fingerprint = 'f'",
    );
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    init_to(&target, "head");
    assert_eq!(target.texts("SELECT parallel_type FROM stage_executions"), [Some("replica".to_owned())]);
    assert_eq!(target.texts("SELECT slack_message_fingerprint FROM alert_sessions"), [Some("f".to_owned())]);
    is_found(&check(&target, &[]).expect(0), "schema", "ok", "as in revision");
}

#[apply(test)]
fn what_would_be_lost_is_counted_before_it_is_left_behind() {
    let (source, target) = one_session_and_target();
    source.execute(
        "ALTER TABLE llm_interactions ADD COLUMN our_score REAL DEFAULT 0.5;
         ALTER TABLE llm_interactions ADD COLUMN our_empty REAL;
         CREATE TABLE our_notes (id INTEGER PRIMARY KEY); INSERT INTO our_notes VALUES (1), (2)",
    );
    let counted =
        ["llm_interactions.our_score (1 value)", "llm_interactions.our_empty (0 values)", "our_notes (2 rows)"];
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(7);
    refused.tells(&[&counted[..], &["leaves out 1 value and 2 rows, kept in the source only"]].concat());
    let check_only = ["migrate-sqlite-to-postgres", "--check-only", "--output", "json"];
    Outcome::of(tarsy_db(&source).args(check_only)).expect(7).tells(&counted);
    let rest = ["--ignore", "llm_interactions.our_score", "--ignore", "our_notes"];
    let empty = Outcome::of(migrate(&source, &target).args(rest)).expect(7);
    empty.fails_with(&["add `--ignore llm_interactions.our_empty`: it holds no values"]);
}

#[apply(test)]
fn tables_of_a_later_revision_are_left_to_it_when_they_are_empty() {
    let (source, target) = one_session_and_target();
    source.execute("CREATE TABLE chats (chat_id VARCHAR NOT NULL PRIMARY KEY, session_id VARCHAR)");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.count("alert_sessions"), 1);
    let target = Database::postgresql();
    source.execute("INSERT INTO chats VALUES ('c', 'one')");
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(7);
    refused.tells(&["chats (1 row)", "init --to 11", "leaves out 1 row"]);
}

#[apply(test)]
fn a_revision_that_drops_values_is_not_recommended_without_their_number() {
    let (source, target) = one_session_and_target();
    init_to(&target, "3");
    let behind = Outcome::of(&mut migrate(&source, &target)).expect(7);
    behind.fails_with(&["later than", "init --to`"]);
    assert!(!behind.stdout.contains("drops"), "{}", behind.stdout);
    init_to(&target, "4");
    let counted = "drops the column `alert_sessions.alert_id`, which has values in 1 row";
    Outcome::of(&mut migrate(&source, &target)).expect(7).fails_with(&["init --to`", counted]);

    let later = BIRTHS[0].source();
    let target = Database::postgresql();
    init_to(&target, "1");
    birth::fill(&target, 1);
    let mut append = migrate(&later, &target);
    Outcome::of(append.arg("--append")).expect(7).fails_with(&[IDS[3], counted]);
}
