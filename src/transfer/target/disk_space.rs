//! Free space on the target's disk. Known only if the server runs on this machine and the role may read the path of its
//! data directory; otherwise nothing is reported.

use std::path::Path;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::obstacle::{Obstacle, ObstacleKind, ObstacleSeverity};
use crate::database::transaction::Transaction;
use crate::format::size;
use crate::fs::free_space;

/// A history may shrink by this factor through compression; with even less space the move is refused.
const LEAST: u64 = 8;

/// A file system of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Room {
    place: String,
    free: u64,
    /// How much the write-ahead log may add, in bytes; 0 if it is on another device.
    log: u64,
}

const PLACES: &str = include_str!("disk_space.sql");

/// Compares `need`, in bytes, with the free space.
pub(crate) async fn look(reading: &Transaction, tables: &[String], need: u64) -> Result<Option<Obstacle>, DbErr> {
    let schema = |table: &String| reading.namespace().schema_of(table).unwrap_or_default().to_owned();
    let schemas: Vec<String> = tables.iter().map(schema).collect();
    let values = [tables.to_vec(), schemas];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, PLACES, values.map(Value::from));
    let Some(row) = reading.query_one_raw(statement).await? else { return Ok(None) };
    let (process, place): (i32, String) = (row.try_get("", "process")?, row.try_get("", "place")?);
    let data: Option<String> = row.try_get("", "data")?;
    let log_limit = row.try_get::<Option<i64>>("", "log_limit")?.map(i64::unsigned_abs);
    if !is_here(process, &row.try_get::<String>("", "port")?) {
        return Ok(None);
    }
    let Ok(free) = free_space::free(Path::new(&place)) else { return Ok(None) };
    // The log's directory may be a link to another device, which only the server's own user can follow.
    let is_shared = data.is_some_and(|data| free_space::is_same_device(place.as_ref(), data.as_ref()));
    let log = if is_shared { log_limit.unwrap_or(need).min(need) } else { 0 };
    Ok(compare(&Room { place, free, log }, need))
}

/// Whether the server process runs on this machine: its title, which the server sets, names this connection's port.
/// Behind a tunnel or in a container the process IDs or ports differ.
fn is_here(process: i32, port: &str) -> bool {
    let title = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let title = String::from_utf8_lossy(&title).into_owned();
    title.starts_with("postgres:") && title.contains(port)
}

fn compare(room: &Room, need: u64) -> Option<Obstacle> {
    let Room { place, free, log } = room;
    let wanted = need.saturating_add(*log);
    if *free >= wanted {
        return None;
    }
    let of_log = match log {
        0 => String::new(),
        log => format!(", {} of it for the write-ahead log", size(*log)),
    };
    Some(Obstacle {
        kind: ObstacleKind::Disk,
        object: format!("the disk with {place}"),
        what: format!("has {} of free space, but the history may need about {}{of_log}", size(*free), size(wanted)),
        advice: "free some space before the move".to_owned(),
        weight: if *free < need / LEAST { ObstacleSeverity::Refusal } else { ObstacleSeverity::Warning },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(free: u64, log: u64, need: u64) -> Option<ObstacleSeverity> {
        compare(&Room { place: "/data".into(), free, log }, need).map(|obstacle| obstacle.weight)
    }

    #[test]
    fn too_little_space_is_a_warning_and_far_too_little_is_a_refusal() {
        assert_eq!(weight(1000, 0, 1000), None);
        assert_eq!(weight(1000, 1, 1000), Some(ObstacleSeverity::Warning));
        assert_eq!(weight(125, 1000, 1000), Some(ObstacleSeverity::Warning));
        assert_eq!(weight(124, 0, 1000), Some(ObstacleSeverity::Refusal));
        assert_eq!(weight(u64::MAX, u64::MAX, u64::MAX), None);
    }

    #[test]
    fn another_process_does_not_count_as_the_server() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        assert!(!is_here(own, ""));
        assert!(!is_here(-1, "[local]"));
    }
}
