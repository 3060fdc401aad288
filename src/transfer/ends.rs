//! What both ends are: the revision and shape that the source is at, and what the target has to be for it.

use std::collections::BTreeSet;

use migration::{Revision, ledger};
use sea_orm::{DatabaseConnection, DbBackend};

use super::TransferError;
use crate::failure::Doing;
use crate::schema::shape::{self, Shape};
use crate::schema::standing::{self, Plan, Standing};
use crate::schema::{self, Drift, Schema, SchemaError, difference, expected, row_policy};

/// What the source is.
pub struct SourceEnd {
    /// Where it stands.
    pub revision: Revision,
    /// How its tables came to be.
    pub shape: Shape,
    /// What it has.
    pub schema: Schema,
    /// What a source of its revision has.
    pub expected: Schema,
}

/// Finds out what the source is.
///
/// # Errors
/// [`TransferError::SourceSchema`], [`TransferError::SourceRevision`] or [`SchemaError::Ambiguous`] when it is no history
/// that this version can read.
pub async fn survey_source(source: &DatabaseConnection) -> Result<SourceEnd, TransferError> {
    let standing = Standing::read(source).await.doing("read the source's ledger")?;
    let found = schema::read(source).await.doing("read the source's schema")?;
    // What an interrupted upgrade left behind has no place on the target, and is named as such.
    let standing = Standing { leftovers: Vec::new(), ..standing };
    let revision = match standing.plan(Revision::BASELINE) {
        Plan::Nothing { revision } | Plan::Incomplete { revision: Some(revision), .. } => {
            Revision::from_id(&revision).ok_or(TransferError::SourceRevision { revision })?
        }
        Plan::Adopt => shape::likest(source, &found).await.doing("replay the revisions")?.0,
        Plan::Incomplete { revision: None, .. } => Revision::BASELINE,
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions).into()),
        Plan::Create { .. } => return Err(TransferError::SourceSchema("it has none of TARSy's tables".into())),
        Plan::Upgrade { .. } | Plan::Leftover { .. } => unreachable!("every revision is beyond the baseline"),
    };
    let expected = expected::replay(source, &BTreeSet::from([revision])).await.doing("replay the revisions")?;
    for (table, expected) in &expected[&revision].tables {
        let missing = match found.tables.get(table) {
            None => Some(format!("table {table}")),
            Some(found) => {
                let mut columns = expected.columns.keys();
                let missing = columns.find(|column| !found.columns.contains_key(*column));
                missing.map(|column| format!("column {table}.{column}"))
            }
        };
        if let Some(missing) = missing {
            let message = format!("it is at revision {revision}, but has no {missing}");
            return Err(TransferError::SourceSchema(message));
        }
    }
    let shape = shape::closest(DbBackend::Sqlite, revision, &expected[&revision], &found).shape;
    let expected = expected[&revision].clone();
    Ok(SourceEnd { revision, shape, schema: found, expected })
}

/// The schema that the target will have, at the source's revision and in a shape that takes the source's rows, and
/// the statements that give it this shape. Nothing is created before the source was found sound.
///
/// # Errors
/// [`TransferError::TargetRevision`] where it is beyond the source, [`SchemaError`] where it is not what it should be.
pub async fn schema_of_target(
    target: &DatabaseConnection,
    revision: Revision,
    shape: Shape,
) -> Result<(Schema, Vec<String>), TransferError> {
    let (start, found) = start_of_target(target, revision).await?;
    let replayed = expected::replay(target, &BTreeSet::from([revision])).await.doing("replay the revisions")?;
    let before = if start == Some(revision) {
        refuse_drift(revision, &replayed[&revision], &found)?;
        found
    } else {
        replayed[&revision].clone()
    };
    let mut after = before.clone();
    shape::relax(&mut after, shape);
    let relaxations = shape::relaxations(&before, &after);
    Ok((after, relaxations))
}

/// The schema of a target that holds rows, which has to be that of the source's revision already.
///
/// # Errors
/// [`TransferError::TargetBehind`] or [`TransferError::TargetRevision`] where it is another, [`SchemaError`] where it is not
/// what it should be.
pub async fn schema_of_filled_target(target: &DatabaseConnection, revision: Revision) -> Result<Schema, TransferError> {
    let (start, found) = start_of_target(target, revision).await?;
    if let Some(start) = start.filter(|start| *start < revision) {
        return Err(TransferError::TargetBehind { revision: start, source_revision: revision });
    }
    let replayed = expected::replay(target, &BTreeSet::from([revision])).await.doing("replay the revisions")?;
    refuse_drift(revision, &replayed[&revision], &found)?;
    Ok(found)
}

/// Where the target stands, which is not beyond the source, and what it has. It is nowhere if it has no tables.
async fn start_of_target(
    target: &DatabaseConnection,
    revision: Revision,
) -> Result<(Option<Revision>, Schema), TransferError> {
    let beyond = |found: String| TransferError::TargetRevision { revision: found, source_revision: revision };
    row_policy::refuse(target, &[ledger::TABLE]).await.doing("read the target's ledger")?;
    let standing = Standing::read(target).await.doing("read the target's ledger")?;
    let found = schema::read(target).await.doing("read the target's schema")?;
    let start = match standing.plan(revision) {
        Plan::Create { to } if to > revision => return Err(beyond(to.to_string())),
        Plan::Create { .. } => None,
        Plan::Adopt => Some(shape::likest(target, &found).await.doing("replay the revisions")?.0),
        Plan::Upgrade { from, .. } => Some(from),
        Plan::Nothing { revision: at } => match Revision::from_id(&at) {
            Some(at) => Some(at),
            None => return Err(beyond(standing::described(&at))),
        },
        Plan::Incomplete { revision, missing } => return Err(SchemaError::Incomplete { revision, missing }.into()),
        Plan::Ambiguous { revisions } => return Err(SchemaError::Ambiguous(revisions).into()),
        Plan::Leftover { tables } => return Err(SchemaError::Leftover(tables).into()),
    };
    match start {
        Some(start) if start > revision => Err(beyond(start.to_string())),
        start => Ok((start, found)),
    }
}

/// What refuses a row ends the move; what is missing would let a wrong one in.
fn refuse_drift(revision: Revision, expected: &Schema, found: &Schema) -> Result<(), SchemaError> {
    let differences = shape::closest(DbBackend::Postgres, revision, expected, found).differences;
    let faults: Vec<_> = differences.into_iter().filter(|fault| fault.weight == difference::Weight::Drift).collect();
    if faults.is_empty() { Ok(()) } else { Err(Drift::new(revision, faults).into()) }
}
