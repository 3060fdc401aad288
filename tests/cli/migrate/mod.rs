//! `migrate-sqlite-to-postgres`: a history moves, whole and unchanged, or nothing does.

pub(crate) mod append;
pub(crate) mod arrival;
pub(crate) mod crashes;
pub(crate) mod damage;
pub(crate) mod damaged_indexes;
pub(crate) mod early_columns;
pub(crate) mod failures;
pub(crate) mod hazards;
pub(crate) mod moments;
pub(crate) mod network;
pub(crate) mod obstacles;
pub(crate) mod plan;
pub(crate) mod policies;
pub(crate) mod refusals;
pub(crate) mod report;
pub(crate) mod revisions;
pub(crate) mod source;
pub(crate) mod values;
pub(crate) mod verify_only;
