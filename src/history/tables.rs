//! TARSy's tables and the references between them, whatever a database enforces: read from the relations of the entities
//! in [`crate::history::entity`], which are the only place for them above `migration/`.

use std::sync::LazyLock;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{DeleteStatement, Expr, Query, TableRef};
use sea_orm::{IdenStatic, Identity, Iterable, PrimaryKeyToColumn, RelationDef, RelationTrait};
use serde::Serialize;

use super::entity::{
    self, alert_sessions, chat_user_messages, chats, llm_interactions, mcp_communications, stage_executions,
};
use super::id_set::IdSet;
use crate::database::namespace::Namespace;
use crate::schema::model::{ForeignKey, Schema};

/// The terminal statuses of a session; [`ACTIVE_STATUSES`] and any other value are active.
pub(crate) const TERMINAL_STATUSES: [&str; 4] = ["completed", "failed", "cancelled", "timed_out"];

/// The other statuses of a session.
pub(crate) const ACTIVE_STATUSES: [&str; 4] = ["pending", "in_progress", "paused", "canceling"];

pub(crate) const SESSIONS: &str = "alert_sessions";

pub(crate) const STAGES: &str = "stage_executions";

/// The column with the parent of a parallel stage.
pub(crate) const PARENT_STAGE: &str = "parent_stage_execution_id";

pub(crate) const CHATS: &str = "chats";

/// A table of the graph, as its entity describes it.
struct TableOfGraph {
    name: &'static str,
    key: &'static str,
    columns: Vec<&'static str>,
    /// Its references to other rows.
    relations: Vec<RelationDef>,
    delete_many: fn(&Namespace) -> DeleteStatement,
}

impl TableOfGraph {
    fn of<E: EntityTrait>() -> Self {
        let key = E::PrimaryKey::iter().next().map_or("", |key| key.into_column().as_str());
        let relations = E::Relation::iter().map(|relation| relation.def());
        Self {
            name: E::default().table_name(),
            key,
            columns: E::Column::iter().map(|column| column.as_str()).collect(),
            relations: relations.collect(),
            delete_many: entity::delete_many::<E>,
        }
    }

    fn column(&self, identity: &Identity) -> Option<&'static str> {
        let Identity::Unary(name) = identity else { return None };
        self.columns.iter().copied().find(|column| *column == name.inner())
    }
}

/// The sessions and the tables whose rows belong to them, parents first.
static GRAPH: LazyLock<[TableOfGraph; 6]> = LazyLock::new(|| {
    [
        TableOfGraph::of::<alert_sessions::Entity>(),
        TableOfGraph::of::<stage_executions::Entity>(),
        TableOfGraph::of::<mcp_communications::Entity>(),
        TableOfGraph::of::<llm_interactions::Entity>(),
        TableOfGraph::of::<chats::Entity>(),
        TableOfGraph::of::<chat_user_messages::Entity>(),
    ]
});

fn table(name: &str) -> Option<&'static TableOfGraph> {
    GRAPH.iter().find(|table| table.name == name)
}

pub(crate) fn primary_key(name: &str) -> Option<&'static str> {
    Some(table(name)?.key)
}

/// Deletes rows of a table of the graph.
pub(crate) fn delete_many(namespace: &Namespace, name: &'static str) -> DeleteStatement {
    match table(name) {
        Some(table) => (table.delete_many)(namespace),
        None => Query::delete().from_table(namespace.table_ref(name)).to_owned(),
    }
}

/// A column that refers to a row of another table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Reference {
    pub child: &'static str,
    /// Its column; NULL refers to nothing.
    pub column: &'static str,
    pub parent: &'static str,
    pub key: &'static str,
}

/// All references of TARSy's, with those to parents first.
pub(crate) static REFERENCES: LazyLock<Vec<Reference>> = LazyLock::new(|| {
    let references = GRAPH.iter().flat_map(|child| child.relations.iter().filter_map(|def| reference(child, def)));
    references.collect()
});

fn reference(child: &TableOfGraph, relation: &RelationDef) -> Option<Reference> {
    let TableRef::Table(parent, _) = &relation.to_tbl else { return None };
    let parent = table(&parent.1.inner())?;
    let (column, key) = (child.column(&relation.from_col)?, parent.column(&relation.to_col)?);
    Some(Reference { child: child.name, column, parent: parent.name, key })
}

/// The column of a table that names the session of a row.
pub(crate) fn session_column(table: &str) -> Option<&'static str> {
    let reference = REFERENCES.iter().find(|reference| reference.child == table && reference.parent == SESSIONS)?;
    Some(reference.column)
}

/// A table whose rows belong to a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dependent {
    pub table: &'static str,
    /// The reference that leads from a row to its session, or to a row that does.
    parent: Reference,
}

/// The tables with rows of a session, children first. Older databases have no chats; no foreign key removes chats.
pub(crate) static DEPENDENTS: LazyLock<Vec<Dependent>> = LazyLock::new(|| {
    let parent_of = |table: &str| REFERENCES.iter().find(|reference| reference.child == table).copied();
    let dependents =
        GRAPH.iter().rev().filter_map(|table| Some(Dependent { table: table.name, parent: parent_of(table.name)? }));
    dependents.collect()
});

/// The tables with rows of a session, and that of the sessions, children first.
pub(crate) fn session_tables() -> impl Iterator<Item = &'static str> {
    GRAPH.iter().rev().map(|table| table.name)
}

impl Dependent {
    /// Whether its rows are chats, or lead to them.
    pub(crate) fn is_of_chats(&self) -> bool {
        self.table == CHATS || self.parent.parent == CHATS
    }

    /// The condition for rows of these sessions.
    pub(crate) fn of_sessions(&self, namespace: &Namespace, sessions: &IdSet) -> Expr {
        let Reference { column, parent, key, .. } = self.parent;
        match DEPENDENTS.iter().find(|dependent| dependent.table == parent) {
            None => sessions.contains(column),
            Some(parent) => {
                let rows = Query::select()
                    .column(key)
                    .from(namespace.table_ref(parent.table))
                    .and_where(parent.of_sessions(namespace, sessions))
                    .to_owned();
                sessions.with_query(rows).contains(column)
            }
        }
    }
}

/// The references to stages that a schema has.
pub(crate) fn references_to_stages(schema: &Schema) -> impl Iterator<Item = Reference> {
    REFERENCES.iter().copied().filter(|reference| reference.parent == STAGES && reference.is_in(schema))
}

/// The references to rows of a table from other tables: without the referenced row the referring one is an orphan, or a
/// cascade removes it uncounted.
pub(crate) fn references_from_others(table: &str) -> impl Iterator<Item = Reference> {
    REFERENCES.iter().copied().filter(move |reference| reference.parent == table && reference.child != table)
}

impl Reference {
    /// Whether a schema has both ends; older schemas lack some.
    #[must_use]
    pub(crate) fn is_in(&self, schema: &Schema) -> bool {
        schema.has_column(self.child, self.column) && schema.has_column(self.parent, self.key)
    }

    /// Whether a foreign key of the table is the same reference.
    #[must_use]
    pub(crate) fn is_enforced_by(&self, table: &str, key: &ForeignKey) -> bool {
        table == self.child
            && key.columns == [self.column]
            && key.referenced_table == self.parent
            // Without a referenced column SQLite uses the primary key.
            && (key.referenced_columns.is_empty() || key.referenced_columns == [self.key])
    }
}

#[cfg(test)]
mod tests {
    use migration::Revision;
    use sea_orm::DbBackend;

    use super::*;

    /// The statement that deletes the rows of a table that belong to two sessions.
    fn delete(backend: DbBackend, table: &'static str) -> String {
        let sessions = IdSet::bound(backend, vec!["a".to_owned(), "b".to_owned()]);
        let dependent = DEPENDENTS.iter().find(|dependent| dependent.table == table).expect("a table of the graph");
        let namespace = Namespace::default();
        let mut delete = delete_many(&namespace, table);
        backend.build(delete.and_where(dependent.of_sessions(&namespace, &sessions))).sql
    }

    #[test]
    fn every_table_of_tarsy_but_the_events_belongs_to_sessions() {
        let mut expected = Revision::HEAD.tables();
        expected.retain(|table| *table != "events");
        let mut found: Vec<_> = session_tables().collect();
        for tables in [&mut expected, &mut found] {
            tables.sort_unstable();
        }
        assert_eq!(found, expected);
        assert_eq!(REFERENCES.len(), GRAPH.iter().map(|table| table.relations.len()).sum::<usize>());
    }

    #[test]
    fn references_lead_to_primary_keys_of_tables_before_and_from_every_table_that_belongs_to_a_session() {
        let place = |name: &str| GRAPH.iter().position(|table| table.name == name).expect("a table of the graph");
        for reference in REFERENCES.iter() {
            assert_eq!(Some(reference.key), primary_key(reference.parent), "{reference:?}");
            assert!(place(reference.parent) <= place(reference.child), "{reference:?}");
        }
        let dependents: Vec<_> = DEPENDENTS.iter().map(|dependent| dependent.table).chain([SESSIONS]).collect();
        assert_eq!(dependents, session_tables().collect::<Vec<_>>());
    }

    #[test]
    fn what_refers_to_a_row_from_other_tables_goes_with_it() {
        let from = |table| references_from_others(table).map(|reference| reference.child).collect::<Vec<_>>();
        assert_eq!(from(STAGES), ["mcp_communications", "llm_interactions"]);
        assert_eq!(from(CHATS), ["chat_user_messages"]);
        assert!(from("llm_interactions").is_empty());
    }

    #[test]
    fn rows_name_their_session_or_lead_to_it() {
        let json = r#"SELECT "value" FROM json_each(?) AS "ids""#;
        let expected = format!(r#"DELETE FROM "chats" WHERE "session_id" IN ({json})"#);
        assert_eq!(delete(DbBackend::Sqlite, CHATS), expected);
        let expected = format!(
            r#"DELETE FROM "chat_user_messages" WHERE "chat_id" IN (SELECT "chat_id" FROM "chats" WHERE "session_id" IN ({json}))"#
        );
        assert_eq!(delete(DbBackend::Sqlite, "chat_user_messages"), expected);
    }

    #[test]
    fn postgresql_looks_each_id_up_in_an_index_whatever_its_statistics_say() {
        let expected = r#"DELETE FROM "stage_executions" WHERE "session_id" = ANY(ARRAY (SELECT unnest($1)))"#;
        assert_eq!(delete(DbBackend::Postgres, STAGES), expected);
        let expected = r#"DELETE FROM "chat_user_messages" WHERE "chat_id" = ANY(ARRAY (SELECT "chat_id" FROM "chats" WHERE "session_id" = ANY(ARRAY (SELECT unnest($1)))))"#;
        assert_eq!(delete(DbBackend::Postgres, "chat_user_messages"), expected);
    }
}
