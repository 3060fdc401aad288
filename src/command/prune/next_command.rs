//! The dry run that a report recommends: a command to paste, with the flags that decide what this run is about.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::cli::parser::Age;
use crate::cli::prune::Prune;
use crate::database::url::DatabaseUrl;
use crate::format::shell_word;
use crate::settings::{SettingSource, Settings};

/// The share of `--max-share` if it is not given.
const USUAL_SHARE: f64 = 0.5;

/// `tarsy-db prune --dry-run --older-than 30d`.
pub(crate) fn dry_run(arguments: &Prune, settings: &Settings) -> String {
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
    let database = settings.pooled.as_ref().unwrap_or(&settings.database);
    if matches!(database.source, SettingSource::Flag(_)) {
        add("--database-url", shown_url(&database.value));
    }
    let Prune { events, orphans, include_active, .. } = *arguments;
    let switches = [(events, "--events"), (orphans, "--orphans"), (include_active, "--include-active")];
    words.extend(switches.into_iter().filter(|(is_given, _)| *is_given).map(|(_, flag)| flag.to_owned()));
    words.join(" ")
}

/// The URL of a file. That of a server may hold a password.
fn shown_url(url: &DatabaseUrl) -> String {
    url.sqlite_path().map_or("URL".to_owned(), |path| format!("sqlite:///{}", path.display()))
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
    use super::*;

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
