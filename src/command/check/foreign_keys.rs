//! The check of the foreign keys: constraints that the server enforces, and rows without a parent.

use migration::Revision;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};
use serde_json::json;

use super::finding::Finding;
use super::mode::Depth;
use crate::database::failure::DatabaseCause;
use crate::database::namespace::is_tarsys;
use crate::database::quote::quoted;
use crate::database::transaction::Transaction;
use crate::exit_code::ExitCode;
use crate::format::counted;
use crate::history::index_check;
use crate::history::orphans::count::{self as orphans, Counted, OrphanCount};
use crate::history::tables::{REFERENCES, Reference};
use crate::output::Status;
use crate::schema::diff;
use crate::schema::model::{ForeignKey, Schema, Table};
use crate::schema::visible;

const NAME: &str = "foreign keys";

/// Whether every row has its parent, and whether the server refuses one that has none.
pub(crate) async fn foreign_keys(connection: &Transaction, found: &Schema, depth: Depth) -> Finding {
    if connection.backend() != DbBackend::Postgres {
        return Finding::of(NAME, count_orphans(connection, found).await, |orphans| lost_rows(&orphans));
    }
    // Before a query of the rows may fail.
    let off = match switched_off(connection).await {
        Ok(off) => off,
        Err(error) => return Finding::unanswered(NAME, &error.into()),
    };
    let finding = match depth {
        Depth::Quick => vouched_for(found),
        Depth::Deep => Finding::of(NAME, count_orphans(connection, found).await, |orphans| lost_rows(&orphans)),
    };
    match finding.status {
        Status::Failed => finding,
        _ => not_enforced(&off, depth).unwrap_or(finding),
    }
}

/// A foreign key whose triggers on a table do not fire.
struct SwitchedOff {
    child: String,
    columns: String,
    /// The table in SQL.
    place: String,
    /// Whether that is so for all keys, because of a setting of the session.
    is_replica: bool,
}

async fn switched_off(connection: &Transaction) -> Result<Vec<SwitchedOff>, DbErr> {
    let found = visible::rows(connection, include_str!("foreign_key_triggers.sql"), []).await?;
    let read = |row: &QueryResult| {
        let text = |name: &str| row.try_get::<String>("", name);
        let (child, columns, place) = (text("child")?, text("columns")?, text("place")?);
        Ok(SwitchedOff { child, columns, place, is_replica: row.try_get("", "is_replica")? })
    };
    found.iter().map(read).collect()
}

fn not_enforced(off: &[SwitchedOff], depth: Depth) -> Option<Finding> {
    let setting = off.iter().find(|key| key.is_replica).map(|_| {
        "`session_replication_role` is `replica` for this session, so that no foreign key is enforced; remove it from \
         `options` and `PGOPTIONS`, or reset it for the role and the database, with `ALTER ROLE ... RESET \
         session_replication_role`"
            .to_owned()
    });
    let keys = off.iter().filter(|key| !key.is_replica).map(|SwitchedOff { child, columns, place, .. }| {
        format!(
            "{child}({columns}) is not enforced, because its triggers on {place} are disabled; \
             as a superuser run `ALTER TABLE {place} ENABLE TRIGGER ALL`"
        )
    });
    let keys: Vec<_> = setting.into_iter().chain(keys).collect();
    if keys.is_empty() {
        return None;
    }
    let data = json!({ "keys": keys });
    let next = "then `tarsy-db check --deep` finds the rows without a parent".to_owned();
    let next = (depth == Depth::Quick).then_some(next);
    let lines: Vec<_> = diff::first_of(keys).into_iter().chain(next).collect();
    let finding = match off.iter().any(|key| is_tarsys(&key.child)) {
        true => Finding::failed(NAME, ExitCode::Drift, lines),
        false => Finding::new(NAME, Status::Warning, lines),
    };
    Some(finding.because("triggers_disabled").with(data))
}

/// The rows without a parent.
#[derive(Default)]
struct Orphans {
    /// By TARSy's references.
    of_tarsy: Vec<OrphanCount>,
    /// By other foreign keys of TARSy's tables, as text.
    others: Vec<String>,
    /// In tables of other applications, as text.
    of_others: Vec<String>,
    /// The keys that are not checked, as text.
    unchecked: Vec<String>,
}

async fn count_orphans(connection: &Transaction, found: &Schema) -> Result<Orphans, DatabaseCause> {
    let comparable = without_foreign_types(connection, found).await?;
    let of_tarsy = orphans::count(connection, &comparable, Counted::All).await.map_err(|error| error.cause)?;
    index_check::require_matching_indexes(connection, &orphans::searched(&comparable, &of_tarsy)).await?;
    let unchecked = REFERENCES.iter().filter(|reference| reference.is_in(found) && !reference.is_in(&comparable));
    let unchecked = unchecked.map(|reference| not_checked(reference.child, reference.column, FOREIGN_TYPE)).collect();
    let mut orphans = Orphans { of_tarsy, unchecked, ..Orphans::default() };
    count_others(connection, found, &mut orphans).await?;
    Ok(orphans)
}

/// The schema without the columns of TARSy's tables whose types are not PostgreSQL's own: to compare them could run a
/// cast that the owner of the type planted.
async fn without_foreign_types(connection: &Transaction, found: &Schema) -> Result<Schema, DbErr> {
    let mut comparable = found.clone();
    if connection.backend() == DbBackend::Postgres {
        let tables = visible::texts(&Revision::HEAD.tables());
        for row in visible::rows(connection, include_str!("foreign_types.sql"), [tables]).await? {
            let (table, column): (String, String) = (row.try_get("", "table_name")?, row.try_get("", "column_name")?);
            comparable.tables.get_mut(&table).map(|table| table.columns.remove(&column));
        }
    }
    Ok(comparable)
}

fn lost_rows(Orphans { of_tarsy, others, of_others, unchecked }: &Orphans) -> Finding {
    let texts = of_tarsy.iter().map(|count| lost(count.rows, count.reference.child, count.reference.parent));
    let others: Vec<_> = others.iter().chain(of_others).cloned().collect();
    let mut lines = diff::first_of(texts.chain(others.iter().cloned()).collect());
    match (lines.is_empty(), unchecked.is_empty()) {
        (true, true) => return Finding::ok(NAME, "every row has its parent"),
        (true, false) => {
            let note = Finding::new(NAME, Status::Note, diff::first_of(unchecked.clone()));
            return note.because("not_checked").with(json!({ "keys": unchecked }));
        }
        (false, _) => {}
    }
    if !of_tarsy.is_empty() {
        let next = "`tarsy-db prune --orphans --dry-run` shows what would be removed";
        lines.push(next.to_owned());
    }
    lines.extend(diff::first_of(unchecked.clone()));
    let references: Vec<_> = of_tarsy
        .iter()
        .map(|OrphanCount { reference, rows }| {
            json!({ "table": reference.child, "column": reference.column, "parent": reference.parent, "rows": rows })
        })
        .collect();
    let data = json!({ "orphans": references, "others": others });
    // What is wrong with another application's table does not make the history unsound.
    let finding = match of_tarsy.is_empty() && of_others.len() == others.len() {
        true => Finding::new(NAME, Status::Warning, lines),
        false => Finding::failed(NAME, ExitCode::Drift, lines),
    };
    finding.because("orphans").with(data)
}

/// What PostgreSQL's constraints enforce.
fn vouched_for(found: &Schema) -> Finding {
    let unproven = keys(found).filter(|(_, key)| !key.validated);
    let (own, others): (Vec<_>, Vec<_>) = unproven.partition(|(table, _)| is_tarsys(table));
    let unproven: Vec<_> = own
        .iter()
        .chain(&others)
        .map(|(table, key)| {
            let state = if key.is_not_enforced { "NOT ENFORCED" } else { "NOT VALID" };
            format!("{table}({}) is {state}", key.columns.join(", "))
        })
        .collect();
    if !unproven.is_empty() {
        let data = json!({ "keys": unproven });
        let finding = match own.is_empty() {
            true => Finding::new(NAME, Status::Warning, diff::first_of(unproven)),
            false => Finding::failed(NAME, ExitCode::Drift, diff::first_of(unproven)),
        };
        return finding.because("not_valid").with(data);
    }
    let unguarded = REFERENCES.iter().filter(|reference| reference.is_in(found) && !is_enforced(reference, found));
    let unguarded: Vec<_> = unguarded
        .map(|reference| {
            format!("{}({}) has no foreign key; `--deep` checks its rows", reference.child, reference.column)
        })
        .collect();
    if unguarded.is_empty() {
        Finding::ok(NAME, "enforced by the server (`--deep` also checks every row)")
    } else {
        let data = json!({ "keys": unguarded });
        Finding::new(NAME, Status::Note, diff::first_of(unguarded)).because("not_enforced").with(data)
    }
}

/// All foreign keys, each with its table.
fn keys(found: &Schema) -> impl Iterator<Item = (&String, &ForeignKey)> {
    found.tables.iter().flat_map(|(table, found)| found.foreign_keys.iter().map(move |key| (table, key)))
}

fn is_enforced(reference: &Reference, found: &Schema) -> bool {
    keys(found).any(|(table, key)| reference.is_enforced_by(table, key))
}

fn lost(rows: u64, child: &str, parent: &str) -> String {
    format!("{child}: {} without a parent in {parent}", counted(rows, "row"))
}

const FOREIGN_TYPE: &str = "not all types and operators of the key are PostgreSQL's own";

fn not_checked(table: &str, columns: &str, why: &str) -> String {
    format!("{table}({columns}) is not checked: {why}")
}

/// Counts the rows without a parent by foreign keys that are not TARSy's.
async fn count_others(connection: &Transaction, found: &Schema, orphans: &mut Orphans) -> Result<(), DbErr> {
    let others =
        keys(found).filter(|(table, key)| !REFERENCES.iter().any(|reference| reference.is_enforced_by(table, key)));
    for (name, key) in others {
        let counted = match connection.backend() {
            DbBackend::Postgres if key.operators.is_empty() => Err(FOREIGN_TYPE.to_owned()),
            _ => count_by(connection, name, &found.tables[name], key).await?,
        };
        match counted {
            Ok(0) => {}
            Ok(rows) => {
                let place = if is_tarsys(name) { &mut orphans.others } else { &mut orphans.of_others };
                place.push(lost(rows, name, &key.referenced_table));
            }
            Err(why) => orphans.unchecked.push(not_checked(name, &key.columns.join(", "), &why)),
        }
    }
    Ok(())
}

/// Counts the rows without a parent by one key, or says why that is not possible, such as a missing privilege on another
/// application's table. What was counted before stays valid.
async fn count_by(
    connection: &Transaction,
    name: &str,
    table: &Table,
    key: &ForeignKey,
) -> Result<Result<u64, String>, DbErr> {
    if connection.backend() != DbBackend::Postgres {
        return Ok(count_rows(connection, sqlite_orphans(name, key)).await.map_err(reason));
    }
    let place = place(name, table);
    let counted = connection.attempt(async || match are_held(connection, [&place, &key.referenced_place]).await? {
        true => count_rows(connection, postgresql_orphans(&place, key)).await,
        false => Ok(0),
    });
    Ok(counted.await?.map_err(reason))
}

async fn count_rows(connection: &Transaction, statement: Statement) -> Result<u64, DbErr> {
    let row = connection.query_one_raw(statement).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get::<i64>("", "orphans"))?.unsigned_abs())
}

fn reason(error: DbErr) -> String {
    DatabaseCause::from(error).to_string()
}

/// Locks both tables of a key. False if one was replaced.
async fn are_held(connection: &Transaction, places: [&String; 2]) -> Result<bool, DbErr> {
    for place in places {
        if !visible::hold(connection, place).await?.is_table {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The table in SQL.
fn place(name: &str, table: &Table) -> String {
    let schema = table.schema.as_deref().map(|schema| format!("{}.", quoted(schema)));
    format!("{}{}", schema.unwrap_or_default(), quoted(name))
}

/// Counts the rows without a parent by this key, with its own operators.
fn postgresql_orphans(table: &str, key: &ForeignKey) -> Statement {
    let pairs = key.columns.iter().zip(&key.referenced_columns).zip(&key.operators);
    let given: Vec<_> = key.columns.iter().map(|column| format!("c.{} IS NOT NULL", quoted(column))).collect();
    let matching: Vec<_> = pairs.map(|((from, to), is)| format!("p.{} {is} c.{}", quoted(to), quoted(from))).collect();
    let sql = format!(
        "SELECT count(*) AS orphans FROM {table} c WHERE {given} AND NOT EXISTS (SELECT FROM {parent} p WHERE {matching})",
        given = given.join(" AND "),
        parent = key.referenced_place,
        matching = matching.join(" AND "),
    );
    Statement::from_string(DbBackend::Postgres, sql)
}

/// As [`postgresql_orphans`]; SQLite resolves a key without columns. It lists a row once for each of several identical
/// keys.
fn sqlite_orphans(table: &str, key: &ForeignKey) -> Statement {
    let sql = "SELECT count(DISTINCT coalesce(c.rowid, 0)) AS orphans
               FROM pragma_foreign_key_check(?1) c
               JOIN pragma_foreign_key_list(?1) k ON k.id = c.fkid AND k.seq = 0
               WHERE k.\"table\" = ?2 AND k.\"from\" = ?3";
    let values = [table, &key.referenced_table, &key.columns[0]].map(Value::from);
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_orphans_of_tarsy_are_what_prune_removes() {
        assert_eq!(lost_rows(&Orphans::default()).status, Status::Ok);
        let own = || vec![lost(1, "notes", "people")];
        let others = lost_rows(&Orphans { others: own(), ..Orphans::default() });
        assert_eq!((others.exit_code, others.detail.0), (ExitCode::Drift, own()));
        let of_others = lost_rows(&Orphans { of_others: own(), ..Orphans::default() });
        assert_eq!((of_others.status, of_others.exit_code), (Status::Warning, ExitCode::Done));
        let of_tarsy = lost_rows(&Orphans {
            of_tarsy: vec![OrphanCount { reference: REFERENCES[0], rows: 3 }],
            others: own(),
            ..Orphans::default()
        });
        let [first, second, next] = of_tarsy.detail.0.as_slice() else { panic!("{of_tarsy:?}") };
        assert!(first.starts_with(&format!("{}: 3 rows without a parent in ", REFERENCES[0].child)), "{first}");
        assert_eq!(second, "notes: 1 row without a parent in people");
        assert!(next.contains("prune --orphans"), "{next}");
    }

    #[test]
    fn a_server_without_unproven_keys_vouches_for_every_row() {
        let vouched = vouched_for(&Schema::default());
        assert_eq!(vouched.detail.0, ["enforced by the server (`--deep` also checks every row)"]);
    }
}
