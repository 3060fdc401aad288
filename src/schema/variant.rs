//! The legitimate variants of a revision. They depend on the release that created the database, because TARSy creates a
//! new database from its newest models and upgrades an old one step by step.

use migration::Revision;
use sea_orm::DbBackend;

use super::column_kind::ColumnKind;
use super::diff::{self, Difference, Severity};
use super::expected;
use super::model::{Column, ForeignKey, ForeignKeyAction, Schema};
use crate::database::connection::Connection;
use crate::database::failure::DatabaseCause;
use crate::database::quote::quoted;

/// The tables whose rows belong to a session and refer to it by `session_id`, in every revision.
const SESSION_TABLES: [&str; 3] = ["stage_executions", "llm_interactions", "mcp_communications"];

/// One legitimate variant of a revision. Each but the rolled-back one allows what those before it allow, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    /// A SQLite file that is older than EP-0020: timestamps are INTEGER, some of them NOT NULL.
    Older,
    /// Created at EP-0020 or one of the revisions 01 to 03, or by this tool.
    A,
    /// Created at revision 04 or 05: `pod_id` has no limit.
    B,
    /// Created at one of the revisions 06 to 17: as B, and `session_id` may be NULL.
    C,
    /// Created at one of the revisions 18 to 23: as C, and parallel stages have no defaults.
    D,
    /// At one of the first five revisions, or upgraded from there, after TARSy's backend rolled back a later one. It
    /// keeps what the release that created it allowed in columns, and `alert_id` may be NULL.
    RolledBack,
}

impl Variant {
    const ALL: [Self; 6] = [Self::A, Self::B, Self::C, Self::D, Self::Older, Self::RolledBack];

    /// Whether this variant can differ from the one before at a revision with this replayed schema.
    fn exists_at(self, revision: Revision, replayed: &Schema) -> bool {
        match self {
            Variant::A | Variant::Older | Variant::RolledBack => true,
            Variant::B => replayed.has_column("alert_sessions", "pod_id"),
            Variant::C => revision.number() >= 6,
            Variant::D => replayed.has_column("stage_executions", "parallel_type"),
        }
    }

    /// The releases that create databases of this variant.
    #[must_use]
    pub(crate) fn origin(self) -> &'static str {
        match self {
            Variant::A => "variant A: created at EP-0020 or revisions 01 to 03, or by tarsy-db",
            Variant::B => "variant B: created at revision 04 or 05",
            Variant::C => "variant C: created at revisions 06 to 17",
            Variant::D => "variant D: created at revisions 18 to 23",
            Variant::Older => "created before EP-0020: INTEGER timestamps",
            Variant::RolledBack => "rolled back by TARSy's backend from a later revision",
        }
    }
}

/// The variant that matches a database best.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub variant: Variant,
    pub differences: Vec<Difference>,
    /// Whether foreign keys exist twice, as TARSy's own upgrade and downgrade leave them on SQLite.
    pub has_doubled_keys: bool,
}

impl Match {
    /// The missing and altered objects, without the operator's additions.
    pub(crate) fn alterations(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| difference.weight == Severity::Drift)
    }

    /// The differences that are more than harmless additions.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| difference.weight != Severity::Addition)
    }
}

/// Finds the variant of `revision` that matches `found` best. `replayed` is the schema from the replay of its
/// migrations; allowed columns of later revisions are part of it.
///
/// # Panics
/// Never: the first variant exists at every revision.
#[must_use]
pub(crate) fn closest(backend: DbBackend, revision: Revision, replayed: &Schema, found: &Schema) -> Match {
    let variants = Variant::ALL.into_iter().filter(|variant| {
        variant.exists_at(revision, replayed) && (*variant != Variant::Older || backend == DbBackend::Sqlite)
    });
    let matches = variants.map(|variant| {
        let mut expected = replayed.clone();
        vary(&mut expected, backend, variant, found);
        let differences = diff::between(&expected, found);
        Match { variant, differences, has_doubled_keys: has_doubled_keys(&expected, found) }
    });
    matches.min_by_key(|found| found.faults().count()).expect("variant A exists at every revision")
}

/// Finds the revision that matches the tables best: the one with the fewest faults, of those that are late enough for
/// the existing columns.
///
/// # Panics
/// Never: the newest revision is late enough.
pub(crate) async fn best_match(connection: &Connection, found: &Schema) -> Result<(Revision, Match), DatabaseCause> {
    let backend = connection.backend();
    let replayed = expected::replay(connection, &Revision::all().collect()).await?;
    // Tables are no evidence: TARSy's backend creates missing tables at every start, but never a column.
    let is_late_enough = |revision: Revision| {
        let known: Vec<_> = revision.added_columns().collect();
        let mut later = Revision::HEAD.added_columns().filter(|place| !known.contains(place));
        !later.any(|(table, column)| found.tables.get(table).is_some_and(|table| table.columns.contains_key(column)))
    };
    let matches = replayed.iter().rev().filter(|(revision, _)| is_late_enough(**revision));
    let matches = matches.map(|(revision, schema)| (*revision, closest(backend, *revision, schema, found)));
    Ok(matches.min_by_key(|(_, found)| found.faults().count()).expect("the newest revision is late enough"))
}

/// Finds the revision that matches the tables without a fault, if it is another one than `revision`.
pub(crate) async fn look_alike(
    connection: &Connection,
    revision: Revision,
    found: &Schema,
) -> Result<Option<Revision>, DatabaseCause> {
    let (other, best) = best_match(connection, found).await?;
    Ok((other != revision && best.faults().next().is_none()).then_some(other))
}

/// Whether the faults of a revision are all explained by a part of the next one: the backend's own upgrade on SQLite is
/// not atomic.
#[must_use]
pub(crate) fn is_half_done(backend: DbBackend, before: &Match, after: &Match) -> bool {
    backend == DbBackend::Sqlite && before.faults().all(|fault| !after.faults().any(|other| other == fault))
}

/// Turns the replayed schema, which is variant A, into another variant.
fn vary(schema: &mut Schema, backend: DbBackend, variant: Variant, found: &Schema) {
    if backend == DbBackend::Sqlite {
        allow_sqlite_keys(schema, variant);
    }
    let strict = schema.clone();
    relax(schema, variant);
    match variant {
        Variant::Older => take_over_times(schema, found),
        Variant::RolledBack => take_over_strictness(schema, &strict, found),
        Variant::A | Variant::B | Variant::C | Variant::D => {}
    }
}

/// Allows what a variant allows in its columns.
pub(crate) fn relax(schema: &mut Schema, variant: Variant) {
    if variant >= Variant::B
        && let Some(pod) = schema.column_mut("alert_sessions", "pod_id")
    {
        pod.kind = pod.kind.clone().without_limit_of_255();
    }
    if variant >= Variant::C {
        for table in SESSION_TABLES {
            if let Some(session) = schema.column_mut(table, "session_id") {
                session.nullable = true;
            }
        }
    }
    if variant == Variant::RolledBack
        && let Some(alert) = schema.column_mut("alert_sessions", "alert_id")
    {
        alert.nullable = true;
    }
    if variant == Variant::D {
        for column in ["parallel_index", "parallel_type"] {
            if let Some(column) = schema.column_mut("stage_executions", column) {
                column.default = None;
            }
        }
    }
}

/// The statements that turn the columns of one schema into those of another, which may have more columns, and on
/// PostgreSQL less strict ones.
#[must_use]
pub(crate) fn alterations(before: &Schema, after: &Schema) -> Vec<String> {
    let mut statements = Vec::new();
    for (table, relaxed) in &after.tables {
        let Some(strict) = before.tables.get(table) else { continue };
        for (name, relaxed) in &relaxed.columns {
            let Some(strict) = strict.columns.get(name) else {
                statements.push(format!("ALTER TABLE {} ADD {}", quoted(table), definition(name, relaxed)));
                continue;
            };
            let alter = format!("ALTER TABLE {} ALTER {}", quoted(table), quoted(name));
            if strict.kind != relaxed.kind {
                statements.push(format!("{alter} TYPE {}", relaxed.kind));
            }
            if strict.nullable != relaxed.nullable {
                statements.push(format!("{alter} DROP NOT NULL"));
            }
            if strict.default != relaxed.default {
                statements.push(format!("{alter} DROP DEFAULT"));
            }
        }
    }
    statements
}

/// The column's definition in SQL.
fn definition(name: &str, column: &Column) -> String {
    let default = column.default.as_ref().map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
    let null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {}{default}{null}", quoted(name), column.kind)
}

/// Allows harmless differences of the foreign keys on SQLite. TARSy creates no foreign key to the parent of parallel
/// stages there, except in new databases; and in databases older than revision 06 its upgrade leaves the old foreign
/// keys beside the new ones.
fn allow_sqlite_keys(schema: &mut Schema, variant: Variant) {
    let has_parallel_stages = schema.column_mut("stage_executions", "parallel_type").is_some();
    for (name, table) in &mut schema.tables {
        let (to_parent, others): (Vec<_>, Vec<_>) =
            table.foreign_keys.drain(..).partition(|key| key.columns == ["parent_stage_execution_id"]);
        table.foreign_keys = others;
        match variant {
            Variant::D => table.foreign_keys.extend(to_parent),
            _ => table.optional_foreign_keys.extend(to_parent),
        }
        let was_rebuilt = name == "stage_executions" && has_parallel_stages;
        let is_doubled = SESSION_TABLES.contains(&name.as_str())
            && !was_rebuilt
            && matches!(variant, Variant::A | Variant::B | Variant::Older | Variant::RolledBack);
        if is_doubled {
            let doubles = table.foreign_keys.iter().filter_map(|key| double(key, variant));
            table.optional_foreign_keys.extend(doubles);
        }
    }
}

/// The key that TARSy's own upgrade leaves beside this one, or its downgrade, which leaves the one that cascades.
fn double(key: &ForeignKey, variant: Variant) -> Option<ForeignKey> {
    let on_delete = match key.on_delete {
        ForeignKeyAction::Cascade => ForeignKeyAction::NoAction,
        _ if variant == Variant::RolledBack => ForeignKeyAction::Cascade,
        _ => return None,
    };
    Some(ForeignKey { on_delete, ..key.clone() })
}

fn has_doubled_keys(expected: &Schema, found: &Schema) -> bool {
    found.tables.iter().any(|(name, table)| {
        let Some(expected) = expected.tables.get(name) else { return false };
        table.foreign_keys.iter().any(|key| {
            expected.optional_foreign_keys.iter().any(|optional| optional.is_like(key))
                && expected.foreign_keys.iter().any(|required| required.columns == key.columns)
        })
    })
}

/// Takes back what the found columns do not allow themselves.
fn take_over_strictness(schema: &mut Schema, strict: &Schema, found: &Schema) {
    let column =
        |schema: &Schema, (table, column): (&str, &str)| schema.tables.get(table)?.columns.get(column).cloned();
    let is_strict = |place: &(&str, &str)| column(strict, *place) == column(found, *place);
    let sessions = SESSION_TABLES.map(|table| (table, "session_id"));
    // Only a release allows NULL in these, and then in all of them.
    let are_strict = sessions.iter().any(is_strict);
    let of_sessions = sessions.into_iter().filter(|_| are_strict);
    let others = [("alert_sessions", "alert_id"), ("alert_sessions", "pod_id")].into_iter().filter(is_strict);
    for place in of_sessions.chain(others) {
        if let (Some(relaxed), Some(strict)) = (schema.column_mut(place.0, place.1), column(strict, place)) {
            *relaxed = strict;
        }
    }
}

/// Copies the columns' types and NOT NULL of a file that is older than EP-0020.
fn take_over_times(schema: &mut Schema, found: &Schema) {
    const TIMES: [&str; 5] = ["started_at_us", "completed_at_us", "timestamp_us", "start_time_us", "end_time_us"];
    const REQUIRED: [(&str, &str); 3] = [
        ("alert_sessions", "started_at_us"),
        ("llm_interactions", "timestamp_us"),
        ("mcp_communications", "timestamp_us"),
    ];
    for (name, table) in &mut schema.tables {
        let Some(old) = found.tables.get(name) else { continue };
        for column in TIMES {
            let (Some(expected), Some(old)) = (table.columns.get_mut(column), old.columns.get(column)) else {
                continue;
            };
            if old.kind != ColumnKind::Integer {
                continue;
            }
            expected.kind.clone_from(&old.kind);
            if REQUIRED.contains(&(name.as_str(), column)) {
                expected.nullable &= old.nullable;
            }
        }
    }
}
