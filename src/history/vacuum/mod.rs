//! Returns the space of removed rows to the operating system.
//!
//! | module | what it is for |
//! |---|---|
//! | [`postgresql`] | `VACUUM` of the tables |
//! | [`sqlite`] | `VACUUM` of the file, or removal of free pages step by step |
//! | [`freed`] | the result of a vacuum |

pub(crate) mod freed;
pub(crate) mod postgresql;
pub(crate) mod sqlite;

use std::path::Path;

use sea_orm::DbBackend;

use self::freed::Freed;
use crate::database::connection::Connection;
use crate::database::failure::{DatabaseError, ResultExt, Verb};
use crate::schema::model::Schema;

/// Returns the space of removed rows. On PostgreSQL it vacuums all TARSy tables that the role may vacuum, while other
/// sessions use them; most of the space remains in the tables and is reused. On SQLite free pages are removed from the
/// file: step by step if it was created with `auto_vacuum`, otherwise by a full copy. During the copy no program can
/// write, and both the file's directory and `temporary` need free space for it.
///
/// # Errors
/// [`DatabaseError`]; the space that was returned until then stays returned.
pub async fn vacuum(
    connection: &Connection,
    schema: &Schema,
    temporary: Option<&Path>,
) -> Result<Freed, DatabaseError> {
    match connection.backend() {
        DbBackend::Postgres => postgresql::vacuum(connection, schema).await,
        _ => sqlite::vacuum(connection, temporary).await.context((Verb::Vacuum, "the file")),
    }
}
