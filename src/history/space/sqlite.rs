//! The space of free pages in a SQLite file.

use std::fmt;

use sea_orm::DbErr;
use serde::Serialize;

use crate::database::connection::row;
use crate::database::transaction::Transaction;

/// The reclaimable space of a SQLite file.
#[derive(Debug, Clone, Serialize)]
pub struct FileSpace {
    /// The size of all pages.
    pub bytes: u64,
    /// The size of the free pages.
    pub reclaimable_bytes: u64,
    pub page_bytes: u64,
    pub auto_vacuum: AutoVacuum,
}

/// SQLite's `auto_vacuum`, a property of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoVacuum {
    /// Free pages are reused.
    None,
    /// Each commit removes them from the file.
    Full,
    /// They can be removed step by step on request.
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

pub(crate) async fn file(connection: &Transaction) -> Result<FileSpace, DbErr> {
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
