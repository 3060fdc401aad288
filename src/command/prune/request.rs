//! What a run has to do: the flags and the settings, resolved.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::cli::parser::Age;
use crate::cli::prune::Prune;
use crate::command::retention::{Retention, retention_days_from};
use crate::database::url::DatabaseUrl;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::format;
use crate::history::events::EventPolicy;
use crate::history::retention::policy::{ActiveSessions, Filter, Limit, RetentionError, RetentionPolicy};
use crate::history::retention::selection::Precision;
use crate::settings::Settings;

pub(crate) struct Request<'r> {
    pub(crate) arguments: &'r Prune,
    pub(crate) settings: &'r Settings,
    /// The time from which ages are counted.
    pub(crate) now: DateTime<Utc>,
    pub(crate) policy: RetentionPolicy,
    /// `None` without `--events`.
    pub(crate) event_policy: Option<EventPolicy>,
}

impl<'r> Request<'r> {
    pub(crate) fn new(arguments: &'r Prune, settings: &'r Settings, clock: DateTime<Utc>) -> Result<Self, Error> {
        let now = arguments.now.unwrap_or(clock);
        let policy = policy(arguments, settings, now)?;
        if policy.cutoff_us >= clock.timestamp_micros() {
            return Err(RetentionError::CutoffNotPast(cutoff(policy.cutoff_us)).into());
        }
        let hours = settings.event_retention_hours.value;
        let event_policy = arguments.events.then(|| EventPolicy::new(hours, now)).transpose()?;
        Ok(Self { arguments, settings, now, policy, event_policy })
    }

    /// Until when rows may be counted: half of `--max-duration` is left for the removal.
    pub(crate) fn counts_until(&self, started: Instant) -> Option<Instant> {
        // Without any time nothing is removed, and the plan is all that the run is for.
        let limit = self.arguments.max_duration.filter(|limit| !limit.is_zero())?;
        started.checked_add(limit / 2)
    }

    /// How the sessions that others need are searched. A removal on PostgreSQL searches once for all of them: to search
    /// again in each batch takes longer than to join two tables. SQLite would read all interactions, and a limit of time
    /// is for the removal.
    pub(crate) fn search(&self) -> Precision {
        let Prune { exact, dry_run, max_duration, .. } = *self.arguments;
        let is_on_server = matches!(self.settings.database.value, DatabaseUrl::Postgresql(_));
        match exact || (is_on_server && !dry_run && max_duration.is_none()) {
            true => Precision::Exact,
            false => Precision::Estimated,
        }
    }

    /// The policy for a database whose revision is known. If no retention is set, no session is removed: a dry run shows
    /// what the longest default would remove, and events and orphans are removed without sessions.
    pub(crate) fn chosen_policy(&self, retention: &Retention) -> Result<RetentionPolicy, RetentionError> {
        let Self { arguments, policy, .. } = self;
        let policy = policy.clone();
        let is_about_others = (arguments.events || arguments.orphans) && !arguments.fail_if_remaining;
        match (retention.is_chosen(), is_about_others) {
            (true, _) => Ok(policy),
            (false, true) => {
                tracing::warn!("no session is removed: {}", RetentionError::NotChosen.hint().unwrap_or_default());
                Ok(policy.without_sessions())
            }
            (false, false) if arguments.dry_run => {
                Ok(RetentionPolicy { filter: policy.filter, ..retention.policy(policy.active, self.now)? })
            }
            (false, false) => Err(RetentionError::NotChosen),
        }
    }
}

fn policy(arguments: &Prune, settings: &Settings, now: DateTime<Utc>) -> Result<RetentionPolicy, Error> {
    let limit = match (arguments.before, &arguments.older_than) {
        (Some(time), _) => Limit::Before(time),
        (None, Some(Age::Positive(age))) => Limit::OlderThan(*age),
        (None, Some(Age::NotPositive(text))) => return Err(RetentionError::NotPositive(text.clone()).into()),
        (None, None) => Limit::OlderThan(settings.retention()),
    };
    let active = if arguments.include_active { ActiveSessions::Remove } else { ActiveSessions::Keep };
    let filter = Filter {
        statuses: arguments.status.clone(),
        alert_types: arguments.alert_type.clone(),
        agent_types: arguments.agent_type.clone(),
    };
    let source = settings.retention_days.source.to_string();
    let policy = RetentionPolicy::new(limit, active, now);
    let policy = policy.map_err(|error| error.of_setting(&retention_days_from(&source)))?;
    Ok(RetentionPolicy { filter, ..policy })
}

/// A cutoff, in microseconds since the epoch, as the summary and the messages show it.
pub(crate) fn cutoff(cutoff_us: i64) -> String {
    format::exact_time(cutoff_us).expect("a cutoff comes from a time that chrono can say")
}
