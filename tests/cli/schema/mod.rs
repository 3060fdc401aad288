//! Databases of every revision and origin, and their upgrades.

mod adoption;
mod applications;
mod backfills;
mod every_revision;
mod ledger;
mod operators;
mod places;
mod planted;
mod revisions;
mod temporary;
mod upgrade;
mod variants;
