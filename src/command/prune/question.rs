//! The confirmation prompt.

use std::io::{IsTerminal, Write};

use super::summary::PruneSummary;
use crate::database::failure::Verb;
use crate::error::Error;
use crate::format::{counted, size};
use crate::history::retention::plan::RetentionPlan;
use crate::visible;

/// Asks for confirmation, if there is a terminal.
pub(crate) async fn confirm(summary: &PruneSummary) -> Result<(), Error> {
    let Some(plan) = &summary.plan else { return Ok(()) };
    let what = what(summary, plan);
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::NotConfirmed { what });
    }
    let question = question(&what, summary);
    let question = visible::line(&question).into_owned();
    // On its own thread, so that Ctrl-C works before an answer.
    let answer = tokio::task::spawn_blocking(move || ask(&question));
    let answer = answer.await.unwrap_or_else(|error| Err(error.into()));
    let answer = answer.map_err(|source| Error::System { action: (Verb::Ask, "for confirmation").into(), source })?;
    if is_yes(&answer) { Ok(()) } else { Err(Error::Declined) }
}

/// What would be removed.
fn what(summary: &PruneSummary, plan: &RetentionPlan) -> String {
    let database = &summary.database;
    let events = summary.events().map(|(events, _)| format!(" and {}", counted(events, "event"))).unwrap_or_default();
    let sessions = counted(plan.sessions, "session");
    let would_remove = format!("this would remove {sessions}{events} from {database}");
    if plan.is_interrupted {
        return format!("{would_remove}; their rows were not counted");
    }
    let mark = if plan.is_exact() { "" } else { "~" };
    format!("{would_remove}: {mark}{} with {mark}{} of values", counted(plan.rows(), "row"), size(plan.bytes()))
}

fn question(what: &str, summary: &PruneSummary) -> String {
    let limit = summary.limit();
    let from_before = summary.events().map(|(_, cutoff)| format!("; events from before {cutoff}")).unwrap_or_default();
    format!("{what} ({limit}{from_before}). Continue? [y/N] ")
}

fn ask(question: &str) -> std::io::Result<String> {
    let mut answer = String::new();
    std::io::stderr().write_all(question.as_bytes())?;
    if std::io::stdin().read_line(&mut answer)? == 0 {
        std::io::stderr().write_all(b"\n")?;
    }
    Ok(answer)
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for yes in ["y\n", "Yes\n", " YES "] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "yess\n", "no, yes\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
