//! What databases of every revision and origin look like, and how they are upgraded.

mod adoption;
mod backfills;
mod every_revision;
mod ledger;
mod operators;
mod revisions;
mod upgrade;
mod variants;
