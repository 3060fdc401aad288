//! The database's errors, classified, in words that never hold a password.
//!
//! | module | what it is for |
//! |---|---|
//! | [`error`] | an action with the reason why it failed |
//! | [`hint`] | what the operator can do about it |
//! | [`cause`] | the reason, from the drivers' errors |
//! | [`relayed`] | a cause on its way from the bridge through the driver |
//! | [`postgresql`] | classifies PostgreSQL's SQLSTATEs |
//! | [`sqlite`] | classifies SQLite's result codes |
//! | [`transport`] | errors below the database: input and output, the protocol |
//! | [`action`] | the attempted action: the verbs of "cannot ..." |
//! | [`class`] | the classes of failures |

mod action;
mod cause;
mod class;
mod error;
mod hint;
mod postgresql;
pub(crate) mod relayed;
mod sqlite;
pub(crate) mod transport;

pub(crate) use self::action::{Action, COMMIT_OUTCOME, Verb};
pub(crate) use self::cause::DatabaseCause;
pub use self::class::ErrorClass;
pub use self::error::DatabaseError;
pub(crate) use self::error::ResultExt;
pub(crate) use self::hint::{FIND_PRIMARY, OTHER_HOSTS, PASSWORD_FILE, PASSWORD_FILE_OPEN_TO_OTHERS, PASSWORD_WANTED};
pub(crate) use self::postgresql::{Answer, ServerAnswer, refuses_options};
pub(crate) use self::transport::{CLIENT_REJECTED, OTHER_PROGRAM, io_message};
