//! All commands that change rows read the ledger, and refuse the same ones as `init`.

use crate::support::baseline;
use crate::support::cases::each;
use crate::support::history::{DAY_US, NOW, NOW_US, contents, insert_session};
use crate::support::migration::arguments;
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

/// A ledger, and the exit code of every command that reads it.
const LEDGERS: [(&[&str], i32); 4] = [
    (&["ae85467a75d2", "ffffffffffff"], 4),
    (&["ae85467a75d2", "3eafea61046d"], 4),
    (&["eeeeeeeeeeee", "ffffffffffff"], 4),
    (&["ffffffffffff"], 5),
];

fn history(database: &Database) {
    database.create_schema(Schema::Baseline);
    for id in ["old", "older"] {
        insert_session(database, id, "completed", Some(NOW_US - 400 * DAY_US));
    }
}

fn say(database: &Database, revisions: &[&str]) {
    database.execute("DELETE FROM alembic_version");
    for revision in revisions {
        database.execute(&format!("INSERT INTO alembic_version (version_num) VALUES ('{revision}')"));
    }
}

/// Makes sure that a command that would change something is refused and changes nothing.
#[track_caller]
fn is_refused(database: &Database, arguments: &[&str], code: i32) -> Outcome {
    let before = (baseline::listing(database), contents(database));
    let refused = Outcome::of(tarsy_db(database).args(arguments)).expect(code);
    assert!((baseline::listing(database), contents(database)) == before, "{arguments:?} changed something");
    refused
}

#[apply(test)]
fn prune_refuses_what_init_refuses(database: &Database) {
    history(database);
    let prune = ["prune", "--now", NOW, "--max-share", "100%", "--yes"];
    let commands: [&[&str]; 4] = [
        &["--older-than", "90d"],
        &["--older-than", "90d", "--orphans"],
        &["--older-than", "90d", "--archive", "archive.db"],
        &["--older-than", "90d", "--dry-run"],
    ];
    each(LEDGERS, |(revisions, code)| {
        say(database, revisions);
        for more in commands {
            let refused = is_refused(database, &[&prune, more].concat(), code);
            for revision in revisions.iter().filter(|_| code == 4) {
                assert!(refused.stderr.contains(revision), "{}", refused.stderr);
            }
        }
    });
    say(database, &["ae85467a75d2"]);
    Outcome::of(tarsy_db(database).args(prune).args(["--older-than", "90d"])).expect(0);
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn prune_refuses_a_history_without_one_of_its_tables(database: &Database) {
    history(database);
    database.execute("DROP TABLE mcp_communications");
    let arguments = ["prune", "--now", NOW, "--max-share", "100%", "--yes", "--older-than", "90d"];
    let refused = is_refused(database, &arguments, 4);
    assert!(refused.stderr.contains("mcp_communications"), "{}", refused.stderr);
}

#[apply(test)]
fn nothing_is_repaired_with_an_unknown_ledger(database: &Database) {
    history(database);
    database.execute("DROP INDEX ix_alert_sessions_status");
    each(LEDGERS, |(revisions, code)| {
        say(database, revisions);
        let checked = is_refused(database, &["check", "--fix"], code);
        assert!(checked.stdout.contains("no repair was tried"), "{}", checked.stdout);
    });
    say(database, &["ae85467a75d2"]);
    Outcome::of(tarsy_db(database).args(["check", "--fix"])).expect(0);
}

#[apply(test)]
fn a_migration_refuses_such_a_source_and_such_a_target() {
    let source = Database::sqlite();
    history(&source);
    let (revisions, code) = LEDGERS[0];
    let target = Database::postgresql().with_schema(Schema::Baseline);
    say(&target, revisions);
    is_refused(&source, &arguments(&target), code);
    say(&target, &["ae85467a75d2"]);
    say(&source, revisions);
    is_refused(&source, &arguments(&target), code);
    assert_eq!(target.count("alert_sessions"), 0);
}

/// The backend reads the blanks, which a cast of PostgreSQL removes.
#[apply(test)]
fn a_padded_revision_is_refused_with_what_to_do(database: &Database) {
    history(database);
    match database.is_sqlite() {
        true => database.execute("UPDATE alembic_version SET version_num = 'ae85467a75d2  '"),
        false => database.execute("ALTER TABLE alembic_version ALTER version_num TYPE char(32)"),
    }
    let commands: [&[&str]; 4] = [
        &["init", "--to", "head"],
        &["prune", "--older-than", "90d", "--yes"],
        &["wait", "--for", "schema", "--max-attempts", "1"],
        &["check"],
    ];
    each(commands, |arguments| {
        let refused = is_refused(database, arguments, 4);
        let shown = [refused.stdout, refused.stderr].concat();
        assert!(
            shown.contains("the revision `ae85467a75d2` in `alembic_version.version_num` ends with blanks"),
            "{shown}"
        );
        assert!(shown.contains("TYPE varchar(32) USING rtrim(version_num)"), "{shown}");
    });
    match database.is_sqlite() {
        true => database.execute("UPDATE alembic_version SET version_num = rtrim(version_num)"),
        false => {
            database.execute("ALTER TABLE alembic_version ALTER version_num TYPE varchar(32) USING rtrim(version_num)");
        }
    }
    Outcome::of(tarsy_db(database).args(["init", "--to", "head"])).expect(0);
}
