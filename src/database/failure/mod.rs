//! What a database, or the way to it, answered: classed, and in words that never hold a password.
//!
//! | module | what it is for |
//! |---|---|
//! | [`action`] | what was tried: the verbs of "cannot ..." |
//! | [`error`] | something that the database did not do, and why |
//! | [`hint`] | what the reader can do about it |
//! | [`cause`] | what was answered |
//! | [`postgresql`] | what PostgreSQL's answers mean |
//! | [`sqlite`] | what SQLite's result codes mean |
//! | [`transport`] | what went wrong below the database |
//! | [`class`] | what kind of thing went wrong |

mod action;
mod cause;
mod class;
mod error;
mod hint;
mod postgresql;
mod sqlite;
pub(crate) mod transport;

pub(crate) use self::action::{Action, COMMIT_OUTCOME, Verb};
pub(crate) use self::cause::DatabaseCause;
pub use self::class::ErrorClass;
pub use self::error::DatabaseError;
pub(crate) use self::error::ResultExt;
pub(crate) use self::transport::{OTHER_PROGRAM, io_message};
