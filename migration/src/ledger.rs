//! The ledger: the one-row table `alembic_version`, in which TARSy records the revision of a database.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult};
use sea_orm_migration::sea_query::{BinOper, ColumnDef, Expr, ExprTrait, Index, IntoTableRef, Query, Table};

use crate::manager::Manager;

/// Alembic's name for the ledger.
pub const TABLE: &str = "alembic_version";
const COLUMN: &str = "version_num";

/// The content of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ledger {
    /// The table does not exist.
    Missing,
    /// The table has no row, or an empty one.
    Empty,
    /// The one revision of the database.
    At(String),
    /// Several rows, so that the revision is unknown.
    Several(Vec<String>),
}

/// Reads the ledger, whose table must exist at this place; otherwise it is [`Ledger::Missing`].
///
/// # Errors
/// The database's error.
pub async fn read(connection: &impl ConnectionTrait, place: impl IntoTableRef) -> Result<Ledger, DbErr> {
    let revisions = match connection.get_database_backend() {
        DbBackend::Postgres => read_texts(connection, place).await?,
        _ => read_values(connection, place).await?,
    };
    // A row without a revision counts as none.
    let mut revisions: Vec<_> = revisions.into_iter().flatten().filter(|revision| !revision.is_empty()).collect();
    revisions.sort();
    Ok(match revisions.len() {
        0 => Ledger::Empty,
        1 => Ledger::At(revisions.remove(0)),
        _ => Ledger::Several(revisions),
    })
}

async fn read_texts(connection: &impl ConnectionTrait, place: impl IntoTableRef) -> Result<Vec<Option<String>>, DbErr> {
    // The driver would look up a type of an extension with a query of its own, which replaces the unnamed statement. A cast
    // would remove the blanks with which `char(n)` pads a revision, and which TARSy's backend reads. NULL becomes empty.
    let revision = Expr::cust(format!("pg_catalog.concat({COLUMN})"));
    let rows = connection.query_all(Query::select().expr_as(revision, COLUMN).from(place)).await?;
    rows.iter().map(|row| row.try_get("", COLUMN)).collect()
}

/// The same on SQLite, which may hold any value in the column. What is not text in UTF-8 is an SQL literal, and so never a
/// revision.
async fn read_values(
    connection: &impl ConnectionTrait,
    place: impl IntoTableRef,
) -> Result<Vec<Option<String>>, DbErr> {
    // Its bytes are those of UTF-8 also if the file is in UTF-16, unlike those of a cast.
    let text = format!("iif(typeof({COLUMN}) = 'text', {COLUMN}, NULL)");
    // `IS NULL` would be false for a column that is NOT NULL, whatever it holds.
    let literal = format!("iif(typeof({COLUMN}) = 'null', NULL, quote(coalesce(CAST({text} AS BLOB), {COLUMN})))");
    let query =
        Query::select().expr_as(Expr::cust(text), "text").expr_as(Expr::cust(literal), "literal").from(place).take();
    let value = |row: &QueryResult| {
        let text: Option<Vec<u8>> = row.try_get("", "text")?;
        match text.map(String::from_utf8) {
            Some(Ok(text)) => Ok(Some(text)),
            _ => row.try_get("", "literal"),
        }
    };
    connection.query_all(&query).await?.iter().map(value).collect()
}

/// Changes the ledger from `before` to `revision`, and creates the table if it is missing. Returns the statements.
///
/// # Errors
/// The database's error, or [`DbErr::RecordNotUpdated`] if the ledger no longer says `before`.
pub async fn write(connection: &impl ConnectionTrait, before: &Ledger, revision: &str) -> Result<Vec<String>, DbErr> {
    let manager = Manager::on(connection);
    if *before == Ledger::Missing {
        let column = ColumnDef::new(COLUMN).custom("VARCHAR(32)").not_null().take();
        let mut key = Index::create().name("alembic_version_pkc").col(COLUMN).take();
        manager.create_table(Table::create().table(TABLE).col(column).primary_key(&mut key).take()).await?;
    }
    let written = match before {
        Ledger::At(before) => {
            // The column is a `varchar`: an operator of `varchar` that is planted in the schema would come before that of
            // `text`.
            let equal = match manager.backend() {
                DbBackend::Postgres => BinOper::Custom("OPERATOR(pg_catalog.=)"),
                _ => BinOper::Equal,
            };
            let says_before = Expr::col(COLUMN).binary(equal, before);
            let update = Query::update().table(TABLE).value(COLUMN, revision).and_where(says_before).take();
            manager.change(&update).await?
        }
        Ledger::Missing | Ledger::Empty | Ledger::Several(_) => {
            manager.change(&Query::delete().from_table(TABLE).take()).await?;
            let insert = Query::insert().into_table(TABLE).columns([COLUMN]).values_panic([revision.into()]).take();
            manager.change(&insert).await?
        }
    };
    match written {
        1 => Ok(manager.into_statements()),
        _ => Err(DbErr::RecordNotUpdated),
    }
}
