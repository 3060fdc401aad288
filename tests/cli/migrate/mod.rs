//! `migrate-sqlite-to-postgres`: a history is moved completely and unchanged, or not at all.

mod append;
mod append_beside_others;
mod append_conflicts;
mod arrival;
mod crashes;
mod damage;
mod damaged_indexes;
mod early_columns;
mod everyday;
mod failures;
mod hazards;
mod network;
mod obstacles;
mod orphans;
mod plan;
mod policies;
mod refusals;
mod report;
mod revisions;
mod schemas;
mod source;
mod source_copies;
mod source_files;
mod timestamps;
mod values;
mod verify_only;
