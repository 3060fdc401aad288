//! Asks the server about rows that only it can accept or reject, by copying them to temporary tables.

use std::sync::Arc;

use sqlx::PgConnection;

use super::ending::give_up;
use super::load::Load;
use crate::database::connection::Connection;
use crate::database::failure::{Action, ResultExt, Verb};
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
use crate::transfer::value::hazard::Reason;
use crate::transfer::value::policy::{Class, Policy};

const ACTION: (Verb, &str) = (Verb::Ask, "the target about long values");
const ASK_INDEXES: (Verb, &str) = (Verb::Ask, "the target about its indexes");

impl Load<'_> {
    /// Asks the target about each of these rows, and rolls back. The rows that it rejects become hazards.
    ///
    /// # Errors
    /// [`TransferError`] if the source or the target cannot be used.
    pub(crate) async fn ask(
        &self,
        target: &Connection,
        source: &mut Source,
        questions: &[Undecided],
    ) -> Result<(), TransferError> {
        if questions.iter().all(|question| question.rows.is_empty()) {
            return Ok(());
        }
        let pool = target.pool().get_postgres_connection_pool();
        let mut connection = pool.acquire().await.context((Verb::Open, "the target"))?;
        let asked = async {
            execute(&mut connection, "BEGIN".to_owned()).await.context(ACTION)?;
            self.set_up(&mut connection).await?;
            self.choose_compression(&mut connection).await?;
            let mut rejected = Vec::new();
            for question in questions {
                self.ask_about(&mut connection, source, question, &mut rejected).await?;
            }
            Ok(execute(&mut connection, "ROLLBACK".to_owned()).await.context(ACTION)?)
        };
        match asked.await {
            Ok(()) => Ok(()),
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
            execute(&mut connection, "BEGIN".to_owned()).await.context(ASK_INDEXES)?;
            self.set_up(&mut connection).await?;
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

    /// `rejected` are the questions and rows that the target has rejected so far.
    async fn ask_about<'q>(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        question: &'q Undecided,
        rejected: &mut Vec<(&'q Undecided, i64)>,
    ) -> Result<(), TransferError> {
        let Some(table) = self.plan.tables.iter().find(|table| table.name == question.table) else { return Ok(()) };
        let place = create(connection, table, question).await?;
        let total = Amount { rows: question.rows.len() as u64, bytes: 0 };
        let meter = self.progress.begin(Phase::new("asking about long values of", &table.name), total);
        for row in &question.rows {
            let is_known = |(other, known): &(&Undecided, i64)| {
                known == row && other.table == question.table && question.includes(&other.columns)
            };
            if rejected.iter().any(is_known) {
                continue;
            }
            // FREEZE needs a table that this savepoint has truncated.
            let again = format!("ROLLBACK TO SAVEPOINT asked; TRUNCATE {place}");
            execute(connection, again).await.context(ACTION)?;
            let pass = Pass { only: Some(question.is_row(*row)), ..self.pass(table) };
            let copy = TableCopy { pass, place: &place, estimate: Amount::default() };
            let silent = Reporting { progress: &Silence, findings: &Unreported };
            match copy_table(connection, &mut source.reader, copy, &silent).await {
                Err(WriteError::Rejected { cause, .. }) => {
                    let reply = (self.values, cause.message);
                    self.findings.hazards(&source.rejected(table, question, *row, reply).await?)?;
                    rejected.push((question, *row));
                }
                // The scan of the source finds those that are hazards anyway.
                Ok(_) | Err(WriteError::FoundHazard) => {}
                Err(error) => return Err(error.into()),
            }
            meter.advance(Amount { rows: 1, bytes: 0 });
        }
        meter.finish();
        let end = format!("ROLLBACK TO SAVEPOINT asked; RELEASE SAVEPOINT asked; DROP TABLE {place}");
        Ok(execute(connection, end).await.context(ACTION)?)
    }
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
