//! A connection that could not be opened.

use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::url::DatabaseUrl;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// A connection that could not be opened, or a database that is not usable behind it.
#[derive(Debug, thiserror::Error)]
#[error("{}", failed(.target, *.step, .cause))]
pub struct ConnectError {
    /// The database as its URL displays it, without the password.
    pub target: String,
    pub(crate) step: ConnectStep,
    #[source]
    pub cause: DatabaseCause,
}

/// How far a connection had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectStep {
    Login,
    /// The first queries, which find TARSy's tables and their revision.
    FirstQueries,
}

impl ConnectError {
    pub(crate) fn new(target: &DatabaseUrl, step: ConnectStep, cause: DatabaseCause) -> Self {
        Self { target: target.to_string(), step, cause }
    }
}

fn failed(target: &str, step: ConnectStep, cause: &DatabaseCause) -> String {
    use ErrorClass::{
        CannotOpen, Corrupt, FilePermission, InputOutput, NoSuchFile, Pooler, ReadOnly, RowPolicy, Schema,
        SchemaIncomplete, SchemaPending, Standby,
    };
    match cause.class {
        NoSuchFile | FilePermission | CannotOpen | Corrupt | InputOutput => format!("cannot open {target}"),
        Standby | ReadOnly | RowPolicy | Pooler | Schema | SchemaIncomplete | SchemaPending => {
            format!("{target} is not usable")
        }
        class if step == ConnectStep::FirstQueries && (!class.is_before_login() || cause.is_statement_timeout()) => {
            format!("cannot read the ledger of {target}")
        }
        _ => format!("cannot connect to {target}"),
    }
}

impl Diagnostic for ConnectError {
    fn exit_code(&self) -> ExitCode {
        self.cause.class.exit_code()
    }

    fn hint(&self) -> Option<String> {
        self.cause.hint_of_reading()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::failure::Answer;

    #[test]
    fn what_fails_after_the_login_is_no_failure_to_connect() {
        let url = DatabaseUrl::sqlite_file("/history.db");
        let shown = |step, code, message| {
            let error =
                ConnectError::new(&url, step, DatabaseCause::of_answer(&Answer { code, message, ..Answer::default() }));
            (error.to_string(), error.hint().unwrap_or_default())
        };
        let (error, hint) = shown(ConnectStep::FirstQueries, "57014", "canceling statement due to statement timeout");
        assert_eq!(error, "cannot read the ledger of /history.db");
        assert!(hint.contains("`statement_timeout`"), "{hint}");
        let denied = "permission denied for table alembic_version";
        assert_eq!(shown(ConnectStep::FirstQueries, "42501", denied).0, "cannot read the ledger of /history.db");
        assert_eq!(shown(ConnectStep::Login, "42501", denied).0, "cannot connect to /history.db");
        let stopped = "terminating connection due to administrator command";
        assert_eq!(shown(ConnectStep::FirstQueries, "57P01", stopped).0, "cannot connect to /history.db");
    }
}
