//! Locks the ledger and the tables for as long as an upgrade changes them.

use migration::ledger::{self, Ledger};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::assess::UpgradePlan;
use crate::database::transaction::Transaction;

/// How long one attempt to lock the tables waits. It is short, because new sessions queue behind it; the caller
/// retries.
const TABLE_LOCK_TIMEOUT: &str = "200ms";

/// Locks the ledger against all other sessions, and the tables against those that would disturb `plan`. SQLite has
/// locked the file already.
pub(crate) async fn take(transaction: &Transaction, plan: &UpgradePlan) -> Result<(), DbErr> {
    if transaction.backend() == DbBackend::Postgres {
        for statement in statements(plan) {
            transaction.execute_unprepared(&statement).await?;
        }
    }
    Ok(())
}

/// The statements of [`take`] on PostgreSQL. They also set the search path so that new tables are created in the schema
/// of the existing ones; otherwise a role with a schema of its own would create them there.
pub(crate) fn statements(plan: &UpgradePlan) -> Vec<String> {
    let tables: Vec<_> = plan.state.tables.keys().map(String::as_str).collect();
    // If only the ledger is written, readers and writers may continue.
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
