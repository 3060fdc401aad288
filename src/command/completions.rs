//! `completions`: prints what a shell needs to complete the command line.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::cli::completions::Completions;
use crate::exit_code::ExitCode;
use crate::output::{Block, Report};

pub(crate) fn run(arguments: &Completions) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "tarsy-db", &mut script);
    let script = String::from_utf8(script).expect("completions are UTF-8");
    // clap_complete 4.6.11 takes the hyphen of the name for one between subcommands, and bash then completes nothing
    // behind any of them.
    let script = script.replace("tarsy__subcmd__db", "tarsy__db");
    let document = serde_json::json!({ "shell": arguments.shell.to_string(), "script": script });
    Report {
        document,
        blocks: vec![Block::Script(script.trim_end().to_owned())],
        exit_code: ExitCode::Done,
        error: None,
        committed: None,
    }
}
