//! What the reader can do about an answer.

use super::cause::DatabaseCause;
use super::class::ErrorClass;
use super::transport::UNKNOWN_CA;

impl DatabaseCause {
    /// What the reader can do about it.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self.class {
            ErrorClass::Refused => "is the server running, and are host and port right? `tarsy-db wait` waits for it",
            ErrorClass::NameResolution => "is the host name right?",
            ErrorClass::ConnectionLost | ErrorClass::ShuttingDown => {
                "`tarsy-db wait` waits until the server is back; what was not committed is rolled back"
            }
            ErrorClass::Authentication => "are user and password right, and does the server let them in from here?",
            ErrorClass::Privilege => "the role, or for SQLite the system user, needs the right to do this",
            ErrorClass::RowPolicy => {
                "connect as the owner of the tables (unless they FORCE ROW LEVEL SECURITY), or let a superuser run \
                 `ALTER ROLE ... BYPASSRLS` for this role"
            }
            ErrorClass::NoSuchDatabase => {
                "is the name right? `tarsy-db init` creates a SQLite file, not a PostgreSQL database"
            }
            ErrorClass::Tls if !self.message.contains("does not support TLS") => return None,
            ErrorClass::Tls => {
                "set `ssl = on` at the server: `sslmode` of the URL, or `PGSSLMODE`, does not allow plain text"
            }
            ErrorClass::Certificate if self.message == UNKNOWN_CA => {
                "name the certificate of the CA that signed the server's: `sslrootcert=FILE` in the URL, or `PGSSLROOTCERT`"
            }
            ErrorClass::Certificate => "give the server a current certificate for this host name, signed by a CA",
            ErrorClass::Standby => "connect to the primary",
            ErrorClass::ReadOnly => {
                "is `default_transaction_read_only` set for the role or the database, or is this a standby?"
            }
            ErrorClass::Constraint => "other rows refer to these, or a condition of your own forbids it",
            ErrorClass::Needed => {
                "drop what uses it (a view, a trigger, an index or a policy of your own) and create it again afterwards"
            }
            ErrorClass::AlreadyExists => {
                "a view, an index or a table of that name is in the way: `tarsy-db check` may tell more"
            }
            ErrorClass::Pooler => "connect to the server itself, or to a pool in session mode",
            ErrorClass::SchemaPending => "run `tarsy-db init`",
            ErrorClass::TooManyConnections if self.message.contains("role \"") => {
                "free a connection of the role, or raise its limit: `ALTER ROLE ... CONNECTION LIMIT ...`"
            }
            ErrorClass::TooManyConnections if self.message.contains("database \"") => {
                "free a connection to the database, or raise its limit: `ALTER DATABASE ... CONNECTION LIMIT ...`"
            }
            ErrorClass::TooManyConnections => "free a connection, or raise the server's `max_connections`",
            ErrorClass::DiskFull => "free some space, then run the same command again",
            ErrorClass::Corrupt => "restore a backup; for SQLite see https://www.sqlite.org/recovery.html as well",
            _ => return None,
        })
    }

    /// What the reader can do where nothing was begun that could be rolled back.
    #[must_use]
    pub(crate) fn hint_of_reading(&self) -> Option<&'static str> {
        match self.class {
            ErrorClass::ConnectionLost | ErrorClass::ShuttingDown => {
                Some("`tarsy-db wait` waits until the server is back")
            }
            _ => self.hint(),
        }
    }

    /// What the reader can do where waiting was of no use.
    #[must_use]
    pub(crate) fn hint_after_waiting(&self) -> Option<&'static str> {
        match self.class {
            ErrorClass::Refused => Some("is the server running, and are host and port right?"),
            ErrorClass::ConnectionLost | ErrorClass::ShuttingDown => None,
            _ => self.hint(),
        }
    }
}
