//! `migrate-sqlite-to-postgres`: for a source that is no file, no SQLite file or damaged, the message says so.

use std::fs;
use std::process::Command;

use crate::support::cases::each;
use crate::support::history::{NOW_US, insert_many};
use crate::support::migration::{arguments, assert_no_tables, migrate, one_session_and_target, source_and_target};
use crate::support::sqlite_file::leaves_the_source_as_it_is;
use crate::support::{Database, Outcome, Schema, apply, bare_tarsy_db, test};

/// A SQLite file of some hundred pages in this journal mode, with the schema and a history.
fn bytes_of_a_history(journal_mode: &str) -> Vec<u8> {
    let original = Database::sqlite().with_schema(Schema::Baseline);
    insert_many(&original, 300, 4096, NOW_US);
    original.execute(&format!("PRAGMA journal_mode = {journal_mode}"));
    fs::read(original.file()).expect("the file is there")
}

/// Moves a source with this content, which must fail with this code and message and change nothing.
#[track_caller]
fn refuses(content: &[u8], code: i32, words: &[&str]) {
    let target = Database::postgresql();
    let source = Database::sqlite();
    fs::write(source.file(), content).expect("a file");
    let refused = leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate(&source, &target)));
    refused.expect(code).fails_with(&[&["history.db"], words].concat());
    assert_no_tables(&target);
}

#[apply(test)]
fn other_files_are_refused_with_their_format() {
    refuses(b"", 74, &["the file is empty"]);
    refuses(
        b"BEGIN TRANSACTION;\nCREATE TABLE alert_sessions (session_id TEXT);\n",
        74,
        &["not a SQLite database", "a dump"],
    );
    refuses(b"\x1f\x8b\x08\x00 and so on", 74, &["compressed"]);
    refuses(&[0; 8192], 74, &["zeros"]);
    refuses(b"SQLite format 3\0", 74, &["truncated"]);
    // A SQLCipher file is random from the first byte on.
    let noise: Vec<u8> = (0..8192_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    refuses(&noise, 74, &["encrypted", "sqlcipher_export"]);
}

#[apply(test)]
fn a_damaged_file_is_refused_with_its_damage() {
    each(["WAL", "DELETE"], |journal_mode| {
        let sound = bytes_of_a_history(journal_mode);
        refuses(&sound[..sound.len() - 4096], 74, &["truncated", "pages of 4096 bytes", "restore a backup"]);
        let changed = |place: usize, bytes: &[u8]| {
            let mut content = sound.clone();
            content[place..place + bytes.len()].copy_from_slice(bytes);
            content
        };
        refuses(&changed(19, &[3]), 74, &["newer format"]);
        refuses(&changed(47, &[5]), 74, &["newer format"]);
        refuses(&changed(16, &[3, 1]), 74, &["the page size is 769"]);
        refuses(&changed(0, &[b'X'; 16]), 74, &["not a SQLite database"]);
        // The root of the schema.
        refuses(&changed(100, &[0xab; 200]), 74, &["malformed"]);
    });
}

#[apply(test)]
fn a_page_damaged_in_the_middle_is_found_while_it_is_read() {
    let (source, target) = source_and_target();
    let mut content = bytes_of_a_history("WAL");
    // Leaf pages of tables begin with 13; other pages hold the rest of long values.
    let pages = content.len() / 4096;
    let leaf = (pages / 2..pages).find(|page| content[page * 4096] == 13).expect("a leaf");
    content[leaf * 4096..][..4096].fill(0xab);
    fs::write(source.file(), content).expect("a file");
    let refused = leaves_the_source_as_it_is(&source, || Outcome::of(&mut migrate(&source, &target))).expect(74);
    refused.fails_with(&["malformed", "restore a backup"]);
    assert_no_tables(&target);
}

#[apply(test)]
fn what_is_not_a_file_is_not_waited_for() {
    let target = Database::postgresql();
    let source = Database::sqlite();
    let path = source.file();
    Outcome::of(&mut migrate(&source, &target)).expect(78).fails_with(&["there is no file /", "/history.db", "--from"]);
    assert!(!path.exists());
    fs::create_dir(&path).expect("a directory");
    Outcome::of(&mut migrate(&source, &target)).expect(73).fails_with(&["/history.db is a directory"]);
    fs::remove_dir(&path).expect("it is empty");
    let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    Outcome::of(&mut migrate(&source, &target)).expect(74).fails_with(&["/history.db is a FIFO, not a regular file"]);
    let mut from_device = bare_tarsy_db(source.directory());
    from_device.args(["--output", "json", "migrate-sqlite-to-postgres", "--from", "/dev/zero", "--to", target.url()]);
    Outcome::of(&mut from_device).expect(74).fails_with(&["/dev/zero is a device, not a regular file"]);
}

#[apply(test)]
fn a_file_that_this_user_may_not_read_is_a_matter_of_privileges() {
    let (source, target) = one_session_and_target();
    let script = r#"cp "$1" tarsy-db; chmod 0000 history.db; shift
        if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=65534 --regid=65534 --clear-groups ./tarsy-db "$@"
        else set -- ./tarsy-db "$@"; fi
        chmod 0755 .; exec "$@""#;
    let mut shell = assert_cmd::Command::new("sh");
    shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_tarsy-db")]).args(arguments(&target));
    shell.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(source.directory());
    Outcome::of(&mut shell).expect(77).fails_with(&[
        "permission denied: this user may not read /",
        "/history.db",
        "the user of TARSy's backend",
    ]);
}
