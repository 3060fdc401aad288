//! The outcome of a removal, and the exit code of a run.

use std::time::Duration;

use crate::cli::prune::Prune;
use crate::database::failure::DatabaseError;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::history::removal::batch_error::{Removed, is_upgraded_concurrently};
use crate::history::retention::plan::RowSets;
use crate::history::tables::{Reference, SESSIONS};
use crate::interrupt::Signal;

/// The outcome of a removal.
#[derive(Debug, Default)]
pub(crate) struct RemovalOutcome {
    pub(crate) rows: Removed,
    /// The rows of failed commits, some of which may have taken place.
    pub(crate) uncommitted: Removed,
    /// Whether a commit failed or the connection was lost. After a crash or a failover of the server even committed rows
    /// may exist again.
    pub(crate) is_doubtful: bool,
    pub(crate) batches: u64,
    /// The longest time for which other sessions may have waited, if there were any.
    pub(crate) longest_batch: Option<Duration>,
    /// Sessions that could not be removed.
    pub(crate) stuck: Vec<FailedSession>,
    /// Why it ended early.
    pub(crate) stopped: Option<Stop>,
    /// Whether a batch was cancelled midway, so that the state of the connection is unknown.
    pub(crate) is_cut_off: bool,
}

/// A session that could not be removed.
#[derive(Debug)]
pub(crate) struct FailedSession {
    pub(crate) session_id: String,
    pub(crate) reason: String,
    pub(crate) error: DatabaseError,
}

/// Why a removal ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// `--max-duration` is over.
    Deadline,
    /// Another run began to prune the database while the connection was lost.
    TakenOver,
    /// A signal; the current batch was completed.
    Signal(Signal),
    Failed(Error),
}

impl Stop {
    /// Whether another session has upgraded the schema.
    pub(crate) fn is_upgrade(&self) -> bool {
        matches!(self, Self::Failed(Error::Database(error)) if is_upgraded_concurrently(&error.cause))
    }
}

/// The result of the run if sessions remain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRemaining {
    Succeed,
    Fail,
}

impl OnRemaining {
    pub(crate) fn of(arguments: &Prune) -> Self {
        if arguments.fail_if_remaining { Self::Fail } else { Self::Succeed }
    }
}

/// The end of a run, which decides the exit code.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    pub(crate) stopped: Option<Stop>,
    /// The error of the first session that could not be removed.
    pub(crate) stuck: Option<Error>,
    /// Whether sessions remain, or may remain.
    pub(crate) remain: bool,
}

impl Ending {
    /// The exit code of the process.
    pub(crate) fn exit_code_and_error(self, on_remaining: OnRemaining) -> (ExitCode, Option<Error>) {
        let error = match self.stopped {
            None | Some(Stop::Deadline | Stop::TakenOver) => self.stuck,
            Some(Stop::Signal(signal)) => Some(Error::Interrupted(signal)),
            Some(Stop::Failed(error)) => Some(error),
        };
        let exit_code = match &error {
            None | Some(Error::Interrupted(_)) if on_remaining == OnRemaining::Fail && self.remain => {
                ExitCode::Remaining
            }
            None => ExitCode::Done,
            Some(error) => error.exit_code(),
        };
        (exit_code, error)
    }
}

fn count_of(rows: &Removed, table: &str) -> u64 {
    rows.get(table).copied().unwrap_or_default()
}

fn missing_of(planned: u64, left: &RowSets, table: &'static str, reference: Option<Reference>) -> u64 {
    planned.saturating_sub(left.get(&(table, reference)).copied().unwrap_or_default())
}

/// Corrects what was removed by what is missing of each table. Sets may have rows in common: what is missing is at least the
/// largest set, and at most all of them together. False if that leaves open what was removed.
pub(crate) fn confirm_rows(planned: &RowSets, left: &RowSets, removed: &mut Removed, uncommitted: &Removed) -> bool {
    let mut is_certain = true;
    for table in uncommitted.keys() {
        removed.entry(table).or_default();
    }
    for (table, removed) in removed {
        let of_table = planned.iter().filter(|((of, _), _)| of == table);
        let missing = of_table.map(|((_, reference), rows)| missing_of(*rows, left, table, *reference));
        let (least, most) = missing.fold((0, 0), |(least, most), rows| (rows.max(least), most + rows));
        let at_least = (*removed).clamp(least, most);
        let at_most = (*removed + count_of(uncommitted, table)).min(most);
        is_certain &= at_least >= at_most;
        *removed = at_least.min(at_most);
    }
    is_certain
}

/// Corrects what was removed by the missing sessions, because only they were counted exactly: their rows went with them.
/// False if that leaves open what was removed.
pub(crate) fn confirm_sessions(planned: u64, left: &RowSets, removed: &mut Removed, uncommitted: &Removed) -> bool {
    let missing = missing_of(planned, left, SESSIONS, None);
    let (certain, open) = (count_of(removed, SESSIONS), count_of(uncommitted, SESSIONS));
    let is_about_others = open == 0 && !uncommitted.is_empty();
    if missing >= certain + open && !is_about_others {
        for (table, rows) in uncommitted {
            *removed.entry(table).or_default() += rows;
        }
        return true;
    }
    if let Some(sessions) = removed.get_mut(SESSIONS) {
        *sessions = missing.min(certain + open);
    }
    missing == certain && !is_about_others
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_code(stopped: Option<Stop>, stuck: Option<Error>, on_remaining: OnRemaining) -> ExitCode {
        Ending { stopped, stuck, remain: true }.exit_code_and_error(on_remaining).0
    }

    #[test]
    fn a_run_that_ends_for_the_time_or_for_another_is_done() {
        for stopped in [None, Some(Stop::Deadline), Some(Stop::TakenOver)] {
            assert_eq!(exit_code(stopped, None, OnRemaining::Succeed), ExitCode::Done);
        }
        assert_eq!(exit_code(Some(Stop::Deadline), Some(Error::Declined), OnRemaining::Succeed), ExitCode::Refused);
    }

    #[test]
    fn what_remains_outweighs_a_signal_and_no_failure() {
        let signal = || Some(Stop::Signal(Signal::Terminate));
        assert_eq!(exit_code(signal(), None, OnRemaining::Succeed), ExitCode::Terminated);
        assert_eq!(exit_code(signal(), None, OnRemaining::Fail), ExitCode::Remaining);
        assert_eq!(exit_code(None, None, OnRemaining::Fail), ExitCode::Remaining);
        assert_eq!(exit_code(Some(Stop::Failed(Error::Declined)), None, OnRemaining::Fail), ExitCode::Refused);
        assert_eq!(exit_code(None, Some(Error::Declined), OnRemaining::Fail), ExitCode::Refused);
        let all_gone = Ending { remain: false, ..Ending::default() };
        assert_eq!(all_gone.exit_code_and_error(OnRemaining::Fail).0, ExitCode::Done);
    }

    #[test]
    fn an_uncertain_commit_is_confirmed_by_the_rows_that_are_missing_of_which_some_may_be_in_two_sets() {
        let reference = Reference { child: "chats", column: "session_id", parent: SESSIONS, key: "session_id" };
        let sets = |rows, orphans| RowSets::from([(("chats", None), rows), (("chats", Some(reference)), orphans)]);
        let confirm = |left, removed, uncommitted| {
            let mut rows = Removed::from([("chats", removed)]);
            let is_certain = confirm_rows(&sets(40, 10), &left, &mut rows, &Removed::from([("chats", uncommitted)]));
            (is_certain, rows["chats"])
        };
        assert_eq!(confirm(sets(0, 10), 30, 10), (true, 40), "it was committed");
        assert_eq!(confirm(sets(10, 10), 30, 10), (true, 30), "it was rolled back");
        assert_eq!(confirm(sets(20, 10), 30, 10), (true, 20), "a crash of the server took back a commit");
        assert_eq!(confirm(sets(0, 0), 50, 0), (true, 50), "none were in both sets");
        assert_eq!(confirm(sets(0, 0), 40, 0), (true, 40), "the orphans were rows of sessions as well");
        assert_eq!(confirm(sets(0, 0), 40, 40), (false, 40), "the same batch was committed at the second attempt");
    }

    #[test]
    fn an_uncertain_commit_of_a_plan_with_estimates_is_confirmed_by_the_sessions_that_are_missing() {
        let confirm = |left, uncommitted: &[(&'static str, u64)]| {
            let mut removed = Removed::from([(SESSIONS, 3), ("chats", 30)]);
            let uncommitted = uncommitted.iter().copied().collect();
            let is_certain =
                confirm_sessions(10, &RowSets::from([((SESSIONS, None), left)]), &mut removed, &uncommitted);
            (is_certain, removed[SESSIONS], removed["chats"])
        };
        let open = [(SESSIONS, 2), ("chats", 20)];
        assert_eq!(confirm(5, &open), (true, 5, 50), "it was committed");
        assert_eq!(confirm(7, &open), (true, 3, 30), "it was rolled back");
        assert_eq!(confirm(6, &open), (false, 4, 30), "one of two was committed");
        // A crash of the server took back commits that had not reached the disk.
        assert_eq!(confirm(8, &open), (false, 2, 30));
        assert_eq!((confirm(7, &[]), confirm(8, &[])), ((true, 3, 30), (false, 2, 30)));
        assert_eq!(confirm(7, &[("events", 5)]), (false, 3, 30));
    }
}
