//! TARSy's schema revisions as migrations, and the ledger that says which one a database has.
//!
//! One file per revision, named by its number and id. Locking, transactions and the decision what
//! to apply are left to the caller.

pub mod ledger;
mod r01_ae85467a75d2;

use sea_orm_migration::MigrationTrait;

/// The ids of all revisions that TARSy has released, oldest first. The last one is TARSy's head.
pub const RELEASED: [&str; 23] = [
    BASELINE,
    "7c617b3e7c2c",
    "3eafea61046d",
    "9d8fd988188d",
    "3d5f7251e766",
    "3717971cb125",
    "8bc629164789",
    "ab12cd34ef56",
    "9f8e7d6c5b4a",
    "da4300b74d0e",
    "11b500f06df2",
    "09f57a2a2439",
    "88f7a5fba343",
    "921cbd5111ad",
    "01b89ac17a5e",
    "aedb48dd0326",
    "c2f1e3d4a5b6",
    "d7e8f9a0b1c2",
    "f0dd17b71ce2",
    "a1b2c3d4e5f6",
    "b31503eedb30",
    "c4d5e6f7g8h9",
    "b67c135119d7",
];

/// The revision that every TARSy release can start on.
pub const BASELINE: &str = "ae85467a75d2";

/// The tables of the baseline, parents before children.
pub const TABLES: [&str; 4] = ["alert_sessions", "stage_executions", "llm_interactions", "mcp_communications"];

/// The migration that creates the baseline in an empty database.
#[must_use]
pub fn baseline() -> Box<dyn MigrationTrait> {
    Box::new(r01_ae85467a75d2::Migration)
}

/// The number of a revision, from 1, or `None` if this version does not know it.
#[must_use]
pub fn number(revision: &str) -> Option<usize> {
    RELEASED.iter().position(|known| *known == revision).map(|index| index + 1)
}
