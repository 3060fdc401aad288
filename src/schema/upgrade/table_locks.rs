//! The locks on the ledger and on the tables, for as long as an upgrade changes them.

use migration::ledger::{self, Ledger};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr};

use super::assess::UpgradePlan;

/// How long the tables' own locks are waited for at a time. Whoever comes meanwhile queues up behind, so that
/// it is short; the caller tries again later.
const TABLE_LOCK_TIMEOUT: &str = "200ms";

/// Keeps everybody else from the ledger, and from the tables what would disturb `plan`. SQLite has locked them
/// already.
pub(crate) async fn take(transaction: &DatabaseTransaction, plan: &UpgradePlan) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        for statement in statements(plan) {
            transaction.execute_unprepared(&statement).await?;
        }
    }
    Ok(())
}

/// The statements of [`take`] on PostgreSQL. They also make new tables come to where the others are: a role with
/// a schema of its own would create them there.
pub(crate) fn statements(plan: &UpgradePlan) -> Vec<String> {
    let tables: Vec<_> = plan.state.tables.keys().map(String::as_str).collect();
    // Where nothing but the ledger is written, readers and writers need not go away.
    let mode = if plan.pending.is_empty() { "SHARE UPDATE EXCLUSIVE" } else { "ACCESS EXCLUSIVE" };
    let mut statements = vec![
        format!("SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT}'"),
        format!("LOCK TABLE {} IN {mode} MODE", tables.join(", ")),
        "SELECT set_config('search_path', relnamespace::regnamespace || ', ' || current_setting('search_path'), true)
         FROM pg_class WHERE oid = 'alert_sessions'::regclass"
            .to_owned(),
    ];
    if *plan.ledger() != Ledger::Missing {
        statements.push(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", ledger::TABLE));
    }
    statements
}
