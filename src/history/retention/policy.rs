//! Which sessions may go: a cutoff, what is over, and what the operator asks for besides.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DbBackend;

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::format;
use crate::history::tables::TERMINAL_STATUSES;
use crate::schema::sql::{literal, quoted};

/// How many days of history TARSy keeps by its design, and the baseline revision with it.
pub(crate) const DAYS_BY_DESIGN: u32 = 90;
/// How many days of history TARSy's releases keep since January 2026.
pub(crate) const DAYS_OF_RELEASES: u32 = 365;

/// A shorter retention is a slip: `3m` are minutes.
const SHORTEST: Duration = Duration::from_hours(1);

/// No session started before this, which every backend can compare.
const NO_SESSION_US: i64 = -i64::MAX;

/// Which sessions may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetentionPolicy {
    /// Sessions that started before this moment, in microseconds since the epoch, are old.
    pub cutoff_us: i64,
    /// What happens to old sessions that are not over.
    pub active: ActiveSessions,
    /// Only these.
    pub filter: Filter,
}

/// What happens to old sessions that are not in a terminal status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActiveSessions {
    /// They stay.
    Keep,
    /// They go, too.
    Remove,
}

/// What a session has to be to be meant at all: one of the values of each list that is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Its status.
    pub statuses: Vec<String>,
    /// Its alert's type.
    pub alert_types: Vec<String>,
    /// Its agent's type.
    pub agent_types: Vec<String>,
}

/// How old is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Longer ago than this.
    OlderThan(Duration),
    /// Before this moment.
    Before(DateTime<Utc>),
}

impl Limit {
    /// The time before which sessions are old.
    fn cutoff(self, now: DateTime<Utc>) -> Result<DateTime<Utc>, RetentionError> {
        match self {
            Self::OlderThan(age) if age.is_zero() => Err(RetentionError::NotPositive(format::duration(age))),
            Self::OlderThan(age) if age < SHORTEST => Err(RetentionError::TooShort(format::duration(age))),
            Self::OlderThan(age) => {
                let cutoff = TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age));
                cutoff.ok_or(RetentionError::TooLong(age.as_secs() / 86_400))
            }
            Self::Before(time) if time >= now => Err(RetentionError::NotPositive(format!("everything before {time}"))),
            Self::Before(time) => Ok(time),
        }
    }
}

/// Why a retention cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetentionError {
    /// It would remove everything.
    #[error("a retention of {0} would remove the whole history")]
    NotPositive(String),
    /// Whoever says so means something else.
    #[error("a retention of {0} is less than an hour")]
    TooShort(String),
    /// It reaches back beyond what a time can say; in days.
    #[error("a retention of {0} days reaches back too far")]
    TooLong(u64),
    /// None was chosen, and what TARSy's backend keeps is not known.
    #[error(
        "no retention of sessions is set: TARSy keeps {DAYS_BY_DESIGN} days by its design and {DAYS_OF_RELEASES} days in \
         its releases since January 2026; nothing was removed"
    )]
    NotChosen,
    /// It would remove every event, or reaches back beyond what a time can say.
    #[error("events cannot be kept for {0} hours")]
    Events(u32),
}

impl Diagnostic for RetentionError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Configuration
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            RetentionError::NotPositive(_) => "the cutoff has to lie in the past; to start anew, use a new database",
            RetentionError::TooShort(_) => "`m` are minutes and `M` months; `--before` takes any moment",
            RetentionError::TooLong(_) => "give fewer days, as in `90d`",
            RetentionError::NotChosen => {
                "set HISTORY_RETENTION_DAYS to the number of days that the backend keeps, or give `--older-than 365d`"
            }
            RetentionError::Events(_) => "set EVENT_RETENTION_HOURS to what browsers may need, 24 for a day",
        };
        Some(hint.to_owned())
    }
}

impl RetentionPolicy {
    /// Works out the cutoff; no session is filtered out.
    ///
    /// # Errors
    /// [`RetentionError`] for a retention that is zero, negative or too long.
    pub(crate) fn new(limit: Limit, active: ActiveSessions, now: DateTime<Utc>) -> Result<Self, RetentionError> {
        Ok(Self { cutoff_us: limit.cutoff(now)?.timestamp_micros(), active, filter: Filter::default() })
    }

    /// The same for a run that is to leave all sessions alone: none is old.
    #[must_use]
    pub(crate) fn without_sessions(self) -> Self {
        Self { cutoff_us: NO_SESSION_US, ..self }
    }

    /// Whether sessions are to go at all.
    #[must_use]
    pub(crate) fn is_about_sessions(&self) -> bool {
        self.cutoff_us != NO_SESSION_US
    }

    /// The condition for sessions that are meant and started before the cutoff.
    #[must_use]
    pub(crate) fn is_old(&self, backend: DbBackend) -> String {
        let mut parts = vec![has_start(backend).to_owned(), format!("started_at_us < {}", self.cutoff_us)];
        parts.extend(self.filter.conditions());
        parts.join(" AND ")
    }

    /// The condition for sessions that go: old, and over unless those that are not go, too.
    #[must_use]
    pub(crate) fn is_removable(&self, backend: DbBackend) -> String {
        let mut parts = vec![self.is_old(backend)];
        parts.extend(has_key(backend).map(str::to_owned));
        parts.extend((self.active == ActiveSessions::Keep).then(|| is_one_of("status", &TERMINAL_STATUSES)));
        parts.join(" AND ")
    }
}

impl Filter {
    /// The columns that are looked at, with the values that are meant.
    #[must_use]
    pub(crate) fn lists(&self) -> [(&'static str, &[String]); 3] {
        [("status", &self.statuses), ("alert_type", &self.alert_types), ("agent_type", &self.agent_types)]
    }

    fn conditions(&self) -> impl Iterator<Item = String> {
        self.lists()
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(column, values)| is_one_of(column, values))
    }
}

/// The condition that a column has one of these values.
fn is_one_of(column: &str, values: &[impl AsRef<str>]) -> String {
    let values: Vec<_> = values.iter().map(|value| literal(value.as_ref())).collect();
    format!("{} IN ({})", quoted(column), values.join(", "))
}

/// The condition that a session's key is a text, where it may be anything else.
#[must_use]
pub(crate) fn has_key(backend: DbBackend) -> Option<&'static str> {
    (backend != DbBackend::Postgres).then_some("typeof(session_id) = 'text'")
}

/// The condition that a session's start is a number: in SQLite a column may hold anything.
#[must_use]
pub(crate) fn has_start(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "started_at_us IS NOT NULL",
        _ => "typeof(started_at_us) = 'integer'",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_769_904_000_000_000).expect("a moment")
    }

    #[test]
    fn the_cutoff_is_exact_to_the_microsecond() {
        let limit = Limit::OlderThan(Duration::from_hours(90 * 24));
        let policy = RetentionPolicy::new(limit, ActiveSessions::Keep, now()).expect("a sound retention");
        assert_eq!(policy.cutoff_us, 1_769_904_000_000_000 - 90 * 86_400 * 1_000_000);
    }

    #[test]
    fn a_retention_that_removes_everything_is_refused() {
        for limit in
            [Limit::OlderThan(Duration::ZERO), Limit::Before(now()), Limit::Before(now() + Duration::from_secs(1))]
        {
            let refused = RetentionPolicy::new(limit, ActiveSessions::Keep, now());
            assert!(matches!(refused, Err(RetentionError::NotPositive(_))), "{limit:?}");
        }
        let endless = RetentionPolicy::new(Limit::OlderThan(Duration::MAX), ActiveSessions::Keep, now());
        assert!(matches!(endless, Err(RetentionError::TooLong(_))));
        let days = Duration::from_secs(u64::from(u32::MAX) * 86_400);
        let refused = RetentionPolicy::new(Limit::OlderThan(days), ActiveSessions::Keep, now()).expect_err("too long");
        assert_eq!(refused.to_string(), "a retention of 4294967295 days reaches back too far");
    }

    #[test]
    fn only_sessions_that_are_over_and_meant_go_unless_told_otherwise() {
        let filter = Filter { alert_types: vec!["it's".to_owned()], ..Filter::default() };
        let keep = RetentionPolicy { cutoff_us: 5, active: ActiveSessions::Keep, filter };
        let expected = "started_at_us IS NOT NULL AND started_at_us < 5 AND \"alert_type\" IN ('it''s') \
                        AND \"status\" IN ('completed', 'failed', 'cancelled', 'timed_out')";
        assert_eq!(keep.is_removable(DbBackend::Postgres), expected);
        let remove = RetentionPolicy { active: ActiveSessions::Remove, filter: Filter::default(), ..keep };
        let expected = "typeof(started_at_us) = 'integer' AND started_at_us < 5 AND typeof(session_id) = 'text'";
        assert_eq!(remove.is_removable(DbBackend::Sqlite), expected);
    }
}
