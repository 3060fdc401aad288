//! Checks of the data: the file, the age of the sessions.

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, DbErr, QueryResult, Statement};
use serde_json::json;

use super::finding::{DAMAGE, Finding};
use super::mode::{Depth, OnOverdue};
use crate::command::retention::Retention;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::integrity_finding::{self, RECOVER, about_values, is_about_index};
use crate::database::namespace::tables_of_tarsy;
use crate::database::quote::literal;
use crate::database::transaction::Transaction;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;
use crate::format::{self, number};
use crate::history::archive;
use crate::history::overdue::{self, OldSessions};
use crate::history::retention::policy::ActiveSessions;
use crate::history::retention::selection::Precision;
use crate::history::tables::SESSIONS;
use crate::output::{self, Status};
use crate::schema::diff;
use crate::schema::model::Schema;

/// SQLite's own check of the file.
pub(crate) async fn integrity(connection: &Transaction, depth: Depth) -> Finding {
    const NAME: &str = "integrity";
    if connection.backend() == DbBackend::Postgres {
        return Finding::ok(NAME, "left to the server (data checksums, `pg_amcheck`)");
    }
    let pragma = match depth {
        Depth::Deep => "integrity_check",
        Depth::Quick => "quick_check",
    };
    let sql = format!("SELECT {pragma} AS line FROM pragma_{pragma}");
    match findings(connection, &sql).await {
        // A table of another application needs a collation, a function or a module of that application.
        Err(cause) if cause.class == ErrorClass::Other => {
            integrity_of_own_tables(connection, NAME, pragma, &cause).await
        }
        found => Finding::of(NAME, found, |found| judge(NAME, pragma, found)),
    }
}

/// The check of TARSy's tables alone, where that of the whole file failed for this reason.
async fn integrity_of_own_tables(
    connection: &Transaction,
    name: &'static str,
    pragma: &str,
    cause: &DatabaseCause,
) -> Finding {
    let tables: Vec<_> = tables_of_tarsy().map(literal).collect();
    let sql = format!(
        "SELECT c.{pragma} AS line FROM sqlite_schema s CROSS JOIN pragma_{pragma}(s.name) c
         WHERE s.type = 'table' AND s.name IN ({})",
        tables.join(", ")
    );
    Finding::of(name, findings(connection, &sql).await, |found| {
        if !found.is_empty() {
            return judge(name, pragma, found);
        }
        let of_others = format!("other tables were not checked: {cause}");
        let data = json!({ "pragma": pragma, "findings": [of_others] });
        let detail = vec![format!("{pragma} found no damage in TARSy's tables"), of_others];
        Finding::new(name, Status::Note, detail).because("others_not_checked").with(data)
    })
}

/// What SQLite finds. Damage may end its check with an error, which is the last finding then.
async fn findings(connection: &Transaction, sql: &str) -> Result<Vec<String>, DatabaseCause> {
    let mut found = Vec::new();
    let take = async |row: QueryResult| {
        // A name in a damaged schema may be no text.
        let line: Vec<u8> = row.try_get("", "line")?;
        found.extend(integrity_finding::lines(&String::from_utf8_lossy(&line)).map(str::to_owned));
        Ok::<_, DbErr>(())
    };
    let ended = connection.each(Statement::from_string(DbBackend::Sqlite, sql), take).await;
    match ended.map_err(DatabaseCause::from) {
        Err(cause) if cause.class == ErrorClass::Corrupt => found.push(cause.to_string()),
        // What was found remains true if the check takes too long.
        Err(cause) if cause.class != ErrorClass::Other && !found.is_empty() => {
            found.push(format!("the check did not end: {cause}"));
        }
        ended => ended?,
    }
    Ok(found)
}

fn judge(name: &'static str, pragma: &str, found: Vec<String>) -> Finding {
    if found.is_empty() {
        return Finding::ok(name, format!("{pragma} found no damage"));
    }
    let data = json!({ "pragma": pragma, "findings": found });
    let damage: Vec<_> = found.iter().filter(|finding| about_values(finding).is_none()).collect();
    let remedy = match damage.iter().all(|finding| is_about_index(finding)) {
        _ if damage.is_empty() => None,
        true => Some("only indexes are damaged: `REINDEX` in sqlite3 rebuilds them"),
        false => Some(RECOVER),
    };
    let mut detail = diff::first_of(found);
    detail.extend(remedy.map(str::to_owned));
    Finding::failed(name, ExitCode::Drift, detail).because(DAMAGE).with(data)
}

/// Whether sessions are past the retention.
pub(crate) async fn retention(
    connection: &Transaction,
    mut retention: Retention,
    found: &Schema,
    now: DateTime<Utc>,
    on_overdue: OnOverdue,
) -> Finding {
    const NAME: &str = "retention";
    match archive::is_archive(connection).await {
        Ok(true) => return Finding::skipped(NAME, "not applicable to an archive"),
        Ok(false) => {}
        Err(error) => return Finding::unanswered(NAME, &error.into()),
    }
    let policy = match retention.policy(ActiveSessions::Keep, now) {
        Ok(policy) => policy,
        Err(error) => {
            let lines = [error.to_string()].into_iter().chain(error.hint()).collect::<Vec<_>>();
            return Finding::failed(NAME, error.exit_code(), lines).because("retention_invalid");
        }
    };
    if !found.tables.contains_key(SESSIONS) {
        return Finding::skipped(NAME, "no tables yet");
    }
    let old = match overdue::count(connection, found, &policy, Precision::Exact).await {
        Ok(old) => old,
        Err(error) => return Finding::unanswered(NAME, &error.cause),
    };
    match retention.count(connection, found, now, Precision::Exact).await {
        Ok(()) => old_sessions(NAME, &old, &retention, on_overdue),
        Err(error) => Finding::failed(NAME, error.exit_code(), error.to_string()),
    }
}

/// Detects by the old sessions whether `prune` runs.
fn old_sessions(name: &'static str, old: &OldSessions, retention: &Retention, on_overdue: OnOverdue) -> Finding {
    let days = retention.days();
    let is_overdue = old.overdue > 0;
    let removable = if is_overdue { Some(overdue_line(old, days)) } else { removable_line(old, retention) };
    let lines: Vec<_> = retention.lines().into_iter().chain(removable).chain(kept_line(old, days)).collect();
    let data = json!({
        "retention_days": days, "is_set": retention.is_chosen(), "overdue_sessions": old.overdue,
        "removable_sessions": old.removable, "kept_sessions": old.kept, "oldest_us": old.oldest_us,
        "oldest": old.oldest_us.and_then(format::exact_time),
    });
    let finding = match (is_overdue, on_overdue) {
        (true, OnOverdue::Fail) => Finding::failed(name, ExitCode::Remaining, lines).because("sessions_overdue"),
        (true, OnOverdue::Warn) => Finding::new(name, Status::Warning, lines).because("sessions_overdue"),
        (false, _) if lines.is_empty() => Finding::ok(name, format!("no session is older than {days} days")),
        (false, _) => Finding::new(name, Status::Note, lines),
    };
    finding.with(data)
}

fn overdue_line(old: &OldSessions, days: u32) -> String {
    let (sessions, oldest) = (number(old.overdue), output::time(old.oldest_us));
    format!(
        "sessions more than a day past the retention of {days} days: {sessions}, the oldest from {oldest}; \
         `tarsy-db prune` did not run, or could not remove them"
    )
}

fn removable_line(old: &OldSessions, retention: &Retention) -> Option<String> {
    let (days, sessions) = (retention.days(), number(old.removable));
    let line = || format!("sessions older than {days} days: {sessions}; the next `tarsy-db prune` removes them");
    (old.removable > 0 && retention.is_chosen()).then(line)
}

fn kept_line(old: &OldSessions, days: u32) -> Option<String> {
    let sessions = number(old.kept);
    let line = || {
        format!(
            "sessions older than {days} days that `prune` keeps, because they are open or in use: {sessions}; \
             `tarsy-db prune --dry-run` lists them"
        )
    };
    (old.kept > 0).then(line)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::retention::policy::Limit;

    fn kept_for(days: Option<u32>, source: &str) -> Retention {
        Retention::given(days, source, Limit::OlderThan(Duration::from_hours(90 * 24)))
    }

    fn chosen() -> Retention {
        kept_for(Some(90), "HISTORY_RETENTION_DAYS")
    }

    fn finding(old: OldSessions, on_overdue: OnOverdue) -> Finding {
        old_sessions("retention", &old, &chosen(), on_overdue)
    }

    #[test]
    fn a_history_without_old_sessions_is_ok() {
        let found = finding(OldSessions::default(), OnOverdue::Fail);
        assert_eq!((found.status, found.detail.0), (Status::Ok, vec!["no session is older than 90 days".to_owned()]));
    }

    #[test]
    fn sessions_of_the_last_day_are_left_to_the_next_prune() {
        let found = finding(OldSessions { removable: 2, ..OldSessions::default() }, OnOverdue::Fail);
        assert_eq!(found.status, Status::Note);
        assert_eq!(found.detail.0, ["sessions older than 90 days: 2; the next `tarsy-db prune` removes them"]);
    }

    #[test]
    fn overdue_sessions_warn_or_fail_as_is_asked() {
        let old = OldSessions { removable: 5, overdue: 3, oldest_us: Some(0), kept: 1 };
        let warned = finding(old, OnOverdue::Warn);
        let failed = finding(old, OnOverdue::Fail);
        assert_eq!((warned.status, warned.exit_code), (Status::Warning, ExitCode::Done));
        assert_eq!((failed.status, failed.exit_code), (Status::Failed, ExitCode::Remaining));
        assert_eq!(warned.detail.0, failed.detail.0);
        let [overdue, kept] = failed.detail.0.as_slice() else { panic!("{failed:?}") };
        let begins =
            "sessions more than a day past the retention of 90 days: 3, the oldest from 1970-01-01T00:00:00Z; ";
        assert!(overdue.starts_with(begins), "{overdue}");
        assert!(kept.contains("that `prune` keeps") && kept.contains(": 1; "), "{kept}");
    }

    #[test]
    fn a_retention_that_is_not_set_is_the_first_line() {
        let old = OldSessions { removable: 2, ..OldSessions::default() };
        let found = old_sessions("retention", &old, &kept_for(None, "default"), OnOverdue::Warn);
        assert_eq!(found.status, Status::Note);
        assert!(found.detail.0[0].starts_with("retention: not set; "), "{found:?}");
        assert!(!found.detail.0.iter().any(|line| line.contains("the next `tarsy-db prune`")), "{found:?}");
    }

    #[test]
    fn damage_is_drift_and_has_a_remedy_that_values_do_not_need() {
        let judge = |found: &[&str]| judge("integrity", "quick_check", found.iter().map(ToString::to_string).collect());
        assert_eq!(judge(&[]).detail.0, ["quick_check found no damage"]);
        let damaged = judge(&["page 3 is never used"]);
        assert_eq!(
            (damaged.exit_code, damaged.detail.0.as_slice()),
            (ExitCode::Drift, ["page 3 is never used", RECOVER].map(str::to_owned).as_slice())
        );
        let of_index = judge(&["row 7 missing from index ix", "wrong # of entries in index ix"]).detail.0;
        assert!(of_index[2].contains("REINDEX"), "{of_index:?}");
        assert_eq!(judge(&["NULL value in chats.chat_id"]).detail.0, ["NULL value in chats.chat_id"]);
    }
}
