//! `--fix`: the repairs that are safe while the backend is running.

use std::time::{Duration, Instant};

use serde_json::json;

use super::finding::Finding;
use super::schema::closest;
use crate::database::connection::{Connection, LOCK_TIMEOUT};
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass};
use crate::database::writable::require_primary;
use crate::exit_code::ExitCode;
use crate::output::Status;
use crate::schema::lock::RepairLock;
use crate::schema::older_transactions;
use crate::schema::read::schema_and_state;
use crate::schema::repair::{self, Repair};
use crate::schema::state_error::StateError;

const NAME: &str = "repairs";
/// How often to try to take the lock.
const PAUSE: Duration = Duration::from_millis(200);

/// The repairs, or why there are none.
enum RepairPlan {
    Repairs(Vec<Repair>),
    /// The check of the revision reports what to do.
    Refused(StateError),
}

pub(crate) async fn repairs(connection: &Connection) -> Finding {
    let lock = match lock(connection).await {
        Ok(lock) => lock,
        Err(cause) => return Finding::unanswered(NAME, &cause),
    };
    match plan(connection).await {
        Ok(RepairPlan::Repairs(repairs)) if lock.is_none() && !repairs.is_empty() => {
            let cause = DatabaseCause::new(ErrorClass::Busy, "another `check --fix` is running");
            Finding::unanswered(NAME, &cause)
        }
        Ok(RepairPlan::Repairs(repairs)) => {
            let results = apply(connection, &repairs).await;
            repaired(&without_repaired_by_others(connection, &repairs, results).await)
        }
        Ok(RepairPlan::Refused(refused)) => Finding::skipped(NAME, format!("no repair was tried: {refused}")),
        Err(cause) => Finding::unanswered(NAME, &cause),
    }
}

/// Takes the lock, and waits for a while until another `check --fix` has released it.
async fn lock(connection: &Connection) -> Result<Option<RepairLock>, DatabaseCause> {
    let started = Instant::now();
    loop {
        let lock = RepairLock::take(connection).await?;
        if lock.is_some() || started.elapsed() >= LOCK_TIMEOUT {
            return Ok(lock);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn plan(connection: &Connection) -> Result<RepairPlan, DatabaseCause> {
    let (state, found) = connection.reading(async |reading| schema_and_state(reading).await).await?;
    // If tables are missing, the others can still be repaired.
    match state.require_history() {
        Ok(_) | Err(StateError::Pending | StateError::Incomplete { .. }) => {}
        Err(refused) => return Ok(RepairPlan::Refused(refused)),
    }
    let closest = closest(connection, &state, &found).await?;
    let differences = closest.map(|(_, closest)| closest.differences).unwrap_or_default();
    let repairs = differences.into_iter().filter_map(|difference| difference.repair);
    let repairs = connection.reading(async |reading| repair::plan(reading, repairs).await).await?;
    if !repairs.is_empty() {
        require_primary(connection).await?;
    }
    Ok(RepairPlan::Repairs(repairs))
}

/// Applies each repair; returns what was done, or why it failed.
async fn apply(connection: &Connection, repairs: &[Repair]) -> Vec<Result<String, DatabaseError>> {
    let (mut results, mut left) = (Vec::new(), older_transactions::LIMIT);
    for repair in repairs {
        results.push(repair.apply(connection, &mut left).await.map(|()| repair.done()));
    }
    results
}

/// A repair that failed and is no longer needed was done by another session, which had no lock of ours or needs none, or by
/// a statement of ours whose answer was lost. One that left an invalid index has failed.
async fn without_repaired_by_others(
    connection: &Connection,
    repairs: &[Repair],
    mut results: Vec<Result<String, DatabaseError>>,
) -> Vec<Result<String, DatabaseError>> {
    if results.iter().all(Result::is_ok) {
        return results;
    }
    // If this fails, too, the first failures are reported.
    if let Ok(RepairPlan::Repairs(needed)) = plan(connection).await {
        let is_needed = |repair: &Repair| needed.iter().any(|needed| needed.subject() == repair.subject());
        for (repair, result) in repairs.iter().zip(&mut results).filter(|(repair, _)| !is_needed(repair)) {
            let Err(error) = result else { continue };
            let done = repair.done();
            *result = Ok(match error.cause.class.is_before_login() {
                true => format!("{done}; the server's answer was lost"),
                false => format!("another session has {done}"),
            });
        }
    }
    results
}

fn repaired(results: &[Result<String, DatabaseError>]) -> Finding {
    let lines = results.iter().map(|result| match result {
        Ok(done) => done.clone(),
        Err(error) => format!("{error}: {}", error.cause),
    });
    let lines: Vec<_> = lines.collect();
    let done: Vec<_> = results.iter().flatten().map(String::as_str).collect();
    let data = json!({ "done": done, "failed": results.len() - done.len() });
    let committed = (!done.is_empty()).then(|| done.join(", "));
    let finding = match results.iter().find_map(|result| result.as_ref().err()) {
        Some(first) => Finding::failed(NAME, exit_code(first), lines).because("repair_failed").with(data),
        None if lines.is_empty() => Finding::ok(NAME, "nothing to repair"),
        None => Finding::new(NAME, Status::Note, lines).because("repaired").with(data),
    };
    finding.having(committed)
}

fn exit_code(error: &DatabaseError) -> ExitCode {
    match error.cause.class {
        // A repair that the database refuses leaves the drift.
        ErrorClass::Other => ExitCode::Drift,
        class => class.exit_code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::failure::Verb;

    fn refused(class: ErrorClass) -> Result<String, DatabaseError> {
        Err(DatabaseError { action: (Verb::Create, "index `i`").into(), cause: DatabaseCause::new(class, "no") })
    }

    #[test]
    fn repairs_are_a_note_and_the_first_that_fails_decides() {
        assert_eq!(repaired(&[]).status, Status::Ok);
        let done = || Ok("created the index `i`".to_owned());
        let noted = repaired(&[done(), done()]);
        assert_eq!((noted.status, noted.detail.0.len()), (Status::Note, 2));
        let failed = repaired(&[done(), refused(ErrorClass::Busy), refused(ErrorClass::Other)]);
        assert_eq!((failed.exit_code, failed.detail.0.len()), (ErrorClass::Busy.exit_code(), 3));
        assert_eq!(failed.detail.0[1], "cannot create index `i`: no");
        assert_eq!(repaired(&[refused(ErrorClass::Other)]).exit_code, ExitCode::Drift);
    }
}
