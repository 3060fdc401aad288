//! TARSy's schema revisions as migrations, and the ledger that names a database's revision.
//!
//! Each revision has a file, named by its number and id. Locks, transactions and the choice of the revisions are left
//! to the caller.
//!
//! A module imports only modules below it in this table:
//!
//! | module | what it is for |
//! |---|---|
//! | `rNN_*` | one revision each; a later one may use a name from an earlier one |
//! | `step` | what a revision is in this crate |
//! | `alter` | adds columns, creates and drops indexes |
//! | `foreign_key` | adds and replaces foreign keys |
//! | `definition` | a foreign key in the text of a SQLite table's definition |
//! | `manager` | runs the statements of a revision, and records them |
//! | [`ledger`] | the one-row table that names a database's revision |

mod alter;
mod definition;
mod foreign_key;
pub mod ledger;
mod manager;
mod r01_ae85467a75d2;
mod r02_7c617b3e7c2c;
mod r03_3eafea61046d;
mod r04_9d8fd988188d;
mod r05_3d5f7251e766;
mod r06_3717971cb125;
mod r07_8bc629164789;
mod r08_ab12cd34ef56;
mod r09_9f8e7d6c5b4a;
mod r10_da4300b74d0e;
mod r11_11b500f06df2;
mod r12_09f57a2a2439;
mod r13_88f7a5fba343;
mod r14_921cbd5111ad;
mod r15_01b89ac17a5e;
mod r16_aedb48dd0326;
mod r17_c2f1e3d4a5b6;
mod r18_d7e8f9a0b1c2;
mod r19_f0dd17b71ce2;
mod r20_a1b2c3d4e5f6;
mod r21_b31503eedb30;
mod r22_c4d5e6f7g8h9;
mod r23_b67c135119d7;
mod step;

use std::fmt;
use std::str::FromStr;

use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use manager::Manager;
use step::Step;

/// Every released revision of TARSy, oldest first, with its change.
static CHAIN: [(&dyn Step, &str); 23] = [
    (&r01_ae85467a75d2::Migration, "the four tables of EP-0020"),
    (&r02_7c617b3e7c2c::Migration, "llm_interactions + interaction_type, filled from the conversations"),
    (&r03_3eafea61046d::Migration, "table events"),
    (&r04_9d8fd988188d::Migration, "alert_sessions - alert_id: its values are lost"),
    (&r05_3d5f7251e766::Migration, "alert_sessions + pod_id, last_interaction_at, both filled"),
    (&r06_3717971cb125::Migration, "the foreign keys to sessions and stages cascade"),
    (&r07_8bc629164789::MIGRATION, "llm_interactions + mcp_event_id"),
    (&r08_ab12cd34ef56::MIGRATION, "alert_sessions + author"),
    (&r09_9f8e7d6c5b4a::MIGRATION, "alert_sessions + runbook_url"),
    (&r10_da4300b74d0e::MIGRATION, "alert_sessions + mcp_selection"),
    (
        &r11_11b500f06df2::Migration,
        "tables chats, chat_user_messages; stage_executions + chat_id, chat_user_message_id",
    ),
    (&r12_09f57a2a2439::MIGRATION, "stage_executions + current_iteration"),
    (&r13_88f7a5fba343::MIGRATION, "alert_sessions + pause_metadata"),
    (&r14_921cbd5111ad::MIGRATION, "llm_interactions + response_metadata"),
    (&r15_01b89ac17a5e::MIGRATION, "llm_interactions + native_tools_config"),
    (&r16_aedb48dd0326::MIGRATION, "alert_sessions + final_analysis_summary"),
    (&r17_c2f1e3d4a5b6::MIGRATION, "llm_interactions + thinking_content"),
    (&r18_d7e8f9a0b1c2::Migration, "stage_executions + parent_stage_execution_id, parallel_index, parallel_type"),
    (&r19_f0dd17b71ce2::Migration, "stage_executions + expected_parallel_count - two indexes"),
    (&r20_a1b2c3d4e5f6::MIGRATION, "stage_executions + paused_at_us"),
    (&r21_b31503eedb30::MIGRATION, "stage_executions + iteration_strategy"),
    (&r22_c4d5e6f7g8h9::MIGRATION, "alert_sessions + executive_summary_error"),
    (&r23_b67c135119d7::MIGRATION, "alert_sessions + slack_message_fingerprint"),
];

/// A revision that this version knows; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(usize);

impl Revision {
    /// The revision that every TARSy release can start from.
    pub const BASELINE: Self = Self(0);
    /// The newest revision that this version knows.
    pub const HEAD: Self = Self(CHAIN.len() - 1);

    /// All revisions, oldest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..CHAIN.len()).map(Self)
    }

    /// The revisions after `before` (or all, if `None`) up to and including this one.
    pub fn since(self, before: Option<Self>) -> impl Iterator<Item = Self> {
        (before.map_or(0, |before| before.0 + 1)..=self.0).map(Self)
    }

    /// The revision with this id, or `None` if this version does not know it.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::all().find(|revision| revision.id() == id)
    }

    /// The id in the ledger.
    #[must_use]
    pub fn id(self) -> &'static str {
        CHAIN[self.0].0.id()
    }

    /// The position among all revisions, from 1.
    #[must_use]
    pub fn number(self) -> usize {
        self.0 + 1
    }

    /// The change in a few words.
    #[must_use]
    pub fn change(self) -> &'static str {
        CHAIN[self.0].1
    }

    /// Applies the change to a database at the revision before. Returns the statements that changed it.
    ///
    /// On PostgreSQL the names of tables lead to the first schema of the search path, which holds TARSy's tables.
    ///
    /// # Errors
    /// The database's error, or [`DbErr::Custom`] about an object that prevents the change.
    pub async fn apply(self, connection: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
        let manager = Manager::on(connection);
        CHAIN[self.0].0.up(&manager).await?;
        Ok(manager.into_statements())
    }

    /// The columns (table, column) that this revision and those before it add to existing tables.
    pub fn added_columns(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.since(None).flat_map(|revision| CHAIN[revision.0].0.added_columns())
    }

    /// The table whose existing rows this revision reads and fills one by one, which takes time in a large history.
    #[must_use]
    pub fn filled_table(self) -> Option<&'static str> {
        CHAIN[self.0].0.filled_table()
    }

    /// TARSy's tables at this revision, parents before children.
    #[must_use]
    pub fn tables(self) -> Vec<&'static str> {
        TABLES.iter().filter(|(since, _)| *since <= self.number()).map(|(_, table)| *table).collect()
    }
}

impl MigrationName for Revision {
    fn name(&self) -> &str {
        self.id()
    }
}

/// For SeaORM's own migrator. tarsy-db calls [`Revision::apply`] on connections that leave nothing behind on a server,
/// which SeaORM's schema manager cannot use.
#[async_trait::async_trait]
impl MigrationTrait for Revision {
    #[expect(elided_lifetimes_in_paths, reason = "the macro wants the trait's own signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.apply(manager.get_connection()).await.map(|_| ())
    }
}

/// The tables of all revisions, parents before children, each with the number of the revision that adds it.
const TABLES: [(usize, &str); 7] = [
    (1, "alert_sessions"),
    (1, "stage_executions"),
    (1, "llm_interactions"),
    (1, "mcp_communications"),
    (3, "events"),
    (11, "chats"),
    (11, "chat_user_messages"),
];

/// As in `b67c135119d7 (23 of 23)`.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} of {})", self.id(), self.number(), CHAIN.len())
    }
}

/// Why a text is not a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownRevision {
    /// It names no revision.
    Unmatched,
    /// Several ids begin with this text.
    Ambiguous(String),
}

impl fmt::Display for UnknownRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmatched => write!(f, "expected {}", Self::EXPECTED),
            Self::Ambiguous(text) => write!(f, "`{text}` is the beginning of several revisions"),
        }
    }
}

impl UnknownRevision {
    /// What is accepted.
    pub const EXPECTED: &'static str =
        "`head`, `baseline`, a revision's number from 1 to 23, its id or an unambiguous beginning of it";
}

impl std::error::Error for UnknownRevision {}

impl FromStr for Revision {
    type Err = UnknownRevision;

    /// Parses `head`, `baseline`, a number from 1, an id, or an unambiguous prefix of an id. A text that is both a
    /// number and a prefix, such as `11`, is the number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "head" => return Ok(Self::HEAD),
            "baseline" => return Ok(Self::BASELINE),
            "" => return Err(UnknownRevision::Unmatched),
            _ => {}
        }
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse()).and_then(Result::ok);
        if let Some(revision) = Self::all().find(|revision| number == Some(revision.number())) {
            return Ok(revision);
        }
        let mut matching = Self::all().filter(|revision| revision.id().starts_with(text));
        match (matching.next(), matching.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) if number.is_none() => Err(UnknownRevision::Ambiguous(text.to_owned())),
            _ => Err(UnknownRevision::Unmatched),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_named_in_five_ways() {
        let id = |text: &str| text.parse::<Revision>().map(Revision::id);
        assert_eq!(id("head"), Ok("b67c135119d7"));
        assert_eq!(id("baseline"), Ok("ae85467a75d2"));
        assert_eq!(id("c4d5e6f7g8h9"), Ok("c4d5e6f7g8h9"));
        assert_eq!(id("88"), Ok("88f7a5fba343"));
        assert_eq!(id("11"), Ok("11b500f06df2"));
        assert_eq!(id("09"), Ok("9f8e7d6c5b4a"));
        assert_eq!(id("09f"), Ok("09f57a2a2439"));
        for wrong in ["", "0", "24", "+5", "3d5f7251e7666", "HEAD", "-1"] {
            assert_eq!(id(wrong), Err(UnknownRevision::Unmatched), "{wrong}");
        }
        let several = id("a").expect_err("two ids begin with it");
        assert_eq!(several.to_string(), "`a` is the beginning of several revisions");
    }

    #[test]
    fn a_way_begins_behind_where_it_starts() {
        let numbers = |from, to: Revision| to.since(from).map(Revision::number).collect::<Vec<_>>();
        assert_eq!(numbers(None, Revision(2)), [1, 2, 3]);
        assert_eq!(numbers(Some(Revision(0)), Revision(2)), [2, 3]);
        assert_eq!(numbers(Some(Revision(2)), Revision(2)), [0; 0]);
    }
}
