//! Classifies SQLite's result codes.

use super::class::ErrorClass;

/// SQLITE_READONLY_ROLLBACK.
pub(crate) const HOT_JOURNAL: &str = "776";

/// SQLITE_FULL.
pub(crate) const FULL: i32 = 13;

/// SQLITE_IOERR_SHMSIZE: there is no room for the `-shm`, which every program needs that opens a file in WAL mode.
pub(crate) const NO_ROOM_FOR_INDEX: i32 = 4874;

/// SQLITE_IOERR_WRITE, which is not SQLITE_FULL.
pub(crate) const WRITE_FAILED: i32 = 778;

/// SQLITE_IOERR_GETTEMPPATH.
pub(crate) const NO_TEMPORARY_DIRECTORY: i32 = 6410;

/// What SQLite writes where its temporary directory is.
pub(crate) const TEMPORARY_FILES: &str = "SQLite's temporary files";

/// Classifies a result code: <https://www.sqlite.org/rescode.html>. The lowest byte is the primary code.
pub(crate) fn class(code: Option<i32>) -> ErrorClass {
    if code == Some(NO_ROOM_FOR_INDEX) {
        return ErrorClass::DiskFull;
    }
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => ErrorClass::Busy,
        Some(3 | 8 | 23) => ErrorClass::FilePermission,
        Some(9) => ErrorClass::TimedOut,
        Some(10) => ErrorClass::InputOutput,
        Some(11 | 26) => ErrorClass::Corrupt,
        Some(13) => ErrorClass::DiskFull,
        Some(14) => ErrorClass::CannotOpen,
        Some(19) => ErrorClass::Constraint,
        Some(20) => ErrorClass::Data,
        _ => ErrorClass::Other,
    }
}

/// Whether it is the message for a table or a column that the revision has and the database lacks.
pub(crate) fn is_of_schema(message: &str) -> bool {
    message.starts_with("no such column: ") || message.starts_with("no such table: ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::failure::DatabaseCause;

    #[test]
    fn extended_codes_have_the_class_of_their_primary_code() {
        assert_eq!(class(Some(5)), ErrorClass::Busy);
        assert_eq!(class(Some(0x205)), ErrorClass::Busy);
        assert_eq!(class(Some(0x30a)), ErrorClass::InputOutput);
        assert_eq!(class(Some(NO_ROOM_FOR_INDEX)), ErrorClass::DiskFull);
        assert_eq!(class(None), ErrorClass::Other);
    }

    #[test]
    fn of_temporary_files_without_a_place_the_variable_is_named() {
        for (code, class) in [(FULL, ErrorClass::DiskFull), (NO_TEMPORARY_DIRECTORY, ErrorClass::InputOutput)] {
            let error =
                rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some("disk I/O error".to_owned()));
            let cause = DatabaseCause::from(error);
            assert_eq!(cause.class, class);
            assert!(cause.message.contains(TEMPORARY_FILES), "{}", cause.message);
            assert!(cause.hint().is_some_and(|hint| hint.contains("TMPDIR")), "{:?}", cause.hint());
        }
    }
}
