//! The one-row table `alembic_version`: TARSy's own record of where a database stands.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::sea_query::{ColumnDef, Expr, ExprTrait, Index, Query, Table};

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

/// Reads the ledger, whose table is there; otherwise it is [`Ledger::Missing`].
///
/// # Errors
/// Whatever the database answers.
pub async fn read(connection: &impl ConnectionTrait) -> Result<Ledger, DbErr> {
    let rows = connection.query_all(Query::select().column(COLUMN).from(TABLE)).await?;
    let revisions =
        rows.iter().map(|row| row.try_get::<Option<String>>("", COLUMN)).collect::<Result<Vec<_>, DbErr>>()?;
    // A row that says nothing is none.
    let mut revisions: Vec<_> = revisions.into_iter().flatten().filter(|revision| !revision.is_empty()).collect();
    revisions.sort();
    Ok(match revisions.len() {
        0 => Ledger::Empty,
        1 => Ledger::At(revisions.remove(0)),
        _ => Ledger::Several(revisions),
    })
}

/// Makes the ledger, which said `before`, say `revision`; creates the table if it is missing.
///
/// # Errors
/// Whatever the database answers, and [`DbErr::RecordNotUpdated`] if the ledger says something else by now.
pub async fn write(connection: &impl ConnectionTrait, before: &Ledger, revision: &str) -> Result<(), DbErr> {
    if *before == Ledger::Missing {
        let column = ColumnDef::new(COLUMN).custom("VARCHAR(32)").not_null().take();
        let mut key = Index::create().name("alembic_version_pkc").col(COLUMN).take();
        connection.execute(Table::create().table(TABLE).col(column).primary_key(&mut key)).await?;
    }
    let written = match before {
        Ledger::At(before) => {
            let update =
                Query::update().table(TABLE).value(COLUMN, revision).and_where(Expr::col(COLUMN).eq(before)).take();
            connection.execute(&update).await?
        }
        Ledger::Missing | Ledger::Empty | Ledger::Several(_) => {
            connection.execute(Query::delete().from_table(TABLE)).await?;
            let insert = Query::insert().into_table(TABLE).columns([COLUMN]).values_panic([revision.into()]).take();
            connection.execute(&insert).await?
        }
    };
    match written.rows_affected() {
        1 => Ok(()),
        _ => Err(DbErr::RecordNotUpdated),
    }
}
