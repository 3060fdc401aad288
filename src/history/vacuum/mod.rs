//! Gives back the space that removed rows have left behind.
//!
//! | module | what it is for |
//! |---|---|
//! | [`postgresql`] | `VACUUM` of the tables |
//! | [`sqlite`] | `VACUUM` of the file, or its free pages step by step |
//! | [`freed`] | what a vacuum did, in figures and sentences |

pub(crate) mod freed;
pub(crate) mod postgresql;
pub(crate) mod sqlite;

use std::path::Path;

use sea_orm::{DatabaseConnection, DbBackend};

use self::freed::Freed;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::schema::model::Schema;

/// Gives back what removed rows left. On PostgreSQL all tables of TARSy's that the role may vacuum, while others use
/// them; most of the space stays inside, to be used again. On SQLite free pages leave the file: step by step where it
/// was created with `auto_vacuum`, otherwise by a copy of the whole, during which nobody can write and for which the
/// disk has to have room, where the file is and in `temporary`.
///
/// # Errors
/// [`DatabaseError`]; what was given back until then is.
pub async fn vacuum(
    connection: &DatabaseConnection,
    schema: &Schema,
    temporary: Option<&Path>,
) -> Result<Freed, DatabaseError> {
    match connection.get_database_backend() {
        DbBackend::Postgres => postgresql::vacuum(connection, schema).await,
        _ => sqlite::vacuum(connection, temporary).await.context((Verb::Vacuum, "the file")),
    }
}
