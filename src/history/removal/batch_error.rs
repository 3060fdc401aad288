//! Why a batch failed.

use std::collections::BTreeMap;

use sea_orm::DbBackend;

use crate::database::failure::{Action, DatabaseCause, DatabaseError, ErrorClass, Verb};
use crate::format::counted;

/// The number of removed rows by table.
pub(crate) type Removed = BTreeMap<&'static str, u64>;

/// Where a batch failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailedIn {
    Database,
    Archive,
    /// The schema, which changed in the meantime.
    Schema,
    /// The lock that another `prune` has taken in the meantime.
    PruneLock,
}

/// Why a batch was rolled back.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub(crate) struct BatchError {
    pub action: Action,
    pub place: FailedIn,
    /// The rows of a failed COMMIT that may have taken place: none if the database has rolled it back.
    pub uncommitted: Option<Box<Removed>>,
    #[source]
    pub cause: DatabaseCause,
}

impl BatchError {
    /// The same for an answer to the COMMIT that did not arrive in time.
    #[must_use]
    pub(crate) fn or_uncommitted(self, removing: Removed) -> Self {
        let is_lost = self.place == FailedIn::Database && self.cause.class.is_before_login();
        Self { uncommitted: self.uncommitted.or(is_lost.then(|| Box::new(removing))), ..self }
    }

    pub(crate) fn in_archive(cause: DatabaseCause) -> Self {
        Self {
            action: (Verb::Archive, "the rows of the batch").into(),
            place: FailedIn::Archive,
            uncommitted: None,
            cause,
        }
    }

    /// Whether the connection must be replaced before the next batch: after a failed COMMIT, and on SQLite, which may
    /// have rolled back on its own, after every error but a lock that was not granted.
    #[must_use]
    pub(crate) fn spoils_connection(&self, backend: DbBackend) -> bool {
        let is_about_sqlite = backend == DbBackend::Sqlite && self.place == FailedIn::Database;
        self.uncommitted.is_some() || (is_about_sqlite && self.cause.class != ErrorClass::Busy)
    }
}

/// The error of a batch that is given up, because another program has opened the database and would wait for it.
pub(crate) fn gave_way() -> BatchError {
    DatabaseCause::new(ErrorClass::Busy, "another program has opened the database").into()
}

impl<E: Into<DatabaseCause>> From<E> for BatchError {
    fn from(error: E) -> Self {
        Self {
            action: (Verb::Remove, "a batch of old rows").into(),
            place: FailedIn::Database,
            uncommitted: None,
            cause: error.into(),
        }
    }
}

impl From<BatchError> for DatabaseError {
    fn from(error: BatchError) -> Self {
        Self { action: error.action, cause: error.cause }
    }
}

/// Without an error the rest of the session would go, and these rows would be orphans.
pub(super) fn kept_by_trigger(table: &str) -> DatabaseCause {
    let message = format!(
        "a trigger or rule kept rows of {table} that the run deletes; drop or change it: `tarsy-db check` lists what you added"
    );
    DatabaseCause::new(ErrorClass::Constraint, message)
}

/// Without an error these rows would be orphans, and the archive would lack them.
pub(crate) fn not_in_index(table: &str) -> DatabaseCause {
    let message =
        format!("rows of {table} belong to a session and are not found by it: an index of {table} is damaged");
    DatabaseCause::new(ErrorClass::Corrupt, message).with_remedy(reindex(table))
}

pub(super) fn reindex(table: &str) -> String {
    format!("`REINDEX {table}` in sqlite3 rebuilds the indexes; then run the same command again")
}

/// A trigger or a policy kept rows: without an error the next batch would find them again, forever.
pub(super) fn too_few_removed(gone: u64, wanted: usize, table: &str) -> DatabaseCause {
    let message = format!(
        "the database removed {gone} of {} of {table}, perhaps because of a trigger or a row policy",
        counted(wanted as u64, "row")
    );
    DatabaseCause::new(ErrorClass::Constraint, message)
}

const UPGRADED: &str = "another session has upgraded the schema";

/// A column, a trigger or a rule was added since the run looked for them.
pub(crate) fn altered_concurrently() -> BatchError {
    let message = "another session has added a column, a trigger or a rule to the tables, or changed one";
    let cause = DatabaseCause::new(ErrorClass::Conflict, message).with_remedy("run the same command again");
    BatchError { place: FailedIn::Schema, ..BatchError::from(cause) }
}

/// Whether it is the error of [`upgraded_concurrently`].
pub(crate) fn is_upgraded_concurrently(cause: &DatabaseCause) -> bool {
    cause.class == ErrorClass::Conflict && cause.message == UPGRADED
}

/// The schema is no longer the one that was read: a statement may name columns that do not exist any more.
pub(crate) fn upgraded_concurrently() -> BatchError {
    let cause = DatabaseCause::new(ErrorClass::Conflict, UPGRADED).with_remedy(
        "run the same command again; if it has `--archive`, give that another file, because the archive is at the earlier \
         revision",
    );
    BatchError { place: FailedIn::Schema, ..BatchError::from(cause) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(class: ErrorClass) -> BatchError {
        DatabaseCause::new(class, "it failed").into()
    }

    #[test]
    fn only_a_lost_connection_leaves_a_commit_open() {
        let removing = Removed::from([("chats", 7)]);
        let open = failed(ErrorClass::ConnectionLost).or_uncommitted(removing.clone());
        assert_eq!(open.uncommitted.as_deref(), Some(&removing));
        assert!(failed(ErrorClass::Constraint).or_uncommitted(removing.clone()).uncommitted.is_none());
        let in_archive = BatchError::in_archive(DatabaseCause::new(ErrorClass::ConnectionLost, "it failed"));
        assert!(in_archive.or_uncommitted(removing).uncommitted.is_none());
    }

    #[test]
    fn sqlite_keeps_its_connection_after_a_lock_alone() {
        let spoils = |error: BatchError| [DbBackend::Sqlite, DbBackend::Postgres].map(|of| error.spoils_connection(of));
        assert_eq!(spoils(failed(ErrorClass::Busy)), [false, false]);
        assert_eq!(spoils(failed(ErrorClass::Constraint)), [true, false]);
        let open = BatchError { uncommitted: Some(Box::default()), ..failed(ErrorClass::Busy) };
        assert_eq!(spoils(open), [true, true]);
        let in_archive = BatchError::in_archive(DatabaseCause::new(ErrorClass::Data, "it failed"));
        assert_eq!(spoils(in_archive), [false, false]);
    }

    #[test]
    fn rows_that_the_database_kept_are_counted() {
        let expected = "the database removed 3 of 4 rows of chats, perhaps because of a trigger or a row policy";
        assert_eq!(too_few_removed(3, 4, "chats").to_string(), expected);
    }
}
