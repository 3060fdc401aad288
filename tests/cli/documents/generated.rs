//! Completions, man pages and recorded schemas are checked in. `make generate` rewrites them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use clap_complete::Shell;
use tarsy_db::internals::{Access, PoolLimits, open, record};

use crate::support::cases::each;
use crate::support::database::block_on;
use crate::support::document::compare_or_write;
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
    let cases = [
        ("prune --arch", "--archive"),
        ("migrate-sqlite-to-postgres --app", "--append"),
        ("chec", "check"),
        ("init --to hea", "head"),
        ("init --to 7c61", "7c617b3e7c2c"),
        ("prune --status comp", "completed"),
        ("completions fi", "fish"),
        ("migrate-sqlite-to-postgres --on nul=rep", "nul=replace"),
    ];
    each(cases, |(words, expected)| {
        let mut behind = words.rsplit(' ');
        let (last, previous) = (behind.next().expect("a word"), behind.next().unwrap_or("tarsy-db"));
        let script = format!(
            "{}\nCOMP_WORDS=(tarsy-db {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _tarsy__db tarsy-db {last} {previous}; echo \"${{COMPREPLY[@]}}\"",
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
