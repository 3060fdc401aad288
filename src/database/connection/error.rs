//! A connection that could not be opened.

use crate::database::failure::{DatabaseCause, ErrorClass};
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
        CannotOpen, Corrupt, FilePermission, InputOutput, NoSuchFile, Pooler, ReadOnly, RowPolicy, Schema,
        SchemaPending, Standby,
    };
    match class {
        NoSuchFile | FilePermission | CannotOpen | Corrupt | InputOutput => format!("cannot open {target}"),
        Standby | ReadOnly | RowPolicy | Pooler | Schema | SchemaPending => format!("{target} is not usable"),
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
