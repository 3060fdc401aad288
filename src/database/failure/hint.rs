//! What the operator can do about a failure.

use super::cause::DatabaseCause;
use super::class::ErrorClass;
use super::postgresql::refuses_options;
use super::sqlite::TEMPORARY_FILES;
use super::transport::{CLIENT_REJECTED, OTHER_PROGRAM};
use crate::database::quote::quoted;
use crate::format::shell_word;

/// What to do where a server wants another certificate of this client.
const CLIENT_CERTIFICATE: &str = "set `sslcert` and `sslkey` in the URL, or `PGSSLCERT` and `PGSSLKEY`, to a certificate of a CA that \
                                  the server trusts, and its key";
/// How the message of a login without a password begins; the reason follows.
pub(crate) const PASSWORD_WANTED: &str = "the server asks for a password, and ";

/// How the reason begins if there is a password file.
pub(crate) const PASSWORD_FILE: &str = "the password file ";

/// How the reason ends if the mode of the password file is not 0600.
pub(crate) const PASSWORD_FILE_OPEN_TO_OTHERS: &str = " is ignored because others have access (allow 0600)";

/// What PgBouncer reports where it has no session on the server.
const POOLER_WITHOUT_SESSION: [&str; 3] = ["query_wait_timeout", "server login has been failing", "(server down)"];

/// What PgBouncer reports where its `[databases]` lacks a name.
const POOLER_WITHOUT_DATABASE: &str = "no such database: ";

/// What a message says if another host of the URL may be the primary.
pub(crate) const OTHER_HOSTS: &str = "the URL names other hosts";

/// What the operator can do about it.
pub(crate) const FIND_PRIMARY: &str =
    "add `target_session_attrs=read-write` to the URL, so that the host that is the primary is chosen";

/// What a message says if a host was reached that is not the primary.
const NOT_PRIMARY: [&str; 2] = ["`target_session_attrs=read-write`", "`target_session_attrs=primary`"];

/// The SQLSTATE of RAISE in a function.
const RAISED: &str = "P0001";

/// What the operating system reports where a Unix socket is missing.
const NO_SOCKET: &str = "no such file or directory";

impl DatabaseCause {
    /// What the operator can do about it.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<String> {
        let own = self.remedy().map(str::to_owned);
        own.or_else(|| self.hint_of_login()).or_else(|| self.hint_of_class().map(str::to_owned))
    }

    /// What the operator can do about a refused login whose reason is known.
    fn hint_of_login(&self) -> Option<String> {
        if self.class != ErrorClass::Authentication {
            return None;
        }
        let role = |reason| self.message.strip_prefix("role \"")?.strip_suffix(reason).map(quoted);
        if let Some(role) = role("\" is not permitted to log in") {
            return Some(format!("let a superuser, or a role with CREATEROLE, run `ALTER ROLE {role} LOGIN`"));
        }
        if let Some(role) = role("\" does not exist") {
            return Some(format!(
                "correct the user in the URL, or let a superuser, or a role with CREATEROLE, run `CREATE ROLE {role} LOGIN`"
            ));
        }
        let (_, reason) = self.message.split_once(PASSWORD_WANTED)?;
        match reason.strip_prefix(PASSWORD_FILE).and_then(|file| file.strip_suffix(PASSWORD_FILE_OPEN_TO_OTHERS)) {
            Some(file) => Some(format!("`chmod 0600 {}`", shell_word(file))),
            None => Some(
                "give the password in the URL (`DATABASE_URL_FILE` names a file with the URL), in `PGPASSWORD`, or in \
                 `~/.pgpass` with the mode 0600"
                    .to_owned(),
            ),
        }
    }

    fn hint_of_class(&self) -> Option<&str> {
        Some(match self.class {
            // The other hosts may have failed in another way.
            class if class.is_transient() && self.is_without_primary() => {
                "run `tarsy-db wait`, which tries all hosts until one is the primary, then the same command again"
            }
            ErrorClass::Refused if self.message == NO_SOCKET => {
                "there is no server's Unix socket in that directory: name the host in the URL, such as `@localhost:5432`, or \
                 start the server"
            }
            ErrorClass::Refused => {
                "check that the server is running and that host and port are right, or run `tarsy-db wait` first"
            }
            ErrorClass::TimedOut if self.is_statement_timeout() => {
                "raise or reset the `statement_timeout` of the role or of the database: `ALTER ROLE ... RESET \
                 statement_timeout`, `ALTER DATABASE ... RESET statement_timeout`"
            }
            ErrorClass::NameResolution => "check the host name",
            ErrorClass::ConnectionLost if self.is_of_pooler() => {
                "look up in the pooler's log why it has no session for this client: the server is down or refuses the \
                 pooler's login, all sessions of the pool are in use, or the database is paused"
            }
            ErrorClass::ConnectionLost if self.is_of_other_program() => {
                "check host and port in the URL: the program there does not speak PostgreSQL's protocol"
            }
            ErrorClass::ConnectionLost | ErrorClass::ShuttingDown => {
                "run `tarsy-db wait`, then the same command again; the server rolls back what was not committed"
            }
            ErrorClass::Authentication if self.message.contains("client certificate") => CLIENT_CERTIFICATE,
            ErrorClass::Tls if self.message.contains(CLIENT_REJECTED) => CLIENT_CERTIFICATE,
            ErrorClass::Authentication => {
                "check user and password, and whether the server's `pg_hba.conf` lets this role connect from here"
            }
            ErrorClass::Privilege => "let the owner of the object, or a superuser, grant the role what it lacks",
            ErrorClass::FilePermission => {
                "give this system user read and write permission for the file and for its directory"
            }
            ErrorClass::RowPolicy => {
                "connect as the owner of the tables (unless they have FORCE ROW LEVEL SECURITY), or let a superuser \
                 run `ALTER ROLE ... BYPASSRLS` for this role"
            }
            ErrorClass::NoSuchDatabase if self.message.starts_with(POOLER_WITHOUT_DATABASE) => {
                "add the name to `[databases]` of PgBouncer, or correct the URL; a database that the server lacks is created by \
                 `tarsy-db init --create-database` with a URL of the server itself"
            }
            ErrorClass::NoSuchDatabase => {
                "check the database name in the URL; `tarsy-db init --create-database` creates the database and its tables"
            }
            ErrorClass::Encoding => {
                "name another database in the URL, because the encoding of a database cannot be changed; `tarsy-db init \
                 --create-database` creates it, or `CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0`"
            }
            ErrorClass::NoSuchFile if self.message.contains(".zst") => return None,
            ErrorClass::NoSuchFile => "check the path; `tarsy-db init` creates a new database there",
            ErrorClass::Tls if !self.message.contains("does not support TLS") => return None,
            ErrorClass::Tls if self.message.contains("TARSY_DB_REQUIRE_TLS") => {
                "switch TLS on at the server (`ssl = on`, with a certificate), or unset `TARSY_DB_REQUIRE_TLS`, or \
                 `database.require_tls` in the settings file"
            }
            ErrorClass::Tls => {
                "switch TLS on at the server (`ssl = on`, with a certificate), because `sslmode` in the URL or \
                 `PGSSLMODE` requires it"
            }
            ErrorClass::Certificate if self.message.contains("client trusts") => {
                "set `sslrootcert=FILE` in the URL, or `PGSSLROOTCERT`, to the server's certificate or to that of its CA"
            }
            ErrorClass::Certificate if self.message.contains("client does not trust") => {
                "set `sslrootcert=FILE` in the URL, or `PGSSLROOTCERT`, to the certificate of the CA that signed the \
                 server's"
            }
            ErrorClass::Certificate if self.message.contains(" expired on ") => "renew the certificate",
            ErrorClass::Certificate if self.message.contains(" is not valid before ") => {
                "check the clock of this machine and that of the CA; if they are right, give the server a certificate that \
                 is valid now"
            }
            ErrorClass::Certificate if self.message.contains(" is revoked") => "give the server another certificate",
            ErrorClass::Certificate if self.message.contains("revocation list") => {
                "add the current list of this CA to the file or directory of `sslcrl`, `sslcrldir` or `~/.postgresql/root.crl`"
            }
            ErrorClass::Certificate if self.message.contains(" too weak") => {
                "replace this certificate with one that has a longer key, such as RSA with 2048 bits, and a signature with SHA-256"
            }
            ErrorClass::Certificate if self.message.contains(" not issued for servers") => {
                "let the CA issue a certificate whose extended key usage has `serverAuth`, and whose key usage has \
                 `digitalSignature`"
            }
            ErrorClass::Certificate if self.message.contains(" is rejected: ") => {
                "replace this certificate with one without this fault"
            }
            ErrorClass::Certificate if self.message.contains(" for `") => {
                "use a host name that the certificate was issued for, or give the server a certificate for this one"
            }
            ErrorClass::Certificate => "give the server a certificate for this host name that a CA has signed",
            ErrorClass::Standby if self.message.contains(OTHER_HOSTS) => FIND_PRIMARY,
            ErrorClass::Standby => "connect to the primary",
            ErrorClass::ReadOnly => {
                "connect to the primary, or reset `default_transaction_read_only` of the role or the database"
            }
            ErrorClass::Constraint if self.server().is_some_and(|server| server.sqlstate == RAISED) => {
                "a trigger or an event trigger of your own refuses it with this message: change it, or disable it \
                 meanwhile; `tarsy-db check` lists what you added to the tables"
            }
            ErrorClass::Constraint => {
                "other rows may refer to these rows, or a constraint or trigger of your own may refuse the change: \
                 `tarsy-db check` lists what you added"
            }
            ErrorClass::Needed => {
                "drop the object that depends on it (a view, a trigger, an index or a policy of your own), run the \
                 same command again, then recreate it"
            }
            ErrorClass::AlreadyExists => "rename or drop the view, index or table that already has this name",
            ErrorClass::Pooler if self.message.contains("statement pooling mode") => {
                "set `pool_mode` of the pooler to `transaction` or `session`: TARSy's backend needs transactions, too"
            }
            ErrorClass::Pooler if self.message.contains("DIRECT_DATABASE_URL") => {
                "set `DIRECT_DATABASE_URL` to a URL of the server itself"
            }
            ErrorClass::Pooler => "connect to the server directly, or to a pool in session mode",
            ErrorClass::Configuration if refuses_options(&self.message) => {
                "remove `options` from the URL, or unset `PGOPTIONS`, because the pooler refuses it; `ALTER ROLE ... SET \
                 ...` gives each session of the role the same setting"
            }
            ErrorClass::Configuration if self.server().is_some() => {
                "check the role, the database, `options` in the URL and in `PGOPTIONS`, and `PGTZ`; the log of the server, or of \
                 the pooler, says more"
            }
            ErrorClass::Disabled => "run `ENABLE ...` with this name in the pooler's admin console",
            ErrorClass::SchemaPending => "run `tarsy-db init`",
            ErrorClass::Schema => "`tarsy-db check` names the differences between the tables and their revision",
            ErrorClass::OutOfResources => self.server().and_then(|server| server.hint.as_deref()).unwrap_or(
                "end other sessions, or raise the limit that the server names, then run the same command again",
            ),
            ErrorClass::TooManyConnections if self.message.contains("(max_") => {
                "close a connection, or raise the named limit of the pooler"
            }
            ErrorClass::TooManyConnections => "close a connection, or raise the server's `max_connections`",
            ErrorClass::DiskFull | ErrorClass::InputOutput if self.message.contains(TEMPORARY_FILES) => {
                "set `TMPDIR` to a directory with enough space"
            }
            ErrorClass::InputOutput if self.server().is_some() => {
                "check the disk of the server, and who may use the files in its data directory; its log says more"
            }
            ErrorClass::DiskFull => "free disk space, then run the same command again",
            ErrorClass::Corrupt if self.message.contains("not a database") => {
                "check the path; if it is the right one, restore a backup of the file"
            }
            ErrorClass::CannotOpen if self.message == "unable to open database file" => {
                "check the path: this system user can open or create no file there"
            }
            ErrorClass::Conflict => "run the same command again",
            ErrorClass::Corrupt if self.server().is_some() => {
                "`pg_amcheck` and the server's log name the damaged table: restore a backup"
            }
            ErrorClass::Corrupt => "restore a backup; for SQLite see also https://www.sqlite.org/recovery.html",
            _ => return None,
        })
    }

    /// The hint where no transaction was open that could be rolled back.
    #[must_use]
    pub(crate) fn hint_of_reading(&self) -> Option<String> {
        match self.class {
            ErrorClass::ConnectionLost | ErrorClass::ShuttingDown if !self.is_of_another() => {
                Some("run `tarsy-db wait`, then the same command again".to_owned())
            }
            _ => self.hint(),
        }
    }

    /// The hint of `wait`, which does not recommend `wait`.
    #[must_use]
    pub(crate) fn hint_after_waiting(&self) -> Option<String> {
        match self.class {
            class if class.is_transient() && self.is_without_primary() => {
                Some("check why no host of the URL is a primary that accepts writes".to_owned())
            }
            ErrorClass::Refused => Some("check that the server is running and that host and port are right".to_owned()),
            ErrorClass::ConnectionLost | ErrorClass::ShuttingDown if !self.is_of_another() => None,
            _ => self.hint(),
        }
    }

    /// Whether a pooler reports that it has no session on the server.
    fn is_of_pooler(&self) -> bool {
        POOLER_WITHOUT_SESSION.iter().any(|words| self.message.contains(words))
    }

    /// Whether the other side violates PostgreSQL's protocol.
    fn is_of_other_program(&self) -> bool {
        self.message.ends_with(OTHER_PROGRAM)
    }

    /// Whether the cause is not that the server went away, so that to wait for it does not help.
    fn is_of_another(&self) -> bool {
        self.is_of_pooler() || self.is_of_other_program() || self.remedy().is_some()
    }

    fn is_without_primary(&self) -> bool {
        NOT_PRIMARY.iter().any(|asked| self.message.contains(asked))
    }
}
