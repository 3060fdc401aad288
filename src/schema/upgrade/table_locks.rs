//! Locks the ledger and the tables for as long as an upgrade changes them.

use migration::ledger::{self, Ledger};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::assess::UpgradePlan;
use crate::database::namespace::Namespace;
use crate::database::transaction::Transaction;

/// How long one attempt to lock the tables waits. It is short, because new sessions queue behind it; the caller
/// retries.
const TABLE_LOCK_TIMEOUT: &str = "200ms";

/// Locks the ledger against all other sessions, and the tables against those that would disturb `plan`. SQLite has
/// locked the file already.
pub(crate) async fn take(transaction: &Transaction, plan: &UpgradePlan) -> Result<(), DbErr> {
    if transaction.backend() == DbBackend::Postgres {
        for statement in statements(plan, transaction.namespace()) {
            transaction.execute_unprepared(&statement).await?;
        }
    }
    Ok(())
}

/// The statements of [`take`] on PostgreSQL.
pub(crate) fn statements(plan: &UpgradePlan, namespace: &Namespace) -> Vec<String> {
    let tables: Vec<_> = plan.state.tables.keys().map(|table| namespace.table(table)).collect();
    // If only the ledger is written, readers and writers may continue.
    let mode = if plan.pending.is_empty() { "SHARE UPDATE EXCLUSIVE" } else { "ACCESS EXCLUSIVE" };
    let mut statements = vec![
        format!("SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT}'"),
        format!("LOCK TABLE {} IN {mode} MODE", tables.join(", ")),
    ];
    if *plan.ledger() != Ledger::Missing {
        statements.push(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", namespace.table(ledger::TABLE)));
    }
    statements
}
