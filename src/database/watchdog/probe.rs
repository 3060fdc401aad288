//! Asks the server about our sessions over another connection, and decides whether the server is lost.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::login_role::as_login_role;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::url::PostgresqlAddress;
use crate::database::{connection, mark};
use crate::format;

/// How long the server may be silent before the first question, and how long an answer may take. A shorter
/// `connect_timeout` of the URL replaces it.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the server may rightly wait for us: no pause between two batches is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long unmarked work may take while the server works for others.
const UNMARKED: Duration = Duration::from_secs(40);
/// How much later than its limit the answer to a query may arrive.
const LATE: Duration = Duration::from_secs(8);

/// The limits of the watchdog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Without activity until the first question, and for its answer.
    silence: Duration,
    /// Between two questions after an unanswered one.
    pause: Duration,
    /// Without activity or an answer until the work fails.
    give_up: Duration,
}

impl Timeouts {
    pub(crate) fn of(address: &PostgresqlAddress) -> Self {
        let silence = address.connect_limit().unwrap_or(SILENCE).min(SILENCE);
        Self { silence, pause: silence / 4, give_up: 4 * silence }
    }

    /// For SQLite.
    pub(crate) fn unused() -> Self {
        Self { silence: SILENCE, pause: SILENCE, give_up: SILENCE }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    /// It works for us, or waits for a lock or the like.
    Busy,
    /// All our sessions wait for a message from us; the text identifies them and since when.
    Waiting(String),
    /// It works, but not on anything that we have marked.
    Unmarked,
    /// It has no session of ours.
    Gone,
    /// It is reachable but cannot answer, for this reason.
    Unknown(String),
    /// It is not reachable, for this reason.
    Unanswered(String),
}

impl Probe {
    /// Asks the server about our sessions, over another connection.
    pub(crate) async fn ask(address: &PostgresqlAddress, timeouts: Timeouts) -> Self {
        let limit = timeouts.silence;
        let mut connection = match tokio::time::timeout(limit, connection::open_single(address)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(cause)) if cause.class == ErrorClass::ShuttingDown => return Self::Unknown(cause.described()),
            Ok(Err(cause)) if cause.class.is_before_login() => return Self::Unanswered(cause.described()),
            // The server is reachable, but has for example no free connection.
            Ok(Err(cause)) => return Self::Unknown(cause.described()),
            Err(_) => return Self::Unanswered(ErrorClass::TimedOut.to_string()),
        };
        // During a COPY the session's state does not change.
        let copied = match connection.server_version_num() {
            Some(140_000..) => "(SELECT bytes_processed FROM pg_stat_progress_copy p WHERE p.pid = a.pid)",
            _ => "NULL",
        };
        // Without a mark our sessions cannot be distinguished from others of the same role.
        let sql = as_login_role(&format!(
            "SELECT is_marked, count(*) FILTER (WHERE wait_event_type IS DISTINCT FROM 'Client') AS busy,
                    count(*) FILTER (WHERE wait_event_type = 'Lock') AS locked,
                    coalesce(string_agg(concat_ws(' ', pid, state_change, {copied}), ', ' ORDER BY pid), '') AS states
             FROM (SELECT a.*, ({}) AS is_marked FROM pg_stat_activity a) a
             WHERE usename = session_user AND datname = current_database() AND pid <> pg_backend_pid()
             GROUP BY is_marked ORDER BY is_marked DESC LIMIT 1",
            mark::condition()
        ));
        let row = tokio::time::timeout(limit, sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(&mut connection)).await;
        connection.close().await.ok();
        match row {
            Ok(Ok(Some(row))) => {
                Self::of(&row).unwrap_or_else(|error| Self::Unknown(DatabaseCause::from(error).described()))
            }
            Ok(Ok(None)) => Self::Gone,
            Ok(Err(error)) => Self::Unknown(DatabaseCause::from(error).described()),
            // A pooler accepts many clients and serves few.
            Err(_) => Self::Unknown(ErrorClass::TimedOut.to_string()),
        }
    }

    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(match (row.try_get("is_marked")?, row.try_get("busy")?, row.try_get("locked")?) {
            (_, 0_i64, _) => Self::Waiting(row.try_get("states")?),
            (false, _, 0_i64) => Self::Unmarked,
            // A wait for a lock may be ours; it has its own limit.
            _ => Self::Busy,
        })
    }

    /// How long to wait before the next question.
    pub(crate) fn pause(&self, timeouts: Timeouts) -> Duration {
        match self {
            Self::Unanswered(_) => timeouts.pause,
            _ => timeouts.silence,
        }
    }

    /// Why the server is lost, if this answer and the one before agree.
    pub(crate) fn loss(
        &self,
        before: &Self,
        silent: Duration,
        timeouts: Timeouts,
        query_limit: Option<Duration>,
    ) -> Option<DatabaseCause> {
        let seconds = format::duration(Duration::from_secs(silent.as_secs()));
        let lost = |message: &str| Some(DatabaseCause::new(ErrorClass::ConnectionLost, message));
        let unanswered = |why: &str| lost(&format!("no answer from the server for {seconds} ({why})"));
        match (before, self) {
            (Self::Gone, Self::Gone) if silent >= LONGEST_PAUSE => lost("the server has ended the session"),
            (Self::Waiting(before), Self::Waiting(now)) if before == now && silent >= LONGEST_PAUSE => {
                lost("the server waits for tarsy-db while tarsy-db waits for the server: the network lost a message")
            }
            (Self::Unanswered(_), Self::Unanswered(why)) if silent >= timeouts.give_up => unanswered(why),
            (_, Self::Unmarked) if silent >= UNMARKED => unanswered("it works for other clients"),
            (_, Self::Unknown(why)) if query_limit.is_some_and(|limit| silent >= limit + LATE) => unanswered(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        silence: Duration::from_secs(10),
        pause: Duration::from_millis(2500),
        give_up: Duration::from_secs(40),
    };

    fn loss(before: &Probe, now: &Probe, seconds: u64) -> Option<ErrorClass> {
        now.loss(before, Duration::from_secs(seconds), TIMEOUTS, None).map(|cause| cause.class)
    }

    #[test]
    fn a_server_that_works_is_waited_for_as_long_as_it_takes() {
        let waiting = Probe::Waiting("7 since 12:00".to_owned());
        let unanswered = Probe::Unanswered("connection refused".to_owned());
        let unknown = Probe::Unknown("too many connections".to_owned());
        for before in [&Probe::Busy, &unknown, &Probe::Gone, &waiting, &unanswered, &Probe::Unmarked] {
            assert_eq!(loss(before, &Probe::Busy, 100_000), None, "{before:?}");
            assert_eq!(loss(before, &unknown, 100_000), None, "{before:?}");
        }
    }

    #[test]
    fn sessions_that_are_gone_or_wait_for_us_twice_are_lost() {
        let at = |time: &str| Probe::Waiting(format!("7 since {time}"));
        assert_eq!(loss(&Probe::Gone, &Probe::Gone, 20), Some(ErrorClass::ConnectionLost));
        assert_eq!(loss(&at("12:00"), &at("12:00"), 20), Some(ErrorClass::ConnectionLost));
        assert_eq!(loss(&at("12:00"), &at("12:01"), 20), None, "it did something in between");
        assert_eq!(loss(&at("12:00"), &at("12:00"), 2), None, "it may be a pause between two attempts");
        assert_eq!(loss(&Probe::Busy, &at("12:00"), 20), None, "its answer may be on the way");
        assert_eq!(loss(&Probe::Busy, &Probe::Gone, 20), None, "its last words may be on the way");
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up_after_a_while() {
        let unanswered = Probe::Unanswered("no answer in time".to_owned());
        assert_eq!(loss(&unanswered, &unanswered, 39), None);
        assert_eq!(loss(&unanswered, &unanswered, 40), Some(ErrorClass::ConnectionLost));
        assert_eq!(loss(&Probe::Busy, &unanswered, 50), None, "one attempt may fail");
        assert_eq!(loss(&Probe::Unmarked, &Probe::Unmarked, 39), None);
        assert_eq!(loss(&Probe::Busy, &Probe::Unmarked, 40), Some(ErrorClass::ConnectionLost));
    }

    #[test]
    fn where_queries_have_a_limit_so_does_the_wait_for_their_answers() {
        let unknown = Probe::Unknown("too many connections".to_owned());
        let limit = Some(Duration::from_secs(30));
        let loss = |seconds| unknown.loss(&unknown, Duration::from_secs(seconds), TIMEOUTS, limit);
        assert!(loss(37).is_none());
        assert_eq!(loss(38).map(|cause| cause.class), Some(ErrorClass::ConnectionLost));
    }
}
