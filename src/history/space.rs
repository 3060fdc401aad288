//! The space that removed rows leave behind: how much there is, and giving it back to the operating system.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::HumanBytes;
use migration::Revision;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};
use serde::Serialize;

use crate::database::connection::{require_primary, row, rows};
use crate::database::failure::{DatabaseCause, DatabaseError, ErrorClass, ResultExt};
use crate::database::mark;
use crate::fs::free_space;
use crate::schema::model::Schema;
use crate::schema::sql::quoted;

/// Less than this is worth nobody's attention; nor is less than a tenth of the whole.
const WORTH_BYTES: u64 = 8 << 20;
/// How much of a SQLite file is given back before others may write.
const STEP_BYTES: u64 = 4 << 20;
/// Whoever waits for a SQLite file looks again after a pause of its own: this one lets somebody in.
const PAUSE: Duration = Duration::from_millis(20);

/// What a database could give back.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// PostgreSQL's tables.
    Tables(Vec<TableSpace>),
    /// SQLite's file.
    File(FileSpace),
}

/// What a table of PostgreSQL could give back. The numbers of rows are the server's own estimates.
#[derive(Debug, Clone, Serialize)]
pub struct TableSpace {
    /// Its name.
    pub table: String,
    /// Rows that are there.
    pub live_rows: u64,
    /// Rows that are gone, and whose place was not yet made free.
    pub dead_rows: u64,
    /// Its size with indexes and TOAST, in bytes.
    pub bytes: u64,
    /// The dead share of rows and of TOAST, in bytes: an estimate.
    pub reclaimable_bytes: u64,
    /// When somebody had it vacuumed last, RFC 3339.
    pub last_vacuum: Option<String>,
    /// When the server vacuumed it last by itself, RFC 3339.
    pub last_autovacuum: Option<String>,
    /// Whether this role may vacuum it.
    pub may_vacuum: bool,
}

/// What a SQLite file could give back.
#[derive(Debug, Clone, Serialize)]
pub struct FileSpace {
    /// The size of all pages.
    pub bytes: u64,
    /// The size of the pages that nothing is in.
    pub reclaimable_bytes: u64,
    /// The size of one page.
    pub page_bytes: u64,
    /// What the file does about free pages by itself.
    pub auto_vacuum: AutoVacuum,
}

/// What a SQLite file does about free pages: a property of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoVacuum {
    /// Nothing; they are used again.
    None,
    /// Each commit gives them back.
    Full,
    /// It gives them back when it is asked to.
    Incremental,
}

impl fmt::Display for AutoVacuum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AutoVacuum::None => "none",
            AutoVacuum::Full => "full",
            AutoVacuum::Incremental => "incremental",
        })
    }
}

impl Space {
    /// What could be given back, in bytes.
    #[must_use]
    pub fn reclaimable_bytes(&self) -> u64 {
        match self {
            Space::Tables(tables) => tables.iter().map(|table| table.reclaimable_bytes).sum(),
            Space::File(file) => file.reclaimable_bytes,
        }
    }

    /// What gives it back, where it is worth while.
    #[must_use]
    pub fn next_command(&self) -> Option<String> {
        match self {
            Space::Tables(tables) => {
                let worth = tables.iter().filter(|table| is_worth(table.reclaimable_bytes, table.bytes));
                let names: Vec<_> = worth.map(|table| table.table.as_str()).collect();
                (!names.is_empty()).then(|| format!("VACUUM (ANALYZE) {}", names.join(", ")))
            }
            Space::File(file) => {
                is_worth(file.reclaimable_bytes, file.bytes).then(|| "tarsy-db prune --vacuum".to_owned())
            }
        }
    }
}

fn is_worth(reclaimable: u64, bytes: u64) -> bool {
    reclaimable >= WORTH_BYTES && reclaimable >= bytes / 10
}

/// Looks how much could be given back. Reads only, and needs no privilege on the tables.
///
/// # Errors
/// [`DatabaseError`] when the database cannot be read.
pub async fn reclaimable(connection: &impl ConnectionTrait, schema: &Schema) -> Result<Space, DatabaseError> {
    match connection.get_database_backend() {
        DbBackend::Postgres => tables(connection, schema).await.map(Space::Tables),
        _ => file(connection).await.map(Space::File),
    }
    .context("look for space to give back")
}

async fn tables(connection: &impl ConnectionTrait, schema: &Schema) -> Result<Vec<TableSpace>, DbErr> {
    let names: Vec<_> =
        Revision::HEAD.tables().into_iter().filter(|table| schema.tables.contains_key(*table)).collect();
    let sql = TABLES.replace("{names}", &names.join("', '"));
    let mut tables = Vec::new();
    for row in rows(connection, &sql).await? {
        let number = |name| row.try_get::<i64>("", name).map(i64::unsigned_abs);
        tables.push(TableSpace {
            table: row.try_get("", "name")?,
            live_rows: number("live_rows")?,
            dead_rows: number("dead_rows")?,
            bytes: number("bytes")?,
            reclaimable_bytes: number("reclaimable_bytes")?,
            last_vacuum: row.try_get("", "last_vacuum")?,
            last_autovacuum: row.try_get("", "last_autovacuum")?,
            may_vacuum: row.try_get("", "may_vacuum")?,
        });
    }
    Ok(tables)
}

/// Most of the space is in the TOAST tables, which have dead rows of their own. Who may vacuum a table: its owner, the
/// owner of the database, and since PostgreSQL 17 who was granted it.
const TABLES: &str = "
    SELECT c.relname::text AS name,
           pg_stat_get_live_tuples(c.oid) AS live_rows, pg_stat_get_dead_tuples(c.oid) AS dead_rows,
           pg_total_relation_size(c.oid) AS bytes,
           (SELECT coalesce(sum(pg_relation_size(part) * pg_stat_get_dead_tuples(part)::float8
                                / nullif(pg_stat_get_live_tuples(part) + pg_stat_get_dead_tuples(part), 0)), 0)::bigint
            FROM unnest(ARRAY[c.oid, nullif(c.reltoastrelid, 0)]) part) AS reclaimable_bytes,
           to_char(pg_stat_get_last_vacuum_time(c.oid) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
               AS last_vacuum,
           to_char(pg_stat_get_last_autovacuum_time(c.oid) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
               AS last_autovacuum,
           pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE')
               OR CASE WHEN current_setting('server_version_num')::int >= 170000
                       THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END AS may_vacuum
    FROM pg_class c, pg_database d
    WHERE d.datname = current_database() AND c.relname IN ('{names}') AND c.relkind = 'r'
      AND pg_table_is_visible(c.oid) AND c.relpersistence <> 't'
    ORDER BY c.relname";

async fn file(connection: &impl ConnectionTrait) -> Result<FileSpace, DbErr> {
    let sql = "SELECT page_size, page_count, freelist_count, auto_vacuum
               FROM pragma_page_size, pragma_page_count, pragma_freelist_count, pragma_auto_vacuum";
    let row = row(connection, sql).await?;
    let number = |name| row.try_get::<i64>("", name).map(i64::unsigned_abs);
    let page_bytes = number("page_size")?;
    Ok(FileSpace {
        bytes: number("page_count")? * page_bytes,
        reclaimable_bytes: number("freelist_count")? * page_bytes,
        page_bytes,
        auto_vacuum: match number("auto_vacuum")? {
            0 => AutoVacuum::None,
            1 => AutoVacuum::Full,
            _ => AutoVacuum::Incremental,
        },
    })
}

/// What a vacuum did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Each table of PostgreSQL that was vacuumed, or SQLite's file.
    pub parts: Vec<FreedPart>,
    /// Tables that this role may not vacuum.
    pub not_permitted: Vec<String>,
    /// Whether somebody still reads the SQLite file as it was, so that it shrinks only afterwards.
    pub is_held_up: bool,
}

/// What the vacuum of a table or of a file did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FreedPart {
    /// The table, or `file`.
    pub name: String,
    /// Its size before, in bytes; that of a table with indexes and TOAST.
    pub bytes_before: u64,
    /// Its size afterwards.
    pub bytes_after: u64,
    /// What stays inside and can be used again, in bytes; for a table an estimate of what the vacuum added.
    pub reusable_bytes: u64,
    /// Dead rows that some transaction may still have to see.
    pub dead_rows_kept: u64,
}

impl Freed {
    /// What went back to the operating system, in bytes.
    #[must_use]
    pub fn returned_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes_before.saturating_sub(part.bytes_after)).sum()
    }

    /// What stays inside and can be used again, in bytes.
    #[must_use]
    pub fn reusable_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.reusable_bytes).sum()
    }

    /// What happened, in sentences for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let reusable = match self.reusable_bytes() {
            0 => String::new(),
            bytes => format!(", about {} stay and are used again", HumanBytes(bytes)),
        };
        let mut lines = Vec::new();
        if !self.parts.is_empty() {
            lines.push(format!(
                "vacuum: {} went back to the operating system{reusable}",
                HumanBytes(self.returned_bytes())
            ));
        }
        if self.is_held_up {
            lines.push("somebody reads the file as it was before: it shrinks when that is over".to_owned());
        }
        let kept = self.parts.iter().filter(|part| part.dead_rows_kept > 0);
        lines.extend(kept.map(|part| {
            format!("{} dead rows of {} stay: an open transaction may see them", part.dead_rows_kept, part.name)
        }));
        if !self.not_permitted.is_empty() {
            let tables = self.not_permitted.join(", ");
            lines.push(format!("not vacuumed, because only the owner may, and this role does not own them: {tables}"));
        }
        lines
    }
}

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
        DbBackend::Postgres => vacuum_tables(connection, schema).await,
        _ => vacuum_file(connection, temporary).await.context("vacuum the file"),
    }
}

/// The limits of the role are not made for a vacuum. Its lock keeps nobody from reading or writing, also while it
/// waits for another vacuum or the creation of an index.
const LIMITS: &str = "
    SELECT set_config(name, CASE name WHEN 'lock_timeout' THEN '30s' ELSE '0' END, false) AS value FROM pg_settings
    WHERE name IN ('lock_timeout', 'statement_timeout', 'transaction_timeout')";

async fn vacuum_tables(connection: &DatabaseConnection, schema: &Schema) -> Result<Freed, DatabaseError> {
    // What this session removed is otherwise counted some seconds later. Servers before 15 do not have it.
    connection.execute_unprepared("SELECT pg_stat_force_next_flush()").await.ok();
    let look = "look for space to give back";
    let before = tables(connection, schema).await.context(look)?;
    let (permitted, forbidden): (Vec<_>, Vec<_>) = before.into_iter().partition(|table| table.may_vacuum);
    require_primary(connection).await.context("vacuum the tables")?;
    rows(connection, LIMITS).await.context("lift the limits of time")?;
    for TableSpace { table, .. } in &permitted {
        let sql = format!("VACUUM (ANALYZE) {}", quoted(table));
        connection.execute_unprepared(&mark::statement(&sql)).await.context(format!("vacuum {table}"))?;
    }
    let mut after: BTreeMap<_, _> =
        tables(connection, schema).await.context(look)?.into_iter().map(|table| (table.table.clone(), table)).collect();
    let parts = permitted.into_iter().filter_map(|before| Some(freed(&before, &after.remove(&before.table)?)));
    Ok(Freed {
        parts: parts.collect(),
        not_permitted: forbidden.into_iter().map(|table| table.table).collect(),
        is_held_up: false,
    })
}

fn freed(before: &TableSpace, after: &TableSpace) -> FreedPart {
    let returned = before.bytes.saturating_sub(after.bytes);
    FreedPart {
        name: before.table.clone(),
        bytes_before: before.bytes,
        bytes_after: after.bytes,
        reusable_bytes: before.reclaimable_bytes.saturating_sub(after.reclaimable_bytes).saturating_sub(returned),
        dead_rows_kept: after.dead_rows,
    }
}

async fn vacuum_file(connection: &DatabaseConnection, temporary: Option<&Path>) -> Result<Freed, DatabaseCause> {
    let before = file(connection).await?;
    if before.reclaimable_bytes > 0 {
        match before.auto_vacuum {
            AutoVacuum::Full => {}
            AutoVacuum::Incremental => shrink_in_steps(connection, &before).await?,
            AutoVacuum::None => {
                require_room(connection, &before, temporary).await?;
                connection.execute_unprepared("VACUUM").await?;
            }
        }
    }
    // Until the write-ahead log is in the file, the file is as it was.
    let checkpoint = row(connection, "PRAGMA wal_checkpoint(TRUNCATE)").await?;
    let after = file(connection).await?;
    let part = FreedPart {
        name: "file".to_owned(),
        bytes_before: before.bytes,
        bytes_after: after.bytes,
        reusable_bytes: after.reclaimable_bytes,
        dead_rows_kept: 0,
    };
    let is_held_up = checkpoint.try_get_by_index::<i32>(0)? != 0;
    Ok(Freed { parts: vec![part], not_permitted: Vec::new(), is_held_up })
}

/// Gives back the pages that are free now; what others free meanwhile is left to the next time.
async fn shrink_in_steps(connection: &DatabaseConnection, file: &FileSpace) -> Result<(), DbErr> {
    let pages = (STEP_BYTES / file.page_bytes).max(1);
    for _ in 0..file.reclaimable_bytes.div_ceil(pages * file.page_bytes) {
        connection.execute_unprepared(&format!("PRAGMA incremental_vacuum({pages})")).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Makes sure that the disk has room for what `VACUUM` writes.
async fn require_room(
    connection: &DatabaseConnection,
    file: &FileSpace,
    temporary: Option<&Path>,
) -> Result<(), DatabaseCause> {
    let sql = "SELECT file, journal_mode = 'wal' AS is_wal FROM pragma_database_list, pragma_journal_mode
               WHERE name = 'main'";
    let place = row(connection, sql).await?;
    let path = PathBuf::from(place.try_get::<Option<String>>("", "file")?.unwrap_or_default());
    // What is in memory has no directory.
    let Some(directory) = path.parent() else { return Ok(()) };
    let is_wal = place.try_get::<i32>("", "is_wal")? != 0;
    for (place, needed) in needs(directory, temporary, file, is_wal) {
        let free = free_space::free(place).unwrap_or(u64::MAX);
        if free < needed {
            let (needed, free) = (HumanBytes(needed), HumanBytes(free));
            let message = format!("it needs about {needed} in {}, and {free} are free there", place.display());
            return Err(DatabaseCause::new(ErrorClass::DiskFull, message));
        }
    }
    Ok(())
}

/// What a full vacuum writes, and where: what stays goes to a temporary file, and from there into the write-ahead
/// log, or over the old pages, which a journal keeps until the end.
fn needs<'p>(directory: &'p Path, temporary: Option<&'p Path>, file: &FileSpace, is_wal: bool) -> Vec<(&'p Path, u64)> {
    let kept = file.bytes - file.reclaimable_bytes;
    let beside = if is_wal { kept } else { file.bytes };
    match temporary {
        Some(temporary) if !free_space::is_same_device(directory, temporary) => {
            vec![(directory, beside), (temporary, kept)]
        }
        _ => vec![(directory, beside + kept)],
    }
}

/// Where SQLite puts temporary files: the first of these directories that can be written.
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

    fn table(name: &str, reclaimable_bytes: u64, bytes: u64) -> TableSpace {
        TableSpace {
            table: name.to_owned(),
            live_rows: 1,
            dead_rows: 1,
            bytes,
            reclaimable_bytes,
            last_vacuum: None,
            last_autovacuum: None,
            may_vacuum: true,
        }
    }

    fn file_of(bytes: u64, reclaimable_bytes: u64) -> FileSpace {
        FileSpace { bytes, reclaimable_bytes, page_bytes: 4096, auto_vacuum: AutoVacuum::None }
    }

    #[test]
    fn only_what_is_worth_while_has_a_next_command() {
        let tables = vec![
            table("chats", WORTH_BYTES - 1, WORTH_BYTES),
            table("events", WORTH_BYTES, WORTH_BYTES * 10),
            table("llm_interactions", WORTH_BYTES, WORTH_BYTES * 10 + 10),
            table("mcp_communications", WORTH_BYTES * 2, WORTH_BYTES * 3),
        ];
        let space = Space::Tables(tables);
        assert_eq!(space.next_command().as_deref(), Some("VACUUM (ANALYZE) events, mcp_communications"));
        assert_eq!(space.reclaimable_bytes(), WORTH_BYTES * 5 - 1);
        assert_eq!(Space::File(file_of(1 << 30, 1 << 20)).next_command(), None);
        let next = Space::File(file_of(1 << 30, 1 << 29)).next_command();
        assert_eq!(next.as_deref(), Some("tarsy-db prune --vacuum"));
    }

    #[test]
    fn what_stays_inside_a_table_is_what_neither_left_nor_is_still_dead() {
        let before = TableSpace { dead_rows: 9, ..table("events", 500, 1000) };
        let after = TableSpace { dead_rows: 2, ..table("events", 100, 900) };
        let part = freed(&before, &after);
        assert_eq!(
            (part.bytes_before, part.bytes_after, part.reusable_bytes, part.dead_rows_kept),
            (1000, 900, 300, 2)
        );
    }

    #[test]
    fn a_full_vacuum_needs_room_in_both_places_or_twice_in_one() {
        let file = file_of(1000, 400);
        let directory = Path::new("/");
        assert_eq!(needs(directory, Some(directory), &file, true), [(directory, 1200)]);
        assert_eq!(needs(directory, None, &file, false), [(directory, 1600)]);
        let elsewhere = Path::new("/proc");
        assert_eq!(needs(directory, Some(elsewhere), &file, true), [(directory, 600), (elsewhere, 600)]);
        assert_eq!(needs(directory, Some(elsewhere), &file, false), [(directory, 1000), (elsewhere, 600)]);
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

    #[test]
    fn the_lines_tell_what_left_what_stays_and_what_was_not_done() {
        let part = FreedPart {
            name: "events".to_owned(),
            bytes_before: 3 << 20,
            bytes_after: 1 << 20,
            reusable_bytes: 1 << 19,
            dead_rows_kept: 7,
        };
        let freed = Freed { parts: vec![part], not_permitted: vec!["chats".to_owned()], is_held_up: false };
        let expected = [
            "vacuum: 2.00 MiB went back to the operating system, about 512.00 KiB stay and are used again",
            "7 dead rows of events stay: an open transaction may see them",
            "not vacuumed, because only the owner may, and this role does not own them: chats",
        ];
        assert_eq!(freed.lines(), expected);
    }
}
