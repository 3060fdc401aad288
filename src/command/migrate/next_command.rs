//! The command that moves the history in spite of its values: to paste, with the flags that decide what this run is about.

use std::time::Duration;

use clap::ValueEnum;

use crate::cli::migrate::MigrateSqliteToPostgres;
use crate::command::given_database::{given_urls, lacking};
use crate::format::shell_word;
use crate::settings::Settings;
use crate::transfer::job::load::{Toast, Verification};
use crate::transfer::value::policy::Choice;

/// The duration of `--lock-timeout` if it is not given.
const USUAL_LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A command to paste.
pub(super) struct NextCommand {
    pub(super) text: String,
    /// What was left out of it because it is secret, and how to give it.
    pub(super) lacks: Vec<String>,
}

impl NextCommand {
    /// `tarsy-db migrate-sqlite-to-postgres --from history.db --on nul=replace --report report.json`.
    pub(super) fn new(
        arguments: &MigrateSqliteToPostgres,
        settings: &Settings,
        source: &str,
        choices: impl Iterator<Item = Choice>,
    ) -> Self {
        let urls = given_urls(settings);
        let mut words =
            ["tarsy-db", "migrate-sqlite-to-postgres", "--from", &shell_word(source)].map(str::to_owned).to_vec();
        let switches = [(arguments.append, "--append"), (arguments.accept_damage, "--accept-damage")];
        words.extend(switches.into_iter().filter(|(is_given, _)| *is_given).map(|(_, flag)| flag.to_owned()));
        let mut add = |flag: &str, value: &str| words.extend([flag.to_owned(), shell_word(value)]);
        for (flag, url) in &urls {
            add(flag, &url.text);
        }
        if let Some(path) = &settings.config {
            add("--config", &path.display().to_string());
        }
        for name in &arguments.ignore {
            add("--ignore", name);
        }
        if arguments.verify != Verification::Full {
            add("--verify", &name_of(&arguments.verify));
        }
        if arguments.toast != Toast::Lz4 {
            add("--toast", &name_of(&arguments.toast));
        }
        if arguments.lock_timeout != USUAL_LOCK_TIMEOUT {
            add("--lock-timeout", &humantime::format_duration(arguments.lock_timeout).to_string().replace(' ', ""));
        }
        for choice in choices {
            add("--on", &choice.to_string());
        }
        add("--report", &arguments.report.as_ref().map_or("report.json".into(), |path| path.display().to_string()));
        Self { text: words.join(" "), lacks: lacking(&urls) }
    }
}

/// The name of a value on the command line.
fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
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
        let words = ["tarsy-db", "migrate-sqlite-to-postgres"].iter().chain(flags);
        let cli = Cli::try_parse_from(words).expect("the flags go together");
        let Command::MigrateSqliteToPostgres(arguments) = cli.command else { panic!("another command") };
        let variables = [("DATABASE_URL".to_owned(), "postgresql://u:hunter2@environment/d".into())];
        let settings = Settings::load(given, &Environment::from_iter(variables)).expect("sound settings");
        NextCommand::new(&arguments, &settings, "/h.db", std::iter::empty())
    }

    #[test]
    fn flags_that_are_not_the_default_are_repeated() {
        let plain = command(&["--check-only"], &Flags::default());
        assert_eq!(plain.text, "tarsy-db migrate-sqlite-to-postgres --from /h.db --report report.json");
        assert_eq!(plain.lacks, [""; 0]);
        let flags = ["--dry-run", "--verify", "counts", "--toast", "keep", "--lock-timeout", "90s", "--append"];
        let rest = "--append --verify counts --toast keep --lock-timeout 1m30s --report report.json";
        let text = command(&flags, &Flags::default()).text;
        assert_eq!(text, format!("tarsy-db migrate-sqlite-to-postgres --from /h.db {rest}"));
    }

    #[test]
    fn a_target_of_the_command_line_is_repeated_without_its_password() {
        let url = Some(Secret::new("postgresql://u:hunter2@h/d?sslmode=disable&sslpassword=hunter2"));
        for (flag, given) in [
            ("--to", Flags { target: url.clone(), ..Flags::default() }),
            ("--database-url", Flags { database_url: url.clone(), ..Flags::default() }),
        ] {
            let NextCommand { text, lacks } = command(&["--dry-run"], &given);
            assert!(text.contains(&format!(" {flag} 'postgresql://u@h/d?sslmode=disable' ")), "{text}");
            assert_eq!(lacks.len(), 2, "{lacks:?}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_word_that_a_shell_would_change_is_quoted() {
        let words = ["/srv/history.db", "my history.db", "it's", "a;b", ""];
        assert_eq!(words.map(shell_word), ["/srv/history.db", "'my history.db'", r"'it'\''s'", "'a;b'", "''"]);
    }
}
