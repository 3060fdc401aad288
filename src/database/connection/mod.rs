//! SeaORM connections to both backends. [`crate::database::failure`] classifies their errors.
//!
//! | module | what it is for |
//! |---|---|
//! | [`postgresql`] | connections to PostgreSQL |
//! | [`sqlite`] | connections to SQLite |
//! | [`certificates`] | checks the certificate files of a TLS connection |
//! | [`writable`] | whether a server accepts writes |
//! | [`query`] | queries without parameters |
//! | [`limits`] | lock timeouts |

mod certificates;
mod limits;
mod postgresql;
mod query;
mod sqlite;
mod writable;

use std::time::Duration;

use sea_orm::DatabaseConnection;

pub(crate) use self::limits::{LOCK_TIMEOUT, busy_timeout, milliseconds};
pub(crate) use self::postgresql::open_single;
pub(crate) use self::query::{row, rows};
pub use self::sqlite::Access;
pub(crate) use self::writable::{require_primary, require_writable};

use self::postgresql::open_postgresql;
use self::sqlite::open_sqlite;
use super::failure::{DatabaseCause, ErrorClass};
use super::url::DatabaseUrl;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// A connection that could not be opened, or a database that is not usable behind it.
#[derive(Debug, thiserror::Error)]
#[error("{}", failed(.target, .cause.class))]
pub struct ConnectError {
    /// The database as its URL displays it, without the password.
    pub target: String,
    #[source]
    pub cause: DatabaseCause,
}

fn failed(target: &str, class: ErrorClass) -> String {
    use ErrorClass::{
        CannotOpen, Corrupt, FilePermission, NoSuchFile, Pooler, ReadOnly, RowPolicy, SchemaPending, Standby,
    };
    match class {
        NoSuchFile | FilePermission | CannotOpen | Corrupt => format!("cannot open {target}"),
        Standby | ReadOnly | RowPolicy | Pooler | SchemaPending => format!("{target} is not usable"),
        _ => format!("cannot connect to {target}"),
    }
}

impl Diagnostic for ConnectError {
    fn exit_code(&self) -> ExitCode {
        self.cause.class.exit_code()
    }

    fn hint(&self) -> Option<String> {
        self.cause.hint_of_reading().map(str::to_owned)
    }
}

/// Opens a pool of exactly one connection, which waits at most `lock_timeout` for another session's lock.
///
/// # Errors
/// [`ConnectError`] with the real reason: the pool alone would report only a timeout.
pub async fn open(
    url: &DatabaseUrl,
    access: Access,
    lock_timeout: Duration,
) -> Result<DatabaseConnection, ConnectError> {
    match url {
        DatabaseUrl::Sqlite(location) => open_sqlite(location, access, lock_timeout).await,
        // The future is large and part of its caller's: without the box the stack of a debug build overflows.
        DatabaseUrl::Postgresql(address) => Box::pin(open_postgresql(address, lock_timeout)).await,
    }
    .map_err(|cause| ConnectError { target: url.to_string(), cause })
}
