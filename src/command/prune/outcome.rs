//! The outcome of a removal, and the exit code of a run.

use std::time::Duration;

use crate::cli::prune::Prune;
use crate::database::failure::DatabaseError;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::history::removal::batch::Removed;
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
}
