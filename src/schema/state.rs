//! The ledger and the tables of a database, and what `init` does with them.

use std::collections::{BTreeMap, BTreeSet};

use migration::Revision;
use migration::ledger::{self, Ledger};
use sea_orm::sea_query::{IntoTableRef, TableRef};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};

use super::application::{self, Application};
use super::state_error::{LEFTOVER, Leftover, StateError};
use super::visible;
use crate::database::connection;
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::transaction::Transaction;

/// The ledger and the tables of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaState {
    pub ledger: Ledger,
    /// TARSy's tables that exist, with their columns.
    pub tables: BTreeMap<String, BTreeSet<String>>,
    /// Tables that an interrupted upgrade by the backend left behind.
    pub leftovers: Vec<Leftover>,
    /// Whether the tables of TARSy's successor exist.
    pub is_successors: bool,
    /// If there are no tables: the schemas outside the search path that have them.
    pub elsewhere: Vec<String>,
    /// What has the name of one of TARSy's tables and is none, with what it is.
    pub in_place: BTreeMap<String, &'static str>,
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
    /// Nothing, for this reason.
    Refused(StateError),
}

impl SchemaState {
    /// The state of a database without any table.
    pub(crate) fn empty() -> Self {
        Self::of(Ledger::Missing, BTreeMap::new())
    }

    /// Reads the ledger and looks for the tables: two or three queries, no lock.
    ///
    /// # Errors
    /// [`ErrorClass::Privilege`] if the role may use no schema of the search path, or the database's error.
    pub(crate) async fn read(connection: &Transaction) -> Result<Self, DatabaseCause> {
        let (mut state, place_of_ledger) = Self::look(connection).await?;
        if let Some(place) = place_of_ledger {
            state.ledger = ledger::read(connection, place).await?;
        }
        if connection.backend() == DbBackend::Postgres && state.is_empty() {
            state.elsewhere = schemas_elsewhere(connection).await?;
        }
        Ok(state)
    }

    /// The same if the ledger cannot be read: as if there were none.
    ///
    /// # Errors
    /// As [`SchemaState::read`].
    pub(crate) async fn read_without_ledger(connection: &Transaction) -> Result<Self, DatabaseCause> {
        Ok(Self::look(connection).await?.0)
    }

    /// Looks for the tables, and where the ledger is.
    async fn look(connection: &Transaction) -> Result<(Self, Option<TableRef>), DatabaseCause> {
        let rows = match connection.backend() {
            DbBackend::Postgres => postgresql_columns(connection).await?,
            _ => sqlite_columns(connection).await?,
        };
        let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut in_place = BTreeMap::new();
        let mut place_of_ledger = ledger::TABLE.into_table_ref();
        for row in rows {
            let (table, schema): (String, Option<String>) =
                (row.try_get("", "table_name")?, row.try_get("", "schema_name")?);
            if let Some(what) = other_than_table(&row.try_get::<String>("", "kind")?) {
                in_place.insert(table, what);
                continue;
            }
            if schema.as_ref().is_some_and(|schema| !connection.namespace().holds(&table, schema)) {
                continue;
            }
            if let Some(schema) = schema.filter(|_| table == ledger::TABLE) {
                place_of_ledger = (schema, ledger::TABLE).into_table_ref();
            }
            tables.entry(table).or_default().extend(row.try_get::<Option<String>>("", "column_name")?);
        }
        let has_ledger = tables.remove(ledger::TABLE).is_some();
        let state = Self { in_place, ..Self::of(Ledger::Missing, tables) };
        Ok((state, has_ledger.then_some(place_of_ledger)))
    }

    /// Separates tables from leftovers. A copy of a table that is not TARSy's is ignored.
    fn of(ledger: Ledger, mut tables: BTreeMap<String, BTreeSet<String>>) -> Self {
        let leftovers = tables.keys().filter_map(|name| {
            let original = name.strip_prefix(LEFTOVER).filter(|name| Revision::HEAD.tables().contains(name))?;
            Some(Leftover { copy: name.clone(), original_is_there: tables.contains_key(original) })
        });
        let leftovers = leftovers.collect();
        let is_successors = application::OF_SUCCESSOR.iter().all(|name| tables.contains_key(*name));
        tables.retain(|name, _| Revision::HEAD.tables().contains(&name.as_str()));
        Self { ledger, tables, leftovers, is_successors, elsewhere: Vec::new(), in_place: BTreeMap::new() }
    }

    /// The other application to which the database belongs, if it is not TARSy's. Beside tables of TARSy's own only the
    /// tables of this revision have to be its own.
    fn application(&self, revision: Revision) -> Option<Application> {
        let mut namesakes = application::namesakes(&self.tables);
        let is_own = |table: &&str| self.tables.contains_key(*table) && !namesakes.iter().any(|name| name == table);
        let has_own = Revision::BASELINE.tables().iter().any(is_own);
        match &self.ledger {
            // A later TARSy may have given its tables other columns.
            Ledger::At(id) if has_own && Revision::from_id(id).is_none() => namesakes.clear(),
            _ if has_own => namesakes.retain(|name| revision.tables().contains(&name.as_str())),
            _ => {}
        }
        match (&self.ledger, namesakes.is_empty()) {
            _ if self.is_successors && !has_own => Some(Application::Successor),
            (_, false) if has_own => Some(Application::Stranger(namesakes)),
            (_, false) => Some(Application::Tables(namesakes)),
            (Ledger::At(id), true) if self.is_empty() && Revision::from_id(id).is_none() => {
                Some(Application::Ledger(id.clone()))
            }
            _ => None,
        }
    }

    /// The revision, if the ledger names exactly one.
    #[must_use]
    pub(crate) fn revision(&self) -> Option<&str> {
        match &self.ledger {
            Ledger::At(revision) => Some(revision),
            Ledger::Missing | Ledger::Empty | Ledger::Several(_) => None,
        }
    }

    /// What the ledger has instead of a revision.
    #[must_use]
    pub(crate) fn unrecorded(&self) -> String {
        match &self.ledger {
            Ledger::Empty => "`alembic_version` has no rows".to_owned(),
            Ledger::Several(revisions) => format!("`alembic_version` has {} rows", revisions.len()),
            Ledger::Missing | Ledger::At(_) => "no `alembic_version`".to_owned(),
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
            Decision::Create { .. } if !self.elsewhere.is_empty() => Err(StateError::Elsewhere(self.elsewhere.clone())),
            Decision::Create { .. } => Err(StateError::Pending),
            Decision::Adopt => Ok(None),
            Decision::Upgrade { from, .. } => Ok(Some(from)),
            Decision::Nothing { revision } => {
                Revision::from_id(&revision).map(Some).ok_or(StateError::Unknown(revision))
            }
            Decision::Refused(error) => Err(error),
        }
    }

    /// Makes sure that the database does not belong to another application.
    ///
    /// # Errors
    /// [`StateError::Foreign`].
    pub(crate) fn require_tarsys(&self) -> Result<(), StateError> {
        match self.plan(Revision::BASELINE) {
            Decision::Refused(error @ StateError::Foreign(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// What the schema lacks, and what the operator runs to reach the target. `None` if `init` is not what it needs.
    #[must_use]
    pub(crate) fn pending(&self, target: Revision) -> Option<(String, String)> {
        let init = || "run `tarsy-db init`".to_owned();
        Some(match self.plan(target) {
            Decision::Upgrade { from, to } => {
                let name = if to == Revision::HEAD { "head".to_owned() } else { to.number().to_string() };
                let what = format!("the schema is at {from}, and `schema.target` asks for {to}");
                (what, format!("run `tarsy-db init --to {name}`"))
            }
            Decision::Create { .. } if self.revision().is_some() => {
                ("`alembic_version` exists, but no tables".to_owned(), init())
            }
            Decision::Create { .. } => ("no schema yet".to_owned(), init()),
            Decision::Adopt => {
                let what = match self.ledger {
                    Ledger::Missing => "the tables have no `alembic_version`",
                    _ => "`alembic_version` of these tables has no rows",
                };
                (what.to_owned(), "run `tarsy-db init` to adopt them".to_owned())
            }
            Decision::Nothing { .. } | Decision::Refused(_) => return None,
        })
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
        if let Some(id) =
            self.revision().map(str::trim_end).filter(|id| known.is_none() && Revision::from_id(id).is_some())
        {
            return Decision::Refused(StateError::Padded(id.to_owned()));
        }
        if let Some(application) = self.application(known.map_or(target, |known| known.max(target))) {
            return Decision::Refused(StateError::Foreign(application));
        }
        if let Ledger::Several(revisions) = &self.ledger {
            return Decision::Refused(StateError::Ambiguous(revisions.clone()));
        }
        if !self.leftovers.is_empty() {
            return Decision::Refused(StateError::Leftover(self.leftovers.clone()));
        }
        match (self.revision(), known, missing().as_slice()) {
            (None, _, _) if self.is_empty() => Decision::Create { to: target },
            // The ledger was written before the tables were created.
            (Some(_), Some(known), _) if self.is_empty() => Decision::Create { to: known.max(target) },
            (None, _, []) => Decision::Adopt,
            (Some(_), Some(from), []) if from < target => Decision::Upgrade { from, to: target },
            (Some(revision), _, []) => Decision::Nothing { revision: revision.to_owned() },
            (revision, _, missing) => {
                let revision = revision.map(str::to_owned);
                let in_place = missing.iter().filter_map(|name| Some((*name, *self.in_place.get(*name)?))).collect();
                Decision::Refused(StateError::Incomplete { revision, missing: missing.to_vec(), in_place })
            }
        }
    }
}

/// What a relation of this kind is, if it is no table.
fn other_than_table(kind: &str) -> Option<&'static str> {
    match kind {
        "v" => Some("a view"),
        "m" => Some("a materialized view"),
        "f" => Some("a foreign table"),
        _ => None,
    }
}

/// The columns of TARSy's tables and the ledger on PostgreSQL, and what is in their place; NULL for a table without a column.
async fn postgresql_columns(connection: &Transaction) -> Result<Vec<QueryResult>, DatabaseCause> {
    if connection.namespace().path().is_empty() {
        // Nothing would be found, which would look like an empty database.
        let message = "the search path has no schema that the role may use";
        return Err(DatabaseCause::new(ErrorClass::Privilege, message).with_remedy(
            "let the owner of the schema grant the role USAGE on it, or correct the `search_path` of the role or of the \
             database: `ALTER ROLE ... RESET search_path`",
        ));
    }
    let sql = "SELECT c.relname::text AS table_name, c.nspname::text AS schema_name, a.attname::text AS column_name,
                      c.relkind::text AS kind
               FROM visible c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               WHERE c.relname = ANY ($2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    Ok(visible::rows(connection, sql, [visible::texts(&names())]).await?)
}

/// The schemas outside the search path that have TARSy's sessions and stages.
async fn schemas_elsewhere(connection: &Transaction) -> Result<Vec<String>, DatabaseCause> {
    let sql = "SELECT DISTINCT n.nspname::text AS schema_name
               FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> ALL ($1::text[])
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'started_at_us' AND NOT a.attisdropped
               JOIN pg_class s ON s.relnamespace = n.oid AND s.relname = 'stage_executions' AND s.relkind IN ('r', 'p')
               WHERE c.relname = 'alert_sessions' AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' ORDER BY 1";
    let path = connection.namespace().path().to_vec();
    let statement = Statement::from_sql_and_values(connection.backend(), sql, [path.into()]);
    let rows = connection.query_all_raw(statement).await?;
    Ok(rows.iter().map(|row| row.try_get("", "schema_name")).collect::<Result<_, _>>()?)
}

/// As [`postgresql_columns`], with the leftovers, on SQLite.
async fn sqlite_columns(connection: &Transaction) -> Result<Vec<QueryResult>, DatabaseCause> {
    let sql = format!(
        "SELECT m.name AS table_name, NULL AS schema_name, c.name AS column_name, 'r' AS kind
         FROM sqlite_master m JOIN pragma_table_info(m.name) c
         WHERE m.type = 'table' AND (m.name IN ('{names}') OR substr(m.name, 1, 13) = '{LEFTOVER}')
         UNION ALL SELECT name, NULL, NULL, 'v' FROM sqlite_master WHERE type = 'view' AND name IN ('{names}')",
        names = names().join("', '")
    );
    Ok(connection::rows(connection, &sql).await?)
}

/// TARSy's tables, with the ledger, and those that only its successor has.
fn names() -> Vec<&'static str> {
    [&[ledger::TABLE], Revision::HEAD.tables().as_slice(), &application::OF_SUCCESSOR].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::state_error;

    fn state(ledger: Ledger, tables: &[&str]) -> SchemaState {
        SchemaState::of(ledger, tables.iter().map(|table| application::identified(table)).collect())
    }

    fn foreign(application: Application) -> Decision {
        Decision::Refused(StateError::Foreign(application))
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
        assert!(
            matches!(to_head(at("unknown"), four), Decision::Refused(StateError::Incomplete { missing, .. }) if missing.len() == 3)
        );
        assert_eq!(plan(at("unknown"), &[]), foreign(Application::Ledger("unknown".to_owned())));
        assert!(
            matches!(plan(at(head.id()), four), Decision::Refused(StateError::Incomplete { missing, .. }) if missing.len() == 3)
        );
        assert!(matches!(
            plan(Ledger::Missing, &four[..2]),
            Decision::Refused(StateError::Incomplete { revision: None, .. })
        ));
        assert!(matches!(
            plan(Ledger::Several(vec!["a".into(), "b".into()]), four),
            Decision::Refused(StateError::Ambiguous(_))
        ));
        let left = SchemaState {
            leftovers: vec![Leftover { copy: "_alembic_tmp_x".into(), original_is_there: true }],
            ..state(at(head.id()), seven)
        };
        assert!(matches!(left.plan(baseline), Decision::Refused(StateError::Leftover(_))));
    }

    #[test]
    fn tables_of_other_applications_are_recognised() {
        let plan = |own: &[&str], others: &[&str], target| {
            let others = others.iter().map(|table| ((*table).to_owned(), BTreeSet::new()));
            let tables = own.iter().map(|table| application::identified(table)).chain(others).collect();
            SchemaState::of(Ledger::Missing, tables).plan(target)
        };
        let (baseline, head) = (Revision::BASELINE, Revision::HEAD);
        let four = &baseline.tables()[..];
        let tables =
            |names: &[&str]| foreign(Application::Tables(names.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(plan(&[], &["events", "chats"], baseline), tables(&["events", "chats"]));
        assert_eq!(plan(&[], &["events", "agent_executions"], baseline), tables(&["events"]));
        assert_eq!(plan(four, &["events"], baseline), Decision::Adopt, "the baseline has no such table");
        let stranger = foreign(Application::Stranger(vec!["events".to_owned()]));
        assert_eq!(plan(four, &["events"], head), stranger, "the other tables are TARSy's");
        let successor = ["alert_sessions", "agent_executions", "schema_migrations"];
        assert_eq!(plan(&[], &successor, baseline), foreign(Application::Successor));
        assert_eq!(plan(&[], &successor[1..], baseline), foreign(Application::Successor));
        assert_eq!(plan(four, &successor[1..], baseline), Decision::Adopt);
    }

    #[test]
    fn tables_of_a_later_tarsy_may_have_other_columns() {
        let mut tables: BTreeMap<_, _> = Revision::HEAD.tables().into_iter().map(application::identified).collect();
        tables.insert("chats".to_owned(), BTreeSet::from(["started_at_us".to_owned()]));
        let later = SchemaState::of(Ledger::At("ffffffffffff".to_owned()), tables);
        for target in [Revision::BASELINE, Revision::HEAD] {
            assert_eq!(later.plan(target), Decision::Nothing { revision: "ffffffffffff".to_owned() });
        }
    }

    #[test]
    fn leftovers_are_distinguished_from_tables_of_the_operators() {
        let names = ["events", "_alembic_tmp_events", "_alembic_tmp_chats", "_alembic_tmp_mine"];
        let found = SchemaState::of(Ledger::Empty, names.map(|name| (name.to_owned(), BTreeSet::new())).into());
        let left = |copy: &str, original_is_there| Leftover { copy: copy.to_owned(), original_is_there };
        assert_eq!(found.leftovers, [left("_alembic_tmp_chats", false), left("_alembic_tmp_events", true)]);
        assert_eq!(found.tables.into_keys().collect::<Vec<_>>(), ["events"]);
        assert_eq!(
            state_error::leftover_hint(&found.leftovers),
            "copy the file first; `chats` is missing: `ALTER TABLE _alembic_tmp_chats RENAME TO chats` restores it; \
             `events` exists: `DROP TABLE _alembic_tmp_events` removes its unfinished copy"
        );
    }
}
