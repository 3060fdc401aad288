//! The ledger and the tables of a database, and what `init` does with them.

use std::collections::{BTreeMap, BTreeSet};

use migration::Revision;
use migration::ledger::{self, Ledger};
use sea_orm::sea_query::IntoTableRef;
use sea_orm::{DbBackend, QueryResult};

use super::visible;
use crate::database::connection;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::transaction::Transaction;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// The prefix that Alembic, TARSy's migration tool, gives to the copy of a table that it rebuilds on SQLite.
const LEFTOVER: &str = "_alembic_tmp_";

/// The ledger and the tables of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaState {
    pub ledger: Ledger,
    /// TARSy's tables that exist, with their columns.
    pub tables: BTreeMap<String, BTreeSet<String>>,
    /// Tables that an interrupted upgrade by the backend left behind.
    pub leftovers: Vec<Leftover>,
}

/// The copy of a table that an interrupted upgrade by TARSy's backend was writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub copy: String,
    /// Whether the original still exists; otherwise the copy is complete, and the only one.
    pub original_is_there: bool,
}

impl Leftover {
    /// The name of the original table.
    #[must_use]
    pub fn original(&self) -> &str {
        self.copy.strip_prefix(LEFTOVER).unwrap_or_default()
    }
}

/// Why a database is not a history that this version knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the database has no TARSy schema yet")]
    Pending,
    #[error("the database is at revision `{0}`, which this version of tarsy-db does not know")]
    Unknown(String),
    #[error("the database is incomplete: {} missing{}", .missing.join(", "), ledger_says(.revision.as_deref()))]
    Incomplete { revision: Option<String>, missing: Vec<&'static str> },
    #[error("`alembic_version` has {} rows ({}); it must have one", .0.len(), .0.join(", "))]
    Ambiguous(Vec<String>),
    #[error("an interrupted upgrade by TARSy's backend left `{}` behind", .0.iter().map(|left| left.copy.as_str()).collect::<Vec<_>>().join("`, `"))]
    Leftover(Vec<Leftover>),
}

fn ledger_says(revision: Option<&str>) -> String {
    revision.map(|revision| format!(", although the ledger names revision `{revision}`")).unwrap_or_default()
}

impl Diagnostic for StateError {
    fn exit_code(&self) -> ExitCode {
        match self {
            StateError::Pending => ExitCode::Pending,
            StateError::Unknown(_) => ExitCode::Newer,
            StateError::Incomplete { .. } | StateError::Ambiguous(_) | StateError::Leftover(_) => ExitCode::Drift,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            StateError::Pending => "check the database URL; if it is right, run `tarsy-db init`".into(),
            StateError::Unknown(_) => "use the tarsy-db of that TARSy release".into(),
            StateError::Incomplete { .. } => {
                "restore the missing tables from a backup, or start with an empty database; nothing was changed".into()
            }
            StateError::Ambiguous(_) => {
                "`tarsy-db check` shows the revision of the tables: delete the rows of the others; nothing was changed"
                    .into()
            }
            StateError::Leftover(tables) => format!("{}; nothing was changed", leftover_hint(tables)),
        })
    }
}

/// The hint for tables that an interrupted upgrade left behind.
#[must_use]
pub(crate) fn leftover_hint(tables: &[Leftover]) -> String {
    let what = tables.iter().map(|left| {
        let (copy, original) = (&left.copy, left.original());
        match left.original_is_there {
            true => format!("`{original}` exists: `DROP TABLE {copy}` removes its unfinished copy"),
            false => format!("`{original}` is missing: `ALTER TABLE {copy} RENAME TO {original}` restores it"),
        }
    });
    format!("copy the file first; {}", what.collect::<Vec<_>>().join("; "))
}

/// What brings a database to a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing: the database is at the target, at a later revision, or at an unknown one.
    Nothing { revision: String },
    /// Create the tables and the ledger.
    Create {
        /// The target, or the revision that the ledger of an otherwise empty database names.
        to: Revision,
    },
    /// Derive the revision from the table definitions, write the ledger, and upgrade from there.
    Adopt,
    /// Apply the pending revisions.
    Upgrade {
        /// The revision that the ledger names.
        from: Revision,
        to: Revision,
    },
    Incomplete {
        /// The revision that the ledger names, if it names one.
        revision: Option<String>,
        missing: Vec<&'static str>,
    },
    /// The ledger has several rows.
    Ambiguous { revisions: Vec<String> },
    /// An interrupted upgrade by the backend left tables behind.
    Leftover { tables: Vec<Leftover> },
}

impl SchemaState {
    /// Reads the ledger and looks for the tables: two queries, no lock.
    ///
    /// # Errors
    /// [`ErrorClass::Privilege`] if the role may use no schema of the search path, or the database's error.
    pub(crate) async fn read(connection: &Transaction) -> Result<Self, DatabaseCause> {
        let rows = match connection.backend() {
            DbBackend::Postgres => postgresql_columns(connection).await?,
            _ => sqlite_columns(connection).await?,
        };
        let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut place_of_ledger = ledger::TABLE.into_table_ref();
        for row in rows {
            let (table, schema): (String, Option<String>) =
                (row.try_get("", "table_name")?, row.try_get("", "schema_name")?);
            if schema.as_ref().is_some_and(|schema| !connection.namespace().holds(&table, schema)) {
                continue;
            }
            if let Some(schema) = schema.filter(|_| table == ledger::TABLE) {
                place_of_ledger = (schema, ledger::TABLE).into_table_ref();
            }
            tables.entry(table).or_default().extend(row.try_get::<Option<String>>("", "column_name")?);
        }
        let ledger = match tables.remove(ledger::TABLE) {
            Some(_) => ledger::read(connection, place_of_ledger).await?,
            None => Ledger::Missing,
        };
        Ok(Self::of(ledger, tables))
    }

    /// Separates tables from leftovers. A copy of a table that is not TARSy's is ignored.
    fn of(ledger: Ledger, mut tables: BTreeMap<String, BTreeSet<String>>) -> Self {
        let leftovers = tables.keys().filter_map(|name| {
            let original = name.strip_prefix(LEFTOVER).filter(|name| Revision::HEAD.tables().contains(name))?;
            Some(Leftover { copy: name.clone(), original_is_there: tables.contains_key(original) })
        });
        let leftovers = leftovers.collect();
        tables.retain(|name, _| !name.starts_with(LEFTOVER));
        Self { ledger, tables, leftovers }
    }

    /// The revision, if the ledger names exactly one.
    #[must_use]
    pub(crate) fn revision(&self) -> Option<&str> {
        match &self.ledger {
            Ledger::At(revision) => Some(revision),
            Ledger::Missing | Ledger::Empty | Ledger::Several(_) => None,
        }
    }

    /// Whether the database is at the baseline; without a ledger, whether it has none of the later columns.
    #[must_use]
    pub(crate) fn is_baseline(&self) -> bool {
        match self.revision() {
            Some(revision) => revision == Revision::BASELINE.id(),
            None => !Revision::HEAD.added_columns().any(|(table, column)| self.has_column(table, column)),
        }
    }

    /// Whether one of TARSy's tables has a column.
    #[must_use]
    pub(crate) fn has_column(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|columns| columns.contains(column))
    }

    /// Whether the database has none of the tables that every revision has.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        Revision::BASELINE.tables().iter().all(|table| !self.tables.contains_key(*table))
    }

    /// Makes sure that this is a history whose rows may be changed. All commands that change rows call it, and refuse
    /// what `init` refuses. A history without a ledger is accepted; it has no revision.
    ///
    /// # Errors
    /// [`StateError`]: no tables, some tables, a ledger with several rows or an unknown revision, or leftovers of an
    /// interrupted upgrade.
    pub(crate) fn require_history(&self) -> Result<Option<Revision>, StateError> {
        match self.plan(Revision::BASELINE) {
            Decision::Create { .. } => Err(StateError::Pending),
            Decision::Adopt => Ok(None),
            Decision::Upgrade { from, .. } => Ok(Some(from)),
            Decision::Nothing { revision } => {
                Revision::from_id(&revision).map(Some).ok_or(StateError::Unknown(revision))
            }
            Decision::Incomplete { revision, missing } => Err(StateError::Incomplete { revision, missing }),
            Decision::Ambiguous { revisions } => Err(StateError::Ambiguous(revisions)),
            Decision::Leftover { tables } => Err(StateError::Leftover(tables)),
        }
    }

    /// Decides what brings the database to the target.
    #[must_use]
    pub(crate) fn plan(&self, target: Revision) -> Decision {
        let known = self.revision().and_then(Revision::from_id);
        let missing = || -> Vec<&'static str> {
            // An unknown revision must at least have the tables of the target.
            let needed = match self.ledger {
                Ledger::At(_) => known.unwrap_or(target),
                Ledger::Missing | Ledger::Empty | Ledger::Several(_) => Revision::BASELINE,
            };
            needed.tables().into_iter().filter(|table| !self.tables.contains_key(*table)).collect()
        };
        if let Ledger::Several(revisions) = &self.ledger {
            return Decision::Ambiguous { revisions: revisions.clone() };
        }
        if !self.leftovers.is_empty() {
            return Decision::Leftover { tables: self.leftovers.clone() };
        }
        match (self.revision(), known, missing().as_slice()) {
            (None, _, _) if self.is_empty() => Decision::Create { to: target },
            // The ledger was written before the tables were created.
            (Some(_), Some(known), _) if self.is_empty() => Decision::Create { to: known.max(target) },
            (None, _, []) => Decision::Adopt,
            (Some(_), Some(from), []) if from < target => Decision::Upgrade { from, to: target },
            (Some(revision), _, []) => Decision::Nothing { revision: revision.to_owned() },
            (revision, _, missing) => {
                Decision::Incomplete { revision: revision.map(str::to_owned), missing: missing.to_vec() }
            }
        }
    }
}

/// The columns of TARSy's tables and the ledger on PostgreSQL; NULL for a table without a column.
async fn postgresql_columns(connection: &Transaction) -> Result<Vec<QueryResult>, DatabaseCause> {
    if connection.namespace().path().is_empty() {
        // Nothing would be found, which would look like an empty database.
        let message = "the search path has no schema that the role may use";
        return Err(DatabaseCause::new(ErrorClass::Privilege, message));
    }
    let sql = "SELECT c.relname::text AS table_name, c.nspname::text AS schema_name, a.attname::text AS column_name
               FROM visible c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               WHERE c.relname = ANY ($2) AND c.relkind IN ('r', 'p')";
    Ok(visible::rows(connection, sql, [visible::texts(&names())]).await?)
}

/// As [`postgresql_columns`], with the leftovers, on SQLite.
async fn sqlite_columns(connection: &Transaction) -> Result<Vec<QueryResult>, DatabaseCause> {
    let sql = format!(
        "SELECT m.name AS table_name, NULL AS schema_name, c.name AS column_name
         FROM sqlite_master m JOIN pragma_table_info(m.name) c
         WHERE m.type = 'table' AND (m.name IN ('{}') OR substr(m.name, 1, 13) = '{LEFTOVER}')",
        names().join("', '")
    );
    Ok(connection::rows(connection, &sql).await?)
}

/// TARSy's tables, with the ledger.
fn names() -> Vec<&'static str> {
    [&[ledger::TABLE], Revision::HEAD.tables().as_slice()].concat()
}

/// A revision for messages: the id, and its number if this version knows it.
#[must_use]
pub(crate) fn described(revision: &str) -> String {
    match Revision::from_id(revision) {
        Some(known) => known.to_string(),
        None => format!("{revision} (unknown to this version)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ledger: Ledger, tables: &[&str]) -> SchemaState {
        let tables = tables.iter().map(|table| ((*table).to_owned(), BTreeSet::new())).collect();
        SchemaState { ledger, tables, leftovers: Vec::new() }
    }

    #[test]
    fn plans_follow_from_the_ledger_the_tables_and_the_target() {
        let (baseline, head) = (Revision::BASELINE, Revision::HEAD);
        let (four, seven) = (&baseline.tables()[..], &head.tables()[..]);
        let at = |revision: &str| Ledger::At(revision.to_owned());
        let plan = |ledger, tables: &[&str]| state(ledger, tables).plan(baseline);
        let to_head = |ledger, tables: &[&str]| state(ledger, tables).plan(head);
        let nothing = |revision: &str| Decision::Nothing { revision: revision.to_owned() };
        assert_eq!(plan(Ledger::Missing, &[]), Decision::Create { to: baseline });
        assert_eq!(plan(Ledger::Missing, &["events"]), Decision::Create { to: baseline });
        assert_eq!(to_head(Ledger::Empty, &[]), Decision::Create { to: head });
        assert_eq!(to_head(at(baseline.id()), &[]), Decision::Create { to: head });
        assert_eq!(plan(at(head.id()), &[]), Decision::Create { to: head });
        assert_eq!(plan(Ledger::Missing, four), Decision::Adopt);
        assert_eq!(to_head(Ledger::Empty, seven), Decision::Adopt);
        assert_eq!(plan(at(baseline.id()), four), nothing(baseline.id()));
        assert_eq!(to_head(at(baseline.id()), four), Decision::Upgrade { from: baseline, to: head });
        assert_eq!(plan(at(head.id()), seven), nothing(head.id()));
        assert_eq!(plan(at("unknown"), four), nothing("unknown"));
        assert!(matches!(to_head(at("unknown"), four), Decision::Incomplete { missing, .. } if missing.len() == 3));
        assert!(matches!(plan(at("unknown"), &[]), Decision::Incomplete { missing, .. } if missing.len() == 4));
        assert!(matches!(plan(at(head.id()), four), Decision::Incomplete { missing, .. } if missing.len() == 3));
        assert!(matches!(plan(Ledger::Missing, &four[..2]), Decision::Incomplete { revision: None, .. }));
        assert!(matches!(plan(Ledger::Several(vec!["a".into(), "b".into()]), four), Decision::Ambiguous { .. }));
        let left = SchemaState {
            leftovers: vec![Leftover { copy: "_alembic_tmp_x".into(), original_is_there: true }],
            ..state(at(head.id()), seven)
        };
        assert!(matches!(left.plan(baseline), Decision::Leftover { .. }));
    }

    #[test]
    fn leftovers_are_distinguished_from_tables_of_the_operators() {
        let names = ["events", "_alembic_tmp_events", "_alembic_tmp_chats", "_alembic_tmp_mine"];
        let found = SchemaState::of(Ledger::Empty, names.map(|name| (name.to_owned(), BTreeSet::new())).into());
        let left = |copy: &str, original_is_there| Leftover { copy: copy.to_owned(), original_is_there };
        assert_eq!(found.leftovers, [left("_alembic_tmp_chats", false), left("_alembic_tmp_events", true)]);
        assert_eq!(found.tables.into_keys().collect::<Vec<_>>(), ["events"]);
        assert_eq!(
            leftover_hint(&found.leftovers),
            "copy the file first; `chats` is missing: `ALTER TABLE _alembic_tmp_chats RENAME TO chats` restores it; \
             `events` exists: `DROP TABLE _alembic_tmp_events` removes its unfinished copy"
        );
    }
}
