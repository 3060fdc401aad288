//! Makes sure that the direct URL leads to the database of the database URL: a command that used it would change another
//! one than the backend's.

use crate::database::connection::{self, Access, Connection, LOCK_TIMEOUT, row};
use crate::database::failure::{DatabaseCause, ResultExt, Verb};
use crate::database::mark;
use crate::database::transaction::SearchPath;
use crate::database::url::DatabaseUrl;
use crate::error::Error;
use crate::settings::Settings;

/// Compares both, where the settings have two URLs. A lock that is taken by way of one has to be seen by way of the other,
/// whatever is between.
///
/// # Errors
/// [`Error::OtherDatabase`], or why one of both cannot be asked.
pub(crate) async fn require_same(settings: &Settings) -> Result<(), Error> {
    let Some(pooled) = &settings.pooled else { return Ok(()) };
    let [direct, backends] = [&settings.database.value, &pooled.value];
    let [one, other] = [open(direct, settings).await?, open(backends, settings).await?];
    let is_same = is_same(&one, &other).await.context((Verb::Compare, "the database of the direct URL"))?;
    for connection in [one, other] {
        connection.close().await.ok();
    }
    match is_same {
        true => Ok(()),
        false => Err(Error::OtherDatabase { direct: direct.to_string(), database: backends.to_string() }),
    }
}

async fn open(url: &DatabaseUrl, settings: &Settings) -> Result<Connection, Error> {
    Ok(connection::open(url, Access::Read, settings.pool.limits().for_up_to(1), LOCK_TIMEOUT).await?)
}

async fn is_same(one: &Connection, other: &Connection) -> Result<bool, DatabaseCause> {
    let marked = one.begin_reading(SearchPath::Empty, &mark::transaction()).await?;
    let sql = format!("SELECT {} AS is_same", mark::is_in_database());
    let answer = other.reading(async |reading| row(reading, &sql).await).await;
    marked.rollback().await?;
    Ok(answer?.try_get("", "is_same")?)
}
