//! How the session of a failed transaction ends.

use sqlx::PgConnection;

use crate::database::failure::ErrorClass;
use crate::transfer::error::TransferError;
use crate::transfer::target::session::{abandon, roll_back};

/// Ends the session of a transaction that failed. After most errors the protocol may be out of sync.
pub(crate) async fn give_up(connection: PgConnection, error: &TransferError) {
    use TransferError::{Conflicts, Database, Hazards, Mismatch, NotEmpty};
    let is_in_sync = match error {
        // The caller asks the server which session holds the lock: it must not find this one.
        Database(error) => error.cause.class == ErrorClass::Busy,
        error => matches!(error, Conflicts(_) | Hazards(_) | Mismatch(_) | NotEmpty(_)),
    };
    match is_in_sync {
        true => roll_back(connection).await,
        false => abandon(connection).await,
    }
}
