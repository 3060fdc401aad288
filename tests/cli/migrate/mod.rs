//! `migrate-sqlite-to-postgres`: a history moves, whole and unchanged, or nothing does.

mod append;
mod arrival;
mod crashes;
mod damage;
mod damaged_indexes;
mod early_columns;
mod failures;
mod hazards;
mod moments;
mod network;
mod obstacles;
mod plan;
mod policies;
mod refusals;
mod report;
mod revisions;
mod source;
mod values;
mod verify_only;
