//! Where a database stands, and what `init` makes of that.

use std::collections::BTreeSet;

use migration::ledger::{self, Ledger};
use sea_orm::{ConnectionTrait, DbBackend};

use crate::connection;
use crate::failure::{Cause, Failure};

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The ledger.
    pub ledger: Ledger,
    /// Those of the baseline's tables that are there.
    pub tables: BTreeSet<String>,
}

/// What has to happen for the baseline to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the database has this revision.
    Nothing {
        /// What the ledger says.
        revision: String,
    },
    /// Create the tables and the ledger.
    Create,
    /// Compare the tables with the baseline, then write the ledger.
    Adopt,
    /// The ledger names a revision but tables are missing.
    Incomplete {
        /// What the ledger says, if it says anything.
        revision: Option<String>,
        /// The tables that are missing.
        missing: Vec<&'static str>,
    },
    /// The ledger has several rows.
    Ambiguous {
        /// Its rows.
        revisions: Vec<String>,
    },
}

impl Standing {
    /// Reads the ledger and looks for the tables: two queries, no lock.
    ///
    /// # Errors
    /// Whatever the database answers, and [`Failure::Privilege`] if there is no schema that the role may use.
    pub async fn read(connection: &impl ConnectionTrait) -> Result<Self, Cause> {
        let sql = match connection.get_database_backend() {
            // A row in any case: without a schema to look into, nothing found would mean nothing.
            DbBackend::Postgres => {
                "SELECT c.relname::text AS name, one.blind
                 FROM (SELECT current_schema() IS NULL AS blind) one
                 LEFT JOIN pg_class c ON pg_table_is_visible(c.oid) AND c.relkind IN ('r', 'p')
                      AND c.relnamespace <> 'pg_catalog'::regnamespace"
            }
            _ => "SELECT name, FALSE AS blind FROM sqlite_master WHERE type = 'table'",
        };
        let mut names = BTreeSet::new();
        for row in connection::rows(connection, sql).await? {
            if row.try_get("", "blind")? {
                let message = "the search path leads to no schema that the role may use";
                return Err(Cause::new(Failure::Privilege, message));
            }
            names.extend(row.try_get::<Option<String>>("", "name")?);
        }
        let ledger = ledger::read(connection, names.contains(ledger::TABLE)).await?;
        let tables = names.into_iter().filter(|name| migration::TABLES.contains(&name.as_str())).collect();
        Ok(Self { ledger, tables })
    }

    /// The revision, if the ledger names exactly one.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        match &self.ledger {
            Ledger::At(revision) => Some(revision),
            Ledger::Missing | Ledger::Empty | Ledger::Several(_) => None,
        }
    }

    /// Decides what brings the database to the baseline.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let missing: Vec<_> = migration::TABLES.into_iter().filter(|table| !self.tables.contains(*table)).collect();
        match &self.ledger {
            Ledger::Several(revisions) => Plan::Ambiguous { revisions: revisions.clone() },
            Ledger::At(revision) if missing.is_empty() => Plan::Nothing { revision: revision.clone() },
            // A ledger that was stamped before its tables were made.
            Ledger::At(revision) if revision == migration::BASELINE && self.tables.is_empty() => Plan::Create,
            Ledger::Missing | Ledger::Empty if self.tables.is_empty() => Plan::Create,
            Ledger::Missing | Ledger::Empty if missing.is_empty() => Plan::Adopt,
            Ledger::At(_) | Ledger::Missing | Ledger::Empty => {
                Plan::Incomplete { revision: self.revision().map(str::to_owned), missing }
            }
        }
    }
}

/// A revision as people write it: the id, and its number if this version knows it.
#[must_use]
pub fn described(revision: &str) -> String {
    match migration::number(revision) {
        Some(number) => format!("{revision} ({number} of {})", migration::RELEASED.len()),
        None => format!("{revision} (unknown to this version)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(ledger: Ledger, tables: &[&str]) -> Plan {
        Standing { ledger, tables: tables.iter().map(|table| (*table).to_owned()).collect() }.plan()
    }

    #[test]
    fn plans_follow_from_the_ledger_and_the_tables() {
        let all = &migration::TABLES;
        let at = |revision: &str| Ledger::At(revision.to_owned());
        let nothing = |revision: &str| Plan::Nothing { revision: revision.to_owned() };
        assert_eq!(plan(Ledger::Missing, &[]), Plan::Create);
        assert_eq!(plan(Ledger::Empty, &[]), Plan::Create);
        assert_eq!(plan(at(migration::BASELINE), &[]), Plan::Create);
        assert_eq!(plan(Ledger::Missing, all), Plan::Adopt);
        assert_eq!(plan(at(migration::BASELINE), all), nothing(migration::BASELINE));
        assert_eq!(plan(at("b67c135119d7"), all), nothing("b67c135119d7"));
        assert_eq!(plan(at("unknown"), all), nothing("unknown"));
        assert!(matches!(plan(at("b67c135119d7"), &[]), Plan::Incomplete { missing, .. } if missing.len() == 4));
        assert!(matches!(plan(Ledger::Missing, &all[..2]), Plan::Incomplete { revision: None, .. }));
        assert!(matches!(plan(Ledger::Several(vec!["a".into(), "b".into()]), all), Plan::Ambiguous { .. }));
    }
}
