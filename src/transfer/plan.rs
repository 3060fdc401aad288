//! Which columns go where: both ends intersected by name.

use super::TransferError;
use super::target::Target;
use crate::schema::{ForeignKey, Schema, quoted};

/// One table to copy.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// Its name on both ends.
    pub name: String,
    /// The columns that both ends have.
    pub columns: Vec<ColumnPlan>,
    /// Where in `columns` the primary key is.
    pub primary_key: Vec<usize>,
    /// The target's foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
}

/// One column to copy.
#[derive(Debug, Clone)]
pub struct ColumnPlan {
    /// Its name on both ends.
    pub name: String,
    /// Its type on the target.
    pub target: Target,
    /// Whether the target allows SQL NULL.
    pub nullable: bool,
}

impl TablePlan {
    /// The quoted columns, in the order in which they travel.
    #[must_use]
    pub fn column_list(&self) -> String {
        self.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    }
}

/// Matches both ends, parents before children.
///
/// # Errors
/// [`TransferError::Lacking`] with everything of the source that the target has no place for and that
/// `ignored` does not name; [`TransferError::SourceSchema`] when the source lacks what the target needs.
pub fn plan(source: &Schema, target: &Schema, ignored: &[String]) -> Result<Vec<TablePlan>, TransferError> {
    let is_ignored = |name: &str| ignored.iter().any(|ignored| ignored == name);
    let mut lacking: Vec<String> = source
        .tables
        .keys()
        .filter(|name| !target.tables.contains_key(*name) && *name != migration::ledger::TABLE && !is_ignored(name))
        .cloned()
        .collect();
    let mut plans = Vec::new();
    for name in migration::TABLES {
        let (Some(from), Some(to)) = (source.tables.get(name), target.tables.get(name)) else {
            return Err(TransferError::SourceSchema(format!("it has no table `{name}`")));
        };
        let mut columns = Vec::new();
        for column in from.columns.keys().filter(|column| !is_ignored(&format!("{name}.{column}"))) {
            let Some(found) = to.columns.get(column) else {
                lacking.push(format!("{name}.{column}"));
                continue;
            };
            let Some(target) = Target::from_name(&found.kind) else {
                let message =
                    format!("the target's column {name}.{column} is {}, for which there is no conversion", found.kind);
                return Err(TransferError::SourceSchema(message));
            };
            columns.push(ColumnPlan { name: column.clone(), target, nullable: found.nullable });
        }
        let needed = to.columns.iter().find(|(column, found)| {
            !found.nullable && found.default.is_none() && columns.iter().all(|planned| planned.name != **column)
        });
        if let Some((column, _)) = needed {
            return Err(TransferError::SourceSchema(format!(
                "it has no column {name}.{column}, which must not be NULL"
            )));
        }
        let primary_key = to.primary_key.iter().filter_map(|key| columns.iter().position(|column| column.name == *key));
        plans.push(TablePlan {
            name: name.to_owned(),
            primary_key: primary_key.collect(),
            columns,
            foreign_keys: to.foreign_keys.clone(),
        });
    }
    if lacking.is_empty() { Ok(plans) } else { Err(TransferError::Lacking { names: lacking }) }
}
