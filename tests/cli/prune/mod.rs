//! `prune`: old history goes, and nothing else.

pub(crate) mod archive;
pub(crate) mod archive_crashes;
pub(crate) mod archive_values;
pub(crate) mod events;
pub(crate) mod failed_commits;
pub(crate) mod in_use;
pub(crate) mod metrics;
pub(crate) mod neighbours;
pub(crate) mod network;
pub(crate) mod newest;
pub(crate) mod orphans;
pub(crate) mod plan;
pub(crate) mod prompt;
pub(crate) mod properties;
pub(crate) mod retention;
pub(crate) mod sessions;
pub(crate) mod stops;
pub(crate) mod vacuum;
