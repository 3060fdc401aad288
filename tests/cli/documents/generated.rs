//! Completions, man pages and recorded schemas are checked in. `make generate` rewrites them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use clap_complete::Shell;
use tarsy_db::internals::{Access, PoolLimits, open, record};

use crate::support::cases::each;
use crate::support::database::block_on;
use crate::support::{Database, Outcome, apply, bare_tarsy_db, test};

#[apply(test)]
fn completions_are_those_of_the_command_line() {
    for shell in Shell::value_variants() {
        let script = completions(*shell);
        let name = clap_complete::Generator::file_name(shell, "tarsy-db");
        compare_or_write(&Path::new("completions").join(name), script.as_bytes());
    }
}

fn completions(shell: Shell) -> String {
    Outcome::of(bare_tarsy_db(Path::new(".")).args(["completions", &shell.to_string()])).expect(0).stdout
}

#[apply(test)]
fn bash_completes_what_comes_behind_a_subcommand() {
    let cases = [("prune --arch", "--archive"), ("migrate-sqlite-to-postgres --app", "--append"), ("chec", "check")];
    each(cases, |(words, expected)| {
        let last = words.rsplit(' ').next().expect("a word");
        let script = format!(
            "{}\nCOMP_WORDS=(tarsy-db {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _tarsy__db tarsy-db {last}; echo \"${{COMPREPLY[@]}}\"",
            completions(Shell::Bash)
        );
        let completed = Command::new("bash").args(["--norc", "-c", &script]).output().expect("bash is there");
        assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), expected, "{words}");
    });
}

#[apply(test)]
fn the_recorded_schemas_are_those_of_a_replay_on_this_server() {
    let database = Database::postgresql();
    let url = database.url().parse().expect("a URL");
    let recorded = block_on(async {
        let connection = open(&url, Access::Read, PoolLimits::ONE, Duration::from_secs(5)).await.expect("it opens");
        record(&connection).await.expect("all revisions")
    });
    compare_or_write(Path::new("src/schema/recorded.json"), recorded.as_bytes());
}

/// Compares with the file in the tree, which is written first if `UPDATE_GENERATED` is set.
pub(super) fn compare_or_write(path: &Path, expected: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("directories can be created");
        std::fs::write(&path, expected).expect("files can be written");
    }
    let found = std::fs::read(&path).unwrap_or_default();
    assert!(found == expected, "{} is not up to date: run `make generate`", path.display());
}
