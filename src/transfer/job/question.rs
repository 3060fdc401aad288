//! Asks the server about rows that only it can accept or reject, by copying them to temporary tables.

use std::sync::Arc;

use sqlx::PgConnection;

use super::ending::give_up;
use super::load::Load;
use crate::database::connection::Connection;
use crate::database::failure::{ResultExt, Verb};
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
use crate::transfer::target::session::execute;
use crate::transfer::value::hazard::Reason;

const ACTION: (Verb, &str) = (Verb::Ask, "the target about long values");

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
            for question in questions {
                self.ask_about(&mut connection, source, question).await?;
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

    async fn ask_about(
        &self,
        connection: &mut PgConnection,
        source: &mut Source,
        question: &Undecided,
    ) -> Result<(), TransferError> {
        let Some(table) = self.plan.tables.iter().find(|table| table.name == question.table) else { return Ok(()) };
        let place = create(connection, table, question).await?;
        let total = Amount { rows: question.rows.len() as u64, bytes: 0 };
        let meter = self.progress.begin(Phase::new("asking about long values of", &table.name), total);
        for row in &question.rows {
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
    let place = format!("pg_temp.{}", quoted(&table.name));
    let columns = table.columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.target));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let mut statements = vec![format!("CREATE TEMPORARY TABLE {place} ({columns})")];
    if question.reason == Reason::IndexEntry {
        let key = question.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        statements.push(format!("CREATE INDEX ON {place} ({key})"));
    }
    statements.push("SAVEPOINT asked".to_owned());
    execute(connection, statements.join("; ")).await.context(ACTION)?;
    Ok(place)
}
