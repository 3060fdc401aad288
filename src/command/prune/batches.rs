//! Removes what was planned, in batches: short batches while other sessions are active. Retries after a temporary failure,
//! skips sessions that cannot be removed, and stops at a signal or the deadline.

use super::attempt::Attempt;
use super::bounds::out_of_time;
use super::history::OpenHistory;
use super::outcome::{FailedSession, RemovalOutcome, Stop};
use super::removal::Removal;
use super::retry::Remedy;
use crate::database::failure::{DatabaseError, Verb};
use crate::history::removal::batch::{BatchError, Limits};
use crate::history::removal::batch_size::BatchSizer;
use crate::history::retention::session_batch::{Cursor, PickedSession};
use crate::history::tables::{REFERENCES, Reference};
use crate::history::{events, orphans};

/// How many failed sessions are skipped before the run fails: more of them have another cause.
const MOST_STUCK: usize = 100;

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

    /// Goes through the sessions until a pass removes none: a later pass retries those that the backend had locked.
    async fn remove_sessions(&mut self) -> Result<(), Stop> {
        let mut sizer = BatchSizer::default();
        let mut cursor = Cursor::default();
        let mut before = self.sessions();
        loop {
            let mut taken = Vec::new();
            match self.attempt_sessions(&mut sizer, &cursor, &mut taken).await? {
                Attempt::Removed => cursor.after = taken.pop(),
                Attempt::GaveWay => {}
                Attempt::Failed(error) => self.after_failure(error, taken, &mut sizer, &mut cursor).await?,
                Attempt::Nothing if self.sessions() == before => return Ok(()),
                Attempt::Nothing => {
                    cursor.after = None;
                    before = self.sessions();
                }
            }
        }
    }

    /// Prepares the next attempt: with fewer sessions, without the failed one, or later.
    async fn after_failure(
        &mut self,
        error: BatchError,
        mut taken: Vec<PickedSession>,
        sizer: &mut BatchSizer,
        cursor: &mut Cursor,
    ) -> Result<(), Stop> {
        match Remedy::for_sessions(&error, self.history.selection.backend(), sizer.size(), taken.len()) {
            Remedy::LimitSize => sizer.limit(),
            Remedy::TryAgain => self.try_again(error).await?,
            Remedy::Halve => sizer.halve(taken.len()),
            Remedy::PassOver => cursor.after = taken.pop(),
            Remedy::LeaveOut => {
                let Some(PickedSession { session_id, .. }) = taken.first() else { return Ok(()) };
                cursor.without.insert(session_id.clone());
                self.note_stuck(session_id, error)?;
                cursor.after = taken.pop();
            }
        }
        Ok(())
    }

    fn note_stuck(&mut self, session_id: &str, error: BatchError) -> Result<(), Stop> {
        let (session_id, reason) = (session_id.to_owned(), error.cause.to_string());
        let error = DatabaseError::from(error);
        if self.outcome.stuck.len() == MOST_STUCK {
            return Err(Stop::Failed(error.into()));
        }
        self.outcome.stuck.push(FailedSession { session_id, reason, error });
        Ok(())
    }

    async fn remove_events(&mut self) -> Result<(), Stop> {
        let Some(policy) = self.history.events else { return Ok(()) };
        let mut sizer = BatchSizer::default();
        let begin = async |history: &OpenHistory, size, limits| {
            events::remove_batch(&history.connection, &policy, size, limits).await
        };
        while self.remove_others(&mut sizer, &begin).await? {}
        Ok(())
    }

    /// Removes the rows whose session or stage no longer exists, and the rows that become orphans by that.
    async fn remove_orphans(&mut self) -> Result<(), Stop> {
        if self.history.plan.orphans.is_empty() {
            return Ok(());
        }
        let references = REFERENCES.iter().copied().filter(|reference| reference.is_in(&self.history.schema));
        let references: Vec<_> = references.collect();
        loop {
            let before = self.outcome.batches;
            for reference in &references {
                self.remove_orphans_of(*reference).await?;
            }
            if self.outcome.batches == before {
                return Ok(());
            }
        }
    }

    async fn remove_orphans_of(&mut self, reference: Reference) -> Result<(), Stop> {
        let mut sizer = BatchSizer::default();
        let begin = async |history: &OpenHistory, size: u32, limits: Limits| {
            let OpenHistory { connection, schema, archive, .. } = history;
            orphans::remove_batch(connection, schema, reference, size, limits, archive.as_ref()).await
        };
        while self.remove_others(&mut sizer, &begin).await? {}
        Ok(())
    }
}
