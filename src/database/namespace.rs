//! Where a role's unqualified names lead on PostgreSQL.
//!
//! The names are looked up once, after the login. From then on statements run with an empty search path and name the
//! schema of each table, as `pg_dump` does: otherwise a role that may create objects in one of these schemas could
//! plant a function or an operator that PostgreSQL prefers to its own, and that would run with our privileges.
//! <https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATTERNS>

use std::collections::BTreeMap;

use migration::{Revision, ledger};
use sea_orm::sea_query::{Alias, IntoIden, IntoTableRef, TableRef};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::database::quote::{literal, quoted};

/// The schemas of a role's search path, and where it finds TARSy's tables. Empty on SQLite, where names stay unqualified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// The existing schemas that the role may use, in order, without the implicit ones.
    path: Vec<String>,
    /// The schema of each of TARSy's tables that exists.
    tables: Tables,
}

/// The schema of each table.
type Tables = BTreeMap<String, String>;

impl Namespace {
    /// Temporary tables.
    pub(crate) fn temporary() -> Self {
        Self { path: vec!["pg_temp".to_owned()], tables: BTreeMap::new() }
    }

    /// Looks where the names lead: those of a known path, or of the role's own.
    pub(crate) async fn look_up(connection: &mut PgConnection, known: Option<&[String]>) -> Result<Self, sqlx::Error> {
        // Simple queries: a pooler may give each message of another kind to another session.
        let rows = sqlx::raw_sql(AssertSqlSafe(Self::query(known))).fetch_all(&mut *connection).await?;
        let (mut namespace, namesakes) = Self::read(&rows)?;
        if !namesakes.is_empty() {
            let revision = namespace.revision(connection).await?;
            namespace
                .tables
                .extend(namesakes.into_iter().filter(|(table, _)| revision.tables().contains(&table.as_str())));
        }
        Ok(namespace)
    }

    /// The revision in the ledger, or the baseline.
    async fn revision(&self, connection: &mut PgConnection) -> Result<Revision, sqlx::Error> {
        let mut revisions = Vec::new();
        if self.tables.contains_key(ledger::TABLE) {
            let sql = format!("SELECT version_num::pg_catalog.text AS revision FROM {}", self.table(ledger::TABLE));
            revisions = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
        }
        let id = revisions.first().map(|row| row.try_get::<Option<String>, _>("revision")).transpose()?.flatten();
        Ok(id.and_then(|id| Revision::from_id(&id)).unwrap_or(Revision::BASELINE))
    }

    /// The statement that finds a namespace: a row for each table, or one without a table. Without a known path it is the
    /// role's own, with which the statement then runs; so every name and operator in it is qualified.
    fn query(known: Option<&[String]>) -> String {
        let path = known.map_or_else(
            || "pg_catalog.current_schemas(false)".to_owned(),
            |path| format!("ARRAY[{}]", path.iter().map(|schema| literal(schema)).collect::<Vec<_>>().join(", ")),
        );
        let names: Vec<_> = tables_of_tarsy().map(literal).collect();
        // The first relation of a name hides those of later schemas, whatever its kind.
        format!(
            "SELECT f.path, t.name AS table_name, t.schema AS schema_name, t.kind
             FROM (SELECT {path}::pg_catalog.text[] AS path) f
             LEFT JOIN LATERAL (
                 SELECT DISTINCT ON (c.relname) c.relname::pg_catalog.text AS name, s.schema,
                        c.relkind::pg_catalog.text AS kind
                 FROM pg_catalog.unnest(f.path) WITH ORDINALITY s (schema, place)
                 JOIN pg_catalog.pg_namespace n ON n.nspname OPERATOR(pg_catalog.=) s.schema::pg_catalog.name
                 JOIN pg_catalog.pg_class c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
                      AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog.\"char\"
                      AND c.relname OPERATOR(pg_catalog.=) ANY (ARRAY[{}]::pg_catalog.name[])
                 ORDER BY c.relname, s.place) t ON true",
            names.join(", ")
        )
    }

    /// Reads the answer to [`Namespace::query`], with the tables behind the schema of the sessions apart: another role may
    /// have created a namesake of one that TARSy does not have yet.
    fn read(rows: &[PgRow]) -> Result<(Self, Tables), sqlx::Error> {
        let mut namespace = Self::default();
        for row in rows {
            namespace.path = row.try_get("path")?;
            // Such a schema lasts as long as a session.
            namespace.path.retain(|schema| !schema.starts_with("pg_temp_"));
            let kind: Option<String> = row.try_get("kind")?;
            if kind.is_some_and(|kind| matches!(kind.as_str(), "r" | "p")) {
                namespace.tables.insert(row.try_get("table_name")?, row.try_get("schema_name")?);
            }
        }
        let is_new = !namespace.tables.contains_key("alert_sessions");
        let home = namespace.place(namespace.home());
        let tables = std::mem::take(&mut namespace.tables);
        let (tables, namesakes) = tables.into_iter().partition(|(_, schema)| namespace.place(Some(schema)) <= home);
        namespace.tables = tables;
        Ok((namespace, if is_new { Tables::new() } else { namesakes }))
    }

    /// The schemas in the order of the search path. Empty on SQLite, and if the role may use none.
    #[must_use]
    pub(crate) fn path(&self) -> &[String] {
        &self.path
    }

    /// The schema of a table, or the one in which it would be created. `None` on SQLite.
    #[must_use]
    pub(crate) fn schema_of(&self, table: &str) -> Option<&str> {
        self.tables.get(table).or_else(|| self.home()).map(String::as_str)
    }

    /// The schema of TARSy's sessions, or else the first one of the path: there new tables are created.
    fn home(&self) -> Option<&String> {
        self.tables.get("alert_sessions").or_else(|| self.path.first())
    }

    /// The position of a schema in the path.
    fn place(&self, schema: Option<&String>) -> Option<usize> {
        self.path.iter().position(|of_path| Some(of_path) == schema)
    }

    /// Whether a relation in this schema is what its name means, and no namesake of one of TARSy's tables.
    #[must_use]
    pub(crate) fn holds(&self, table: &str, schema: &str) -> bool {
        match self.tables.get(table) {
            _ if !is_tarsys(table) => true,
            Some(place) if self.path.iter().any(|of_path| of_path == schema) => place == schema,
            _ => self.place(Some(&schema.to_owned())) <= self.place(self.home()),
        }
    }

    /// The schemas of TARSy's tables, the one in which new tables are created first.
    #[must_use]
    pub(crate) fn schemas(&self) -> Vec<&str> {
        let mut schemas: Vec<&str> = self.home().into_iter().map(String::as_str).collect();
        for schema in self.tables.values() {
            if !schemas.contains(&schema.as_str()) {
                schemas.push(schema);
            }
        }
        schemas
    }

    /// The quoted and qualified name of a table.
    #[must_use]
    pub(crate) fn table(&self, table: &str) -> String {
        match self.schema_of(table) {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(table)),
            None => quoted(table),
        }
    }

    /// The same for SeaORM's statements.
    #[must_use]
    pub(crate) fn table_ref(&self, table: &'static str) -> TableRef {
        match self.schema_of(table) {
            Some(schema) => (Alias::new(schema).into_iden(), Alias::new(table).into_iden()).into_table_ref(),
            None => Alias::new(table).into_table_ref(),
        }
    }
}

/// TARSy's tables, with the ledger.
pub(crate) fn tables_of_tarsy() -> impl Iterator<Item = &'static str> {
    Revision::HEAD.tables().into_iter().chain([ledger::TABLE])
}

/// Whether a table has a name of TARSy's tables or of the ledger.
pub(crate) fn is_tarsys(table: &str) -> bool {
    tables_of_tarsy().any(|name| name == table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(path: &[&str], tables: &[(&str, &str)]) -> Namespace {
        let owned = |text: &&str| (*text).to_owned();
        let tables = tables.iter().map(|(table, schema)| (owned(table), owned(schema)));
        Namespace { path: path.iter().map(owned).collect(), tables: tables.collect() }
    }

    #[test]
    fn a_table_is_named_with_the_schema_in_which_it_was_found() {
        let namespace = namespace(&["my own", "public"], &[("alert_sessions", "public"), ("chats", "my own")]);
        assert_eq!(namespace.table("chats"), r#""my own"."chats""#);
        assert_eq!(namespace.table("events"), r#""public"."events""#, "beside the sessions");
        assert_eq!(namespace.schemas(), ["public", "my own"]);
    }

    #[test]
    fn a_namesake_behind_the_sessions_is_not_tarsys() {
        let namespace = namespace(&["own", "tarsy", "public"], &[("alert_sessions", "tarsy")]);
        assert!(namespace.holds("events", "own") && namespace.holds("events", "tarsy"));
        assert!(!namespace.holds("events", "public") && namespace.holds("mine", "public"));
        assert!(namespace.holds("events", "pg_temp_3"), "of no schema of the path");
        assert!(namespace.holds("alert_sessions", "tarsy") && !namespace.holds("alert_sessions", "public"));
    }

    #[test]
    fn an_empty_database_gets_its_tables_in_the_first_schema_and_sqlite_has_none() {
        assert_eq!(namespace(&["a", "b"], &[]).table("chats"), r#""a"."chats""#);
        assert_eq!(Namespace::default().table("chats"), r#""chats""#);
        assert_eq!(Namespace::temporary().schemas(), ["pg_temp"]);
    }
}
