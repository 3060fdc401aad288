//! The page cache of SQLite, for the time of some work.

use rusqlite::Connection;

/// 2 MiB, in the unit of `PRAGMA cache_size`.
const SMALL: i64 = -2048;

/// Runs work with a small page cache; pages that do not fit are dropped at once.
///
/// # Errors
/// SQLite's error, or that of `work`.
pub(crate) fn with_small_cache<T, E: From<rusqlite::Error>>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let size: i64 = connection.pragma_query_value(None, "cache_size", |row| row.get(0))?;
    connection.pragma_update(None, "cache_size", SMALL)?;
    let result = work();
    let restored = connection.pragma_update(None, "cache_size", size);
    let value = result?;
    restored?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_restored_also_after_an_error() {
        let connection = Connection::open_in_memory().expect("memory");
        let size = || connection.pragma_query_value(None, "cache_size", |row| row.get::<_, i64>(0)).expect("a size");
        let before = size();
        assert_eq!(with_small_cache(&connection, || Ok::<_, rusqlite::Error>(size())).expect("it is set"), SMALL);
        let failed = with_small_cache(&connection, || Err::<(), _>(rusqlite::Error::InvalidQuery));
        assert!(failed.is_err() && size() == before && before != SMALL);
    }
}
