//! Asks the server about rows that only it can accept or reject, by copying them to temporary tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::PgConnection;

use super::ending::give_up;
use super::load::Load;
use crate::database::connection::Connection;
use crate::database::failure::{Action, DatabaseCause, ResultExt, Verb};
use crate::database::quote::quoted;
use crate::progress::{Amount, Phase, Silence};
use crate::transfer::error::TransferError;
use crate::transfer::plan::TablePlan;
use crate::transfer::report::Unreported;
use crate::transfer::source::pass::Pass;
use crate::transfer::source::reader::Reporting;
use crate::transfer::source::scan::Source;
use crate::transfer::source::undecided::Undecided;
use crate::transfer::target::copy::{TableCopy, copy_table};
use crate::transfer::target::error::WriteError;
use crate::transfer::target::operation::Operation;
use crate::transfer::target::own_indexes::OwnIndex;
use crate::transfer::target::session::execute;
use crate::transfer::value::hazard::{Reason, Values};
use crate::transfer::value::policy::{Class, Policy};

const ACTION: (Verb, &str) = (Verb::Ask, "the target about long values");
const ASK_INDEXES: (Verb, &str) = (Verb::Ask, "the target about its indexes");

impl Load<'_> {
    /// Asks the target about each of these rows, and rolls back. The rows that it rejects become hazards. Returns the
    /// questions about rows that it could not be asked about, because they have other hazards.
    ///
    /// # Errors
    /// [`TransferError`] if the source or the target cannot be used.
    pub(crate) async fn ask(
        &self,
        target: &Connection,
        source: &mut Source,
        questions: &[Undecided],
    ) -> Result<Vec<Undecided>, TransferError> {
        if questions.iter().all(|question| question.rows.is_empty()) {
            return Ok(Vec::new());
        }
        let pool = target.pool().get_postgres_connection_pool();
        let mut connection = pool.acquire().await.context((Verb::Open, "the target"))?;
        let asked = async {
            self.begin_to_ask(&mut connection).await.context(ACTION)?;
            self.choose_compression(&mut connection).await?;
            let (mut answered, mut open) = (Vec::new(), Vec::new());
            for question in questions {
                open.extend(self.ask_about(&mut connection, source, question, &mut answered).await?);
            }
            execute(&mut connection, "ROLLBACK".to_owned()).await.context(ACTION)?;
            Ok(open)
        };
        match asked.await {
            Ok(open) => Ok(open),
            Err(error) => {
                give_up(connection.detach(), &error).await;
                Err(error)
            }
        }
    }

    /// Builds the indexes of an operator, which may reject rows, on temporary copies of their columns, and rolls back.
    /// `operation` decides whether the target has rows of its own.
    ///
    /// # Errors
    /// [`TransferError`], as the move itself would end with if an index rejects a row.
    pub(crate) async fn ask_own_indexes(
        &self,
        target: &Connection,
        source: &mut Source,
        operation: Operation,
    ) -> Result<(), TransferError> {
        let pool = target.pool().get_postgres_connection_pool();
        let mut connection = pool.acquire().await.context((Verb::Open, "the target"))?;
        let asked = async {
            self.begin_to_ask(&mut connection).await.context(ASK_INDEXES)?;
            self.choose_compression(&mut connection).await?;
            for table in &self.plan.tables {
                self.ask_own_indexes_of(&mut connection, source, table, operation).await?;
            }
            Ok(execute(&mut connection, "ROLLBACK".to_owned()).await.context(ASK_INDEXES)?)
        };
        match asked.await {
            Ok(()) => Ok(()),
            Err(error) => {
                give_up(connection.detach(), &error).await;
                Err(error)
            }
        }
    }

    /// Begins a transaction that is watched: the server may work on one value, or on one index, for minutes.
    async fn begin_to_ask(&self, connection: &mut PgConnection) -> Result<(), DatabaseCause> {
        execute(connection, "BEGIN".to_owned()).await?;
        self.set_up(connection).await?;
        Ok(self.watch.join(connection).await?)
    }

    async fn ask_own_indexes_of(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        table: &Arc<TablePlan>,
        operation: Operation,
    ) -> Result<(), TransferError> {
        let place = place(table);
        let own = OwnIndex::list(connection, table, &place).await?;
        let (asked, unasked): (Vec<_>, Vec<_>) = own.into_iter().partition(|index| index.can_be_asked(table, &place));
        let beside_rows = asked.iter().filter(|index| index.compares_rows && operation == Operation::Append);
        warn_of_unasked(table, unasked.iter().chain(beside_rows));
        let Some(first) = asked.first() else { return Ok(()) };
        let is_needed = |column: &str| self.has_placeholders() || asked.iter().any(|index| index.uses(column));
        let part = Arc::new(table.with_columns(is_needed));
        let create = format!("{}; SAVEPOINT created", temporary_table(&place, &part));
        execute(connection, create).await.context(ASK_INDEXES)?;
        if execute(connection, first.change_owner.clone()).await.is_err() {
            warn_of_unasked(table, &asked);
            let end = format!("ROLLBACK TO SAVEPOINT created; RELEASE SAVEPOINT created; DROP TABLE {place}");
            return Ok(execute(connection, end).await.context(ASK_INDEXES)?);
        }
        // FREEZE needs a table that no open savepoint protects.
        execute(connection, "RELEASE SAVEPOINT created".to_owned()).await.context(ASK_INDEXES)?;
        // Placeholders have values for all columns.
        let only = (!self.has_placeholders()).then(|| "TRUE".to_owned());
        let copy = TableCopy { pass: Pass { only, ..self.pass(&part) }, place: &place, estimate: Amount::default() };
        let reporting = Reporting { progress: self.progress, findings: &Unreported };
        copy_table(connection, &mut source.reader, copy, &reporting).await?;
        for OwnIndex { name, statement, .. } in asked {
            let action = Action::from((Verb::Recreate, format!("index `{name}`")));
            execute(connection, statement).await.map_err(|error| WriteError::of(action, error))?;
        }
        Ok(execute(connection, format!("DROP TABLE {place}")).await.context(ASK_INDEXES)?)
    }

    /// Whether rows are made for missing parents.
    fn has_placeholders(&self) -> bool {
        self.policies.of(Class::Orphan) == Policy::Adopt
    }

    /// `answered` are the questions and rows that need not be asked about again: the target has rejected the row, or cannot
    /// be asked about it. Returns the question about the latter.
    async fn ask_about<'q>(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        question: &'q Undecided,
        answered: &mut Vec<(&'q Undecided, i64)>,
    ) -> Result<Option<Undecided>, TransferError> {
        let Some(table) = self.plan.tables.iter().find(|table| table.name == question.table) else { return Ok(None) };
        let mut open = question.without_rows();
        open.count = 0;
        let place = create(connection, table, question).await?;
        let of_same_value =
            answered.iter().filter(|(other, _)| other.table == question.table && question.includes(&other.columns));
        let known: BTreeSet<_> = of_same_value.map(|(_, row)| *row).collect();
        let rows: Vec<_> = question.rows.iter().copied().filter(|row| !known.contains(row)).collect();
        let total = Amount { rows: rows.len() as u64, bytes: 0 };
        let meter = self.progress.begin(Phase::new("asking about long values of", &table.name), total);
        let (mut rest, mut at_once) = (rows.as_slice(), question.rows_at_once());
        while !rest.is_empty() {
            let (block, others) = rest.split_at(at_once.min(rest.len()));
            // FREEZE needs a table that this savepoint has truncated.
            let again = format!("ROLLBACK TO SAVEPOINT asked; TRUNCATE {place}");
            execute(connection, again).await.context(ACTION)?;
            let pass = Pass { only: Some(question.are_rows(block)), ..self.pass(table) };
            let copy = TableCopy { pass, place: &place, estimate: Amount::default() };
            let silent = Reporting { progress: &Silence, findings: &Unreported };
            let copied = copy_table(connection, &mut source.reader, copy, &silent).await;
            if block.len() > 1 && matches!(copied, Err(WriteError::Rejected { .. } | WriteError::FoundHazard)) {
                at_once = block.len() / 2;
                continue;
            }
            rest = others;
            match copied {
                Err(WriteError::Rejected { cause, .. }) => {
                    let row = block[0];
                    let reply = (self.values, without_temporary_names(&cause));
                    self.findings.hazards(&source.rejected(table, question, row, reply).await?)?;
                    answered.push((question, row));
                }
                Ok(_) => at_once = question.rows_at_once().min(at_once * 2),
                // The scan of the source finds the other value. With it changed, the server decides about this one.
                Err(WriteError::FoundHazard) => {
                    let row = block[0];
                    if open.count == 0 {
                        let named = source.rejected(table, question, row, (Values::Hidden, String::new())).await?;
                        open.example = named.into_iter().next().map_or_else(String::new, |hazard| hazard.primary_key);
                    }
                    open.count += 1;
                    answered.push((question, row));
                }
                Err(error) => return Err(error.into()),
            }
            meter.advance(Amount { rows: block.len() as u64, bytes: 0 });
        }
        meter.finish();
        let end = format!("ROLLBACK TO SAVEPOINT asked; RELEASE SAVEPOINT asked; DROP TABLE {place}");
        execute(connection, end).await.context(ACTION)?;
        Ok((open.count > 0).then_some(open))
    }
}

/// Why the target rejects a row, without the index and the row of the temporary table.
fn without_temporary_names(cause: &DatabaseCause) -> String {
    let detail = cause.server().and_then(|server| server.detail.as_ref());
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    let message = cause.message.strip_suffix(&detail).unwrap_or(&cause.message);
    message.split(" for index \"").next().unwrap_or(message).to_owned()
}

/// Creates a temporary table with the index that a question is about, and a savepoint. Returns its quoted name.
async fn create(
    connection: &mut PgConnection,
    table: &Arc<TablePlan>,
    question: &Undecided,
) -> Result<String, TransferError> {
    let place = place(table);
    let mut statements = vec![temporary_table(&place, table)];
    if question.reason == Reason::IndexEntry {
        let key = question.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        statements.push(format!("CREATE INDEX ON {place} ({key})"));
    }
    statements.push("SAVEPOINT asked".to_owned());
    execute(connection, statements.join("; ")).await.context(ACTION)?;
    Ok(place)
}

/// The quoted name of a table's temporary table.
fn place(table: &TablePlan) -> String {
    format!("pg_temp.{}", quoted(&table.name))
}

fn temporary_table(place: &str, table: &TablePlan) -> String {
    let columns = table.columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.target));
    format!("CREATE TEMPORARY TABLE {place} ({})", columns.collect::<Vec<_>>().join(", "))
}

fn warn_of_unasked<'i>(table: &TablePlan, indexes: impl IntoIterator<Item = &'i OwnIndex>) {
    for OwnIndex { name, .. } in indexes {
        tracing::warn!("the index `{name}` of {} may reject rows; only the migration shows it", table.name);
    }
}
