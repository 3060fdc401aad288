//! The encoding of a PostgreSQL database.

use sea_orm::{DbBackend, DbErr};

use crate::database::connection::row;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::transaction::Transaction;

/// The encoding of the database if it cannot hold every text. SQLite's can.
pub(crate) async fn other_than_utf8(connection: &Transaction) -> Result<Option<String>, DbErr> {
    if connection.backend() != DbBackend::Postgres {
        return Ok(None);
    }
    let encoding: String =
        row(connection, "SELECT current_setting('server_encoding') AS encoding").await?.try_get("", "encoding")?;
    Ok(Some(encoding).filter(|encoding| encoding != "UTF8"))
}

/// What is wrong with such an encoding.
#[must_use]
pub(crate) fn shortcoming(encoding: &str) -> String {
    format!("{encoding} cannot hold every text: TARSy needs UTF8")
}

/// Makes sure that the database can hold every text.
///
/// # Errors
/// [`ErrorClass::Encoding`], or the database's error.
pub(crate) async fn require_utf8(connection: &Transaction) -> Result<(), DatabaseCause> {
    match other_than_utf8(connection).await? {
        Some(encoding) => Err(DatabaseCause::new(ErrorClass::Encoding, shortcoming(&encoding))),
        None => Ok(()),
    }
}
