//! The reason for a database error.

use std::io::ErrorKind;

use sea_orm::{DbErr, RuntimeErr};
use sqlx::postgres::PgDatabaseError;

use super::class::ErrorClass;
use super::postgresql::{Answer, ServerAnswer};
use super::sqlite::TEMPORARY_FILES;
use super::transport::{OTHER_PROGRAM, io_class, io_message, protocol_message};
use super::{postgresql, relayed, sqlite};
use crate::fs::open_files;

/// How the message of SQLITE_IOERR_WRITE ends.
const WRITE_FAILED: &str = "a write failed";

/// The reason for a database error: an answer of the database, or a failed connection. The message never holds a
/// password.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseCause {
    pub class: ErrorClass,
    /// The database's own words.
    pub message: String,
    /// What the operator runs, in the place of the hint of the class.
    remedy: Option<Box<str>>,
    /// What a PostgreSQL server said beside the message.
    server: Option<Box<ServerAnswer>>,
}

impl DatabaseCause {
    /// A cause that tarsy-db itself found.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), remedy: None, server: None }
    }

    /// The same cause with a hint of its own.
    #[must_use]
    pub(crate) fn with_remedy(self, remedy: impl Into<Box<str>>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The hint of this very cause.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// The cause of an error of the operating system.
    #[must_use]
    pub(crate) fn of_io(error: &std::io::Error) -> Self {
        let cause = Self::new(io_class(error), io_message(error));
        if open_files::are_too_many(error) { cause.with_remedy(open_files::HINT) } else { cause }
    }

    /// The cause that a PostgreSQL server reports.
    #[must_use]
    pub(crate) fn of_answer(answer: &Answer<'_>) -> Self {
        postgresql::log(answer);
        let cause = Self::new(postgresql::class(answer), postgresql::message(answer));
        Self { server: Some(Box::new(answer.into())), remedy: postgresql::remedy(answer).map(Into::into), ..cause }
    }

    /// The cause with which a PostgreSQL server refuses a login.
    #[must_use]
    pub(crate) fn of_login(answer: &Answer<'_>) -> Self {
        Self { class: postgresql::class_of_login(answer), ..Self::of_answer(answer) }
    }

    /// The answer of a server that brings this cause through the driver.
    #[must_use]
    pub(crate) fn as_answer(&self) -> Vec<u8> {
        relayed::answer(self.class, &self.message, self.remedy(), self.server())
    }

    /// What a PostgreSQL server said beside the message.
    #[must_use]
    pub(crate) fn server(&self) -> Option<&ServerAnswer> {
        self.server.as_deref()
    }

    /// The cause that SQLite reports. It says no more than "disk I/O error" where the disk is full.
    fn of_sqlite(code: Option<i32>, message: &str) -> Self {
        let class = sqlite::class(code);
        match code {
            Some(sqlite::NO_ROOM_FOR_INDEX) => Self::new(class, "no space for the `-shm` beside the file")
                .with_remedy("free disk space, or raise `ulimit -f`, then run the same command again"),
            Some(sqlite::WRITE_FAILED) => Self::new(class, format!("{message}: {WRITE_FAILED}")).with_remedy(
                "check the disk, and whether `ulimit -f` limits the size of files, then run the same command again",
            ),
            Some(1) if sqlite::is_of_schema(message) => Self::new(ErrorClass::Schema, message),
            _ => Self::new(class, message),
        }
    }

    /// Whether SQLite could not write because the disk is full, or because a limit keeps the file from growing.
    #[must_use]
    pub(crate) fn is_lack_of_room(&self) -> bool {
        self.class == ErrorClass::DiskFull || self.message.ends_with(WRITE_FAILED)
    }

    /// Whether a time limit of the server's settings ended the statement.
    #[must_use]
    pub(crate) fn is_statement_timeout(&self) -> bool {
        const QUERY_CANCELED: &str = "57014";
        let is_canceled = self.server().is_some_and(|server| server.sqlstate == QUERY_CANCELED);
        is_canceled && self.message.ends_with("due to statement timeout")
    }

    /// Whether a COMMIT that ended with this error may have taken place.
    ///
    /// Without room SQLite has not written the frame that completes a transaction. After a failed sync it may be there.
    #[must_use]
    pub(crate) fn leaves_commit_open(&self) -> bool {
        let is_answer = self.server.is_some() || self.is_lack_of_room();
        let is_unclear = matches!(self.class, ErrorClass::InputOutput | ErrorClass::Other);
        self.class.is_before_login() || (is_unclear && !is_answer)
    }

    /// The class followed by the database's answer, or the answer alone if it begins with the words of the class.
    #[must_use]
    pub fn described(&self) -> String {
        let class = self.class.to_string();
        if self.message.starts_with(&class) { self.message.clone() } else { format!("{class}: {}", self.message) }
    }
}

/// The errors of the driver on a connection that has ended.
const ENDED: [ErrorKind; 3] = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];

impl From<sqlx::Error> for DatabaseCause {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&sqlx::Error> for DatabaseCause {
    fn from(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) => match relayed::read(answer) {
                    Some((class, message, remedy, server)) => {
                        let (remedy, server) = (remedy.map(Into::into), server.map(Box::new));
                        Self { remedy, server, ..Self::new(class, message) }
                    }
                    None => Self::of_answer(&answer.into()),
                },
                None if answer.code().as_deref() == Some(sqlite::HOT_JOURNAL) => Self::new(
                    ErrorClass::CannotOpen,
                    "a crashed writer left a `-journal`: open the file once for writing, or copy both files",
                ),
                // `error in view mine after drop column: no such column: alert_id` has no code of its own.
                None if answer.message().starts_with("error in ") => Self::new(ErrorClass::Needed, answer.message()),
                None => {
                    let code = answer.code().and_then(|code| code.parse().ok());
                    Self::of_sqlite(code, answer.message())
                }
            },
            sqlx::Error::Io(error) if ENDED.contains(&error.kind()) => relayed::take_last_words()
                .map_or_else(|| Self::of_io(error), |(class, message)| Self::new(class, message)),
            sqlx::Error::Io(error) => Self::of_io(error),
            // The source of a configuration error may quote a secret.
            sqlx::Error::Configuration(_) => Self::new(ErrorClass::Configuration, "the driver rejects a setting"),
            // A database returns its own definitions as text: bytes that are not UTF-8 mean damage.
            sqlx::Error::ColumnDecode { index, source } if source.is::<std::str::Utf8Error>() => {
                Self::new(ErrorClass::Corrupt, format!("column {index} holds bytes that are not UTF-8: {source}"))
            }
            // Its own text names types of Rust.
            sqlx::Error::ColumnDecode { index, .. } => {
                Self::new(ErrorClass::Schema, format!("column {index} holds a value of another type than TARSy's"))
            }
            sqlx::Error::PoolTimedOut => Self::new(ErrorClass::TimedOut, "no connection became free in time"),
            sqlx::Error::Protocol(message) => Self::new(ErrorClass::ConnectionLost, protocol_message(message)),
            sqlx::Error::BeginFailed => Self::new(
                ErrorClass::ConnectionLost,
                format!("the server confirmed BEGIN but is not in a transaction; {OTHER_PROGRAM}"),
            ),
            other => Self::new(ErrorClass::Other, other.to_string()),
        }
    }
}

impl From<rusqlite::Error> for DatabaseCause {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(code, message) => {
                let class = sqlite::class(Some(code.extended_code));
                let message = match code.extended_code {
                    // But for deletes, which have their own message, this driver only reads: nothing else is written.
                    sqlite::FULL => format!("no space for {TEMPORARY_FILES}"),
                    sqlite::NO_TEMPORARY_DIRECTORY => format!("no directory for {TEMPORARY_FILES} can be written"),
                    _ => message.clone().unwrap_or_else(|| code.to_string()),
                };
                Self::new(class, message)
            }
            _ => Self::new(ErrorClass::Other, error.to_string()),
        }
    }
}

impl From<DbErr> for DatabaseCause {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::Conn(RuntimeErr::SqlxError(source))
            | DbErr::Exec(RuntimeErr::SqlxError(source))
            | DbErr::Query(RuntimeErr::SqlxError(source)) => Self::from(source.as_ref()),
            // A migration reports an object that blocks it.
            DbErr::Custom(message) => Self::new(ErrorClass::Needed, message.clone()),
            DbErr::ConnectionAcquire(_) => Self::new(ErrorClass::TimedOut, "no connection became free in time"),
            _ => Self::new(ErrorClass::Other, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_class_are_not_repeated() {
        let described = |message| DatabaseCause::new(ErrorClass::Privilege, message).described();
        assert_eq!(described("permission denied for table chats"), "permission denied for table chats");
        assert_eq!(described("must be owner of table chats"), "permission denied: must be owner of table chats");
    }

    #[test]
    fn a_commit_is_open_only_where_no_database_has_refused_it() {
        const SYNC_FAILED: i32 = 1034;
        let open = |code| DatabaseCause::of_sqlite(Some(code), "disk I/O error").leaves_commit_open();
        assert!(open(SYNC_FAILED));
        assert!(!open(sqlite::WRITE_FAILED) && !open(sqlite::FULL) && !open(19));
        let of_class = |class| DatabaseCause::new(class, "it failed").leaves_commit_open();
        assert!(of_class(ErrorClass::ConnectionLost) && of_class(ErrorClass::Other));
        assert!(!of_class(ErrorClass::Constraint) && !of_class(ErrorClass::Conflict));
    }
}
