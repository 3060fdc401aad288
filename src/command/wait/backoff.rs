//! When to retry, and when to give up.

use std::time::Duration;

use crate::cli::wait::Wait;

/// How long to retry after a failure that needs an operator: on its first start a server may accept connections before
/// it has created roles and databases.
const GRACE: Duration = Duration::from_secs(10);
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// How many attempts there are if nothing else limits them.
const ATTEMPTS: u32 = 30;

/// The state of the retries. It has no clock: all times are counted from the first attempt.
#[derive(Debug)]
pub(crate) struct Backoff {
    pub(crate) failures: u32,
    max_attempts: u32,
    timeout: Option<Duration>,
    retry_all: bool,
    interval: Duration,
    max_interval: Duration,
    /// Since when the failures need an operator.
    hopeless_since: Option<Duration>,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    TryAgain {
        pause: Duration,
    },
    /// The attempts are used up, or the failure needs an operator.
    GiveUp,
    DeadlineExceeded,
}

impl Backoff {
    pub(crate) fn new(arguments: &Wait) -> Self {
        let Wait { timeout, retry_all, max_interval, .. } = *arguments;
        let max_attempts = arguments.max_attempts.unwrap_or(if timeout.is_some() { u32::MAX } else { ATTEMPTS });
        let (failures, interval, hopeless_since) = (0, FIRST_INTERVAL, None);
        Self { failures, max_attempts, timeout, retry_all, interval, max_interval, hopeless_since }
    }

    /// The remaining time, if it is limited.
    pub(crate) fn remaining(&self, elapsed: Duration) -> Option<Duration> {
        self.timeout.map(|timeout| timeout.saturating_sub(elapsed))
    }

    /// Records a failure. `jittered` varies an interval.
    pub(crate) fn after_failure(
        &mut self,
        elapsed: Duration,
        is_temporary: bool,
        jittered: impl FnOnce(Duration) -> Duration,
    ) -> Next {
        self.failures += 1;
        self.hopeless_since = (!is_temporary).then(|| self.hopeless_since.unwrap_or(elapsed));
        let hopeless_since = self.hopeless_since.filter(|_| !self.retry_all);
        let grace = hopeless_since.map(|since| GRACE.saturating_sub(elapsed.saturating_sub(since)));
        if grace == Some(Duration::ZERO) || self.failures >= self.max_attempts {
            return Next::GiveUp;
        }
        let remaining = self.remaining(elapsed);
        if remaining == Some(Duration::ZERO) {
            return Next::DeadlineExceeded;
        }
        let interval = jittered(self.interval);
        self.interval = (self.interval * 2).min(self.max_interval);
        Next::TryAgain { pause: [grace, remaining].into_iter().flatten().fold(interval, Duration::min) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn backoff(arguments: &Wait) -> Backoff {
        Backoff::new(arguments)
    }

    fn unlimited() -> Wait {
        Wait { max_attempts: Some(u32::MAX), timeout: None, ..Wait::at_most(Duration::MAX) }
    }

    fn pauses(backoff: &mut Backoff, failures: u32) -> Vec<Next> {
        (0..failures).map(|_| backoff.after_failure(seconds(0), true, |interval| interval)).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = backoff(&Wait { max_interval: seconds(5), ..unlimited() });
        let expected = [1, 2, 4, 5, 5].map(|pause| Next::TryAgain { pause: seconds(pause) });
        assert_eq!(pauses(&mut backoff, 5), expected);
    }

    #[test]
    fn the_attempts_are_counted() {
        let mut backoff = backoff(&Wait { max_attempts: Some(2), ..unlimited() });
        assert_eq!(pauses(&mut backoff, 2), [Next::TryAgain { pause: seconds(1) }, Next::GiveUp]);
        assert_eq!(backoff.failures, 2);
    }

    #[test]
    fn a_time_that_is_given_is_the_only_limit() {
        let of = |timeout| Wait { max_attempts: None, timeout, ..unlimited() };
        let ends_after =
            |arguments: &Wait| pauses(&mut backoff(arguments), 100).iter().position(|next| *next == Next::GiveUp);
        assert_eq!(ends_after(&of(None)), Some(29));
        assert_eq!(ends_after(&of(Some(seconds(1)))), None);
        assert_eq!(ends_after(&Wait { max_attempts: Some(2), ..of(Some(seconds(1))) }), Some(1));
    }

    #[test]
    fn no_pause_goes_beyond_the_deadline() {
        let mut backoff = backoff(&Wait { timeout: Some(seconds(10)), ..unlimited() });
        let mut after = |elapsed| backoff.after_failure(seconds(elapsed), true, |_| seconds(4));
        assert_eq!(after(0), Next::TryAgain { pause: seconds(4) });
        assert_eq!(after(7), Next::TryAgain { pause: seconds(3) });
        assert_eq!(after(10), Next::DeadlineExceeded);
        assert_eq!(
            (backoff.remaining(seconds(7)), backoff.remaining(seconds(11))),
            (Some(seconds(3)), Some(seconds(0)))
        );
    }

    #[test]
    fn a_failure_that_needs_an_operator_is_retried_for_the_grace_only() {
        let mut limited = backoff(&unlimited());
        let mut after = |elapsed, is_temporary| limited.after_failure(seconds(elapsed), is_temporary, |_| seconds(60));
        assert_eq!(after(5, false), Next::TryAgain { pause: GRACE });
        assert_eq!(after(12, false), Next::TryAgain { pause: seconds(3) });
        assert_eq!(after(13, true), Next::TryAgain { pause: seconds(60) });
        assert_eq!(after(20, false), Next::TryAgain { pause: GRACE });
        assert_eq!(after(30, false), Next::GiveUp);
        let mut patient = backoff(&Wait { retry_all: true, ..unlimited() });
        let after = patient.after_failure(seconds(100), false, |interval| interval);
        assert_eq!(after, Next::TryAgain { pause: seconds(1) });
    }
}
