//! Sessions whose stages rows of other sessions refer to. Such rows are damage, but a cascade would remove them uncounted,
//! and without a cascade they would stop every batch: so these sessions are kept.
//!
//! Whatever the statistics of PostgreSQL say, the cost grows with the rows that are looked at: among few sessions each row
//! is looked up in an index, and among all of them one join of two tables comes first, with nothing after it that would
//! depend on how many rows the server expects of it.

use std::collections::BTreeSet;

use sea_orm::sea_query::{BinOper, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{DbBackend, DbErr, QueryResult, StatementBuilder};

use super::known_sessions::KnownSessions;
use super::policy::RetentionPolicy;
use crate::database::failure::{Action, DatabaseError, ResultExt, Verb};
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;
use crate::history::entity::{is_text, text};
use crate::history::id_set::IdSet;
use crate::history::tables::{Reference, STAGES, references_to_stages};
use crate::schema::model::Schema;

/// Sessions that others need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) sessions: KnownSessions,
    /// Whether these were all. Those that only interactions refer to may be left to the batches: see [`Search::Stages`].
    pub(super) are_all: bool,
}

impl Default for Needed {
    fn default() -> Self {
        Self { sessions: KnownSessions::default(), are_all: true }
    }
}

/// Where references to other sessions' stages are searched.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Search<'s> {
    /// In all rows.
    Everywhere,
    /// In all stages, and in the interactions with the stages of these sessions.
    Near(&'s IdSet),
    /// In all stages only: no index leads from a stage to its children, while interactions are cheap to find in each batch.
    Stages,
}

/// The sessions to remove that others need. Reads only.
///
/// # Errors
/// [`DatabaseError`] if the database cannot be read.
pub(crate) async fn find(
    connection: &Transaction,
    schema: &Schema,
    policy: &RetentionPolicy,
    search: Search<'_>,
) -> Result<Needed, DatabaseError> {
    let (backend, namespace) = (connection.backend(), connection.namespace());
    let mut found = BTreeSet::new();
    for reference in references_to_stages(schema) {
        let query = match search {
            Search::Near(sessions) if reference.child != STAGES => near(backend, namespace, reference, sessions),
            Search::Stages if reference.child != STAGES => continue,
            _ => everywhere(backend, namespace, reference),
        };
        let action = Action::from((Verb::Find, format!("references from {} to other sessions", reference.child)));
        collect(connection, &query, &mut found).await.context(&action)?;
    }
    let sessions =
        KnownSessions::to_remove(connection, policy, found).await.context((Verb::Find, "sessions that others need"))?;
    Ok(Needed { sessions, are_all: !matches!(search, Search::Stages) })
}

/// Adds the sessions that a query finds; the rows themselves are not gathered.
async fn collect(connection: &Transaction, query: &SelectStatement, found: &mut BTreeSet<String>) -> Result<(), DbErr> {
    let statement = StatementBuilder::build(query, &connection.backend());
    let take = async |row: QueryResult| row.try_get("", "session_id").map(|session| _ = found.insert(session));
    connection.each(statement, take).await
}

/// The queries for the sessions, among these few, that others need because of interactions.
pub(crate) fn queries<'q>(
    backend: DbBackend,
    namespace: &'q Namespace,
    schema: &'q Schema,
    sessions: &'q IdSet,
) -> impl Iterator<Item = SelectStatement> + 'q {
    let of_interactions = references_to_stages(schema).filter(|reference| reference.child != STAGES);
    of_interactions.map(move |reference| near(backend, namespace, reference, sessions))
}

/// The query for sessions with stages that rows of another session refer to, without those whose key is no text: they are
/// never removed.
fn everywhere(backend: DbBackend, namespace: &Namespace, reference: Reference) -> SelectStatement {
    let Reference { child, column, key, .. } = reference;
    let [rows, stages] = [(child, "o"), (STAGES, "s")].map(|(table, alias)| namespace.table_ref(table).alias(alias));
    let is_referred_to = Expr::col(("s", key)).equals(("o", column));
    let mut query = Query::select()
        .distinct()
        .expr_as(text(backend, ("s", "session_id")), "session_id")
        .and_where(Expr::col(("o", column)).is_not_null())
        .and_where(differs(Expr::col(("o", "session_id")), Expr::col(("s", "session_id"))))
        .and_where_option(is_text(backend, r#""s"."session_id""#))
        .from(rows)
        .to_owned();
    match backend {
        DbBackend::Postgres => query.inner_join(stages, is_referred_to).to_owned(),
        // A cross join runs in this order: each row looks up its stage, which is that of the row before it most often.
        _ => query.cross_join(stages).and_where(is_referred_to).to_owned(),
    }
}

/// The same for the stages of these sessions. On both sides an index leads to the rows.
fn near(backend: DbBackend, namespace: &Namespace, reference: Reference, sessions: &IdSet) -> SelectStatement {
    let Reference { column, key, .. } = reference;
    let stages = Query::select()
        .column(key)
        .from(namespace.table_ref(STAGES))
        .and_where(sessions.contains("session_id"))
        .to_owned();
    everywhere(backend, namespace, reference).and_where(sessions.with_query(stages).contains(("o", column))).to_owned()
}

/// The condition that two sessions are not the same; a row without a session is not of any.
fn differs(one: Expr, other: Expr) -> Expr {
    one.binary(BinOper::Custom("IS DISTINCT FROM"), other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_INTERACTION: Reference =
        Reference { child: "llm_interactions", column: "stage_execution_id", parent: STAGES, key: "execution_id" };

    #[test]
    fn all_rows_are_joined_with_their_stages_before_anything_else() {
        let sql = |backend: DbBackend| backend.build(&everywhere(backend, &Namespace::default(), OF_INTERACTION)).sql;
        let expected = r#"SELECT DISTINCT CAST("s"."session_id" AS text) AS "session_id" FROM "llm_interactions" AS "o" INNER JOIN "stage_executions" AS "s" ON "s"."execution_id" = "o"."stage_execution_id" WHERE "o"."stage_execution_id" IS NOT NULL AND ("o"."session_id" IS DISTINCT FROM "s"."session_id")"#;
        assert_eq!(sql(DbBackend::Postgres), expected);
        let expected = r#" FROM "llm_interactions" AS "o" CROSS JOIN "stage_executions" AS "s" WHERE "#;
        let sqlite = sql(DbBackend::Sqlite);
        assert!(sqlite.contains(expected), "{sqlite}");
    }

    #[test]
    fn rows_of_few_sessions_are_looked_up_whatever_the_statistics_say() {
        let sessions = IdSet::bound(DbBackend::Postgres, vec!["a".to_owned()]);
        let query = near(DbBackend::Postgres, &Namespace::default(), OF_INTERACTION, &sessions);
        let expected = r#" WHERE "o"."stage_execution_id" IS NOT NULL AND ("o"."session_id" IS DISTINCT FROM "s"."session_id") AND "o"."stage_execution_id" = ANY(ARRAY (SELECT "execution_id" FROM "stage_executions" WHERE "session_id" = ANY(ARRAY (SELECT unnest($1)))))"#;
        let sql = DbBackend::Postgres.build(&query).sql;
        assert!(sql.ends_with(expected), "{sql}");
    }
}
