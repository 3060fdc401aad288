//! Tables and columns of the source that the target lacks, and how many rows and values would not be moved.

use std::fmt;

use migration::Revision;
use sea_orm::DbBackend;
use serde::Serialize;

use super::table::rows_of;
use crate::database::connection;
use crate::database::connection::Connection;
use crate::database::failure::DatabaseCause;
use crate::database::quote::quoted;
use crate::database::transaction::SearchPath;
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::format::counted;
use crate::schema::model::Schema;

/// A table or a column of the source that the target lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct UnmappedItem {
    /// `table` or `table.column`.
    pub name: String,
    /// Whether it is a table.
    pub is_table: bool,
    /// The number of rows of a table or of values of a column; `None` if SQLite cannot read it.
    pub holds: Option<u64>,
    /// The number of the revision that adds it, if one does.
    pub brought_by: Option<usize>,
}

impl fmt::Display for UnmappedItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_table { "row" } else { "value" };
        match self.holds {
            Some(count) => write!(f, "{} ({})", self.name, counted(count, what)),
            None => write!(f, "{} (its {what}s could not be counted)", self.name),
        }
    }
}

impl UnmappedItem {
    /// Whether it is an empty table of a later revision, which an interrupted upgrade left: upgrading the target
    /// creates it again.
    fn is_recreated(&self) -> bool {
        self.is_table && self.brought_by.is_some() && self.holds == Some(0)
    }
}

/// The target lacks tables or columns of the source, or `--ignore` is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnmappedError {
    /// The target has none of TARSy's tables, and is not to be changed.
    #[error("the target has no TARSy schema, so it holds no row of the source")]
    NoSchema,
    /// The target lacks tables or columns.
    #[error("the target lacks tables or columns that the source has; nothing was changed")]
    Unmapped(Vec<UnmappedItem>),
    /// `--ignore` names something that the target has, or that the source does not have.
    #[error("`--ignore` accepts only tables and columns that the source has and the target lacks, not `{}`", .names.join("`, `"))]
    Mapped { names: Vec<String> },
}

impl Diagnostic for UnmappedError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Refused
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSchema => Some("the move did not take place: run it, or check `--to`".into()),
            Self::Unmapped(items) => Some(hint(items)),
            Self::Mapped { .. } => None,
        }
    }

    fn details(&self) -> Details {
        match self {
            Self::Unmapped(items) => Details::of(items),
            Self::NoSchema | Self::Mapped { .. } => Details::default(),
        }
    }
}

/// The ways to continue; leaving something out says how much is left out.
fn hint(items: &[UnmappedItem]) -> String {
    let tables = items.iter().filter(|item| item.is_table);
    let upgrade = tables.filter_map(|item| item.brought_by).max().map(|revision| {
        format!(
            "to keep the rows, upgrade a copy of the source to the revision that adds the table, and move the copy: \
             `tarsy-db --database-url sqlite:///copy.db init --to {revision}`; "
        )
    });
    let flags = items.iter().map(|item| format!("--ignore {}", item.name)).collect::<Vec<_>>().join(" ");
    let total = |is_table| items.iter().filter(|item| item.is_table == is_table).map(|item| item.holds).sum();
    let lost = match (total(false), total(true)) {
        (Some(0), Some(0)) => {
            let they = if items.len() == 1 { "it holds" } else { "they hold" };
            return format!("add `{flags}`: {they} no values");
        }
        (Some(values), Some(0)) => format!("{}, kept in the source only", counted(values, "value")),
        (Some(0), Some(rows)) => format!("{}, kept in the source only", counted(rows, "row")),
        (Some(values), Some(rows)) => {
            format!("{} and {}, kept in the source only", counted(values, "value"), counted(rows, "row"))
        }
        _ => "an unknown number of values, kept in the source only".to_owned(),
    };
    format!("{}`{flags}` leaves out {lost}", upgrade.unwrap_or_default())
}

/// Requires that the target has all tables and columns of the source, except those in `ignored`.
///
/// # Errors
/// [`UnmappedError::Unmapped`] with all that it lacks; [`UnmappedError::Mapped`] for names in `ignored` that it has, or
/// that the source does not have.
pub(crate) async fn require_place(
    source: &Connection,
    from: &Schema,
    to: &Schema,
    ignored: &[String],
) -> Result<(), UnmappedError> {
    let places = without_place(from, to);
    let is_unmapped = |name: &String| places.iter().any(|place| place.name() == *name);
    let mapped: Vec<_> = ignored.iter().filter(|name| !is_unmapped(name)).cloned().collect();
    if !mapped.is_empty() {
        return Err(UnmappedError::Mapped { names: mapped });
    }
    let mut unmapped = Vec::new();
    for place in places.iter().filter(|place| !ignored.contains(&place.name())) {
        let found = place.measure(source).await;
        if !found.is_recreated() {
            unmapped.push(found);
        }
    }
    if unmapped.is_empty() { Ok(()) } else { Err(UnmappedError::Unmapped(unmapped)) }
}

/// A table, or one of its columns.
struct Place<'s> {
    table: &'s str,
    column: Option<&'s str>,
}

impl Place<'_> {
    fn name(&self) -> String {
        self.column.map_or(self.table.to_owned(), |column| format!("{}.{column}", self.table))
    }

    async fn measure(&self, source: &Connection) -> UnmappedItem {
        let what = self.column.map_or("*".to_owned(), quoted);
        let is_brought_by = |revision: &Revision| match self.column {
            None => revision.tables().contains(&self.table),
            Some(column) => revision.added_columns().any(|place| place == (self.table, column)),
        };
        UnmappedItem {
            name: self.name(),
            is_table: self.column.is_none(),
            // Fails for a virtual table whose module is not built in.
            holds: count(source, &what, self.table).await.ok(),
            brought_by: Revision::all().find(is_brought_by).map(Revision::number),
        }
    }
}

/// The tables that only the source has, and such columns of tables that both sides have.
fn without_place<'s>(source: &'s Schema, target: &Schema) -> Vec<Place<'s>> {
    let mut places = Vec::new();
    for (table, from) in source.tables.iter().filter(|(table, _)| *table != migration::ledger::TABLE) {
        match target.tables.get(table) {
            None => places.push(Place { table, column: None }),
            Some(to) => {
                let columns = from.columns.keys().filter(|column| !to.columns.contains_key(*column));
                places.extend(columns.map(|column| Place { table, column: Some(column) }));
            }
        }
    }
    places
}

/// Counts the rows of a table (`*`) or the values of a column.
pub(crate) async fn count(connection: &Connection, what: &str, table: &str) -> Result<u64, DatabaseCause> {
    let reading = connection.begin_reading(SearchPath::Empty, "").await?;
    let rows = match connection.backend() {
        DbBackend::Sqlite => rows_of(table),
        _ => reading.table(table),
    };
    let counted = connection::row(&reading, &format!("SELECT count({what}) AS number FROM {rows}")).await?;
    reading.rollback().await?;
    Ok(u64::try_from(counted.try_get::<i64>("", "number")?).unwrap_or(0))
}
