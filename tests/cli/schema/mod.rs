//! What databases of every revision and origin look like, and how they are upgraded.

pub(crate) mod adoption;
pub(crate) mod backfills;
pub(crate) mod every_revision;
pub(crate) mod ledger;
pub(crate) mod operators;
pub(crate) mod revisions;
pub(crate) mod shapes;
pub(crate) mod upgrade;
