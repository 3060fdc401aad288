//! Removes what was planned, in batches: short batches while other sessions are active. Retries after a temporary failure,
//! skips sessions that cannot be removed, and stops at a signal or the deadline.

use std::time::{Duration, Instant};

use super::attempt::{Attempt, Others};
use super::bounds::out_of_time;
use super::history::OpenHistory;
use super::outcome::{FailedSession, RemovalOutcome, Stop};
use super::removal::Removal;
use super::retry::{Remedy, is_contention};
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, Verb};
use crate::format::counted;
use crate::history::orphans::batch::Found;
use crate::history::places::{self, Place};
use crate::history::removal::batch::{Batch, Limits};
use crate::history::removal::batch_error::BatchError;
use crate::history::removal::batch_size::BatchSizer;
use crate::history::retention::known_sessions::KnownSession;
use crate::history::retention::session_batch::{Cursor, Picked};
use crate::history::tables::{REFERENCES, Reference};
use crate::history::{events, orphans};
use crate::schema::lock::RETRY_LONGER;

/// How many failed sessions are skipped before the run fails: more of them have another cause.
const MOST_STUCK: usize = 100;

/// The most orphans of a batch, whose places are listed in its statements.
const MOST_AT_ONCE: u32 = 1 << 18;

/// How long a search for the parents among orphaned stages is valid while other sessions commit, in times that it took.
const PARENTS_VALID_FOR: u32 = 20;

/// A search for the parents among orphaned stages.
#[derive(Debug, Clone, Copy)]
struct ParentSearch {
    began: Instant,
    took: Duration,
}

/// Whether orphans were found that could not be removed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rest {
    None,
    Some,
    /// Another session has locked so many of them.
    Locked(u64),
}

impl Removal<'_> {
    /// Removes the sessions, then the events, then the orphans.
    pub(crate) async fn run(mut self) -> RemovalOutcome {
        self.outcome.stopped = self.remove_all().await.err();
        self.outcome.is_cut_off = self.stopping.is_cut_off.get();
        if self.outcome.is_cut_off && matches!(self.outcome.stopped, Some(Stop::Deadline)) {
            // The next run would stop at the same point.
            self.outcome.stopped = Some(Stop::Failed(out_of_time((Verb::Finish, "the current batch")).into()));
        }
        self.outcome
    }

    async fn remove_all(&mut self) -> Result<(), Stop> {
        self.remove_sessions().await?;
        self.remove_events().await?;
        self.remove_orphans().await
    }

    /// Goes through the sessions until a pass removes none: a later pass retries those that the backend had locked. What
    /// the database refused because of locks is retried for `--retry-for`.
    async fn remove_sessions(&mut self) -> Result<(), Stop> {
        let mut sizer = BatchSizer::default();
        let mut cursor = Cursor::default();
        let mut before = self.sessions();
        let mut passed_over = None;
        loop {
            let mut picked = Picked::default();
            match self.attempt_sessions(&mut sizer, &cursor, &mut picked).await? {
                Attempt::Removed => {
                    cursor.after = picked.sessions.pop();
                    cursor.without.extend(picked.kept);
                }
                Attempt::GaveWay => {}
                Attempt::Failed(error) => {
                    let locked = self.after_failure(error, picked.sessions, &mut sizer, &mut cursor).await?;
                    passed_over = locked.or(passed_over);
                }
                Attempt::Nothing => match cursor.end_of_stretch(&self.history.selection).cloned() {
                    Some(end) => cursor.after = Some(end),
                    None if self.sessions() == before && passed_over.is_none() => return Ok(()),
                    None => {
                        if let Some(error) = passed_over.take().filter(|_| self.sessions() == before) {
                            self.wait_for_locks(&error).await?;
                        }
                        cursor.after = None;
                        before = self.sessions();
                    }
                },
            }
        }
    }

    /// Prepares the next attempt: with fewer sessions, without the failed one, or later. Returns the error if the session
    /// is passed over.
    async fn after_failure(
        &mut self,
        error: BatchError,
        mut taken: Vec<KnownSession>,
        sizer: &mut BatchSizer,
        cursor: &mut Cursor,
    ) -> Result<Option<BatchError>, Stop> {
        match Remedy::for_sessions(&error, self.history.selection.backend(), sizer.size(), taken.len()) {
            Remedy::LimitSize => sizer.limit(),
            Remedy::TryAgain => self.try_again(error).await?,
            Remedy::Halve => sizer.halve(taken.len()),
            Remedy::PassOver if !self.is_retried_enough() => {
                self.report_locks(&error).await?;
                cursor.after = taken.pop();
                return Ok(Some(error));
            }
            Remedy::PassOver | Remedy::LeaveOut => {
                let Some(session) = taken.first() else { return Ok(None) };
                cursor.without.insert(session.clone());
                let error = self.with_holder(error).await?;
                self.note_stuck(&session.session_id, error)?;
                cursor.after = taken.pop();
            }
        }
        Ok(None)
    }

    fn note_stuck(&mut self, session_id: &str, error: BatchError) -> Result<(), Stop> {
        let is_locked = is_contention(error.cause.class);
        let reason = if is_locked { error.cause.described() } else { error.cause.to_string() };
        let session_id = session_id.to_owned();
        let error = DatabaseError::from(error);
        if self.outcome.stuck.len() == MOST_STUCK {
            return Err(Stop::Failed(error.into()));
        }
        self.outcome.stuck.push(FailedSession { session_id, reason, error });
        Ok(())
    }

    /// Goes through the events until a pass removes none: a later pass retries those that the backend had locked.
    async fn remove_events(&mut self) -> Result<(), Stop> {
        let Some(policy) = self.history.events else { return Ok(()) };
        let mut sizer = BatchSizer::default();
        let (mut after, mut before) = (None, self.outcome.batches);
        loop {
            let mut last = None;
            let begin = async |history: &OpenHistory, size, limits, activity| {
                let batch = Batch::begin(&history.connection, limits, None, history.triggers).await?;
                let begun =
                    events::remove_batch(batch, &policy, after, size, || history.may_continue(activity)).await?;
                Ok(begun.map(|(batch, id)| {
                    last = Some(id);
                    batch
                }))
            };
            match self.remove_others(&mut sizer, begin).await? {
                Others::Removed => after = last,
                Others::Again => {}
                Others::Nothing if self.outcome.batches == before => return Ok(()),
                Others::Nothing => (after, before) = (None, self.outcome.batches),
            }
        }
    }

    /// Removes the rows whose session or stage no longer exists, and the rows that become orphans by that. What is left of
    /// a reference may be removed after the orphans of another one.
    async fn remove_orphans(&mut self) -> Result<(), Stop> {
        if self.history.plan.orphans.is_empty() {
            return Ok(());
        }
        let references = REFERENCES.iter().copied().filter(|reference| reference.is_in(&self.history.schema));
        let mut references: Vec<_> = references.collect();
        while !references.is_empty() {
            let before = self.outcome.batches;
            let (mut with_rest, mut locked) = (Vec::new(), None);
            for reference in references {
                let rest = self.remove_orphans_of(&reference).await?;
                if let Rest::Locked(rows) = rest {
                    locked = Some(locked_orphans(&reference, rows));
                }
                if rest != Rest::None {
                    with_rest.push(reference);
                }
            }
            references = with_rest;
            if self.outcome.batches == before {
                return locked.map_or(Ok(()), |error| Err(Stop::Failed(DatabaseError::from(error).into())));
            }
        }
        Ok(())
    }

    /// Removes the orphans of one reference. Those that another session has locked are retried for `--retry-for`.
    async fn remove_orphans_of(&mut self, reference: &Reference) -> Result<Rest, Stop> {
        let (mut sizer, mut rest) = (BatchSizer::default(), Rest::None);
        let mut after = None;
        loop {
            let (mut places, more_after) = self.find_orphans(reference, after).await?;
            // A stage may be removed after its child stages, and a row that another session had locked.
            while !places.is_empty() {
                let before = self.outcome.batches;
                let locked = self.remove_orphans_at(reference, &mut places, &mut sizer).await?;
                if self.outcome.batches > before {
                    continue;
                }
                if locked == 0 || self.is_retried_enough() {
                    rest = rest.max(if locked == 0 { Rest::Some } else { Rest::Locked(locked) });
                    break;
                }
                self.wait_for_locks(&locked_orphans(reference, locked)).await?;
            }
            if more_after.is_none() {
                return Ok(rest);
            }
            after = more_after;
        }
    }

    /// Removes the orphans at these places, from the last to the first: a child stage is written after its parent. Leaves
    /// the places of those that were not removed, in order, and returns how many of them another session has locked.
    async fn remove_orphans_at(
        &mut self,
        reference: &Reference,
        places: &mut Vec<Place>,
        sizer: &mut BatchSizer,
    ) -> Result<u64, Stop> {
        let (mut rest, mut locked, mut search) = (Vec::new(), 0, None);
        while !places.is_empty() {
            if search.is_none_or(|search| self.is_outdated(search)) {
                let began = Instant::now();
                rest.extend(self.take_parents(reference, places).await?);
                search = Some(ParentSearch { began, took: began.elapsed() });
                continue;
            }
            let (mut taken, mut found) = (0, Found::default());
            let begin = async |history: &OpenHistory, size: u32, limits: Limits, activity| {
                let OpenHistory { connection, schema, triggers, .. } = history;
                let last = places::last(places, size.min(MOST_AT_ONCE) as usize);
                taken = last.len();
                let archive = history.begin_archive().await?;
                let batch = Batch::begin(connection, limits, archive, *triggers).await?;
                let go_on = || history.may_continue(activity);
                orphans::batch::remove_batch(batch, schema, reference, last, &mut found, go_on).await
            };
            if self.remove_others(sizer, begin).await? == Others::Again {
                continue;
            }
            let taken = places.split_off(places.len() - taken);
            rest.extend(taken.into_iter().filter(|place| found.removed.binary_search(place).is_err()));
            locked += found.locked;
        }
        rest.sort_unstable();
        *places = rest;
        Ok(locked)
    }

    /// Whether another session may have given an orphaned stage a child stage since a search.
    fn is_outdated(&self, search: ParentSearch) -> bool {
        let has_changed = self.history.contention.last_commit().is_some_and(|commit| commit > search.began);
        has_changed && search.began.elapsed() > search.took * PARENTS_VALID_FOR
    }
}

/// The error of orphans that another session has locked.
fn locked_orphans(reference: &Reference, rows: u64) -> BatchError {
    let message = format!("another session has locked {} of {}", counted(rows, "orphan"), reference.child);
    let cause = DatabaseCause::new(ErrorClass::Busy, message).with_remedy(RETRY_LONGER);
    BatchError { action: (Verb::Remove, "orphans").into(), ..cause.into() }
}
