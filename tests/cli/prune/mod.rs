//! `prune` removes old history, and nothing else.

mod archive;
mod archive_crashes;
mod archive_values;
mod contention;
mod events;
mod failed_commits;
mod in_use;
mod metrics;
mod network;
mod newest;
mod orphans;
mod plan;
mod planted;
mod prompt;
mod properties;
mod refusals;
mod retention;
mod scale;
mod sessions;
mod stops;
mod triggers;
mod types;
mod vacuum;
