//! Returns free pages of a SQLite file to the operating system.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::DbErr;

use super::freed::{Freed, FreedPart};
use crate::database::connection::Connection;
use crate::database::connection::row;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::format::size;
use crate::fs::free_space;
use crate::history::space::sqlite::{AutoVacuum, FileSpace, file};

/// How much of a SQLite file is returned before other programs may write.
const STEP_BYTES: u64 = 4 << 20;
/// The pause that lets a program in that waits for the SQLite file with pauses of its own.
const PAUSE: Duration = Duration::from_millis(20);

/// Returns the pages that are free now, and checkpoints the write-ahead log.
pub(super) async fn vacuum(connection: &Connection, temporary: Option<&Path>) -> Result<Freed, DatabaseCause> {
    let before = connection.reading(async |reading| file(reading).await).await?;
    if before.reclaimable_bytes > 0 {
        match before.auto_vacuum {
            AutoVacuum::Full => {}
            AutoVacuum::Incremental => shrink_in_steps(connection, &before).await?,
            AutoVacuum::None => {
                require_room(connection, &before, temporary).await?;
                connection.execute_alone("VACUUM").await?;
            }
        }
    }
    // The file shrinks only at the checkpoint.
    let checkpoint = connection.reading(async |reading| row(reading, "PRAGMA wal_checkpoint(TRUNCATE)").await).await?;
    let after = connection.reading(async |reading| file(reading).await).await?;
    let part = FreedPart {
        name: "file".to_owned(),
        bytes_before: before.bytes,
        bytes_after: after.bytes,
        reusable_bytes: after.reclaimable_bytes,
        dead_rows_kept: 0,
    };
    let is_held_up = checkpoint.try_get_by_index::<i32>(0)? != 0;
    Ok(Freed { parts: vec![part], not_permitted: Vec::new(), not_analyzed: Vec::new(), is_held_up })
}

/// Returns the pages that are free now; those that become free in the meantime are left to the next vacuum.
async fn shrink_in_steps(connection: &Connection, file: &FileSpace) -> Result<(), DbErr> {
    let pages = (STEP_BYTES / file.page_bytes).max(1);
    for _ in 0..file.reclaimable_bytes.div_ceil(pages * file.page_bytes) {
        connection.execute_alone(&format!("PRAGMA incremental_vacuum({pages})")).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// What preserves the old state of a file during a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Journal {
    /// The write-ahead log has the new pages.
    Wal,
    /// The rollback journal has the old pages.
    Rollback,
}

/// Makes sure that there is free space for the files that `VACUUM` writes.
async fn require_room(
    connection: &Connection,
    file: &FileSpace,
    temporary: Option<&Path>,
) -> Result<(), DatabaseCause> {
    let (path, journal) = location(connection).await?;
    // A database in memory has no directory.
    let Some(directory) = path.parent() else { return Ok(()) };
    let lacking = needs(directory, temporary, file, journal).into_iter().find_map(|(place, needed)| {
        let free = free_space::free(place).unwrap_or(u64::MAX);
        (free < needed).then(|| too_little_room(place, needed, free))
    });
    lacking.map_or(Ok(()), Err)
}

/// The path of the file, empty for a database in memory.
async fn location(connection: &Connection) -> Result<(PathBuf, Journal), DbErr> {
    let sql = "SELECT file, journal_mode = 'wal' AS is_wal FROM pragma_database_list, pragma_journal_mode
               WHERE name = 'main'";
    let place = connection.reading(async |reading| row(reading, sql).await).await?;
    let path = PathBuf::from(place.try_get::<Option<String>>("", "file")?.unwrap_or_default());
    let journal = if place.try_get::<i32>("", "is_wal")? == 0 { Journal::Rollback } else { Journal::Wal };
    Ok((path, journal))
}

fn too_little_room(place: &Path, needed: u64, free: u64) -> DatabaseCause {
    let (needed, free) = (size(needed), size(free));
    let message = format!("it needs about {needed} in {}, and {free} are free there", place.display());
    DatabaseCause::new(ErrorClass::DiskFull, message)
}

/// The bytes that a full vacuum writes, and where: the remaining content goes to a temporary file, and from there to
/// the write-ahead log, or over the old pages, which the journal keeps until the end.
fn needs<'p>(
    directory: &'p Path,
    temporary: Option<&'p Path>,
    file: &FileSpace,
    journal: Journal,
) -> Vec<(&'p Path, u64)> {
    let kept = file.bytes - file.reclaimable_bytes;
    let beside = match journal {
        Journal::Wal => kept,
        Journal::Rollback => file.bytes,
    };
    match temporary {
        Some(temporary) if !free_space::is_same_device(directory, temporary) => {
            vec![(directory, beside), (temporary, kept)]
        }
        _ => vec![(directory, beside + kept)],
    }
}

/// The directory of SQLite's temporary files: the first of these that is writable.
/// <https://www.sqlite.org/tempfiles.html#temporary_file_storage_locations>
#[must_use]
pub(crate) fn temporary_directory(environment: &BTreeMap<String, OsString>) -> Option<PathBuf> {
    use rustix::fs::{Access, access};
    let named = ["SQLITE_TMPDIR", "TMPDIR"].into_iter().filter_map(|name| environment.get(name)).map(PathBuf::from);
    let usual = ["/var/tmp", "/usr/tmp", "/tmp", "."].map(PathBuf::from);
    let can_be_written = |path: &PathBuf| path.is_dir() && access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    named.chain(usual).find(can_be_written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(bytes: u64, reclaimable_bytes: u64) -> FileSpace {
        FileSpace { bytes, reclaimable_bytes, page_bytes: 4096, auto_vacuum: AutoVacuum::None }
    }

    #[test]
    fn a_full_vacuum_needs_room_in_both_places_or_twice_in_one() {
        let file = file_of(1000, 400);
        let directory = Path::new("/");
        assert_eq!(needs(directory, Some(directory), &file, Journal::Wal), [(directory, 1200)]);
        assert_eq!(needs(directory, None, &file, Journal::Rollback), [(directory, 1600)]);
        let elsewhere = Path::new("/proc");
        assert_eq!(needs(directory, Some(elsewhere), &file, Journal::Wal), [(directory, 600), (elsewhere, 600)]);
        assert_eq!(needs(directory, Some(elsewhere), &file, Journal::Rollback), [(directory, 1000), (elsewhere, 600)]);
    }

    #[test]
    fn a_disk_without_room_is_named() {
        let expected = "it needs about 2.0 GiB in /data, and 1.0 MiB are free there";
        assert_eq!(too_little_room(Path::new("/data"), 2 << 30, 1 << 20).to_string(), expected);
    }

    #[test]
    fn the_temporary_directory_is_the_first_that_can_be_written() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut environment = BTreeMap::from([("TMPDIR".to_owned(), directory.path().into())]);
        assert_eq!(temporary_directory(&environment).as_deref(), Some(directory.path()));
        environment.insert("SQLITE_TMPDIR".to_owned(), "/nowhere".into());
        assert_eq!(temporary_directory(&environment).as_deref(), Some(directory.path()));
        assert!(temporary_directory(&BTreeMap::new()).is_some());
    }
}
