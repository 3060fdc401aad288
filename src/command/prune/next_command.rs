//! The dry run that a report recommends: a command to paste, with the flags that decide what this run is about.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::cli::parser::Age;
use crate::cli::prune::Prune;
use crate::command::given_database::{given_urls, lacking};
use crate::format::shell_word;
use crate::settings::Settings;

/// The share of `--max-share` if it is not given.
const USUAL_SHARE: f64 = 0.5;

/// A command to paste.
pub(super) struct NextCommand {
    pub(super) text: String,
    /// What was left out of it because it is secret, and how to give it.
    pub(super) lacks: Vec<String>,
}

/// `tarsy-db prune --dry-run --older-than 30d`.
pub(super) fn dry_run(arguments: &Prune, settings: &Settings) -> NextCommand {
    let mut words = ["tarsy-db", "prune", "--dry-run"].map(str::to_owned).to_vec();
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
    if let Some(Age::Positive(age)) = &arguments.older_than {
        add("--older-than", in_one_unit(*age));
    }
    for (flag, time) in [("--before", arguments.before), ("--now", arguments.now)] {
        if let Some(time) = time {
            add(flag, rfc3339(time));
        }
    }
    let Prune { status, alert_type, agent_type, .. } = arguments;
    for (flag, values) in [("--status", status), ("--alert-type", alert_type), ("--agent-type", agent_type)] {
        for value in values {
            add(flag, value.clone());
        }
    }
    if arguments.max_share.to_bits() != USUAL_SHARE.to_bits() {
        add("--max-share", format!("{}%", (arguments.max_share * 1e8).round() / 1e6));
    }
    if let Some(path) = &settings.config {
        add("--config", path.display().to_string());
    }
    let urls = given_urls(settings);
    for (flag, url) in &urls {
        add(flag, url.text.clone());
    }
    let Prune { events, orphans, include_active, .. } = *arguments;
    let switches = [(events, "--events"), (orphans, "--orphans"), (include_active, "--include-active")];
    words.extend(switches.into_iter().filter(|(is_given, _)| *is_given).map(|(_, flag)| flag.to_owned()));
    NextCommand { text: words.join(" "), lacks: lacking(&urls) }
}

/// The largest unit that gives a whole number.
fn in_one_unit(age: Duration) -> String {
    let units = [(86_400_000_000_000, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s")];
    let unit = units.into_iter().find(|(nanoseconds, _)| age.as_nanos().is_multiple_of(*nanoseconds));
    let (nanoseconds, unit) = unit.unwrap_or((1, "ns"));
    format!("{}{unit}", age.as_nanos() / nanoseconds)
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::database::url::Secret;
    use crate::settings::{Environment, Flags};

    /// The command after one with these flags.
    fn command(flags: &[&str], given: &Flags) -> NextCommand {
        let cli = Cli::try_parse_from(["tarsy-db", "prune"].iter().chain(flags)).expect("the flags go together");
        let Command::Prune(arguments) = cli.command else { panic!("another command") };
        let variables = [("DATABASE_URL".to_owned(), "postgresql://u:hunter2@environment/d".into())];
        let settings = Settings::load(given, &Environment::from_iter(variables)).expect("sound settings");
        let needs_session = given.needs_session;
        dry_run(&arguments, &if needs_session { settings.for_a_session() } else { settings })
    }

    #[test]
    fn a_database_of_the_command_line_is_repeated_without_its_password() {
        let plain = command(&["--yes", "--older-than", "30d"], &Flags::default());
        assert_eq!(plain.text, "tarsy-db prune --dry-run --older-than 30d");
        assert_eq!(plain.lacks, [""; 0]);
        let url = Some(Secret::new("postgresql://u:hunter2@h/d?sslmode=disable"));
        for (flag, given) in [
            ("--database-url", Flags { database_url: url.clone(), ..Flags::default() }),
            ("--direct-url", Flags { direct_url: url.clone(), needs_session: true, ..Flags::default() }),
        ] {
            let NextCommand { text, lacks } = command(&["--yes"], &given);
            assert_eq!(text, format!("tarsy-db prune --dry-run {flag} 'postgresql://u@h/d?sslmode=disable'"));
            assert_eq!(lacks, ["the command lacks the password: set PGPASSWORD or use a password file"]);
        }
    }

    #[test]
    fn an_age_has_one_unit() {
        let hours = |hours| in_one_unit(Duration::from_hours(hours));
        assert_eq!([hours(48), hours(36)], ["2d", "36h"]);
        let units = [in_one_unit(Duration::from_secs(90)), in_one_unit(Duration::from_micros(1))];
        assert_eq!(units, ["90s", "1000ns"]);
    }

    #[test]
    fn a_shell_reads_the_same_word() {
        assert_eq!(["failed", "sqlite:////a/b.db", "67%"].map(shell_word), ["failed", "sqlite:////a/b.db", "67%"]);
        assert_eq!(["it's", "", "$(x)"].map(shell_word), [r"'it'\''s'", "''", "'$(x)'"]);
    }
}
