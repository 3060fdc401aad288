//! What would make a run fail although its plan succeeded. A run refuses it, and a dry run lists it.

use sea_orm::{DbBackend, DbErr};
use serde::{Serialize, Serializer};

use super::history::OpenHistory;
use crate::database::connection::row;
use crate::database::failure::{ResultExt, Verb};
use crate::database::transaction::{SearchPath, Transaction};
use crate::database::url::DatabaseUrl;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::format::percentage;
use crate::history::events::EVENTS;
use crate::history::orphans::count as orphans;
use crate::history::places::{self, RowIdError};
use crate::history::removal::triggers::{self, PathlessFunction, TriggerError};
use crate::history::retention::plan::RetentionPlan;
use crate::history::tables::{CHATS, SESSIONS, session_tables};
use crate::schema::privilege;
use crate::schema::replica_identity::{Changes, WithoutIdentity, lacking};

/// Why a run would fail, and the exit code that it would have.
#[derive(Debug)]
pub(crate) struct Obstacle {
    pub(crate) exit_code: ExitCode,
    pub(crate) what: String,
}

impl Obstacle {
    fn new(exit_code: ExitCode, what: impl Into<String>) -> Self {
        Self { exit_code, what: what.into() }
    }

    /// `a run would be refused (exit code 7): ...`.
    pub(crate) fn line(&self) -> String {
        let Self { exit_code, what } = self;
        let fails = if *exit_code == ExitCode::Refused { "be refused" } else { "fail" };
        format!("a run would {fails} (exit code {exit_code}): {what}")
    }
}

impl Serialize for Obstacle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.what)
    }
}

impl OpenHistory {
    /// The obstacles, in the order in which a run would meet them. `max_share` is the largest share of all sessions that
    /// it may remove; 1 is all.
    pub(crate) async fn look_for_obstacles(&self, max_share: f64) -> Result<Vec<Obstacle>, DbErr> {
        if self.plan.is_empty() {
            return Ok(Vec::new());
        }
        let share = too_large_a_share(&self.plan, max_share);
        Ok(match &self.url {
            DatabaseUrl::Sqlite(_) => {
                let unwritable = self.unwritable.as_ref();
                let file = unwritable.map(|cause| {
                    let what = format!("the file is not writable: {cause}");
                    Obstacle::new(cause.class.exit_code(), what)
                });
                let tables = self.tables_without_rowid().await?;
                let tables = tables.iter().map(|table| Obstacle::new(ExitCode::Refused, places::without_rowid(table)));
                file.into_iter().chain(tables).chain(share).collect()
            }
            DatabaseUrl::Postgresql(_) => {
                let functions = self.pathless_functions().await?;
                let functions = functions.iter().map(|function| Obstacle::new(ExitCode::Refused, function.to_string()));
                let obstacles = self.read_only().await?.into_iter().chain(functions).chain(share);
                let privileges = self.missing_privileges().await?;
                obstacles.chain(privileges).chain(self.missing_replica_identities().await?).collect()
            }
        })
    }

    /// Makes sure that no function of the operator's, as that of a trigger, would be called without a search path.
    pub(crate) async fn refuse_pathless_functions(&self) -> Result<(), Error> {
        let functions = self.pathless_functions().await.context((Verb::List, "the triggers"))?;
        if functions.is_empty() {
            return Ok(());
        }
        let namespace = self.connection.namespace().await.context((Verb::List, "the triggers"))?;
        Err(TriggerError { functions, path: namespace.path().to_vec() }.into())
    }

    /// Makes sure that orphans can be found again by their places.
    pub(crate) async fn refuse_tables_without_rowid(&self) -> Result<(), Error> {
        let tables = self.tables_without_rowid().await.context((Verb::Find, "orphans"))?;
        if tables.is_empty() { Ok(()) } else { Err(RowIdError(tables).into()) }
    }

    /// The tables, if orphans are removed from a SQLite file.
    async fn tables_without_rowid(&self) -> Result<Vec<String>, DbErr> {
        if self.plan.orphans.is_empty() || self.connection.backend() != DbBackend::Sqlite {
            return Ok(Vec::new());
        }
        let mut tables = self.connection.reading(async |reading| places::tables_without_rowid(reading).await).await?;
        tables.retain(|table| orphans::are_searched_in(&self.schema, table));
        Ok(tables)
    }

    async fn pathless_functions(&self) -> Result<Vec<PathlessFunction>, DbErr> {
        if matches!(self.url, DatabaseUrl::Sqlite(_)) {
            return Ok(Vec::new());
        }
        let reading = self.connection.begin_reading(SearchPath::Empty, "").await?;
        let functions = triggers::pathless(&reading, &self.tables_of_removal()).await;
        reading.rollback().await.ok();
        functions
    }

    /// The tables from which a run removes rows.
    fn tables_of_removal(&self) -> Vec<&'static str> {
        let has_sessions = self.selection.policy.is_about_sessions() || !self.plan.orphans.is_empty();
        session_tables().filter(|_| has_sessions).chain(self.events.map(|_| EVENTS)).collect()
    }

    async fn missing_replica_identities(&self) -> Result<Vec<Obstacle>, DbErr> {
        let tables = self.tables_of_removal();
        let look = async |reading: &Transaction| lacking(reading, &tables, Changes::Deletes).await;
        let found = self.connection.reading(look).await?;
        let obstacle = |table: &WithoutIdentity| {
            Obstacle::new(ExitCode::Drift, format!("{table}; its owner can run `{}`", table.remedy()))
        };
        Ok(found.iter().map(obstacle).collect())
    }

    async fn read_only(&self) -> Result<Option<Obstacle>, DbErr> {
        let sql = "SELECT current_setting('transaction_read_only')::bool AS is_read_only";
        let read = self.connection.reading(async |reading| row(reading, sql).await).await?;
        let is_read_only: bool = read.try_get("", "is_read_only")?;
        let what = "transactions are read-only: a standby, or `default_transaction_read_only`";
        Ok(is_read_only.then(|| Obstacle::new(ExitCode::Unavailable, what)))
    }

    async fn missing_privileges(&self) -> Result<Vec<Obstacle>, DbErr> {
        let mut removed: Vec<_> = session_tables().filter(|table| self.schema.tables.contains_key(*table)).collect();
        removed.extend(self.events.map(|_| EVENTS));
        // Each batch locks rows of these tables, which needs UPDATE.
        let mut locked = vec![SESSIONS, CHATS];
        locked.extend(self.events.map(|_| EVENTS));
        locked.extend(self.plan.orphans.iter().map(|orphans| orphans.reference.child));
        let lacking = async |tables: &[&str], privilege| {
            self.connection.reading(async |reading| privilege::lacking(reading, tables, &[privilege]).await).await
        };
        let lacking = [lacking(&locked, "UPDATE").await?, lacking(&removed, "DELETE").await?].into_iter().flatten();
        Ok(lacking.map(|lacking| Obstacle::new(ExitCode::Privilege, format!("the role lacks {lacking}"))).collect())
    }
}

fn too_large_a_share(plan: &RetentionPlan, limit: f64) -> Option<Obstacle> {
    let (share, allowed) = (percentage(plan.share()), percentage(limit));
    let what = format!("it would remove {share} of all sessions, and `--max-share` allows {allowed}");
    (plan.share() > limit).then(|| Obstacle::new(ExitCode::Refused, what))
}
