//! What makes a row an orphan, and what needs an orphaned stage nevertheless.

use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query, SelectStatement};

use crate::database::namespace::Namespace;
use crate::history::tables::{Reference, SESSIONS, STAGES};

/// The query for the orphans of one reference, without columns.
pub(super) fn orphans_of(namespace: &Namespace, reference: &Reference) -> SelectStatement {
    let child = namespace.table_ref(reference.child);
    Query::select().from(child).cond_where(is_orphan(namespace, reference)).to_owned()
}

/// The condition that a row of the child is an orphan, for a statement without an alias for the child.
pub(super) fn is_orphan(namespace: &Namespace, reference: &Reference) -> Condition {
    let Reference { child, column, parent, key } = *reference;
    let parents = Query::select()
        .expr(Expr::cust("1"))
        .from(namespace.table_ref(parent).alias("parent_row"))
        .and_where(Expr::col(("parent_row", key)).equals((child, column)))
        .to_owned();
    Condition::all().add(Expr::col((child, column)).is_not_null()).add(Expr::not_exists(parents))
}

/// The condition that this reference does not need a stage. A stage is removed after its child stages, and stays if
/// they do or if rows of an existing session refer to it, which may be its own session.
pub(super) fn is_not_needed(namespace: &Namespace, reference: &Reference) -> Expr {
    let Reference { child, column, parent, key } = *reference;
    let living = Query::select()
        .expr(Expr::cust("1"))
        .from(namespace.table_ref(SESSIONS).alias("living"))
        .and_where(Expr::col(("living", "session_id")).equals(("child_row", "session_id")))
        .to_owned();
    let is_other = Expr::col(("child_row", key)).not_equals((parent, key));
    let is_needed = if child == STAGES { is_other } else { Expr::exists(living) };
    let children = Query::select()
        .expr(Expr::cust("1"))
        .from(namespace.table_ref(child).alias("child_row"))
        .and_where(Expr::col(("child_row", column)).equals((parent, key)))
        .and_where(is_needed)
        .to_owned();
    Expr::not_exists(children)
}

/// Tables with orphans.
#[cfg(test)]
pub(super) const LOST_INTERACTIONS: &str = "CREATE TABLE alert_sessions (session_id VARCHAR PRIMARY KEY);
    CREATE TABLE stage_executions (execution_id VARCHAR PRIMARY KEY, session_id VARCHAR,
        parent_stage_execution_id VARCHAR);
    CREATE TABLE llm_interactions (interaction_id VARCHAR PRIMARY KEY, session_id VARCHAR,
        stage_execution_id VARCHAR);
    CREATE INDEX of_stage ON llm_interactions (stage_execution_id);
    INSERT INTO alert_sessions VALUES ('s');
    INSERT INTO stage_executions VALUES ('root', 'gone', NULL), ('child', 'gone', 'root'), ('own', 'gone', 'own');
    INSERT INTO llm_interactions VALUES ('a', 'gone', NULL), ('b', 's', NULL), ('c', 'lost', NULL)";

/// The reference of a table to sessions.
#[cfg(test)]
pub(super) fn reference_of(child: &str) -> Reference {
    let is_meant = |reference: &&Reference| reference.child == child && reference.column == "session_id";
    *crate::history::tables::REFERENCES.iter().find(is_meant).expect("a reference")
}
