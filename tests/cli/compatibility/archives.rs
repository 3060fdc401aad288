//! Archives of earlier releases: they can be read, `prune` adds to them, and their rows can be brought back.

use std::collections::BTreeSet;
use std::fs;

use crate::support::archive::{archive_path, prune_into};
use crate::support::document::project;
use crate::support::history::{OLD_US, Rows, contents, insert_old_sessions, insert_whole_sessions, rows, session_ids};
use crate::support::migration::arguments_to;
use crate::support::prune::prune;
use crate::support::revision::init_to;
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, tarsy_db, test};

/// A copy of an archive that 0.1.0 wrote at the baseline.
fn archive_of_0_1_0() -> Database {
    let archive = Database::sqlite();
    fs::copy(project().join("tests/cli/compatibility/0.1.0/baseline.sqlite"), archive.file()).expect("a copy");
    archive
}

#[apply(test)]
fn an_archive_is_sound_and_can_be_shown() {
    let archive = archive_of_0_1_0();
    let checked = Outcome::of(tarsy_db(&archive).args(["check", "--deep", "--output", "json"])).expect(0).json();
    assert_eq!(checked["outcome"], "sound");
    let shown = Outcome::of(tarsy_db(&archive).args(["info", "--output", "json"])).expect(0).json();
    assert_eq!(shown["revision"], "ae85467a75d2");
    assert!(!session_ids(&archive).is_empty());
}

#[apply(test)]
fn prune_adds_to_an_archive(database: &Database) {
    insert_old_sessions(database, 2);
    let archive = archive_of_0_1_0();
    let (mut all, before): (Rows, _) = (rows(&archive), rows(database));
    prune_into(database, &archive, &[]).expect(0);
    assert_eq!(session_ids(database), Vec::<String>::new());
    all.extend(before);
    assert_eq!(rows(&archive), all);
}

#[apply(test)]
fn prune_refuses_an_archive_of_another_revision_until_it_is_upgraded(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 2, OLD_US);
    let archive = archive_of_0_1_0();
    let before = (contents(&archive), contents(database));
    let refused = prune_into(database, &archive, &[]).expect(7);
    assert!(refused.stderr.contains("is at revision ae85467a75d2"), "{}", refused.stderr);
    assert_eq!((contents(&archive), contents(database)), before);

    init_to(&archive, "head");
    let sessions: BTreeSet<_> = session_ids(&archive).into_iter().chain(session_ids(database)).collect();
    prune_into(database, &archive, &[]).expect(0);
    assert_eq!(session_ids(&archive).into_iter().collect::<BTreeSet<_>>(), sessions);
    assert_eq!(session_ids(database), Vec::<String>::new());
}

#[apply(test)]
fn prune_adds_to_a_compressed_archive(database: &Database) {
    database.create_schema(Schema::Head);
    insert_whole_sessions(database, 2, OLD_US);
    let archive = Database::sqlite();
    let compressed = fs::read(project().join("tests/cli/compatibility/0.1.0/head.sqlite.zst")).expect("a fixture");
    fs::write(archive.file().with_extension("db.zst"), &compressed).expect("a copy");
    fs::write(archive.file(), zstd::decode_all(&compressed[..]).expect("it is zstd")).expect("a copy");
    let expected: BTreeSet<_> = session_ids(&archive).into_iter().chain(session_ids(database)).collect();
    assert!(expected.len() > 2, "{expected:?}");
    fs::remove_file(archive.file()).expect("it was there");

    prune(database, &["--yes", "--archive", &archive_path(&archive)]).expect(0);
    assert_eq!(session_ids(&archive).into_iter().collect::<BTreeSet<_>>(), expected);
}

#[apply(test)]
fn the_rows_of_an_archive_can_be_brought_back() {
    let (archive, target) = (archive_of_0_1_0(), Database::postgresql().with_schema(Schema::Baseline));
    let append = || {
        let mut command = bare_tarsy_db(archive.directory());
        Outcome::of(command.args(arguments_to(target.url())).arg("--append"))
    };
    append().expect(0);
    assert_eq!(session_ids(&target), session_ids(&archive));
    // A second time all rows are there, bit by bit.
    append().expect(0);
    assert_eq!(session_ids(&target), session_ids(&archive));
}
