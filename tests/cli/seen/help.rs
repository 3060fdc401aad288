//! The manual, on a terminal of 100 columns.

use std::path::Path;

use clap::CommandFactory;
use tarsy_db::Cli;

use crate::support::snapshot::assert_seen;
use crate::support::{Outcome, apply, bare_tarsy_db, test};

fn shown(words: &[&str]) -> String {
    Outcome::of(bare_tarsy_db(Path::new(".")).env("COLUMNS", "100").args(words)).expect(0).stdout
}

/// Each help text by the name of its snapshot, with the words that print it.
fn texts() -> Vec<(String, Vec<String>)> {
    let cli = Cli::command();
    let commands = std::iter::once(None).chain(cli.get_subcommands().map(|command| Some(command.get_name())));
    let of_command = |command: Option<&str>| {
        [("short", "-h"), ("long", "--help")].map(|(length, flag)| {
            let name = command.map_or(format!("help-{length}"), |command| format!("help-{command}-{length}"));
            (name, command.into_iter().chain([flag]).map(str::to_owned).collect())
        })
    };
    commands.flat_map(of_command).collect()
}

/// The names of these snapshots.
pub(super) fn names() -> Vec<String> {
    texts().into_iter().map(|(name, _)| name).chain(["help-version".to_owned()]).collect()
}

#[apply(test)]
fn help_of_every_command() {
    for (name, words) in texts() {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        assert_seen(&name, &shown(&words));
    }
}

#[apply(test)]
fn the_version() {
    for flag in ["-V", "--version"] {
        assert_seen("help-version", &shown(&[flag]).replace(env!("CARGO_PKG_VERSION"), "<version>"));
    }
}
