//! The one-row table `alembic_version`: TARSy's own record of where a database stands.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::sea_query::{ColumnDef, Index, Query, Table};

/// The name of the ledger's table.
pub const TABLE: &str = "alembic_version";
const COLUMN: &str = "version_num";

/// What the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ledger {
    /// There is no such table.
    Missing,
    /// The table has no row.
    Empty,
    /// The one revision that the database has.
    At(String),
    /// More rows than one: nobody can say what the database has.
    Several(Vec<String>),
}

/// Reads the ledger.
///
/// # Errors
/// Whatever the database answers.
pub async fn read(connection: &impl ConnectionTrait, exists: bool) -> Result<Ledger, DbErr> {
    if !exists {
        return Ok(Ledger::Missing);
    }
    let rows = connection.query_all(Query::select().column(COLUMN).from(TABLE)).await?;
    let mut revisions = rows.iter().map(|row| row.try_get::<String>("", COLUMN)).collect::<Result<Vec<_>, DbErr>>()?;
    revisions.sort();
    Ok(match revisions.len() {
        0 => Ledger::Empty,
        1 => Ledger::At(revisions.remove(0)),
        _ => Ledger::Several(revisions),
    })
}

/// Makes the ledger say `revision`, creating the table if it is missing.
///
/// # Errors
/// Whatever the database answers.
pub async fn write(connection: &impl ConnectionTrait, before: &Ledger, revision: &str) -> Result<(), DbErr> {
    if *before == Ledger::Missing {
        let column = ColumnDef::new(COLUMN).custom("VARCHAR(32)").not_null().take();
        let mut key = Index::create().name("alembic_version_pkc").col(COLUMN).take();
        connection.execute(Table::create().table(TABLE).col(column).primary_key(&mut key)).await?;
    }
    match before {
        Ledger::Missing | Ledger::Empty => {
            connection
                .execute(Query::insert().into_table(TABLE).columns([COLUMN]).values_panic([revision.into()]))
                .await
        }
        Ledger::At(_) | Ledger::Several(_) => {
            connection.execute(Query::update().table(TABLE).value(COLUMN, revision)).await
        }
    }
    .map(|_| ())
}
