//! Decides about the orphans of an append: a parent that the source lacks may be on the target.

use std::collections::HashSet;
use std::sync::Arc;

use crate::database::connection::Connection;
use crate::database::failure::{ResultExt, Verb};
use crate::database::transaction::{SearchPath, Transaction};
use crate::database::watchdog::Watch;
use crate::history::tables::{primary_key, session_tables};
use crate::transfer::error::TransferError;
use crate::transfer::plan::TablePlan;
use crate::transfer::source::converted;
use crate::transfer::source::missing::{self, Parents};
use crate::transfer::source::orphans::Orphans;
use crate::transfer::source::scan::Source;
use crate::transfer::target::parents::present;
use crate::transfer::value::policy::{Class, Policies, Policy};

const ACTION: (Verb, &str) = (Verb::Find, "orphans in the source");
/// How many keys the target is asked for at a time.
const KEYS: u32 = 1000;

/// The target of an append, and what is copied to it.
pub(crate) struct Append<'a> {
    pub(crate) target: &'a Connection,
    pub(crate) tables: &'a [Arc<TablePlan>],
    pub(crate) policies: &'a Arc<Policies>,
    pub(crate) watch: &'a Watch<'a>,
}

impl Append<'_> {
    /// Finds the rows whose parent neither side has, and applies the policy. `now_us` is the current time.
    ///
    /// # Errors
    /// [`TransferError`] if one side cannot be read.
    pub(crate) async fn decide(&self, source: &mut Source, now_us: i64) -> Result<Orphans, TransferError> {
        let (tables, policies) = (self.tables.to_vec(), Arc::clone(self.policies));
        let defined = source.reader.run(move |connection| converted::define(connection, &tables, &policies));
        self.watch.elsewhere(defined).await.context(ACTION)?;
        let policy = self.policies.of(Class::Orphan);
        if !matches!(policy, Policy::Drop | Policy::Adopt) {
            return Ok(Orphans::default());
        }
        let tables = self.tables.to_vec();
        let found = source.reader.run(move |connection| missing::find(connection, &tables, Parents::OnEitherSide));
        self.watch.elsewhere(found).await.context(ACTION)?;
        if policy == Policy::Drop {
            let tables = self.tables.to_vec();
            let asked = source.reader.run(move |connection| Orphans::ask_for_dropped(connection, &tables));
            self.watch.elsewhere(asked).await.context(ACTION)?;
        }
        loop {
            let begun = self.target.begin_reading(SearchPath::Empty, "").await;
            let reading = begun.context((Verb::Begin, "the transaction"))?;
            let asked = self.ask(&reading, source).await;
            reading.rollback().await.ok();
            asked?;
            if policy == Policy::Drop {
                break;
            }
            let tables = self.tables.to_vec();
            let more = source
                .reader
                .run(move |connection| missing::find_of_placeholders(connection, &tables, Parents::OnEitherSide));
            if !self.watch.elsewhere(more).await.context(ACTION)? {
                break;
            }
        }
        let (tables, policies) = (self.tables.to_vec(), Arc::clone(self.policies));
        let applied = source
            .reader
            .run(move |connection| Orphans::apply(connection, &tables, &policies, Parents::OnEitherSide, now_us));
        Ok(self.watch.elsewhere(applied).await.context(ACTION)?)
    }

    /// Asks the target for the rows that are missing in the source.
    async fn ask(&self, reading: &Transaction, source: &mut Source) -> Result<(), TransferError> {
        for table in session_tables() {
            let Some(key) = primary_key(table) else { continue };
            let mut after = 0;
            loop {
                let next = source.reader.run(move |connection| missing::next_keys(connection, table, after, KEYS));
                let missing = next.await.context(ACTION)?;
                let Some((last, _)) = missing.last() else { break };
                after = *last;
                let keys = missing.iter().filter_map(|(_, key)| key.clone()).collect();
                let there = present(reading, (table, key), keys).await;
                let there: HashSet<String> = there.context((Verb::Find, format!("parents in {table}")))?;
                let is_there = |key: &Option<String>| key.as_ref().is_some_and(|key| there.contains(key));
                let ids: Vec<_> = missing.iter().filter(|(_, key)| is_there(key)).map(|(id, _)| *id).collect();
                source.reader.run(move |connection| missing::mark_present(connection, &ids)).await.context(ACTION)?;
            }
        }
        Ok(())
    }
}
