//! Which sessions may be removed: a cutoff, terminal statuses, and the operator's filters.

use std::time::Duration;

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Func};
use sea_orm::{ColumnTrait, DbBackend};

use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::format;
use crate::history::entity::alert_sessions::Column;
use crate::history::entity::is_text;
use crate::history::tables::{ACTIVE_STATUSES, TERMINAL_STATUSES};

/// The days of history that TARSy keeps by design, as of the baseline revision.
pub(crate) const DAYS_BY_DESIGN: u32 = 90;
/// The days of history that TARSy's releases keep since January 2026.
pub(crate) const DAYS_OF_RELEASES: u32 = 365;

/// A shorter retention is almost certainly a typo: `m` is minutes, `M` is months.
const SHORTEST: Duration = Duration::from_hours(1);

/// A cutoff before any session, which every backend can compare.
const NO_SESSION_US: i64 = -i64::MAX;

/// Which sessions may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetentionPolicy {
    /// Sessions that started before this time, in microseconds since the epoch, are old.
    pub cutoff_us: i64,
    /// What happens to old sessions without a terminal status.
    pub active: ActiveSessions,
    /// Restricts the policy to some sessions.
    pub filter: Filter,
}

/// What happens to old sessions without a terminal status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActiveSessions {
    Keep,
    /// They are removed as well.
    Remove,
}

/// Restricts a policy to sessions that have one of the values of each list that is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub statuses: Vec<String>,
    pub alert_types: Vec<String>,
    pub agent_types: Vec<String>,
}

/// Which sessions are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Those that started longer ago than this.
    OlderThan(Duration),
    /// Those that started before this time.
    Before(DateTime<Utc>),
}

impl Limit {
    /// The time before which sessions are old.
    fn cutoff(self, now: DateTime<Utc>) -> Result<DateTime<Utc>, RetentionError> {
        match self {
            // A flag with this value was refused before.
            Self::OlderThan(age) if age.is_zero() => Err(RetentionError::Zero("`HISTORY_RETENTION_DAYS`".to_owned())),
            Self::OlderThan(age) if age < SHORTEST => Err(RetentionError::TooShort(format::duration(age))),
            Self::OlderThan(age) => {
                let cutoff = TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age));
                // A whole second: what is shown is what counts. The backend cannot represent a time before the year 1 either.
                let cutoff = cutoff.map(|cutoff| cutoff.trunc_subsecs(0)).filter(|cutoff| cutoff.year() >= 1);
                cutoff.ok_or(RetentionError::TooLong(age.as_secs() / 86_400))
            }
            Self::Before(time) if time >= now => Err(RetentionError::CutoffNotPast(
                format::exact_time(time.timestamp_micros()).unwrap_or_else(|| time.to_string()),
            )),
            Self::Before(time) => Ok(time),
        }
    }
}

/// Why a retention cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetentionError {
    /// A setting of zero would remove everything.
    #[error("{0} is 0, which would remove the whole history")]
    Zero(String),
    /// Such a flag, as given, would remove everything.
    #[error("`--older-than {0}` would remove the whole history")]
    NotPositive(String),
    /// Such a cutoff would remove everything.
    #[error("the cutoff {0} is not in the past, by the clock or `--now`")]
    CutoffNotPast(String),
    /// Almost certainly a typo (`m` is minutes, `M` is months).
    #[error("`--older-than {0}` is less than an hour")]
    TooShort(String),
    /// The cutoff would be before the year 1. In days.
    #[error("a retention of {0} days is too long")]
    TooLong(u64),
    /// No retention was set, and the one of TARSy's backend is unknown.
    #[error(
        "no retention of sessions is set: TARSy keeps {DAYS_BY_DESIGN} days by design and {DAYS_OF_RELEASES} days in \
         its releases since January 2026; nothing was removed"
    )]
    NotChosen,
    /// No session has this status, and TARSy has none of that name.
    #[error("no session has the status `{0}`, and TARSy has no such status")]
    UnknownStatus(String),
    /// Zero hours would remove every event; too many hours give a cutoff before the year 1.
    #[error("events cannot be kept for {0} hours")]
    Events(u32),
}

impl RetentionError {
    /// The same error, which names the setting as it was given.
    pub(crate) fn of_setting(self, setting: &str) -> Self {
        match self {
            Self::Zero(_) => Self::Zero(setting.to_owned()),
            other => other,
        }
    }
}

impl Diagnostic for RetentionError {
    fn exit_code(&self) -> ExitCode {
        match self {
            RetentionError::UnknownStatus(_) => ExitCode::Usage,
            _ => ExitCode::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            RetentionError::UnknownStatus(_) => {
                let known = [TERMINAL_STATUSES, ACTIVE_STATUSES].concat();
                return Some(format!("TARSy's statuses are {}", known.join(", ")));
            }
            RetentionError::Zero(_) => "set it to 1 or more; to start with an empty history, use a new database",
            RetentionError::NotPositive(_) => {
                "give an hour or more, as in `--older-than 90d`; to start with an empty history, use a new database"
            }
            RetentionError::CutoffNotPast(_) => {
                "set `--before`, or `--now`, to a time in the past, as in `2026-08-30T12:00:00Z`"
            }
            RetentionError::TooShort(_) => {
                "`m` is minutes and `M` is months; for a shorter retention give the time to `--before`"
            }
            RetentionError::TooLong(_) => "give fewer days, as in `HISTORY_RETENTION_DAYS=365` or `--older-than 365d`",
            RetentionError::NotChosen => {
                "set HISTORY_RETENTION_DAYS to the number of days that the backend keeps, or give `--older-than 365d`"
            }
            RetentionError::Events(_) => "set EVENT_RETENTION_HOURS to the hours that browsers need, such as 24",
        };
        Some(hint.to_owned())
    }
}

impl RetentionPolicy {
    /// Calculates the cutoff; no filter is set.
    ///
    /// # Errors
    /// [`RetentionError`] for a retention that is zero, negative or too long.
    pub(crate) fn new(limit: Limit, active: ActiveSessions, now: DateTime<Utc>) -> Result<Self, RetentionError> {
        Ok(Self { cutoff_us: limit.cutoff(now)?.timestamp_micros(), active, filter: Filter::default() })
    }

    /// A policy that removes no session.
    #[must_use]
    pub(crate) fn without_sessions(self) -> Self {
        Self { cutoff_us: NO_SESSION_US, ..self }
    }

    /// Whether the policy removes sessions at all.
    #[must_use]
    pub(crate) fn is_about_sessions(&self) -> bool {
        self.cutoff_us != NO_SESSION_US
    }

    /// The condition for sessions that match the filter and started before the cutoff.
    #[must_use]
    pub(crate) fn is_old(&self, backend: DbBackend) -> Condition {
        self.is_old_by(backend, indexed)
    }

    /// The condition for sessions to remove: old, and in a terminal status unless active ones are removed as well.
    #[must_use]
    pub(crate) fn is_removable(&self, backend: DbBackend) -> Condition {
        self.is_old(backend).add_option(has_key(backend)).add_option(self.is_over())
    }

    /// The same for the next sessions in the order of their start. SQLite, which has no statistics, would take the index of
    /// the status, and sort all sessions for each batch.
    #[must_use]
    pub(crate) fn is_removable_in_order(&self, backend: DbBackend) -> Condition {
        if backend == DbBackend::Postgres {
            return self.is_removable(backend);
        }
        let is_old = self.is_old_by(backend, unindexed);
        is_old.add_option(has_key(backend)).add_option(self.is_over_by(unindexed))
    }

    /// The condition for a terminal status, unless active sessions are removed as well.
    #[must_use]
    pub(crate) fn is_over(&self) -> Option<Expr> {
        self.is_over_by(indexed)
    }

    fn is_old_by(&self, backend: DbBackend, value: fn(Column) -> Expr) -> Condition {
        let is_old = Condition::all().add(has_start(backend)).add(Column::StartedAtUs.lt(self.cutoff_us));
        self.filter.conditions(value).fold(is_old, Condition::add)
    }

    fn is_over_by(&self, value: fn(Column) -> Expr) -> Option<Expr> {
        (self.active == ActiveSessions::Keep).then(|| value(Column::Status).is_in(TERMINAL_STATUSES))
    }
}

/// A column that may be found in an index.
fn indexed(column: Column) -> Expr {
    column.into_expr()
}

/// A column for which SQLite takes no index.
fn unindexed(column: Column) -> Expr {
    Expr::cust_with_expr("+?", column.into_expr())
}

impl Filter {
    /// The filtered columns with their values.
    #[must_use]
    pub(crate) fn lists(&self) -> [(Column, &[String]); 3] {
        [
            (Column::Status, &self.statuses),
            (Column::AlertType, &self.alert_types),
            (Column::AgentType, &self.agent_types),
        ]
    }

    fn conditions(&self, value: fn(Column) -> Expr) -> impl Iterator<Item = Expr> {
        let lists = self.lists().into_iter().filter(|(_, values)| !values.is_empty());
        lists.map(move |(column, values)| value(column).is_in(values))
    }
}

/// The condition that a session's key is text; SQLite may hold any value in it.
#[must_use]
fn has_key(backend: DbBackend) -> Option<Expr> {
    is_text(backend, r#""alert_sessions"."session_id""#)
}

/// The condition that a session's start is a number; SQLite may hold any value in it.
#[must_use]
pub(crate) fn has_start(backend: DbBackend) -> Expr {
    match backend {
        DbBackend::Postgres => Column::StartedAtUs.is_not_null(),
        _ => is_stored_as(Column::StartedAtUs, "integer"),
    }
}

/// The condition that SQLite stores a column's value as this type.
fn is_stored_as(column: Column, kind: &'static str) -> Expr {
    Expr::expr(Func::cust("typeof").arg(column.into_expr())).eq(kind)
}

#[cfg(test)]
mod tests {
    use sea_orm::{QueryFilter, QuerySelect, QueryTrait, Statement};

    use super::*;
    use crate::database::namespace::Namespace;
    use crate::history::entity::{self, alert_sessions};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_769_904_000_000_000).expect("a valid time")
    }

    #[test]
    fn the_cutoff_is_exact_to_the_microsecond() {
        let limit = Limit::OlderThan(Duration::from_hours(90 * 24));
        let policy = RetentionPolicy::new(limit, ActiveSessions::Keep, now()).expect("a valid retention");
        assert_eq!(policy.cutoff_us, 1_769_904_000_000_000 - 90 * 86_400 * 1_000_000);
    }

    #[test]
    fn a_retention_that_removes_everything_is_refused() {
        let zero = RetentionPolicy::new(Limit::OlderThan(Duration::ZERO), ActiveSessions::Keep, now());
        assert!(matches!(zero, Err(RetentionError::Zero(_))), "{zero:?}");
        for time in [now(), now() + Duration::from_secs(1)] {
            let refused = RetentionPolicy::new(Limit::Before(time), ActiveSessions::Keep, now());
            let Err(error @ RetentionError::CutoffNotPast(_)) = refused else { panic!("{refused:?}") };
            assert!(error.to_string().starts_with("the cutoff 2026-02-01T00:00:0"), "{error}");
        }
        let endless = RetentionPolicy::new(Limit::OlderThan(Duration::MAX), ActiveSessions::Keep, now());
        assert!(matches!(endless, Err(RetentionError::TooLong(_))));
        let days = Duration::from_secs(u64::from(u32::MAX) * 86_400);
        let refused = RetentionPolicy::new(Limit::OlderThan(days), ActiveSessions::Keep, now()).expect_err("too long");
        assert_eq!(refused.to_string(), "a retention of 4294967295 days is too long");
    }

    /// The query for the sessions that a policy removes.
    fn sessions(policy: &RetentionPolicy, backend: DbBackend) -> Statement {
        let sessions = entity::select::<alert_sessions::Entity>(&Namespace::default()).column(Column::SessionId);
        sessions.filter(policy.is_removable(backend)).build(backend)
    }

    #[test]
    fn only_sessions_in_a_terminal_status_that_match_the_filter_are_removed_by_default() {
        let filter = Filter { alert_types: vec!["it's".to_owned()], ..Filter::default() };
        let keep = RetentionPolicy { cutoff_us: 5, active: ActiveSessions::Keep, filter };
        let expected = r#"SELECT "alert_sessions"."session_id" FROM "alert_sessions" WHERE "alert_sessions"."started_at_us" IS NOT NULL AND "alert_sessions"."started_at_us" < $1 AND "alert_sessions"."alert_type" IN ($2) AND "alert_sessions"."status" IN ($3, $4, $5, $6)"#;
        let statement = sessions(&keep, DbBackend::Postgres);
        assert_eq!(statement.sql, expected);
        let [completed, failed, cancelled, timed_out] = TERMINAL_STATUSES.map(Into::into);
        let values = [5_i64.into(), "it's".into(), completed, failed, cancelled, timed_out];
        assert_eq!(statement.values.expect("values").0, values);
        let remove = RetentionPolicy { active: ActiveSessions::Remove, filter: Filter::default(), ..keep };
        let expected = r#"SELECT "alert_sessions"."session_id" FROM "alert_sessions" WHERE typeof("alert_sessions"."started_at_us") = ? AND "alert_sessions"."started_at_us" < ? AND (typeof("alert_sessions"."session_id") = 'text' AND "#;
        let sql = sessions(&remove, DbBackend::Sqlite).sql;
        assert!(sql.starts_with(expected), "{sql}");
    }
}
